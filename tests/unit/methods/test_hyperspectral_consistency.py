"""The consistency step with a point spread and a spectral response, against dense algebra."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bandweave.degrade.instrument import Instrument
from bandweave.degrade.psf import gaussian_spread, uniform_spread
from bandweave.errors import BandCountError, SensorModelError
from bandweave.instruments import PointSpread
from bandweave.methods.consistency import Consistency, seen_as_spatial
from bandweave.pair import ImagePair
from bandweave.window import Window
from scenes import smooth_truth

RESPONSE = ((0.5, 0.3, 0.2, 0.0), (0.0, 0.1, 0.3, 0.6))
SPREADS = {
    "apart": (gaussian_spread(0.5, 3, (2.0, 2.0)), 4),
    "touching": (uniform_spread(4, (1.5, 1.5)), 4),
    "overlapping": (gaussian_spread(1.0, 5, (1.0, 1.0)), 3),
}


def make_pair(psf: PointSpread, ratio: int, cells: tuple[int, int] = (21, 19)) -> ImagePair:
    truth = smooth_truth(4, cells[0] * ratio, cells[1] * ratio)
    coarse = Instrument(psf, ratio, (0, 0)).observe(truth)
    middle = [s + (k - 1) / 2 for s, k in zip(psf.start, psf.shape, strict=True)]
    return ImagePair(
        np.tensordot(np.array(RESPONSE), truth, axes=1), coarse, ratio, (middle[0], middle[1])
    )


def dense(psf: PointSpread, ratio: int, shape: tuple[int, int]) -> np.ndarray:
    """Return A `(h·w, H·W)` from single pixels."""
    count = shape[0] * shape[1]
    pixels = np.eye(count).reshape(count, *shape)
    return Instrument(psf, ratio, (0, 0)).observe(pixels).reshape(count, -1).T


@pytest.mark.parametrize("name", SPREADS)
def test_the_adjoint_of_a_point_spread_is_its_transpose(rng, name) -> None:
    psf, ratio = SPREADS[name]
    instrument = Instrument(psf, ratio, (0, 0))
    x, y = rng.normal(size=(2, 9 * ratio, 7 * ratio)), rng.normal(size=(2, 9, 7))
    assert np.vdot(instrument.observe(x), y) == pytest.approx(np.vdot(x, instrument.adjoint(y)))


@pytest.mark.parametrize("noise", [0.0, 0.05])
@pytest.mark.parametrize("name", SPREADS)
def test_equal_to_the_nearest_image_by_dense_algebra(rng, name, noise) -> None:
    psf, ratio = SPREADS[name]
    pair = make_pair(psf, ratio, cells=(9, 8))
    x0 = rng.uniform(0, 900, (4, *pair.shape))
    matrix = dense(psf, ratio, pair.shape)
    gram = matrix @ matrix.T + noise * np.eye(len(matrix))
    missing = pair.spectral.reshape(4, -1) - x0.reshape(4, -1) @ matrix.T
    expected = x0 + (np.linalg.solve(gram, missing.T).T @ matrix).reshape(x0.shape)
    got = Consistency(psf, noise).apply(x0, pair)
    # Overlapping kernels are cut by the border, which the filter does not know.
    inner = slice(None) if name != "overlapping" else slice(ratio * 3, -ratio * 3)
    moved = np.abs(expected - x0).max()
    assert np.abs(got - expected)[:, inner, inner].max() < 1e-3 * moved


@pytest.mark.parametrize("name", ["apart", "touching"])
def test_both_conditions_hold_exactly_and_a_second_pass_changes_nothing(rng, name) -> None:
    psf, ratio = SPREADS[name]
    pair = make_pair(psf, ratio)
    step = Consistency(psf, 0.0, RESPONSE)
    x0 = rng.uniform(0, 900, (4, *pair.shape))
    x = step.apply(x0, pair)
    seen = Instrument(psf, ratio, pair.phase).observe(x)
    np.testing.assert_allclose(seen, pair.spectral, atol=1e-9)
    np.testing.assert_allclose(np.tensordot(RESPONSE, x, axes=1), pair.spatial, atol=1e-9)
    np.testing.assert_allclose(step.apply(x, pair), x, atol=1e-9)
    truth = smooth_truth(4, *pair.shape)
    np.testing.assert_allclose(step.apply(truth, pair), truth, atol=1e-9)


def test_the_result_is_the_nearest_of_all_that_meet_both_conditions(rng) -> None:
    psf, ratio = SPREADS["apart"]
    pair = make_pair(psf, ratio, cells=(5, 4))
    x0 = rng.uniform(0, 900, (4, *pair.shape))
    spatial = np.kron(np.eye(4), dense(psf, ratio, pair.shape))
    count = pair.shape[0] * pair.shape[1]
    conditions = np.vstack([spatial, np.kron(np.array(RESPONSE), np.eye(count))])
    wanted = np.concatenate([pair.spectral.ravel(), pair.spatial.ravel()])
    away = np.linalg.lstsq(conditions, wanted - conditions @ x0.ravel(), rcond=1e-10)[0]
    got = Consistency(psf, 0.0, RESPONSE).apply(x0, pair)
    np.testing.assert_allclose(got, x0 + away.reshape(x0.shape), atol=1e-6)


def dark_pair(rng, lift: float) -> tuple[ImagePair, np.ndarray, np.ndarray]:
    """Return a pair whose darkest half is `lift`, its scene, and an estimate that is off by 60."""
    psf, ratio = SPREADS["apart"]
    truth = np.maximum(smooth_truth(4, 84, 76) - 500, 0) + lift
    coarse = Instrument(psf, ratio, (0, 0)).observe(truth)
    pair = ImagePair(np.tensordot(RESPONSE, truth, axes=1), coarse, ratio, (2.0, 2.0))
    return pair, truth, truth + rng.normal(0, 60, truth.shape)


def test_a_scene_without_negative_values_is_never_left_further_away(rng) -> None:
    pair, truth, x0 = dark_pair(rng, lift=0)
    plain = Consistency(SPREADS["apart"][0], 0.0, RESPONSE)
    light = replace(plain, is_nonnegative=True)
    clipped, moved, raised = np.maximum(x0, 0), plain.apply(x0, pair), light.apply(x0, pair)
    away = [np.linalg.norm(x - truth) for x in (x0, clipped, np.maximum(moved, 0), raised)]
    assert away[0] > away[1] > away[3]
    assert away[2] > away[3]
    seen = Instrument(plain.blur, 4, pair.phase).observe(raised)
    np.testing.assert_allclose(seen, pair.spectral, atol=1e-9)
    np.testing.assert_allclose(np.tensordot(RESPONSE, raised, axes=1), pair.spatial, atol=1e-9)


def test_where_the_coarse_image_is_negative_nothing_is_raised(rng) -> None:
    pair, _, x0 = dark_pair(rng, lift=-20)
    plain = Consistency(SPREADS["apart"][0], 0.0, RESPONSE)
    got = replace(plain, is_nonnegative=True).apply(x0, pair)
    below = (pair.spectral < 0).all(axis=0).repeat(4, axis=0).repeat(4, axis=1)
    assert 0.2 < below.mean() < 0.8
    expected = plain.apply(x0, pair)
    np.testing.assert_array_equal(got[:, below], expected[:, below])
    assert (got != expected)[:, ~below].any()


def test_noise_weighs_the_spectral_step_as_least_squares_do(rng) -> None:
    pair = make_pair(*SPREADS["apart"])
    x0, noise = rng.uniform(0, 900, (4, *pair.shape)), 0.3
    matrix = np.array(RESPONSE)
    normal = np.eye(4) + matrix.T @ matrix / noise
    right = x0 + np.tensordot(matrix.T, pair.spatial, axes=1) / noise
    expected = np.linalg.solve(normal, right.reshape(4, -1)).reshape(x0.shape)
    np.testing.assert_allclose(seen_as_spatial(x0, pair, RESPONSE, noise), expected, rtol=1e-10)


def test_rows_that_depend_on_each_other_or_are_empty_do_no_harm(rng) -> None:
    pair = make_pair(*SPREADS["apart"])
    response = (*RESPONSE, RESPONSE[0], (0.0,) * 4)
    spatial = np.concatenate([pair.spatial, pair.spatial[:1], 0 * pair.spatial[:1] + 5])
    x0 = rng.uniform(0, 900, (4, *pair.shape))
    got = seen_as_spatial(x0, pair.replace(spatial=spatial), response)
    np.testing.assert_allclose(got, seen_as_spatial(x0, pair, RESPONSE), rtol=1e-10)


def test_bands_that_differ_in_their_mtf_take_turns(rng) -> None:
    gains, ratio, phase = (0.3, 0.45, 0.3, 0.4), 4, (1.5, 1.5)
    truth = smooth_truth(4, 84, 76)
    coarse = Instrument(gains, ratio, phase).observe(truth)
    pair = ImagePair(np.tensordot(RESPONSE, truth, axes=1), coarse, ratio, phase)
    x0 = truth + rng.normal(0, 30, truth.shape)
    both = Consistency(gains, 0.0, RESPONSE)
    assert both.apron(ratio, phase) == 4 * Consistency(gains, 0.0).apron(ratio, phase)
    x = both.apply(x0, pair)
    np.testing.assert_allclose(np.tensordot(RESPONSE, x, axes=1), pair.spatial, atol=1e-9)
    inside = (slice(None), slice(6, -6), slice(6, -6))
    residuals = [np.abs(both.residual(image, pair))[inside].max() for image in (x0, x)]
    # White noise is the hardest case: what both steps ask for converges by turns.
    assert residuals[1] < 0.05 * residuals[0]


def test_masked_pixels_stay_as_they_are(rng) -> None:
    pair = make_pair(*SPREADS["apart"])
    valid = np.ones(pair.shape, dtype=bool)
    valid[20:40, 8:31] = False
    x0 = rng.uniform(0, 900, (4, *pair.shape))
    x = Consistency(SPREADS["apart"][0], 0.0, RESPONSE).apply(x0, pair.replace(valid=valid))
    np.testing.assert_array_equal(x[:, 24:36, 12:28], x0[:, 24:36, 12:28])
    mixed = np.tensordot(RESPONSE, x, axes=1)
    np.testing.assert_allclose(mixed[:, valid], pair.spatial[:, valid], atol=1e-9)


@pytest.mark.parametrize("name", SPREADS)
def test_the_declared_apron_is_enough(rng, name) -> None:
    psf, ratio = SPREADS[name]
    pair = make_pair(psf, ratio, cells=(37, 31))
    step = Consistency(psf, 0.0 if name != "overlapping" else 1e-3, RESPONSE)
    apron = step.apron(ratio, pair.phase)
    x0 = rng.uniform(0, 900, (4, *pair.shape))
    core = Window(apron, apron, 3 * ratio, 3 * ratio)
    read = core.padded(apron)
    assert Window.whole(pair.shape).contains(read)
    whole = step.apply(x0, pair)[(slice(None), *core.slices)]
    part = step.apply(x0[(slice(None), *read.slices)], pair.crop(read))
    inside = slice(apron, apron + 3 * ratio)
    np.testing.assert_allclose(part[:, inside, inside], whole, atol=1e-9)


def test_what_does_not_fit_is_refused() -> None:
    pair = make_pair(*SPREADS["apart"])
    with pytest.raises(BandCountError, match="2 bands of 3"):
        seen_as_spatial(np.zeros((4, *pair.shape)), pair, ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0)))
    with pytest.raises(SensorModelError, match="sum to 1"):
        PointSpread(((0.5, 0.6),), (0, 0), "wrong")
    with pytest.raises(SensorModelError, match="table"):
        PointSpread(((0.5, 0.5), (0.0,)), (0, 0), "ragged")
