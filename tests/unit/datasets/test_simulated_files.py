"""Scenes to sets and GeoTIFF files, and back."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
import rasterio
from affine import Affine

from bandweave.datasets.folders import find_pairs
from bandweave.datasets.pairfiles import write_item_files, write_scene_files
from bandweave.datasets.pancollection import open_pancollection
from bandweave.datasets.reduced import MadeScene, WaldScene, scene_noise
from bandweave.datasets.splitsets import Cutting, write_split_sets
from bandweave.degrade.operators import MtfFilter
from bandweave.degrade.record import DegradationRecord
from bandweave.degrade.sampling import interpolate
from bandweave.degrade.wald import WaldProtocol, wald_pair
from bandweave.errors import FileFormatError, NodataError, SensorModelError
from bandweave.grid import Grid
from bandweave.pair import ImagePair
from bandweave.raster.reader import open_pair
from bandweave.sensors import find_sensor
from bandweave.source import ArraySource
from bandweave.window import Window


def native(rng, *, h=130, w=118, **more):
    """Make a pair at ratio 4 whose spectral image does not divide by the ratio."""
    fields = {"sensor": find_sensor("qb"), "full_scale": 2047.0, **more}
    spatial = rng.uniform(1, 2047, (1, 4 * h, 4 * w))
    return ImagePair(spatial, rng.uniform(1, 2047, (4, h, w)), 4, (1.5, 1.5), **fields)


def scene_of(pair, **more):
    return WaldScene(ArraySource(pair), WaldProtocol.of_sensor(pair.profile, **more))


def place_of_sample(pair):
    """Return where coarse sample 0 lies in the PAN file, whatever part of it the reader kept."""
    start = pair.nesting.pan_window
    assert pair.nesting.ms_window.row == pair.nesting.ms_window.col == 0
    return pair.profile.phase[0] + start.row, pair.profile.phase[1] + start.col


def test_sets_hold_parts_of_the_reduced_scene(tmp_path, rng):
    pair = native(rng)
    whole = wald_pair(pair, WaldProtocol.of_sensor(pair.profile))
    up = interpolate(whole.pair.spectral, 4, (2.0, 2.0), border="symmetric")
    cutting = Cutting(patch=16, stride=8, shares=(0.6, 0.2, 0.2), seed=3)
    counts = write_split_sets([("a", scene_of(pair))], tmp_path / "out.h5", cutting)
    assert sorted(path.name for path in counts) == ["out_test.h5", "out_train.h5", "out_valid.h5"]
    for path, count in counts.items():
        with h5py.File(path) as file, open_pancollection(path) as pairs:
            assert len(pairs) == count > 0
            assert list(file.attrs["scenes"]) == ["a"]
            assert DegradationRecord.model_validate_json(file.attrs["simulation"]) == whole.record
            for k in (0, count - 1):
                scene, row, col = file["origin"][k]
                assert scene == 0
                expected = whole.crop(Window(int(row), int(col), 16, 16))
                made, gt = pairs.item(k)
                assert gt == pytest.approx(expected.gt, rel=1e-6)
                assert made.spectral == pytest.approx(expected.pair.spectral, rel=1e-6)
                assert made.spatial == pytest.approx(expected.pair.spatial, rel=1e-5)
                part = up[:, row : row + 16, col : col + 16]
                assert file["lms"][k] == pytest.approx(part, rel=1e-5)
                assert made.sensor.id == "qb"


def test_one_split_keeps_its_name(tmp_path, rng):
    counts = write_split_sets(
        [("a", scene_of(native(rng)))], tmp_path / "all.h5", Cutting(shares=(1.0, 0.0, 0.0))
    )
    assert list(counts) == [tmp_path / "all.h5"]


def test_patches_with_invalid_pixels_are_left_out(tmp_path, rng):
    valid = np.ones((520, 472), dtype=bool)
    valid[:200] = False
    cutting = Cutting(patch=16, stride=16, shares=(1.0, 0.0, 0.0))
    counts = write_split_sets(
        [("a", scene_of(native(rng, valid=valid)))], tmp_path / "a.h5", cutting
    )
    with h5py.File(tmp_path / "a.h5") as file:
        assert file["origin"][:, 1].min() >= 50
        assert counts[tmp_path / "a.h5"] == len(file["gt"])
    valid[:] = False
    with pytest.raises(NodataError, match="train set would be empty"):
        write_split_sets([("a", scene_of(native(rng, valid=valid)))], tmp_path / "b.h5", cutting)
    assert not (tmp_path / "b.h5").exists()


def test_sensors_are_not_mixed(tmp_path, rng):
    scenes = [("a", scene_of(native(rng))), ("b", scene_of(native(rng, sensor=find_sensor("ge1"))))]
    with pytest.raises(SensorModelError, match="one set per sensor"):
        write_split_sets(scenes, tmp_path / "a.h5", Cutting(shares=(1.0, 0.0, 0.0)))


def test_noise_level_is_that_of_the_native_images(rng):
    pair = native(rng)
    noise = scene_noise(ArraySource(pair), 20.0, seed=5)
    assert noise.spectral == pytest.approx(np.sqrt((pair.spectral**2).mean(axis=(1, 2)) / 100))
    assert noise.spatial == pytest.approx(np.sqrt((pair.spatial**2).mean(axis=(1, 2)) / 100))


@pytest.mark.parametrize("phase", [(2.0, 2.0), (1.5, 1.5)])
def test_geotiff_files_carry_phase_and_record(tmp_path, rng, phase):
    grid = Grid((520, 472), Affine(0.5, 0, 1000, 0, -0.5, 2000), "EPSG:32633")
    pair = native(rng, grid=grid)
    scene = scene_of(pair, phase=phase)
    paths = write_scene_files(scene, tmp_path / "sim")
    assert [path.name for path in paths] == ["sim_pan.tif", "sim_ms.tif", "sim_gt.tif"]
    whole = wald_pair(pair, scene.protocol)
    with open_pair(paths[0], paths[1]) as reread:
        assert place_of_sample(reread) == pytest.approx(phase)
        assert reread.profile.ratio == 4
        assert reread.profile.band_names == ("blue", "green", "red", "nir")
    with rasterio.open(paths[2]) as file:
        assert file.read() == pytest.approx(whole.gt, rel=1e-6)
        assert file.crs.to_epsg() == 32633
        assert file.transform == Affine(2, 0, 1000, 0, -2, 2000)
        record = file.tags(ns="BANDWEAVE")["simulation"]
    assert DegradationRecord.model_validate_json(record) == whole.record
    with rasterio.open(paths[1]) as file:
        assert file.read() == pytest.approx(whole.pair.spectral, rel=1e-6)


def test_geotiff_marks_invalid_pixels(tmp_path, rng):
    valid = np.ones((520, 472), dtype=bool)
    valid[100, 100] = False
    scene = scene_of(native(rng, valid=valid))
    paths = write_scene_files(scene, tmp_path / "sim")
    expected = scene.reduced(Window.whole(scene.shape)).pair.valid
    with rasterio.open(paths[2]) as file:
        assert np.array_equal(np.isfinite(file.read(1)), expected)
    assert not expected.all()


def test_set_to_geotiff_and_back_without_georeference(tmp_path, rng):
    reduced = wald_pair(native(rng, h=32, w=24), WaldProtocol(MtfFilter((0.3,))))
    paths = write_item_files((reduced.pair, reduced.gt), tmp_path / "0", record=None)
    assert [path.name for path in paths] == ["0_pan.tif", "0_ms.tif", "0_gt.tif"]
    with open_pair(paths[0], paths[1]) as reread:
        assert place_of_sample(reread) == pytest.approx((2.0, 2.0))
        made = reread.read(Window(0, 0, 8, 8), np.float64)
    assert made.spectral == pytest.approx(reduced.pair.spectral[:, :2, :2], rel=1e-6)
    bare = write_item_files((reduced.pair, None), tmp_path / "1", record=None)
    assert [path.name for path in bare] == ["1_pan.tif", "1_ms.tif"]


def test_made_scene_is_cut_from_memory(rng):
    reduced = wald_pair(native(rng), WaldProtocol(MtfFilter((0.3,))))
    scene = MadeScene(reduced, reduced.ms_up)
    part, up = scene.interpolated(Window(8, 4, 16, 20))
    assert np.array_equal(part.gt, reduced.gt[:, 8:24, 4:24])
    assert np.array_equal(up, reduced.ms_up[:, 8:24, 4:24])
    assert scene.shape == (128, 116)


def test_pairs_are_found_by_name(tmp_path):
    for name in ("b_pan.tif", "b_ms.tif", "A-PAN.TIF", "A-MUL.tif", "lone_pan.tif", "b_gt.tif", "readme.txt"):  # fmt: skip
        (tmp_path / name).touch()
    pairs = find_pairs(tmp_path)
    assert [(p.name, p.pan.name, p.ms.name) for p in pairs] == [
        ("A", "A-PAN.TIF", "A-MUL.tif"),
        ("b", "b_pan.tif", "b_ms.tif"),
    ]
    (tmp_path / "b_mss.tif").touch()
    with pytest.raises(
        FileFormatError, match=r"b_ms.tif and b_mss.tif .* both the ms of one scene"
    ):
        find_pairs(tmp_path)


def test_folders_without_pairs_are_refused(tmp_path):
    with pytest.raises(FileFormatError, match="holds no pair"):
        find_pairs(tmp_path)
    with pytest.raises(FileFormatError, match="is no folder"):
        find_pairs(tmp_path / "none")
