"""The consistency step against dense linear algebra, and what it promises."""

from __future__ import annotations

import numpy as np
import pytest

from bandweave.degrade.mtf import mtf_kernel
from bandweave.degrade.observe import observe
from bandweave.errors import BandCountError, SensorModelError, ShapeError
from bandweave.methods.consistency import Consistency, inverse_filters
from bandweave.methods.interpolation import upsample
from bandweave.pair import ImagePair
from bandweave.window import Window
from oracles.dense_consistency import dense_observation, dense_step
from scenes import smooth_truth

CASES = [(2, 0.5), (2, 1.0), (3, 1.0), (3, 1.5), (4, 1.5), (4, 2.0), (4, 2.3)]
GAINS = (0.30, 0.36, 0.22)


def make_pair(ratio: int = 4, phase: float = 1.5, shape=(37, 31), bands: int = 3) -> ImagePair:
    """Return a pair of which the MS is what an instrument with GAINS saw of the truth."""
    truth = smooth_truth(bands, shape[0] * ratio, shape[1] * ratio)
    lrms = observe(truth, GAINS[:bands], ratio, (phase, phase))
    return ImagePair(truth.mean(axis=0, keepdims=True), lrms, ratio, (phase, phase))


def inner(image: np.ndarray, margin: int) -> np.ndarray:
    return image[..., margin:-margin, margin:-margin]


@pytest.mark.parametrize("noise", [0.0, 1e-3, 1e-2])
@pytest.mark.parametrize("gain", [0.30, 0.45])
def test_equal_to_dense_linear_algebra_up_to_the_border(rng, gain, noise) -> None:
    # At phase (ratio - 1) / 2 the mirrored residual solves the mirrored problem to its last pixel.
    shape, ratio, phase = (57, 51), 3, 1
    kernel = mtf_kernel(gain, ratio, normalised=True)
    matrix = dense_observation(kernel, shape, ratio, (phase, phase), "symmetric")
    y = rng.normal(0, 10, (1, 19, 17))
    pair = ImagePair(np.zeros((1, *shape)), y, ratio, (phase, phase))
    step = Consistency((gain,), noise)
    expected = dense_step(matrix, np.zeros(shape), y[0], noise)
    x = step.apply(np.zeros((1, *shape)), pair)[0]
    # The cut filter leaves 1e-4 of a residual of white noise; at its weakest frequencies it is
    # amplified by 1 / sqrt(S): 13 at a gain of 0.30.
    assert np.abs(x - expected).max() < 1e-3 * np.abs(expected).max()


def test_equal_to_dense_linear_algebra_inside_with_replicated_border(rng) -> None:
    shape, ratio, phase, gain = (93, 87), 3, 1, 0.45
    kernel = mtf_kernel(gain, ratio, normalised=True)
    matrix = dense_observation(kernel, shape, ratio, (phase, phase), "edge")
    x0 = smooth_truth(1, *shape)
    y = observe(x0, (gain,), ratio, (phase, phase)) + rng.normal(0, 10, (1, 31, 29))
    pair = ImagePair(np.zeros((1, *shape)), y, ratio, (phase, phase))
    expected = dense_step(matrix, x0[0], y[0], 1e-3)
    x = Consistency((gain,), 1e-3).apply(x0, pair)[0]
    moved = np.abs(expected - x0[0]).max()
    assert np.abs(inner(x - expected, 30)).max() < 1e-3 * moved
    assert moved > 10


@pytest.mark.parametrize(("ratio", "phase"), CASES)
def test_seen_again_the_result_is_the_ms_to_a_hundredth_of_a_dn(ratio, phase) -> None:
    pair = make_pair(ratio, phase)
    x0 = upsample(pair)
    x = Consistency(GAINS, 0.0).apply(x0, pair)
    margin = 11 if ratio == 2 else 7  # the kernel's 20 pixels and the fraction of the phase
    before, after = (
        np.abs(inner(observe(image, GAINS, ratio, pair.phase) - pair.spectral, margin))
        for image in (x0, x)
    )
    assert before.mean() > 0.5
    assert after.max() < 0.01


def test_single_precision_keeps_the_hundredth_of_a_dn() -> None:
    pair = make_pair()
    single = pair.replace(
        spatial=pair.spatial.astype(np.float32), spectral=pair.spectral.astype(np.float32)
    )
    step = Consistency(GAINS, 0.0)
    x = step.apply(upsample(single), single)
    assert x.dtype == np.float32
    seen = observe(x.astype(np.float64), GAINS, 4, pair.phase)
    assert np.abs(inner(seen - pair.spectral, 7)).max() < 0.01


def test_what_is_consistent_stays_and_a_second_step_changes_nothing() -> None:
    pair = make_pair()
    step = Consistency(GAINS, 0.0)
    truth = smooth_truth(3, *pair.shape)
    np.testing.assert_allclose(step.apply(truth, pair), truth, atol=1e-9)
    x0 = upsample(pair)
    once = step.apply(x0, pair)
    twice = step.apply(once, pair)
    moved = np.abs(once - x0).mean()
    assert np.abs(inner(twice - once, 28)).max() < 1e-3 * moved


def test_it_is_closer_to_the_truth_everywhere_also_at_the_border() -> None:
    pair = make_pair()
    truth, x0 = smooth_truth(3, *pair.shape), upsample(pair)
    x = Consistency(GAINS).apply(x0, pair)
    at_border = np.ones(pair.shape, bool)
    inner(at_border, 8)[:] = False
    for part in (at_border, ~at_border):
        errors = [np.square(image - truth)[:, part].mean() for image in (x0, x)]
        assert errors[1] < 0.7 * errors[0]


