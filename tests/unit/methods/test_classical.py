"""Brovey and GSA against their definitions, written down step by step."""

import numpy as np
import pytest

from bandweave.degrade.observe import observe
from bandweave.degrade.sampling import interpolate
from bandweave.errors import BandCountError, NodataError
from bandweave.methods.statistics import Moments
from bandweave.methods.substitution.brovey import Brovey, cell_means
from bandweave.methods.substitution.gram_schmidt import GramSchmidtAdaptive
from bandweave.mosaic.runner import RunLimits, fit_method
from bandweave.pair import ImagePair
from bandweave.source import ArraySource


@pytest.fixture
def pair(rng) -> ImagePair:
    truth = rng.uniform(200, 800, (3, 148, 124)).cumsum(1).cumsum(2)
    truth = 500 + 300 * np.sin(truth / truth.max() * 40)
    pan = np.tensordot([0.2, 0.5, 0.3], truth, axes=1)[None]
    return ImagePair(
        spatial=pan, spectral=observe(truth, [0.3], 4, (1.5, 1.5)), ratio=4, phase=(1.5, 1.5)
    )


def fuse(method, pair: ImagePair) -> np.ndarray:
    return fit_method(method, ArraySource(pair), RunLimits()).fuse(pair)


def test_gsa_is_its_definition(pair: ImagePair) -> None:
    low = pair.spectral.reshape(3, -1)
    p = observe(pair.spatial, [0.15], 4, (1.5, 1.5)).ravel()
    design = np.column_stack([*low, np.ones(p.size)])
    weights = np.linalg.lstsq(design, p, rcond=None)[0]
    m = interpolate(pair.spectral, 4, (1.5, 1.5), border="symmetric")
    intensity = np.tensordot(weights[:3], m, axes=1) + weights[3]
    pan = pair.spatial[0]
    matched = (pan - pan.mean()) * intensity.std(ddof=1) / pan.std(ddof=1) + intensity.mean()
    expected = np.stack(
        [
            band
            + np.cov(band.ravel(), intensity.ravel())[0, 1]
            / intensity.var(ddof=1)
            * (matched - intensity)
            for band in m
        ]
    )
    np.testing.assert_allclose(fuse(GramSchmidtAdaptive(), pair), expected, rtol=0, atol=1e-8)


def test_brovey_is_its_definition(pair: ImagePair) -> None:
    m = interpolate(pair.spectral, 4, (1.5, 1.5), border="symmetric")
    expected = m * pair.spatial / (0.5 * m[0] + 0.25 * m[1] + 0.25 * m[2])
    fused = fuse(Brovey(weights=(0.5, 0.25, 0.25)), pair)
    np.testing.assert_allclose(fused, expected, rtol=1e-12)
    equal = m * pair.spatial / m.mean(axis=0)
    np.testing.assert_allclose(fuse(Brovey("equal"), pair), equal, rtol=1e-12)


def test_broveys_weights_are_fitted_to_the_pan(pair: ImagePair) -> None:
    low = pair.spectral.reshape(3, -1)
    p = pair.spatial.reshape(37, 4, 31, 4).mean(axis=(1, 3)).ravel()
    weights = np.linalg.lstsq(low.T, p, rcond=None)[0]
    m = interpolate(pair.spectral, 4, (1.5, 1.5), border="symmetric")
    expected = m * pair.spatial / np.tensordot(weights, m, axes=1)
    np.testing.assert_allclose(fuse(Brovey(), pair), expected, rtol=1e-9)


