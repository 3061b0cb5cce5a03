"""Hyperspectral files, responses by name, CAVE sets, the table."""

from __future__ import annotations

from importlib import import_module

import h5py
import numpy as np
import pytest
import rasterio
from PIL import Image as PillowImage

from bandweave.datasets import cavesets
from bandweave.datasets.cave import TEST_SCENES, TRAIN_SCENES, cave_pair, hsi_up, read_scene
from bandweave.datasets.hyperspectral import (
    HyperspectralImage,
    find_response,
    hyperspectral_scene,
    read_hyperspectral,
)
from bandweave.datasets.pancollection import open_pancollection
from bandweave.datasets.table import DATASETS
from bandweave.degrade.operators import gaussian_psf
from bandweave.degrade.srf import SpectralResponse, nikon_d700
from bandweave.errors import (
    BandweaveWarning,
    FileFormatError,
    ScaleError,
    SensorModelError,
    UnknownSensorError,
)
from bandweave.grid import Grid


def write_envi(path, cube, wavelengths, units="Nanometers"):
    with rasterio.open(
        path, "w", driver="ENVI", height=cube.shape[1], width=cube.shape[2], count=len(cube),
        dtype=cube.dtype, crs="EPSG:32633", transform=rasterio.Affine(30, 0, 0, 0, -30, 0),
    ) as file:  # fmt: skip
        file.write(cube)
    header = path.with_suffix(".hdr")
    listed = ", ".join(str(w) for w in wavelengths)
    header.write_text(
        f"{header.read_text()}wavelength units = {units}\nwavelength = {{{listed}}}\n"
    )


@pytest.mark.parametrize(("units", "factor"), [("Nanometers", 1), ("Micrometers", 1e-3)])
def test_wavelengths_are_read_from_an_envi_header(tmp_path, rng, units, factor):
    cube = rng.integers(0, 9999, (5, 12, 8)).astype(np.int16)
    centres = (450, 500, 550, 650, 850)
    write_envi(tmp_path / "a.dat", cube, [c * factor for c in centres], units)
    image = read_hyperspectral(tmp_path / "a.dat")
    assert image.wavelengths == pytest.approx(centres)
    assert np.array_equal(image.cube, cube)
    response = find_response("gf2", image.wavelengths)
    assert response.band_names == ("blue", "green", "red", "nir")
    assert np.argmax(response.weights, axis=1).tolist() == [0, 2, 3, 4]
    assert find_response("gf2:pan", image.wavelengths).weights == pytest.approx(
        np.full((1, 5), 0.2)
    )


def write_described(path, tags, namespace=None):
    """Write two bands whose tags are `tags`, the second without any where that is None."""
    with rasterio.open(
        path, "w", driver="GTiff", height=8, width=8, count=2, dtype="uint8",
        transform=rasterio.Affine(30, 0, 0, 0, -30, 0),
    ) as file:  # fmt: skip
        file.write(np.ones((2, 8, 8), np.uint8))
        for band, own in enumerate(tags, start=1):
            file.update_tags(band, ns=namespace, **own)


def test_wavelengths_are_read_from_gdals_place_for_them(tmp_path):
    tags = [{"CENTRAL_WAVELENGTH_UM": "0.4505"}, {"CENTRAL_WAVELENGTH_UM": "2.2"}]
    write_described(tmp_path / "a.tif", tags, "IMAGERY")
    assert read_hyperspectral(tmp_path / "a.tif").wavelengths == pytest.approx((450.5, 2200))


@pytest.mark.parametrize(
    "second",
    [
        {},
        {"wavelength": "blue"},
        {"wavelength": "nan"},
        {"wavelength": "5", "wavelength_units": "Index"},
    ],
)
def test_wavelengths_are_known_of_all_bands_or_of_none(tmp_path, second):
    write_described(tmp_path / "a.tif", [{"wavelength": "450"}, second])
    assert read_hyperspectral(tmp_path / "a.tif").wavelengths is None


def test_responses_that_cannot_be_made_are_refused(tmp_path):
    with pytest.raises(SensorModelError, match="states none"):
        find_response("gf2", None)
    with pytest.raises(SensorModelError, match="limits of sentinel2 are not known"):
        find_response("sentinel2", (500, 600))
    with pytest.raises(UnknownSensorError):
        find_response("nikon-d9", (500, 600))
    with pytest.raises(FileFormatError):
        find_response(str(tmp_path / "none.csv"), None)


def image_of(cube, valid=None):
    return HyperspectralImage(cube, valid, None, Grid(cube.shape[1:]))


def test_scene_is_cut_to_the_ratio_and_spoilt_where_invalid(rng):
    valid = np.ones((66, 50), dtype=bool)
    valid[30, 30] = False
    cube = rng.uniform(0, 1, (31, 66, 50)).astype(np.float32)
    scene = hyperspectral_scene(
        image_of(cube, valid), nikon_d700(), gaussian_psf(0.5, 3), 4, full_scale=1.0
    )
    assert scene.shape == (64, 48)
    assert not scene.whole.pair.valid[30, 30]
    assert scene.whole.pair.valid.mean() > 0.85


