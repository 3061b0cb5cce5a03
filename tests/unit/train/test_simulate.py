"""Scenes in files become training material; what is nodata there is none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from affine import Affine

from bandweave.degrade.operators import Imresize, MtfFilter
from bandweave.degrade.wald import ReducedPair
from bandweave.sensors import find_sensor
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


def versions(folder: Path, truth: np.ndarray, count: int, **varied: object) -> list[ReducedPair]:
    """Make versions of a registered pair whose MS is every fourth pixel of the truth."""
    write_tif(folder / "pan.tif", truth[:1], FINE)
    write_tif(folder / "ms.tif", truth[:, 2::4, 2::4], FINE * Affine.scale(4))
    source = SceneSource(spatial="pan.tif", spectral="ms.tif", sensor="ge1")
    augmentation = Augmentation.model_validate(varied)
    data = DataConfig(root=str(folder), training=(source,), augmentation=augmentation)
    (maker,) = scene_makers(source, data)
    made = [maker.make(np.random.default_rng(k)) for k in range(count)]
    assert all(one.pair.profile.shape == maker.profile.shape for one in made)
    return made


def test_recipes_of_simulation_are_drawn_within_their_ranges(tmp_path: Path) -> None:
    truth = np.rint(smooth_truth(4, 192, 256)).astype("float32")
    (plain,) = versions(tmp_path, truth, 1)
    assert np.array_equal(plain.pair.spatial, Imresize().apply(truth[:1].astype(float), 4, (0, 0)))
    (soft,) = versions(tmp_path, truth, 1, pan_gain=(0.3, 0.3))
    expected = MtfFilter((0.3,), is_normalised=True).apply(truth[:1].astype(float), 4, (1.5, 1.5))
    assert np.allclose(soft.pair.spatial, expected, rtol=1e-12)
    gains = find_sensor("ge1").mtf_gains(4)
    assert gains is not None
    (blunt,) = versions(tmp_path, truth, 1, gain_factor=(0.8, 0.8))
    coarse = truth[:, 2::4, 2::4].astype(float)
    expected = MtfFilter(tuple(0.8 * gain for gain in gains)).apply(coarse, 4, (2.0, 2.0))
    assert np.allclose(blunt.pair.spectral, expected, rtol=1e-12)
    assert np.array_equal(blunt.gt, plain.gt)

    mixed = versions(tmp_path, truth, 40, pan_gain=(0.1, 0.5), bicubic_share=0.3)
    pans = [one.pair.spatial for one in mixed]
    bicubic = sum(np.array_equal(pan, plain.pair.spatial) for pan in pans)
    assert 5 <= bicubic <= 20
    # The sharper the filter, the more the PAN varies.
    spread = [pan.std() for pan in pans]
    assert len(set(spread)) == 40 - bicubic + 1
    again = versions(tmp_path, truth, 2, pan_gain=(0.1, 0.5), bicubic_share=0.3)
    assert all(np.array_equal(a.pair.spatial, b) for a, b in zip(again, pans, strict=False))


def test_a_displacement_moves_the_pan_alone(tmp_path: Path) -> None:
    """On a ramp of 3 per row and 1 per column, the places can be read off the values."""
    rows, columns = np.mgrid[0:192, 0:256]
    truth = np.stack([3.0 * rows + columns] * 4).astype("float32")
    still, *moved = (
        versions(tmp_path, truth, 1, pan_gain=(0.3, 0.3))
        + versions(tmp_path, truth, 30, pan_gain=(0.3, 0.3), displacement=0.1)
    )  # fmt: skip
    inside = (0, slice(12, -12), slice(12, -12))
    shifts = []
    for one in moved:
        assert np.array_equal(one.pair.spectral, still.pair.spectral)
        change = (one.pair.spatial - still.pair.spatial)[inside]
        assert np.ptp(change) < 1e-6
        shifts.append(change.mean())
    # A tenth of a reduced pixel is 0.4 of the scene's, in rows and in columns.
    assert max(np.abs(shifts)) <= 0.4 * (3 + 1)
    assert min(shifts) < -0.4
    assert max(shifts) > 0.4


def test_noise_is_a_share_of_the_full_scale(tmp_path: Path) -> None:
    truth = np.rint(smooth_truth(4, 192, 256)).astype("float32")
    clean, noisy = (
        versions(tmp_path, truth, 1, noise=(share, share))[0].pair for share in (0.0, 0.01)
    )
    for ours, theirs in ((noisy.spatial, clean.spatial), (noisy.spectral, clean.spectral)):
        # GeoEye-1 has 11 bits; the share of the samples' own spread is within their number.
        assert (ours - theirs).std() == pytest.approx(20.47, rel=0.1)
