"""Scenes in files become training material; what is nodata there is none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from affine import Affine

from bandweave.train.config import Augmentation, DataConfig, SceneSource
from bandweave.train.simulate import scene_makers
from scenes import smooth_truth, write_tif

FINE = Affine(0.5, 0, 4e5, 0, -0.5, 5e6)


@pytest.mark.parametrize("is_reduced", [False, True])
def test_nodata_of_either_file_is_no_material(tmp_path: Path, is_reduced: bool) -> None:
    truth = np.rint(smooth_truth(4, 256, 320)).astype("uint16") + 100
    pan, ms = truth[:1].copy(), truth[:, 2::4, 2::4].copy()
    pan[:, :20] = 0
    ms[:, :, 70:] = 0
    truth[:, :, 280:] = 0
    write_tif(tmp_path / "pan.tif", pan, FINE, nodata=0)
    write_tif(tmp_path / "ms.tif", ms, FINE * Affine.scale(4), nodata=0)
    write_tif(tmp_path / "gt.tif", truth, FINE, nodata=0)
    other = {"gt": "gt.tif"} if is_reduced else {"spectral": "ms.tif"}
    source = SceneSource(spatial="pan.tif", sensor="ge1", **other)
    (maker,) = scene_makers(source, DataConfig(root=str(tmp_path), training=(source,)))
    made = maker.make(np.random.default_rng(1))
    valid = made.pair.valid
    assert valid is not None
    assert valid.shape == made.gt.shape[1:]
    # Two ratios around nodata are spoilt, and cells are whole.
    expected = np.zeros_like(valid)
    expected[(28 if is_reduced else 16) :, : (272 if is_reduced else 60)] = True
    assert np.array_equal(valid, expected)
    assert made.gt[:, valid].min() >= 100


def test_reduced_pans_are_softened_and_sharpened(tmp_path: Path) -> None:
    truth = np.rint(smooth_truth(4, 96, 80)).astype("uint16")
    write_tif(tmp_path / "pan.tif", truth[:1], FINE)
    write_tif(tmp_path / "gt.tif", truth, FINE)
    source = SceneSource(spatial="pan.tif", gt="gt.tif", sensor="ge1")
    pans = {}
    for factor in (0.0, 1.0, 1.5):
        varied = Augmentation(pan_detail=(factor, factor))
        data = DataConfig(root=str(tmp_path), training=(source,), augmentation=varied)
        pans[factor] = scene_makers(source, data)[0].make(np.random.default_rng(1)).pair.spatial
    assert np.array_equal(pans[1.0], truth[:1])
    # Not at all: the Gaussian alone, here by its separable sum.
    taps = np.exp(-0.5 * np.arange(-4, 5) ** 2)
    taps /= taps.sum()
    soft = np.pad(truth[0].astype(float), 4, mode="edge")
    for axis in (0, 1):
        soft = np.apply_along_axis(np.convolve, axis, soft, taps, "valid")
    assert np.allclose(pans[0.0][0], soft, rtol=1e-12)
    assert np.allclose(pans[1.5], pans[1.0] + 0.5 * (pans[1.0] - pans[0.0]), rtol=1e-12)
