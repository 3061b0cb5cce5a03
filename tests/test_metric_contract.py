"""Every metric in METRICS x every property that such a metric has."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from bandweave.metrics import METRICS, PROTOCOLS
from bandweave.metrics.q2n import q2n
from bandweave.metrics.reprojected import Reprojection
from bandweave.metrics.uqi import uqi

# What each metric needs besides its images. A new line in METRICS needs one here.
REPROJECTION = Reprojection(4, (0.3, 0.3, 0.3), ((2, 2), (2, 2), (1, 3)))
KEYWORDS = {
    "q2n": {},
    "uqi": {},
    "sam": {},
    "ergas": {"ratio": 4},
    "ergas_estimate": {"ratio": 4},
    "scc": {},
    "psnr": {"peak": 2047.0},
    "ssim": {"peak": 2047.0},
    "rmse": {},
    "cc": {},
    "d_lambda_k": {"gains": (0.3, 0.3, 0.3), "ratio": 4},
    "d_lambda": {},
    "d_s": {},
    "r_q2n": {"reprojection": REPROJECTION},
    "r_uqi": {"reprojection": REPROJECTION},
    "r_sam": {"reprojection": REPROJECTION},
    "r_ergas": {"reprojection": REPROJECTION},
    "d_rho": {"half_width": 2},
    "hqnr": {},
    "qnr": {},
}
OF_REFERENCE = [name for name, metric in METRICS.items() if metric.needs == "reference"]
OF_INPUTS = [name for name, metric in METRICS.items() if metric.needs == "inputs"]
SHAPE = (3, 35, 33)

with_reference = pytest.mark.parametrize("name", OF_REFERENCE)
few_examples = settings(max_examples=12, deadline=None)


def images(shape=SHAPE, low=1.0, high=2047.0):
    """Draw smooth or rough images: a coarse random pattern, repeated, plus fine noise."""

    def made(draw_seed, roughness):
        rng = np.random.default_rng(draw_seed)
        coarse = rng.uniform(low, high, (shape[0], 5, 5))
        smooth = coarse.repeat(8, axis=1).repeat(8, axis=2)[:, : shape[1], : shape[2]]
        fine = rng.uniform(low, high, shape)
        return (1 - roughness) * smooth + roughness * fine

    return st.builds(made, st.integers(0, 2**31), st.floats(0.05, 1.0))


def score(name, estimate, reference, **more):
    return METRICS[name].function(estimate, reference, **KEYWORDS[name], **more)


def test_every_metric_can_be_called_here():
    assert KEYWORDS.keys() == METRICS.keys()
    for protocol in PROTOCOLS.values():
        assert set(protocol.metrics) <= METRICS.keys()


@pytest.mark.parametrize("name", METRICS)
def test_every_metric_says_what_it_is(name):
    metric = METRICS[name]
    low, high = metric.range
    assert low < high
    assert low <= metric.ideal <= high
    assert metric.name
    assert metric.citation


@with_reference
@few_examples
@given(image=images())
def test_ideal_at_identity(name, image):
    # The arccos resolves no angles below about 1e-6 degrees.
    assert score(name, image, image) == pytest.approx(METRICS[name].ideal, abs=1e-6)


@with_reference
@few_examples
@given(first=images(), second=images())
def test_within_bounds(name, first, second):
    low, high = METRICS[name].range
    assert low - 1e-12 <= score(name, first, second) <= high + 1e-12


@with_reference
@few_examples
@given(first=images(), second=images(), order=st.permutations(range(3)))
def test_the_order_of_the_bands_does_not_matter(name, first, second, order):
    permuted = score(name, first[list(order)], second[list(order)])
    assert permuted == pytest.approx(score(name, first, second), rel=1e-10, abs=1e-12)


@with_reference
@few_examples
@given(first=images(), second=images(), seed=st.integers(0, 99))
def test_invalid_pixels_have_no_influence(name, first, second, seed):
    valid = np.random.default_rng(seed).random(SHAPE[1:]) > 0.002
    assume(valid.any())
    plain = score(name, first, second, valid=valid)
    other_first, other_second = first.copy(), second.copy()
    other_first[:, ~valid] = np.nan
    other_second[:, ~valid] = 1e9
    assert score(name, other_first, other_second, valid=valid) == pytest.approx(plain, nan_ok=True)


@with_reference
@few_examples
@given(first=images(), second=images())
def test_a_mask_that_hides_nothing_changes_nothing(name, first, second):
    everywhere = np.ones(SHAPE[1:], bool)
    masked = score(name, first, second, valid=everywhere)
    assert masked == pytest.approx(score(name, first, second), rel=1e-12)


@with_reference
@few_examples
@given(image=images(), noise=images(low=-1.0, high=1.0))
def test_more_error_is_not_better(name, image, noise):
    """Twice the same disturbance never scores better by more than what chance can do."""
    one, two = image + 40 * noise, image + 400 * noise
    difference = score(name, two, image) - score(name, one, image)
    worse = -difference if METRICS[name].direction == "higher" else difference
    assert worse > -1e-9


# --- single metrics -----------------------------------------------------------------------------


@few_examples
@given(first=images(), second=images(), gains=arrays(float, SHAPE[1:], elements=st.floats(0.01, 9)))
def test_sam_does_not_see_a_gain_per_pixel(first, second, gains):
    expected = score("sam", first, second)
    assert score("sam", first * gains, second) == pytest.approx(expected, abs=1e-6)
    assert score("sam", first, second * gains) == pytest.approx(expected, abs=1e-6)


@few_examples
@given(first=images(), second=images(), gain=st.floats(1e-3, 1e3))
def test_ergas_does_not_see_a_common_gain(first, second, gain):
    for name in ("ergas", "ergas_estimate"):
        expected = score(name, first, second)
        assert score(name, first * gain, second * gain) == pytest.approx(expected, rel=1e-10)


@few_examples
@given(first=images(), second=images())
def test_both_ergas_change_places_with_the_images(first, second):
    assert score("ergas", first, second) == pytest.approx(score("ergas_estimate", second, first))


@few_examples
@given(first=images((1, 32, 32)), second=images((1, 32, 32)))
def test_q2n_of_one_band_is_uqi(first, second):
    """The UQI of the block after the normalisation that Q2n prescribes, without its sign."""
    f, g = np.floor(first + 0.5), np.floor(second + 0.5)
    mean, std = g.mean(), g.std(ddof=1)
    expected = abs(uqi((f - mean) / std + 1, (g - mean) / std + 1))
    assert q2n(first, second) == pytest.approx(expected, abs=1e-10)


def test_q2n_of_more_bands_depends_on_their_order():
    """Parts of hypercomplex numbers are multiplied in pairs: from 4 bands on their order counts."""
    rng = np.random.default_rng(5)
    second = rng.uniform(1, 2047, (4, 64, 64))
    first = second + rng.normal(0, 400, second.shape) + rng.normal(0, 400, (64, 64))
    plain = score("q2n", first, second)
    swapped = score("q2n", first[[1, 0, 2, 3]], second[[1, 0, 2, 3]])
    assert 1e-6 < abs(swapped - plain) < 1e-3


@few_examples
@given(first=images(), second=images(), offset=st.floats(-500, 500), gain=st.floats(0.1, 9))
def test_correlations_do_not_see_a_gain(first, second, offset, gain):
    changed = score("cc", gain * first + offset, second)
    assert changed == pytest.approx(score("cc", first, second), abs=1e-9)
    # An offset changes SCC: the border that the toolboxes put around the image is zero.
    assert score("scc", gain * first, second) == pytest.approx(score("scc", first, second))


@few_examples
@given(first=images(), second=images(), factor=st.floats(0.01, 100))
def test_psnr_and_ssim_scale_with_their_peak(first, second, factor):
    for name in ("psnr", "ssim"):
        function = METRICS[name].function
        expected = function(first, second, peak=2047.0)
        scaled = function(first * factor, second * factor, peak=2047.0 * factor)
        assert scaled == pytest.approx(expected, rel=1e-9)


@few_examples
@given(first=images(), second=images())
def test_symmetric_metrics(first, second):
    for name in ("uqi", "ssim", "sam", "rmse", "psnr", "scc", "cc"):
        assert score(name, first, second) == pytest.approx(score(name, second, first), rel=1e-10)


# --- without reference --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def inputs():
    rng = np.random.default_rng(7)
    hrms = rng.uniform(1, 2047, (3, 128, 128))
    return {
        "hrms": hrms,
        "pan": hrms.mean(axis=0, keepdims=True),
        "ms_up": rng.uniform(1, 2047, (3, 128, 128)),
        "lrms": REPROJECTION.apply(hrms),
    }


ARGUMENTS = {
    "d_lambda_k": ("hrms", "ms_up"),
    "d_lambda": ("hrms", "ms_up"),
    "d_s": ("hrms", "pan", "ms_up", "pan"),
    "r_q2n": ("hrms", "lrms"),
    "r_uqi": ("hrms", "lrms"),
    "r_sam": ("hrms", "lrms"),
    "r_ergas": ("hrms", "lrms"),
    "d_rho": ("hrms", "pan"),
}


@pytest.mark.parametrize("name", OF_INPUTS)
def test_metrics_of_the_inputs_within_bounds(name, inputs):
    low, high = METRICS[name].range
    given_images = [inputs[role] for role in ARGUMENTS[name]]
    value = METRICS[name].function(*given_images, **KEYWORDS[name])
    assert low - 1e-12 <= value <= high + 1e-12
    assert isinstance(value, float)


@pytest.mark.parametrize("name", [n for n in OF_INPUTS if n.startswith("r_")])
def test_a_perfect_reprojection_is_ideal(name, inputs):
    value = METRICS[name].function(inputs["hrms"], inputs["lrms"], **KEYWORDS[name])
    assert value == pytest.approx(METRICS[name].ideal, abs=1e-5)


@pytest.mark.parametrize("name", [n for n, m in METRICS.items() if m.needs == "metrics"])
def test_metrics_of_metrics(name):
    assert METRICS[name].function(0.0, 0.0) == METRICS[name].ideal
    assert METRICS[name].function(0.25, 0.5) == 0.375
    assert math.isnan(METRICS[name].function(math.nan, 0.5))
