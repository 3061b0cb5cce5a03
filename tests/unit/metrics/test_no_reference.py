"""D_λ, D_s, D_λ^K, D_ρ and the reprojection: slow loops and closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest

from bandweave.degrade.mtf import mtf_kernel
from bandweave.errors import BandCountError, NodataError, ShapeError
from bandweave.metrics.blocks import block_quality
from bandweave.metrics.cross_correlation import correlation_valid, local_cross_correlation
from bandweave.metrics.d_lambda import d_lambda
from bandweave.metrics.d_lambda_k import d_lambda_k
from bandweave.metrics.d_rho import d_rho
from bandweave.metrics.d_s import d_s
from bandweave.metrics.hqnr import hqnr
from bandweave.metrics.qnr import qnr
from bandweave.metrics.reprojected import (
    Reprojection,
    positive_kernels,
    r_ergas,
    r_q2n,
    r_sam,
    r_uqi,
)
from bandweave.metrics.sam import sam
from oracles import toolbox_metrics as oracle

SHAPE = (3, 64, 96)
GAINS = (0.3, 0.34, 0.26)


def block_uqi(x, y, block):
    return np.mean(block_values(x, y, block))


def block_values(x, y, block):
    """UQI of one pair of planes, block by block."""
    values = []
    for i in range(0, x.shape[0], block):
        for j in range(0, x.shape[1], block):
            a, b = x[i : i + block, j : j + block], y[i : i + block, j : j + block]
            covariance = np.cov(a.ravel(), b.ravel())
            below = np.trace(covariance) * (a.mean() ** 2 + b.mean() ** 2)
            above = 4 * covariance[0, 1] * a.mean() * b.mean()
            values.append(above / below)
    return values


@pytest.fixture
def images(rng):
    spectral = rng.uniform(100, 2047, SHAPE)
    return spectral + rng.normal(0, 200, SHAPE), spectral


def test_d_lambda_against_a_loop(images):
    f, m = images
    distances = [
        abs(block_uqi(f[i], f[j], 32) - block_uqi(m[i], m[j], 32))
        for i in range(3)
        for j in range(i + 1, 3)
    ]
    assert d_lambda(f, m) == pytest.approx(np.mean(distances), abs=1e-13)
    assert d_lambda(m, m) == 0.0
    assert math.isnan(d_lambda(f[:1], m[:1]))


def test_d_lambda_against_the_coarse_image(images):
    """The original form: blocks of the coarse image are smaller by the ratio."""
    f, _ = images
    coarse = np.ascontiguousarray(np.abs(f[:, ::4, ::4])) ** 1.1
    distances = [
        abs(block_uqi(f[i], f[j], 32) - block_uqi(coarse[i], coarse[j], 8))
        for i in range(3)
        for j in range(i + 1, 3)
    ]
    expected = np.mean(distances)
    assert d_lambda(f, coarse, spectral_block=8) == pytest.approx(expected, abs=1e-13)


def test_d_s_against_a_loop(images, rng):
    f, m = images
    pan, low = rng.uniform(1, 2047, (2, 1, 64, 96))
    distances = [abs(block_uqi(f[b], pan[0], 32) - block_uqi(m[b], low[0], 32)) for b in range(3)]
    assert d_s(f, pan, m, low) == pytest.approx(np.mean(distances), abs=1e-13)


def test_flat_blocks_are_left_out_and_counted(images):
    f, _ = images
    f[:2, :32, :32] = 0.3  # no short binary fraction: flat has to mean exactly no variance
    tally = block_quality(f, None, block=32)
    assert tally.count[0, 1] == 5
    assert tally.count[0, 2] == 6
    others = block_values(f[0], f[1], 32)[1:]
    assert tally.means()[0, 1] == pytest.approx(np.mean(others), abs=1e-13)


def test_masked_blocks_are_left_out(images):
    f, m = images
    valid = np.ones(SHAPE[1:], bool)
    valid[5, 70] = False
    f[:, ~valid] = np.nan
    tally = block_quality(np.nan_to_num(f), valid, block=32)
    # What remains are the two left columns of blocks, and the lower block of the third.
    left = block_quality(np.ascontiguousarray(f[:, :, :64]), None, block=32)
    right = block_quality(np.ascontiguousarray(f[:, 32:, 64:]), None, block=32)
    np.testing.assert_allclose(tally.means(), left.merged(right).means(), atol=1e-13)
    assert math.isfinite(d_lambda(f, m, valid=valid))


def test_d_lambda_k_is_q2n_of_the_blurred_image(images):
    f, m = images
    blurred = np.empty(SHAPE)
    for b, gain in enumerate(GAINS):
        wide = np.pad(f[b], 20, mode="edge")
        kernel = mtf_kernel(gain, 4)
        blurred[b] = sum(
            kernel[i, j] * wide[i : i + 64, j : j + 96] for i in range(41) for j in range(41)
        )
    expected = 1 - oracle.q2n(blurred, m)
    assert d_lambda_k(f, m, gains=GAINS, ratio=4) == pytest.approx(expected, abs=1e-12)


def test_products_of_distortions():
    assert qnr(0.25, 0.5) == 0.375
    assert hqnr(0.25, 0.5) == 0.375
    assert qnr(0.0, 0.0) == hqnr(0.0, 0.0) == 1.0


def slow_correlation(x, y, w):
    """The definition of section 6 of the protocol, pixel by pixel."""

    def window(image, k, i):
        rows = range(max(k - w + 1, 0), min(k + w, image.shape[0] - 1) + 1)
        cols = range(max(i - w + 1, 0), min(i + w, image.shape[1] - 1) + 1)
        return np.array([image[r, c] for r in rows for c in cols])

    def local(image):
        return np.array(
            [
                [
                    image[k, i] - window(image, k, i).sum() / (4 * w * w)
                    for i in range(image.shape[1])
                ]
                for k in range(image.shape[0])
            ]
        )

    dx, dy = local(x), local(y)
    result = np.empty(x.shape)
    for k in range(x.shape[0]):
        for i in range(x.shape[1]):
            a, b = window(dx, k, i), window(dy, k, i)
            result[k, i] = (a @ b) / math.sqrt(max(a @ a, 1e-20) * max(b @ b, 1e-20))
    return result


@pytest.mark.parametrize("w", [1, 2, 3])
def test_local_cross_correlation_against_a_loop(rng, w):
    x, y = rng.uniform(0, 9, (2, 2, 13, 11))
    expected = [slow_correlation(a, b, w) for a, b in zip(x, y, strict=True)]
    np.testing.assert_allclose(local_cross_correlation(x, y, w), expected, atol=1e-12)


def test_local_cross_correlation_reaches_as_far_as_said(rng):
    """A pixel changes ρ exactly where its mask says so."""
    x, y = rng.uniform(0, 9, (2, 1, 21, 23))
    before = local_cross_correlation(x, y, 2)
    valid = np.ones((21, 23), bool)
    valid[10, 12] = False
    x[0, 10, 12] += 5
    changed = local_cross_correlation(x, y, 2)[0] != before[0]
    assert np.array_equal(correlation_valid(valid, 2), ~changed)


def test_d_rho(rng):
    pan = rng.uniform(1, 2047, (1, 24, 26))
    # Gains and offsets do not matter away from the image's border, where windows lack pixels.
    follows = np.concatenate([3 * pan, -2 * pan])
    assert d_rho(follows, pan, half_width=2) == pytest.approx(1.0, abs=1e-12)
    other = rng.uniform(1, 2047, (2, 24, 26))
    slow = np.mean([1 - np.clip(slow_correlation(b, pan[0], 2), -1, 1) for b in other])
    assert d_rho(other, pan, half_width=2) == pytest.approx(slow, abs=1e-12)
    valid = np.ones((24, 26), bool)
    valid[:6] = False
    other[:, :6] = np.nan
    kept = correlation_valid(valid, 2)
    filled = np.nan_to_num(other)
    p = np.where(valid, pan, 0.0)
    expected = np.mean([(1 - np.clip(slow_correlation(b, p[0], 2), -1, 1))[kept] for b in filled])
    assert d_rho(other, pan, half_width=2, valid=valid) == pytest.approx(expected, abs=1e-12)


def test_positive_kernels_keep_constants():
    kernels = positive_kernels(GAINS, 4)
    assert kernels.min() == 0.0
    np.testing.assert_allclose(kernels.sum(axis=(1, 2)), 1.0, atol=1e-15)


@pytest.mark.parametrize("offset", [(0, 3), (2, 1), (3, 3)])
def test_offsets_are_found(rng, offset):
    """Bands sampled from the blurred PAN at a known phase, with gain and offset, are found there."""
    pan = np.cumsum(rng.normal(0, 20, (1, 96, 88)), axis=2) + 900
    kernel = positive_kernels(GAINS[:1], 4)[0]
    wide = np.pad(pan[0], 20, mode="edge")
    blurred = sum(kernel[i, j] * wide[i : i + 96, j : j + 88] for i in range(41) for j in range(41))
    low = blurred[offset[0] :: 4, offset[1] :: 4]
    found = Reprojection.measured(pan, np.stack([low, 2 * low + 5, low]), gains=GAINS, ratio=4)
    assert found.offsets == (offset,) * 3


def test_reprojected_metrics(rng):
    """An image that reprojects onto the coarse one is ideal, whatever its detail."""
    hrms = rng.uniform(100, 2000, (3, 128, 128))
    way = Reprojection(4, GAINS, ((2, 2), (1, 2), (0, 3)))
    lrms = way.apply(hrms)
    assert lrms.shape == (3, 32, 32)
    assert r_sam(hrms, lrms, reprojection=way) == pytest.approx(0.0, abs=1e-5)
    assert r_ergas(hrms, lrms, reprojection=way) == 0.0
    assert r_q2n(hrms, lrms, reprojection=way) == pytest.approx(1.0, abs=1e-12)
    assert r_uqi(hrms, lrms, reprojection=way) == pytest.approx(1.0, abs=1e-12)
    other = lrms[::-1].copy()
    assert r_sam(hrms, other, reprojection=way) == sam(lrms, other)


def test_images_that_do_not_belong_together(images):
    f, m = images
    pan = f[:1]
    with pytest.raises(BandCountError, match="same bands, got 3 and 2"):
        d_lambda(f, m[:2])
    with pytest.raises(ShapeError, match="multiples of 32"):
        d_lambda(f[:, :40], m[:, :40])
    with pytest.raises(BandCountError, match="two of one band"):
        d_s(f, m, m, pan)
    with pytest.raises(ShapeError, match="one size"):
        d_s(f, pan[:, :32], m, pan)
    with pytest.raises(BandCountError, match="3 bands, 2 gains"):
        d_lambda_k(f, m, gains=GAINS[:2], ratio=4)
    with pytest.raises(BandCountError, match="one band"):
        d_rho(f, m, half_width=2)
    with pytest.raises(ShapeError, match="one size"):
        d_rho(f, pan[:, :32], half_width=2)
    with pytest.raises(BandCountError, match="3 bands, 1 gains"):
        Reprojection.measured(pan, f[:, :16, :24], gains=GAINS[:1], ratio=4)
    with pytest.raises(ShapeError, match="At ratio 4"):
        Reprojection.measured(pan, f, gains=GAINS, ratio=4)
    f[1, 4, 5] = np.nan
    with pytest.raises(NodataError, match="band 1 of the hrms has NaN"):
        d_lambda(f, m)