def test_broveys_fitted_intensity_has_a_floor(pair: ImagePair) -> None:
    dark = pair.spectral.copy()
    dark[:, 10:14, 10:14] = 0.001
    pair = pair.replace(spectral=dark)
    fitted = fit_method(Brovey(), ArraySource(pair), RunLimits())
    m = interpolate(dark, 4, (1.5, 1.5), border="symmetric")
    intensity = np.tensordot(fitted.weights, m, axes=1)
    floor = 0.1 * np.tensordot(fitted.weights, dark, axes=1).mean()
    assert (intensity < floor).any()
    quotient = 1 + (pair.spatial - intensity) / np.maximum(intensity, floor)
    np.testing.assert_allclose(fitted.fuse(pair), m * quotient, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("gain", [0.5, 1.15])
def test_brovey_does_not_take_its_level_from_the_pan(pair: ImagePair, gain) -> None:
    other = pair.replace(spatial=gain * pair.spatial)
    np.testing.assert_allclose(fuse(Brovey(), other), fuse(Brovey(), pair), rtol=1e-9)
    as_gdal = fuse(Brovey("equal"), other) / fuse(Brovey("equal"), pair)
    np.testing.assert_allclose(as_gdal, gain, rtol=1e-9)


@pytest.mark.parametrize("phase", [(1.5, 1.5), (2.0, 0.0), (1.25, 2.8)])
def test_cell_means_are_means_over_a_square(pair: ImagePair, phase) -> None:
    pair = pair.replace(phase=phase)
    # Twenty by twenty points in each pixel: a fraction of a pixel is some of its points.
    dense = np.pad(pair.spatial[0], 4, mode="edge").repeat(20, 0).repeat(20, 1)
    corners = [round((4 + 0.5 + p - 2) * 20) for p in phase]
    cells = dense[corners[0] :, corners[1] :][: 37 * 80, : 31 * 80]
    expected = cells.reshape(37, 80, 31, 80).mean(axis=(1, 3))
    np.testing.assert_allclose(cell_means(pair)[0], expected, rtol=1e-12)


def test_brovey_keeps_the_bands_where_the_intensity_is_not_positive(pair: ImagePair) -> None:
    dark = pair.replace(spectral=np.zeros_like(pair.spectral))
    for method in (Brovey(), Brovey("equal")):
        assert np.array_equal(fuse(method, dark), np.zeros((3, 148, 124)))


@pytest.mark.parametrize("method", [Brovey(), GramSchmidtAdaptive()])
def test_scaling_both_images_scales_the_result(method, pair: ImagePair) -> None:
    twice = pair.replace(spatial=2 * pair.spatial, spectral=2 * pair.spectral)
    np.testing.assert_allclose(fuse(method, twice), 2 * fuse(method, pair), rtol=1e-9)


def test_statistics_ignore_masked_pixels(pair: ImagePair) -> None:
    valid = np.ones(pair.shape, dtype=bool)
    valid[:, 100:] = False
    spoilt = pair.spatial.copy()
    spoilt[:, :, 110:] = 1e6
    masked = fuse(GramSchmidtAdaptive(), pair.replace(spatial=spoilt, valid=valid))
    clean = fuse(GramSchmidtAdaptive(), pair.replace(valid=valid))
    # The filter of the PAN reaches a few pixels past the mask; the gains must not explode.
    assert np.abs(masked - clean)[:, :, :100].max() < 0.1 * clean.std()


@pytest.mark.parametrize("method", [Brovey(), GramSchmidtAdaptive()])
def test_methods_for_a_pan_refuse_several_spatial_bands(method, pair: ImagePair) -> None:
    rgb = pair.replace(spatial=np.concatenate([pair.spatial] * 3))
    with pytest.raises(BandCountError, match="found 3 bands"):
        fuse(method, rgb)


def test_brovey_wants_one_weight_per_band(pair: ImagePair) -> None:
    with pytest.raises(BandCountError, match="each band that it fuses: 3 bands, 2 weights"):
        fuse(Brovey(weights=(0.5, 0.5)), pair)


def test_gsa_refuses_a_constant_pan(pair: ImagePair) -> None:
    with pytest.raises(NodataError, match="variance of the PAN"):
        fuse(GramSchmidtAdaptive(), pair.replace(spatial=np.full_like(pair.spatial, 7.0)))


def test_moments_of_parts_are_the_moments_of_the_whole(rng) -> None:
    x = rng.normal(1e6, 1, (3, 37, 31))
    valid = rng.random((37, 31)) > 0.3
    parts = Moments.empty(3)
    for rows in (slice(0, 5), slice(5, 5), slice(5, 37)):
        parts = parts.merged(Moments.of(x[:, rows], valid[rows]))
    columns = x[:, valid]
    assert parts.count == columns.shape[1]
    np.testing.assert_allclose(parts.covariance(), np.cov(columns), rtol=1e-9)
    np.testing.assert_array_equal(parts.smallest, columns.min(axis=1))
    np.testing.assert_array_equal(parts.largest, columns.max(axis=1))
