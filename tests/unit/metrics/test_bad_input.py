"""Every metric on every kind of bad input: a defined value, or a sentence."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import pytest

from bandweave.errors import FusionError, NodataError, ShapeError
from bandweave.metrics import evaluate_fr, evaluate_rr
from bandweave.metrics.cc import cc
from bandweave.metrics.ergas import ergas
from bandweave.metrics.psnr import psnr
from bandweave.metrics.q2n import q2n
from bandweave.metrics.rmse import rmse
from bandweave.metrics.sam import sam
from bandweave.metrics.scc import scc
from bandweave.metrics.ssim import ssim
from bandweave.metrics.uqi import uqi

pytestmark = pytest.mark.usefixtures("either_way")

WITH_REFERENCE = {
    "q2n": q2n,
    "uqi": uqi,
    "sam": sam,
    "ergas": partial(ergas, ratio=4),
    "ergas_estimate": partial(ergas, ratio=4, denominator="estimate"),
    "scc": scc,
    "psnr": partial(psnr, peak=2047.0),
    "ssim": partial(ssim, peak=2047.0),
    "ssim same": partial(ssim, peak=2047.0, border="same"),
    "rmse": rmse,
    "cc": cc,
}
every_metric = pytest.mark.parametrize("metric", WITH_REFERENCE.values(), ids=WITH_REFERENCE)


def image(rng, bands=3, height=41, width=37):
    return rng.uniform(1, 2047, (bands, height, width))


@every_metric
@pytest.mark.parametrize("bands", [1, 3, 5, 31, 200])
def test_any_number_of_bands(metric, bands, rng):
    reference = image(rng, bands)
    value = metric(reference + rng.normal(0, 40, reference.shape), reference)
    assert math.isfinite(value)


@every_metric
def test_shapes_that_differ(metric, rng):
    reference = image(rng)
    for other in (reference[:2], reference[:, 1:], reference[:, :, 1:]):
        with pytest.raises(ShapeError, match="must have one shape"):
            metric(other, reference)


@every_metric
def test_images_that_are_no_stacks(metric):
    for shape in ((40, 37), (2, 3, 40, 37), (0, 40, 37), (3, 0, 37)):
        nothing = np.ones(shape)
        with pytest.raises(ShapeError, match="must be"):
            metric(nothing, nothing)


@every_metric
def test_masks_that_do_not_fit(metric, rng):
    reference = image(rng)
    with pytest.raises(ShapeError, match="mask must be boolean"):
        metric(reference, reference, valid=np.ones((37, 41), bool))
    with pytest.raises(ShapeError, match="mask must be boolean"):
        metric(reference, reference, valid=np.ones((41, 37)))
    with pytest.raises(NodataError, match="no valid pixel"):
        metric(reference, reference, valid=np.zeros((41, 37), bool))


@every_metric
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_values_that_are_not_finite(metric, rng, bad):
    reference = image(rng)
    estimate = reference.copy()
    estimate[2, 7, 9] = bad
    with pytest.raises(NodataError, match=r"band 2 of the estimate has NaN or infinity at 1 of 15"):
        metric(estimate, reference)
    with pytest.raises(NodataError, match="band 2 of the reference"):
        metric(reference, estimate)
    valid = np.ones((41, 37), bool)
    valid[7, 9] = False
    assert not math.isinf(metric(estimate, np.roll(reference, 1, axis=2), valid=valid))


@every_metric
def test_infinities_of_both_signs_do_not_cancel(metric, rng):
    reference = image(rng)
    estimate = reference.copy()
    estimate[0, 0, :2] = [math.inf, -math.inf]
    with pytest.raises(NodataError, match="at 2 of"):
        metric(estimate, reference)


# Estimate and reference constant: 5 and 8 in every band. Estimate constant, reference not.
CONSTANT = {
    "q2n": 0.0, "uqi": 80 / 89, "sam": 0.0, "ergas": 25 * 3 / 8, "ergas_estimate": 25 * 3 / 5,
    "scc": 1.0, "psnr": 20 * math.log10(2047 / 3), "ssim": None, "ssim same": None, "rmse": 3.0,
    "cc": math.nan,
}  # fmt: skip


@pytest.mark.parametrize("name", WITH_REFERENCE)
def test_constant_images(name, rng):
    value = WITH_REFERENCE[name](np.full((3, 41, 37), 5.0), np.full((3, 41, 37), 8.0))
    c1 = 20.47**2
    luminance = (80 + c1) / (89 + c1)
    expected = luminance if CONSTANT[name] is None else CONSTANT[name]
    assert value == pytest.approx(expected, abs=1e-6, nan_ok=True)
    assert math.isfinite(WITH_REFERENCE[name](np.full((3, 41, 37), 5.0), image(rng)))


ZEROS = {
    "q2n": 1.0, "uqi": 1.0, "sam": math.nan, "ergas": 0.0, "ergas_estimate": 0.0, "scc": 1.0,
    "psnr": math.inf, "ssim": 1.0, "ssim same": 1.0, "rmse": 0.0, "cc": math.nan,
}  # fmt: skip


@pytest.mark.parametrize("name", WITH_REFERENCE)
def test_all_zero_images(name):
    nothing = np.zeros((3, 41, 37))
    assert WITH_REFERENCE[name](nothing, nothing) == pytest.approx(ZEROS[name], nan_ok=True)


@every_metric
def test_some_zero_pixels(metric, rng):
    reference = image(rng)
    reference[:, 3:9, 4:20] = 0.0
    assert math.isfinite(metric(reference + rng.normal(0, 9, reference.shape), reference))


@every_metric
def test_negative_values(metric, rng):
    reference = rng.normal(0, 300, (3, 41, 37))
    assert math.isfinite(metric(reference + rng.normal(0, 9, reference.shape), reference))


@pytest.mark.parametrize("name", WITH_REFERENCE)
@pytest.mark.parametrize("shape", [(1, 1), (2, 7), (20, 25), (1, 300)])
def test_images_smaller_than_a_block(name, shape, rng):
    reference = image(rng, 3, *shape)
    needed = {"uqi": 32, "ssim": 11, "scc": 3}.get(name, 1)
    if min(shape) < needed:
        with pytest.raises(ShapeError, match=rf"{needed} x {needed}"):
            WITH_REFERENCE[name](reference + 1, reference)
    else:
        value = WITH_REFERENCE[name](reference + 1, reference)
        assert math.isfinite(value) or shape == (1, 1)


@every_metric
def test_inputs_stay_as_they_are(metric, rng):
    estimate, reference = image(rng), image(rng)
    valid = rng.random((41, 37)) > 0.01
    kept = [array.copy() for array in (estimate, reference, valid)]
    metric(estimate, reference, valid=valid)
    for array, copy in zip((estimate, reference, valid), kept, strict=True):
        assert np.array_equal(array, copy)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, np.float32])
@every_metric
def test_stored_types(metric, dtype, rng):
    """Integers do not wrap around, and every computation is in float64."""
    reference = rng.integers(0, 120, (3, 41, 37)).astype(dtype)
    estimate = rng.integers(0, 120, (3, 41, 37)).astype(dtype)
    expected = metric(estimate.astype(np.float64), reference.astype(np.float64))
    assert metric(estimate, reference) == expected


def test_evaluations_say_it_in_a_sentence(rng):
    reference = image(rng, 3, 64, 96)
    calls = [
        lambda: evaluate_rr(reference[0], reference[0], ratio=4),
        lambda: evaluate_rr(reference, reference[:2], ratio=4),
        lambda: evaluate_rr(reference, reference * np.nan, ratio=4),
        lambda: evaluate_fr(reference, reference[:1], reference, ratio=4),
        lambda: evaluate_fr(
            reference * np.nan, reference[:1], reference[:, ::4, ::4], ratio=4, gains=(0.3,) * 3
        ),
    ]
    for call in calls:
        with pytest.raises(FusionError) as error:
            call()
        assert str(error.value).endswith(".")


@pytest.mark.parametrize("bands", [1, 2, 31])
def test_full_resolution_of_any_band_count(bands, rng):
    lrms = rng.uniform(1, 2047, (bands, 16, 24))
    fused = lrms.repeat(4, axis=1).repeat(4, axis=2) + rng.normal(0, 9, (bands, 64, 96))
    pan = fused.mean(axis=0, keepdims=True)
    values = evaluate_fr(fused, pan, lrms, ratio=4, gains=(0.3,) * bands).values
    assert math.isnan(values["d_lambda"]) == (bands == 1)
    assert math.isfinite(values["hqnr"])
