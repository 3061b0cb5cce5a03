"""CAVE folders and the published protocol."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image as PillowImage

from bandweave.datasets.cave import (
    LEFT_OUT,
    TEST_SCENES,
    TRAIN_SCENES,
    cave_pair,
    hsi_up,
    read_scene,
    scene_names,
)
from bandweave.errors import BandCountError, FileFormatError, UnknownNameError
from bandweave.methods.interpolation import Bicubic


def write_scene(folder, scene, cube, *, nested=True):
    inner = folder / f"{scene}_ms"
    if nested:
        inner /= f"{scene}_ms"
    inner.mkdir(parents=True)
    for number, band in enumerate(cube, start=1):
        PillowImage.fromarray(band).save(inner / f"{scene}_ms_{number:02d}.png")


@pytest.fixture
def cube(rng):
    return rng.integers(0, 65536, (31, 20, 12)).astype(np.uint16)


@pytest.mark.parametrize("nested", [True, False])
def test_scene_is_reflectance(tmp_path, cube, nested):
    write_scene(tmp_path, "flowers", cube, nested=nested)
    (tmp_path / "flowers_ms" / "flowers_RGB.bmp").write_text("not a band")
    gt = read_scene(tmp_path, "flowers")
    assert gt == pytest.approx(cube / 65535, abs=1e-15)
    assert scene_names(tmp_path) == ("flowers",)


def test_eight_bit_rgba_scene(tmp_path, rng):
    grey = rng.integers(0, 256, (31, 8, 8)).astype(np.uint8)
    rgba = np.stack([grey, grey, grey, np.full_like(grey, 255)], axis=-1)
    write_scene(tmp_path, LEFT_OUT, rgba)
    assert read_scene(tmp_path, LEFT_OUT) == pytest.approx(grey / 255, abs=1e-15)


def test_published_split():
    assert len(TRAIN_SCENES) == 20
    assert len(TEST_SCENES) == 11
    assert not set(TRAIN_SCENES) & set(TEST_SCENES)
    assert LEFT_OUT not in (*TRAIN_SCENES, *TEST_SCENES)


def test_wrong_folders_are_refused(tmp_path, cube):
    with pytest.raises(FileFormatError, match="holds no CAVE scene"):
        scene_names(tmp_path)
    write_scene(tmp_path, "clay", cube[:30])
    with pytest.raises(BandCountError, match="must have 31 band files, found 30"):
        read_scene(tmp_path, "clay")
    with pytest.raises(UnknownNameError, match=r"no scene 'cd' .*present are clay"):
        read_scene(tmp_path, "cd")


def test_broken_and_odd_bands_are_refused(tmp_path, cube):
    write_scene(tmp_path, "clay", cube)
    last = tmp_path / "clay_ms" / "clay_ms" / "clay_ms_31.png"
    PillowImage.fromarray(cube[0, :10]).save(last)
    with pytest.raises(FileFormatError, match="differ in size"):
        read_scene(tmp_path, "clay")
    last.write_bytes(b"no png")
    with pytest.raises(FileFormatError, match=r"clay_ms_31.png could not be read"):
        read_scene(tmp_path, "clay")


def test_the_method_bicubic_is_the_protocols_interpolation(rng):
    reduced = cave_pair(rng.random((31, 40, 24)), 4)
    fitted = Bicubic().fit(reduced.pair.profile, None)
    assert np.array_equal(fitted.fuse(reduced.pair), hsi_up(reduced))


@pytest.mark.golden
@pytest.mark.slow
@pytest.mark.parametrize("scene", ["chart_and_stuffed_toy", "fake_and_real_tomatoes", "flowers"])
def test_published_bicubic_psnr(shared, tmp_path, scene):
    tifffile = pytest.importorskip("tifffile")
    pytest.importorskip("imagecodecs")
    write_scene(tmp_path, scene, tifffile.imread(shared(f"data/cave/test/{scene}.tif")))
    reference = json.loads(shared("golden/cave11_bicubic_reference.json").read_text())
    gt = read_scene(tmp_path, scene)
    for ratio in (4, 8):
        error = np.square(hsi_up(cave_pair(gt, ratio)) - gt).mean(axis=(1, 2))
        psnr = np.mean(-10 * np.log10(error))
        assert psnr == pytest.approx(reference[f"x{ratio}"]["scenes"][scene]["psnr"], abs=1e-10)
