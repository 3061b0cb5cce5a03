"""Local regression against one least-squares problem per pixel, and what it promises."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bandweave.datasets.cave import BANDS, cave_model, cave_pair
from bandweave.degrade.instrument import Instrument
from bandweave.degrade.psf import gaussian_spread, uniform_spread
from bandweave.errors import BandCountError, GridMismatchError, SensorModelError
from bandweave.methods.consistency import Consistency
from bandweave.methods.local_affine import Box, Gaussian, fit_locally
from bandweave.methods.local_regression import (
    Guides,
    LocalRegression,
    RegressionEnsemble,
    Variant,
    hyperspectral_base,
)
from bandweave.pair import ImagePair
from bandweave.sensors import Band, Sensor
from bandweave.window import Window
from oracles.local_regression import ridge_at, smoothed_at
from scenes import smooth_truth

RESPONSE = ((0.5, 0.3, 0.2, 0.0), (0.0, 0.1, 0.3, 0.6))
PHASE = (1.3, 1.6)
SENSOR = Sensor("test", "test", (), psf=gaussian_spread(0.9, 5, PHASE), response=RESPONSE)


def make_pair(ratio: int = 4, shape: tuple[int, int] = (37, 31)) -> ImagePair:
    """Return a pair of two sharp and four coarse bands in the unit range."""
    truth = smooth_truth(4, shape[0] * ratio, shape[1] * ratio) / 2047
    coarse = Instrument(SENSOR.psf, ratio, PHASE).observe(truth)
    sharp = np.tensordot(np.array(RESPONSE), truth, axes=1)
    return ImagePair(sharp, coarse, ratio, PHASE, full_scale=1.0, sensor=SENSOR)


def fuse(pair: ImagePair, **options) -> np.ndarray:
    return LocalRegression(**options).fit(pair.profile, None).fuse(pair)


@pytest.mark.parametrize("hidden", [False, True])
@pytest.mark.parametrize("size", [3, 5])
def test_coefficients_equal_a_least_squares_problem_per_pixel(rng, size, hidden) -> None:
    shape, floor = (9, 7), 1e-3
    guides, targets = rng.normal(size=(2, *shape)), rng.normal(size=(3, *shape))
    counted = rng.uniform(size=shape) > 0.4 if hidden else np.ones(shape, dtype=bool)
    places = list(np.ndindex(*shape))
    field = fit_locally(guides, targets, Box(size), floor, counted if hidden else None)
    for band, target in enumerate(targets):
        local = {p: ridge_at(guides, target, *p, size, floor, counted) for p in places}
        local = {p: found for p, found in local.items() if found is not None}
        for place in places:
            expected = smoothed_at(local, shape, *place, size)
            got = [*field.slopes[(band, slice(None), *place)], field.offsets[(band, *place)]]
            np.testing.assert_allclose(got, expected, atol=1e-10)


def test_values_that_do_not_count_have_no_influence(rng) -> None:
    guides, targets = rng.normal(size=(1, 12, 11)), rng.normal(size=(2, 12, 11))
    counted = np.ones((12, 11), dtype=bool)
    counted[3:7, 2:9] = False
    spoilt = np.where(counted, guides, np.nan), np.where(counted, targets, np.nan)
    for window in (Box(3), Gaussian(0.8)):
        clean = fit_locally(guides, targets, window, 1e-6, counted)
        got = fit_locally(*spoilt, window, 1e-6, counted)
        near = np.isfinite(got.offsets)
        np.testing.assert_array_equal(got.slopes, clean.slopes)
        assert near[:, 0:2].all()


def test_bands_that_are_affine_in_the_guides_come_back_exactly() -> None:
    pair = make_pair()
    mix = np.array([[0.7, 0.1], [0.2, -0.4], [1.5, 0.0], [0.0, 0.9]])
    offset = np.array([0.1, 0.5, 0.0, -0.2])[:, None, None]
    truth = np.tensordot(mix, pair.spatial, axes=1) + offset
    coarse = Instrument(SENSOR.psf, 4, PHASE).observe(truth)
    pair = pair.replace(spectral=coarse, full_scale=1e-5)  # ε vanishes
    for variant in (Variant(Box(3), False), Variant(Gaussian(0.8), True)):
        np.testing.assert_allclose(fuse(pair, variants=(variant,)), truth, atol=1e-9)


@pytest.mark.parametrize("psf", [SENSOR.psf, uniform_spread(4, (1.5, 1.5))])
def test_windows_equal_the_whole(psf) -> None:
    pair = make_pair()
    pair = pair.replace(sensor=replace(SENSOR, psf=psf))
    method = LocalRegression((Variant(Box(3), True),), is_consistent=True)
    fitted = method.fit(pair.profile, None)
    whole = fitted.fuse(pair)
    apron = fitted.reach.apron
    inside = Window(apron, apron, 8, 8)
    assert apron % 4 == 0
    assert Window.whole(pair.shape).contains(inside.padded(apron))
    part = fitted.fuse(pair.crop(inside.padded(apron)))[:, apron : apron + 8, apron : apron + 8]
    np.testing.assert_allclose(part, whole[(slice(None), *inside.slices)], atol=1e-12)


def test_mtf_gains_per_band_are_regressed_with_guides_of_their_own(rng) -> None:
    pair = make_pair()
    gains = (0.3, 0.2, 0.3, 0.36)
    sensor = Sensor("test", "test", (), default_mtf_gain=None)
    sensor = replace(sensor, bands=tuple(Band(f"b{k}", mtf_gain=g) for k, g in enumerate(gains)))
    together = fuse(pair.replace(sensor=sensor))
    for k, gain in enumerate(gains):
        one = replace(sensor, bands=(Band("b", mtf_gain=gain),))
        alone = fuse(pair.replace(spectral=pair.spectral[k : k + 1], sensor=one))
        np.testing.assert_allclose(together[k], alone[0], atol=1e-12)


def test_masked_pixels_have_no_influence(rng) -> None:
    pair = make_pair()
    valid = np.ones(pair.shape, dtype=bool)
    valid[40:80, 30:62] = False
    pair = pair.replace(valid=valid)
    spatial = np.where(valid, pair.spatial, 1e6)
    spectral = np.where(pair.coarse_valid, pair.spectral, -1e6)
    expected, got = (
        fuse(p)[:, valid] for p in (pair, pair.replace(spatial=spatial, spectral=spectral))
    )
    np.testing.assert_allclose(got, expected, atol=1e-12)
    truth = smooth_truth(4, *pair.shape) / 2047
    assert np.abs(got - truth[:, valid]).max() < 0.1


def test_the_base_is_the_mean_of_six_and_gives_both_images_back() -> None:
    scene = np.tile(smooth_truth(1, 52, 44), (BANDS, 1, 1)) / 2047
    scene *= np.linspace(0.3, 1, BANDS)[:, None, None] * (1 + smooth_truth(BANDS, 52, 44) / 2047)
    pair, model = cave_pair(scene / scene.max(), 4).pair, cave_model(4)
    base = hyperspectral_base(pair.spatial, pair.spectral, model)
    sensor = Sensor("cave", "cave", (), psf=model.psf, response=model.response)
    known = pair.replace(sensor=sensor)
    step = Consistency(model.psf, 0.0, model.response)
    single = [
        fuse(known, variants=(Variant(window, adds),))
        for window in (Box(3), Box(5), Gaussian(0.8))
        for adds in (False, True)
    ]
    np.testing.assert_allclose(base, step.apply(np.mean(single, axis=0), known), atol=1e-12)
    seen = Instrument(model.psf, 4, model.phase).observe(base)
    np.testing.assert_allclose(seen, pair.spectral, atol=1e-12)
    mixed = np.tensordot(np.array(model.response), base, axes=1)
    np.testing.assert_allclose(mixed, pair.spatial, atol=1e-12)
    np.testing.assert_allclose(step.apply(base, known), base, atol=1e-12)


def test_the_guides_of_a_pan_need_mtf_gains_or_a_point_spread() -> None:
    pair = make_pair().replace(sensor=None)
    with pytest.raises(SensorModelError, match="MTF gains"):
        LocalRegression().fit(pair.profile, None)


def test_sizes_and_bands_that_do_not_fit_are_refused() -> None:
    model = cave_model(4)
    with pytest.raises(GridMismatchError, match="whole number"):
        hyperspectral_base(np.zeros((3, 30, 32)), np.zeros((31, 8, 8)), model)
    with pytest.raises(BandCountError, match="31"):
        hyperspectral_base(np.zeros((3, 64, 64)), np.zeros((30, 16, 16)), model)


@pytest.mark.parametrize(("guides", "power"), [(Guides.SQUARES, 2.0), (Guides.ROOTS, 0.5)], ids=str)
def test_relations_that_bend_come_back_exactly(guides, power) -> None:
    pair = make_pair()
    mix = np.array([[0.7, 0.1], [0.2, -0.4], [1.5, 0.0], [0.0, 0.9]])
    bent = np.concatenate([pair.spatial, (pair.spatial / 0.9) ** power])
    truth = np.tensordot(np.concatenate([mix, 0.3 * mix[::-1]], axis=1), bent, axes=1) + 0.1
    coarse = Instrument(SENSOR.psf, 4, PHASE).observe(truth)
    pair = pair.replace(spectral=coarse, full_scale=0.9)
    variant = Variant(Box(5), adds_residual=False, guides=guides)
    straight = Variant(Box(5), adds_residual=False)
    # ε keeps a relation between guides that are nearly dependent from being found to the last digit.
    np.testing.assert_allclose(fuse(pair, variants=(variant,)), truth, atol=2e-3)
    missed = [np.abs(fuse(pair, variants=(v,)) - truth).mean() for v in (variant, straight)]
    assert missed[0] < 0.2 * missed[1]


def test_the_ensemble_is_the_mean_of_its_members() -> None:
    pair = make_pair()
    fitted = RegressionEnsemble().fit(pair.profile, None)
    members = np.stack([*fitted.members(pair, Window.whole(pair.shape))])
    assert members.shape == (6, *pair.spectral.shape[:1], *pair.shape)
    np.testing.assert_allclose(members.mean(axis=0), fitted.fuse(pair), rtol=0, atol=1e-12)
    assert len({round(float(member.std()), 12) for member in members}) == 6
