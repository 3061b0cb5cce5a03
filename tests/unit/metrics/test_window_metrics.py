"""UQI, SSIM, SCC and the sliding sums beneath: loops, the oracle, closed forms, masks."""

from __future__ import annotations

import math

import numpy as np
import pytest

from bandweave.errors import ScaleError, ShapeError
from bandweave.metrics.scc import scc
from bandweave.metrics.ssim import ssim
from bandweave.metrics.uqi import uqi
from bandweave.metrics.windows import BoxSum, GaussianMean, complete_windows, length, positions
from oracles import toolbox_metrics as oracle

SHAPE = (3, 37, 41)

pytestmark = pytest.mark.usefixtures("either_way")


@pytest.fixture
def images(rng):
    reference = rng.uniform(0, 2047, SHAPE)
    return reference + rng.normal(0, 80, SHAPE), reference


def summed(window_of, stack, *size):
    window = window_of(stack.shape, stack.dtype, *size)
    flat = np.full(length(window), np.nan, stack.dtype)
    window(np.ascontiguousarray(stack), flat)
    return positions(flat, window)


@pytest.mark.parametrize("size", [2, 4, 8, 32])
def test_box_sums_against_a_loop(rng, size):
    stack = rng.uniform(-5, 9, (3, 37, 33))
    expected = [
        [
            [band[i : i + size, j : j + size].sum() for j in range(33 - size + 1)]
            for i in range(37 - size + 1)
        ]
        for band in stack
    ]
    np.testing.assert_allclose(summed(BoxSum, stack, size), expected, atol=1e-11)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_box_sums_of_equal_values_are_exact(dtype):
    value = dtype(0.1) + dtype(0.2)  # no short binary fraction
    assert np.all(summed(BoxSum, np.full((2, 40, 35), value), 32) == 1024 * value)


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-13), (np.float32, 1e-5)])
@pytest.mark.parametrize("shape", [(11, 11), (12, 30), (19, 27), (37, 31)])
def test_gaussian_means_against_a_loop(rng, shape, dtype, tolerance):
    stack = rng.uniform(-5, 9, (2, *shape)).astype(dtype)
    d = np.arange(11) - 5
    weights = np.exp(-(d[:, None] ** 2 + d[None, :] ** 2) / (2 * 1.5**2))
    weights /= weights.sum()
    expected = [
        [
            [np.sum(weights * band[i : i + 11, j : j + 11]) for j in range(shape[1] - 10)]
            for i in range(shape[0] - 10)
        ]
        for band in stack
    ]
    np.testing.assert_allclose(summed(GaussianMean, stack), expected, atol=tolerance)


@pytest.mark.parametrize("size", [0, 1, 3, 33])
def test_windows_that_are_no_power_of_two(size):
    with pytest.raises(ShapeError, match="2, 4, 8"):
        BoxSum((1, 64, 64), np.dtype(float), size)


def test_complete_windows_against_a_loop(rng):
    valid = rng.random((17, 13)) > 0.05
    expected = [[valid[i : i + 3, j : j + 5].all() for j in range(9)] for i in range(15)]
    assert np.array_equal(complete_windows(valid, 3, 5), expected)


def test_against_the_oracle(images):
    assert uqi(*images) == pytest.approx(oracle.uqi(*images), abs=1e-13)
    assert ssim(*images, peak=2047) == pytest.approx(oracle.ssim(*images, 2047), abs=1e-13)
    expected = oracle.ssim(*images, 2047, "same")
    assert ssim(*images, peak=2047, border="same") == pytest.approx(expected, abs=1e-13)
    assert scc(*images) == pytest.approx(oracle.scc(*images), abs=1e-13)


def test_ssim_does_not_care_for_the_unit(images):
    scaled = [image * (255 / 2047) for image in images]
    assert ssim(*scaled, peak=255) == pytest.approx(ssim(*images, peak=2047), abs=1e-13)


@pytest.mark.parametrize("second", [0.0, 50.0, 100.0])
def test_uqi_of_flat_images_is_their_luminance(second):
    """Where variances vanish the definition leaves 2 x y / (x² + y²); 1 where both are zero."""
    f, g = np.full(SHAPE, 100.0), np.full(SHAPE, second)
    assert uqi(f, g) == pytest.approx(200 * second / (100**2 + second**2), abs=1e-15)
    assert uqi(0 * f, 0 * g) == 1.0


def test_uqi_with_means_of_zero_counts_as_one():
    """The definition's last case: both means zero, variances not."""
    ripple = np.resize([1.0, -1.0], (1, 34, 34))
    ripple[:, 1::2] *= -1
    assert uqi(ripple, -ripple) == 1.0


def test_uqi_of_a_gain():
    """For f = a·g: covariance a·v, so q = (2 a / (1 + a²))² everywhere."""
    g = np.random.default_rng(3).uniform(1, 9, SHAPE)
    assert uqi(3 * g, g) == pytest.approx((6 / 10) ** 2, abs=1e-12)


