"""The coarse instrument: parity with published simulations, phase, tiles, adjoint."""

from __future__ import annotations

import warnings

import h5py
import numpy as np
import pytest
import rasterio
from rasterio.errors import NotGeoreferencedWarning
from scipy.io import loadmat

from bandweave.degrade.mtf import mtf_kernel
from bandweave.degrade.observe import observation_apron, observe, observe_adjoint
from bandweave.errors import BandCountError

WV3 = (0.325, 0.355, 0.360, 0.350, 0.365, 0.360, 0.335, 0.315)


@pytest.mark.golden
def test_worldview3_sample_is_met_to_rounding(shared):
    sample = loadmat(shared("data/pan/wv3_cdif_rr.mat"))
    gt, lrms = (np.moveaxis(sample[key], 2, 0) * 2047.0 for key in ("gt", "lrms"))
    assert np.abs(observe(gt, WV3, 4, (2.0, 2.0), normalised=False) - lrms).max() <= 1e-9


@pytest.mark.golden
def test_gaofen2_set_is_met_to_its_storage_precision(shared):
    with h5py.File(shared("data/pan/gf2_pancollection_rr_0to9.h5")) as file:
        for k in range(10):
            gt = file["gt"][k].astype(np.float64)
            ours = observe(gt, [0.30], 4, (2.0, 2.0), normalised=False)
            # Stored as float32 of values up to 1023.
            assert np.abs(ours - file["ms"][k]).max() <= 1e-4


@pytest.mark.golden
@pytest.mark.parametrize("scene", ["ge_lond_urb", "ge_tren_urb", "w4_mexi_nat", "w4_mexi_urb"])
def test_pairmax_images_are_met_exactly_after_rounding(shared, scene):
    def read(role):
        with rasterio.open(shared(f"data/pan/train4/pairmax_{scene}_{role}.tif")) as file:
            return file.read().astype(np.float64)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        gt, stored = read("gt"), read("ms")
    ours = observe(gt, [0.23], 4, (2.0, 2.0), normalised=False)
    assert np.array_equal(np.rint(ours), stored)


@pytest.mark.parametrize("phase", [(1.5, 1.5), (2.0, 2.0), (0.7, 3.2), (-1.0, 4.5)])
def test_samples_lie_at_the_phase(phase):
    size, waves = 160, 4
    frequency = waves / size
    fine = np.arange(size)
    image = np.cos(2 * np.pi * frequency * fine)[:, None] * np.ones(size)
    image = np.stack([image, image.T])
    ours = observe(image, [0.3], 4, phase)
    # A cosine passes a symmetric filter with its phase kept and its size times the response.
    response = mtf_kernel(0.3, 4, normalised=True).sum(axis=0) @ np.cos(
        2 * np.pi * frequency * np.arange(-20, 21)
    )
    inside = slice(8, -8)  # coarse pixels that the border does not reach
    for axis in (0, 1):
        centre = 4 * np.arange(size // 4) + phase[axis]
        expected = response * np.cos(2 * np.pi * frequency * centre)
        line = ours[axis].mean(axis=1 - axis)
        # A fraction of a pixel moves the radial window against the samples: 2e-4 of the value.
        assert line[inside] == pytest.approx(expected[inside], abs=3e-4)


def test_normalised_keeps_constants():
    image = np.full((2, 36, 28), 700.0)
    assert observe(image, (0.2, 0.3), 4, (1.5, 1.5)) == pytest.approx(
        np.full((2, 9, 7), 700.0), rel=1e-13
    )
    assert observe(image, (0.2, 0.3), 4, (2.0, 2.0), normalised=False).max() < 699.5


@pytest.mark.parametrize(("ratio", "phase"), [(4, (1.5, 1.5)), (2, (1.0, 1.0)), (3, (1.0, 2.9))])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_tile_with_its_apron_is_the_whole(rng, ratio, phase, dtype):
    image = rng.uniform(0, 2047, (2, 40 * ratio, 32 * ratio)).astype(dtype)
    whole = observe(image, (0.15, 0.35), ratio, phase)
    apron = observation_apron(ratio)
    assert apron % ratio == 0
    row, col, size = 16 * ratio, 14 * ratio, 5 * ratio
    tile = image[:, row - apron : row + size + apron, col - apron : col + size + apron]
    ours = observe(tile, (0.15, 0.35), ratio, phase)
    cut = slice(apron // ratio, apron // ratio + 5)
    tolerance = 2047 * (1e-12 if dtype is np.float64 else 1e-6)
    assert ours[:, cut, cut] == pytest.approx(whole[:, 16:21, 14:19], abs=tolerance)


@pytest.mark.parametrize("phase", [(2.0, 2.0), (1.5, 0.25)])
def test_adjoint(rng, phase):
    x, y = rng.normal(size=(2, 36, 28)), rng.normal(size=(2, 9, 7))
    left = np.vdot(observe(x, (0.2, 0.3), 4, phase), y)
    right = np.vdot(x, observe_adjoint(y, (0.2, 0.3), 4, phase))
    assert left == pytest.approx(right, abs=1e-11 * np.linalg.norm(x) * np.linalg.norm(y))


def test_other_numbers_of_gains_are_refused():
    with pytest.raises(BandCountError, match="needs 1 or 3 MTF gains, got 2"):
        observe(np.zeros((3, 8, 8)), (0.3, 0.3), 4, (2.0, 2.0))


def test_one_band_behind_several_kernels(rng):
    """A PAN as several instruments show it: what as many copies of it give."""
    pan = rng.uniform(0, 900, (1, 37 * 4, 31 * 4))
    gains = [0.34, 0.22, 0.3]
    copies = np.repeat(pan, 3, axis=0)
    for phase in ((1.5, 1.5), (2.0, 1.0)):
        expected = observe(copies, gains, 4, phase)
        np.testing.assert_allclose(observe(pan, gains, 4, phase), expected, rtol=0, atol=1e-10)
