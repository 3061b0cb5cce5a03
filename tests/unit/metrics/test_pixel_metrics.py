"""RMSE, PSNR, SAM, ERGAS, CC: closed forms, masks, the joint pass over the pixels."""

from __future__ import annotations

import math

import numpy as np
import pytest

from bandweave.errors import NodataError, ScaleError
from bandweave.metrics import pixelwise
from bandweave.metrics.cc import CorrelationTally, cc
from bandweave.metrics.ergas import ergas
from bandweave.metrics.pixelwise import pixel_tally
from bandweave.metrics.psnr import psnr
from bandweave.metrics.rmse import rmse
from bandweave.metrics.sam import sam
from oracles import toolbox_metrics as oracle

SHAPE = (5, 37, 31)


@pytest.fixture
def images(rng):
    reference = rng.uniform(100, 2047, SHAPE)
    return reference + rng.normal(0, 60, SHAPE), reference


def test_error_of_a_constant_offset():
    reference = np.full(SHAPE, 400.0)
    assert rmse(reference + 3, reference) == 3.0
    assert psnr(reference + 3, reference, peak=3000) == pytest.approx(60.0, abs=1e-12)
    assert ergas(reference + 3, reference, ratio=4) == pytest.approx(25 * 3 / 400, abs=1e-13)
    estimate_side = ergas(reference + 3, reference, ratio=4, denominator="estimate")
    assert estimate_side == pytest.approx(25 * 3 / 403, abs=1e-13)


def test_psnr_is_the_mean_over_bands_not_the_pooled_one():
    reference = np.zeros((2, 4, 5))
    estimate = np.stack([np.full((4, 5), 1.0), np.full((4, 5), 100.0)])
    assert psnr(estimate, reference, peak=1000) == pytest.approx((60 + 20) / 2, abs=1e-12)
    assert psnr(reference, reference, peak=1000) == math.inf


@pytest.mark.parametrize("degrees", [0.5, 30, 90, 120, 180])
def test_sam_of_a_known_angle(degrees):
    angle = math.radians(degrees)
    reference = np.zeros((2, 3, 4))
    reference[0] = 7.0
    estimate = np.stack(
        [np.full((3, 4), 5 * math.cos(angle)), np.full((3, 4), 5 * math.sin(angle))]
    )
    assert sam(estimate, reference) == pytest.approx(degrees, abs=1e-6)


def test_sam_leaves_out_pixels_without_spectrum():
    reference = np.ones((2, 3, 4))
    estimate = np.stack([np.ones((3, 4)), np.zeros((3, 4))])  # 45 degrees everywhere
    estimate[:, 0] = 0.0
    reference[:, 1, 1] = 0.0
    assert sam(estimate, reference) == pytest.approx(45.0, abs=1e-12)
    assert math.isnan(sam(np.zeros((2, 3, 4)), reference))


def test_ergas_of_a_band_without_mean():
    reference = np.stack([np.zeros((3, 4)), np.full((3, 4), 50.0)])
    assert ergas(reference, reference, ratio=4) == 0.0
    assert ergas(reference + 1, reference, ratio=4) == math.inf


def test_cc_by_closed_form(images):
    _, reference = images
    assert cc(7 - 2 * reference, reference) == pytest.approx(-1.0, abs=1e-12)
    assert cc(np.zeros(SHAPE), reference) == 0.0
    half = reference.copy()
    half[1:] = 4.0  # constant bands of the reference do not count
    assert cc(reference, half) == pytest.approx(1.0, abs=1e-12)
    assert math.isnan(cc(reference, np.ones(SHAPE)))


def test_against_the_oracle(images):
    estimate, reference = images
    assert sam(estimate, reference) == pytest.approx(oracle.sam(*images), abs=1e-12)
    assert ergas(*images, ratio=4) == pytest.approx(oracle.ergas(*images, 4), abs=1e-12)
    assert psnr(*images, peak=2047) == pytest.approx(oracle.psnr(*images, 2047), abs=1e-12)
    assert rmse(*images) == pytest.approx(oracle.rmse(*images), abs=1e-12)
    assert cc(*images) == pytest.approx(oracle.cc(*images), abs=1e-12)


@pytest.mark.parametrize("at_once", [7, 100, 2**14])
@pytest.mark.parametrize("is_masked", [False, True])
def test_joint_pass_equals_the_functions(images, rng, monkeypatch, at_once, is_masked):
    """The fast path against the plain definitions, whatever portions it works in."""
    monkeypatch.setattr(pixelwise, "_PIXELS_AT_ONCE", at_once)
    estimate, reference = images
    estimate[:, 4, 5] = 0.0
    valid = rng.random(SHAPE[1:]) > 0.4 if is_masked else None
    tally = pixel_tally(estimate, reference, valid)
    assert tally.sam() == pytest.approx(sam(*images, valid=valid), abs=1e-12)
    assert tally.rmse() == pytest.approx(rmse(*images, valid=valid), abs=1e-11)
    assert tally.psnr(peak=9) == pytest.approx(psnr(*images, peak=9, valid=valid), abs=1e-12)
    for side in ("gt", "estimate"):
        expected = ergas(*images, ratio=3, denominator=side, valid=valid)
        assert tally.ergas(ratio=3, denominator=side) == pytest.approx(expected, abs=1e-13)


def test_joint_pass_takes_stored_integers(images):
    estimate, reference = (image.round().clip(0).astype(np.uint16) for image in images)
    tally = pixel_tally(estimate, reference, None)
    assert tally.rmse() == pytest.approx(rmse(estimate, reference), abs=1e-11)
    assert tally.sam() == pytest.approx(sam(estimate, reference), abs=1e-12)


def test_joint_pass_ignores_nan_outside_the_mask(images):
    estimate, reference = images
    valid = np.ones(SHAPE[1:], bool)
    valid[3, 4] = False
    estimate[:, 3, 4] = np.nan
    assert pixel_tally(estimate, reference, valid).sam() == pytest.approx(
        sam(estimate, reference, valid=valid), abs=1e-12
    )
    with pytest.raises(NodataError, match=r"band 0 of the estimate has NaN .* at 1 of 1147"):
        pixel_tally(estimate, reference, None)


@pytest.mark.usefixtures("either_way")
def test_correlation_of_two_areas_adds_up(rng):
    f, g = rng.uniform(1e6, 1e6 + 1, (2, 3, 20, 25))  # far from zero: plain sums would lose digits
    parts = [CorrelationTally.of(f[:, part], g[:, part]) for part in (slice(7), slice(7, 20))]
    empty = CorrelationTally.of(f[:, :0], g[:, :0])
    merged = empty.merged(parts[0]).merged(parts[1]).merged(empty)
    expected = np.mean([oracle.cc(f[b : b + 1], g[b : b + 1]) for b in range(3)])
    assert merged.coefficient() == pytest.approx(expected, abs=1e-9)
    assert merged.coefficient() == pytest.approx(CorrelationTally.of(f, g).coefficient(), abs=1e-9)


@pytest.mark.parametrize("scale", [0.0, -1.0, math.nan, math.inf])
def test_scales_have_to_be_positive(images, scale):
    with pytest.raises(ScaleError, match="positive peak"):
        psnr(*images, peak=scale)
    with pytest.raises(ScaleError, match="positive ratio"):
        ergas(*images, ratio=scale)