def test_noise_follows_the_ratio(rng):
    cube = rng.uniform(0.2, 1, (31, 64, 64)).astype(np.float32)
    made = [
        hyperspectral_scene(
            image_of(cube), nikon_d700(), gaussian_psf(0.5, 3), 4, snr_db=snr, seed=1
        )
        for snr in (None, 20.0)
    ]
    clean, noisy = (scene.whole.pair.spatial for scene in made)
    ratio = 10 * np.log10((clean**2).mean() / ((noisy - clean) ** 2).mean())
    assert ratio == pytest.approx(20, abs=0.2)


def test_sets_need_the_unit_range(rng):
    image = image_of(rng.uniform(0, 4000, (31, 8, 8)).astype(np.float32))
    with pytest.raises(ScaleError, match="give the value that stands for 1"):
        image.as_unit(None)
    assert image.as_unit(4000).cube.max() <= 1


def write_scene(folder, scene, rng, size):
    inner = folder / f"{scene}_ms"
    inner.mkdir(parents=True)
    for number in range(1, 32):
        band = rng.integers(0, 65536, (size, size)).astype(np.uint16)
        PillowImage.fromarray(band).save(inner / f"{scene}_ms_{number:02d}.png")


def test_cave_sets(tmp_path, rng, monkeypatch):
    # The published numbers with smaller patches on smaller scenes: 3 positions an axis.
    monkeypatch.setattr(cavesets, "PATCH", 16)
    monkeypatch.setattr(cavesets, "_PATCHES_PER_AXIS", 3)
    names = (TRAIN_SCENES[0], TRAIN_SCENES[-1], TEST_SCENES[0])
    for scene in names:
        write_scene(tmp_path / "cave", scene, rng, 40)
    with pytest.warns(BandweaveWarning, match="28 of the 31 scenes"):
        counts = cavesets.write_cave_sets(tmp_path / "cave", tmp_path / "out", 4)
    assert {path.name: count for path, count in counts.items()} == {
        "train.h5": 9,
        "valid.h5": 9,
        "test.h5": 1,
    }
    with h5py.File(tmp_path / "out" / "valid.h5") as file:
        assert list(file.attrs["scenes"]) == [TRAIN_SCENES[-1]]
        assert sorted(set(file["origin"][:, 1])) == [0, 12, 24]
    gt = read_scene(tmp_path / "cave", TEST_SCENES[0])
    with h5py.File(tmp_path / "out" / "test.h5") as file:
        assert file["HSI_up"][0] == pytest.approx(hsi_up(cave_pair(gt, 4)), abs=1e-6)
    with open_pancollection(tmp_path / "out" / "test.h5") as pairs:
        assert pairs.item(0)[1] == pytest.approx(gt, abs=1e-7)
        assert pairs.record.spectral.kernel == "Gaussian, sigma 0.5, 3 x 3 taps"


def test_cave_scenes_with_another_point_spread_and_response(tmp_path, rng):
    scene, folder = TEST_SCENES[1], tmp_path / "cave"
    write_scene(folder, scene, rng, 16)
    response = SpectralResponse("halves", ("low", "high"), np.repeat(np.eye(2), [16, 15], axis=1))
    psf = gaussian_psf(1.2, 5)
    with pytest.warns(BandweaveWarning, match="30 of the 31 scenes"):
        cavesets.write_cave_sets(folder, tmp_path / "out", 4, psf=psf, response=response)
    gt = read_scene(folder, scene)
    with open_pancollection(tmp_path / "out" / "test.h5") as pairs:
        pair, _ = pairs.item(0)
        assert pairs.record.spectral.kernel == "Gaussian, sigma 1.2, 5 x 5 taps"
        assert pairs.record.spatial.kernel == "halves: low, high"
    means = np.stack([gt[:16].mean(axis=0), gt[16:].mean(axis=0)])
    assert pair.spatial == pytest.approx(means, abs=1e-6)
    assert pair.spectral == pytest.approx(psf.apply(gt, 4, (2, 2)), abs=1e-6)


def test_published_numbers_of_patches():
    starts = cavesets._starts(512, 4)
    assert len(starts) == 14
    assert starts[0] == 0
    assert starts[-1] == 512 - 64
    assert all(start % 4 == 0 for start in starts)
    assert 20 * 14 * 14 == 3920


def test_cave_folders_without_the_split_are_refused(tmp_path, rng):
    write_scene(tmp_path, "watercolors", rng, 8)
    with pytest.raises(FileFormatError, match="none of the 31 scenes"):
        cavesets.write_cave_sets(tmp_path, tmp_path / "out", 4)
    with pytest.raises(ValueError, match="must divide the patch"):
        cavesets.write_cave_sets(tmp_path, tmp_path / "out", 3)


@pytest.mark.parametrize("key", sorted(DATASETS))
def test_table_entries_are_complete(key):
    entry = DATASETS[key]
    assert entry.id == key
    module, _, function = entry.reader.rpartition(".")
    assert callable(getattr(import_module(module), function))
    assert all(getattr(entry, name) for name in entry.__dataclass_fields__)