def test_each_band_has_its_own_kernel() -> None:
    pair = make_pair()
    x0 = upsample(pair)
    together = Consistency(GAINS).apply(x0, pair)
    for band, gain in enumerate(GAINS):
        alone = pair.replace(spectral=pair.spectral[band : band + 1])
        one = Consistency((gain,)).apply(x0[band : band + 1], alone)
        np.testing.assert_allclose(one[0], together[band], atol=2e-3)


@pytest.mark.parametrize(("ratio", "phase"), CASES)
def test_the_apron_holds_all_context(rng, ratio, phase) -> None:
    step = Consistency((0.36,), 1e-3)
    apron = step.apron(ratio, (phase, phase))
    assert apron % ratio == 0
    size = 2 * apron // ratio + 9
    pair = ImagePair(
        np.zeros((1, size * ratio, size * ratio)), rng.normal(0, 9, (1, size, size)),
        ratio, (phase, phase),
    )  # fmt: skip
    x0 = rng.normal(0, 9, (1, *pair.shape))
    whole = step.apply(x0, pair)
    core = Window(apron + 2 * ratio, apron + ratio, 3 * ratio, 5 * ratio)
    read = core.padded(apron)
    part = step.apply(x0[(slice(None), *read.slices)], pair.crop(read))
    inside = (slice(None), *core.relative_to(read).slices)
    np.testing.assert_allclose(part[inside], whole[(slice(None), *core.slices)], atol=1e-9)


def masked_pair() -> ImagePair:
    valid = np.ones((148, 124), bool)
    valid[:, :40] = False
    valid[100, 90] = False
    return make_pair().replace(valid=valid)


def test_masked_pixels_have_no_influence() -> None:
    pair = masked_pair()
    assert pair.valid is not None
    assert pair.coarse_valid is not None
    step = Consistency(GAINS)
    x0 = upsample(make_pair())
    spoiled = pair.replace(spectral=np.where(pair.coarse_valid, pair.spectral, -9999.0))
    x = step.apply(x0, pair)
    bad = step.apply(np.where(pair.valid, x0, np.nan), spoiled)
    assert np.array_equal(x[:, pair.valid], bad[:, pair.valid])
    unmasked = step.apply(x0, make_pair())
    far = (slice(None), slice(None, 30), slice(110, None))
    np.testing.assert_allclose(x[far], unmasked[far], atol=0.5)


def test_beside_a_mask_the_step_still_helps() -> None:
    pair, truth = masked_pair(), smooth_truth(3, 148, 124)
    x0 = upsample(make_pair())
    x = Consistency(GAINS).apply(x0, pair)
    beside = (slice(None), slice(20, 80), slice(40, 52))
    errors = [np.square(image - truth)[beside].mean() for image in (x0, x)]
    assert errors[1] < errors[0]


def test_a_residual_counts_where_enough_of_the_kernel_is_valid() -> None:
    pair = masked_pair()
    residual = Consistency(GAINS).residual(upsample(make_pair()), pair)
    assert (residual[:, :, :10] == 0).all()
    assert (residual[:, 8:-8, 12:-8] != 0).all()
    comparable = Consistency(GAINS).comparable(pair)
    assert not comparable[:, :, :10].any()
    assert not comparable[:, :6].any()
    assert comparable[:, 8:-8, 12:-8].all()


def test_nothing_valid_changes_nothing() -> None:
    pair = make_pair()
    hidden = pair.replace(valid=np.zeros(pair.shape, bool))
    x0 = upsample(pair)
    assert np.array_equal(Consistency(GAINS).apply(x0, hidden), x0)


@pytest.mark.parametrize(
    ("ratio", "gain", "noise"), [(4, 0.3, 0.0), (4, 0.15, 0.0), (2, 0.3, 1e-3), (3, 0.22, 1e-4)]
)
def test_the_filter_inverts_the_sampled_autocorrelation(ratio, gain, noise) -> None:
    kernel = mtf_kernel(gain, ratio, normalised=True)
    reach, n = 40 // ratio, 41
    frequencies = np.array([[0.0, 0.0], [np.pi, np.pi], [np.pi, 0], [0.7, 2.1], [3.0, 1.1]])
    symbol = np.zeros(len(frequencies))
    for i in range(-reach, reach + 1):
        for j in range(-reach, reach + 1):
            a, b = ratio * i, ratio * j
            here = kernel[max(a, 0) : n + min(a, 0), max(b, 0) : n + min(b, 0)]
            there = kernel[max(-a, 0) : n + min(-a, 0), max(-b, 0) : n + min(-b, 0)]
            symbol += (here * there).sum() * np.cos(frequencies @ (i, j))
    taps = inverse_filters((gain,), ratio, (0.0, 0.0), noise)[0]
    radius = taps.shape[0] // 2
    offsets = np.arange(-radius, radius + 1)
    for frequency, s in zip(frequencies, symbol, strict=True):
        waves = np.cos(np.add.outer(frequency[0] * offsets, frequency[1] * offsets))
        assert abs((taps * waves).sum() * (s + noise) - 1) < 1.01e-4


def test_impossible_sensor_models_are_refused() -> None:
    pair = make_pair()
    x0 = upsample(pair)
    with pytest.raises(SensorModelError, match=r"0.04 cannot be inverted.*--consistency-noise"):
        Consistency((0.04,), 0.0).apply(x0, pair)
    with pytest.raises(SensorModelError, match="between 0 and 1"):
        Consistency((1.2,)).apply(x0, pair)
    with pytest.raises(SensorModelError, match="0 or more"):
        Consistency((0.3,), -1.0)
    with pytest.raises(BandCountError, match="3 bands needs 1 or 3 MTF gains, got 2"):
        Consistency((0.3, 0.3)).apply(x0, pair)
    with pytest.raises(ShapeError, match="as its pair"):
        Consistency((0.3,)).apply(x0[:, :-4], pair)