def test_ssim_of_a_constant_offset():
    """Without variance the structure term is 1 and only the luminance remains."""
    f, g, c1 = np.full(SHAPE, 60.0), np.full(SHAPE, 20.0), (0.01 * 100) ** 2
    expected = (2 * 60 * 20 + c1) / (60**2 + 20**2 + c1)
    assert ssim(f, g, peak=100) == pytest.approx(expected, abs=1e-12)
    assert ssim(f, g, peak=100, border="same") == pytest.approx(expected, abs=1e-12)


def test_scc_of_ramps_and_flat_images(images):
    _, reference = images
    flat = np.full(SHAPE, 0.0)
    assert scc(5 * reference, reference) == pytest.approx(1.0, abs=1e-13)
    assert scc(flat, flat) == 1.0
    assert scc(flat, reference) == 0.0


def test_masked_windows_are_left_out(images, rng):
    """Scores under a mask equal the mean over the windows that a loop finds whole."""
    f, g = images
    valid = np.ones(SHAPE[1:], bool)
    valid[2, 3] = valid[30, 40] = False
    f[:, ~valid] = np.nan
    clean = np.where(valid, f, rng.uniform(0, 9, SHAPE))
    rows, cols = np.nonzero(complete_windows(valid, 32, 32))
    assert 0 < len(rows) < 60
    cut = [
        (slice(None), slice(i, i + 32), slice(j, j + 32)) for i, j in zip(rows, cols, strict=True)
    ]
    expected = np.mean(
        [[oracle.uqi_band(clean[k][c[1:]], g[k][c[1:]]) for c in cut] for k in range(3)]
    )
    assert uqi(f, g, valid=valid) == pytest.approx(expected, abs=1e-13)
    whole = complete_windows(valid, 11, 11)
    d = [
        [
            oracle.ssim_band(
                clean[k, i : i + 11, j : j + 11], g[k, i : i + 11, j : j + 11], 99, "valid"
            )
            for i, j in zip(*np.nonzero(whole), strict=True)
        ]
        for k in range(3)
    ]
    assert ssim(f, g, peak=99, valid=valid) == pytest.approx(np.mean(d), abs=1e-13)


def test_masked_ssim_with_repeated_border(images):
    f, g = images
    valid = np.ones(SHAPE[1:], bool)
    valid[12:, 20:] = False
    f[:, ~valid] = np.nan
    pad = ((0, 0), (5, 5), (5, 5))
    wide_f, wide_g = np.pad(np.nan_to_num(f), pad, mode="edge"), np.pad(g, pad, mode="edge")
    whole = complete_windows(np.pad(valid, 5, mode="edge"), 11, 11)
    expected = [
        oracle.ssim_band(
            wide_f[k, i : i + 11, j : j + 11], wide_g[k, i : i + 11, j : j + 11], 99, "valid"
        )
        for k in range(3)
        for i, j in zip(*np.nonzero(whole), strict=True)
    ]
    ours = ssim(f, g, peak=99, border="same", valid=valid)
    assert ours == pytest.approx(np.mean(expected), abs=1e-13)


def test_masked_scc(images):
    f, g = images
    valid = np.ones(SHAPE[1:], bool)
    valid[:, 25:] = False
    f[:, ~valid] = np.nan
    a, b = (np.stack([oracle.sobel_magnitude(x[1:-1, 1:25]) for x in y]) for y in (f, g))
    a, b = a[:, :, :-1], b[:, :, :-1]  # the last column has an invalid neighbour
    expected = np.sum(a * b) / np.sqrt(np.sum(a**2) * np.sum(b**2))
    assert scc(f, g, valid=valid) == pytest.approx(expected, abs=1e-12)


def test_nothing_left_to_average(images):
    valid = np.zeros(SHAPE[1:], bool)
    valid[::2, ::2] = True
    assert math.isnan(uqi(*images, valid=valid))
    assert math.isnan(ssim(*images, peak=9, valid=valid))
    assert math.isnan(scc(*images, valid=valid))


@pytest.mark.parametrize("peak", [0.0, -3.0, math.nan])
def test_ssim_needs_a_peak(images, peak):
    with pytest.raises(ScaleError, match="positive peak"):
        ssim(*images, peak=peak)


def test_images_smaller_than_the_window():
    small = np.ones((2, 10, 40))
    with pytest.raises(ShapeError, match="32 x 32 pixels needs an image at least as large, got 10"):
        uqi(small, small)
    with pytest.raises(ShapeError, match="11 x 11"):
        ssim(small, small, peak=1)
    assert ssim(small, small, peak=1, border="same") == 1.0
    with pytest.raises(ShapeError, match="at least 3 x 3"):
        scc(small[:, :2], small[:, :2])
