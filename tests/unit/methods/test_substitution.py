"""GS, IHS, PCA, AWLP and SFIM, carried out transform by transform."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from bandweave.degrade.sampling import interpolate
from bandweave.methods.awlp import Awlp, planes
from bandweave.methods.sfim import Sfim
from bandweave.methods.substitution.gram_schmidt import GramSchmidt
from bandweave.methods.substitution.ihs import Ihs
from bandweave.methods.substitution.pca import PrincipalComponent
from bandweave.mosaic.runner import RunLimits, fit_method
from bandweave.pair import ImagePair
from bandweave.source import ArraySource
from scenes import smooth_truth


@pytest.fixture
def pair(rng) -> ImagePair:
    truth = smooth_truth(3, 148, 124)
    lrms = truth[:, 2::4, 2::4] + rng.normal(0, 5, (3, 37, 31))
    return ImagePair(truth.mean(axis=0, keepdims=True), lrms, 4, (2.0, 2.0))


def fuse(method, pair: ImagePair) -> np.ndarray:
    return fit_method(method, ArraySource(pair), RunLimits()).fuse(pair)


def bands_up(pair: ImagePair) -> np.ndarray:
    return interpolate(pair.spectral, 4, (2, 2), border="symmetric")


def matched(pan: np.ndarray, component: np.ndarray) -> np.ndarray:
    return (pan - pan.mean()) / pan.std() * component.std() + component.mean()


def test_gs_is_the_gram_schmidt_transform_forth_and_back(pair):
    m = bands_up(pair)
    vectors = np.concatenate([m.mean(axis=0, keepdims=True), m]).reshape(4, -1)
    mean = vectors.mean(axis=1, keepdims=True)
    components, shares = [], np.zeros((4, 4))
    for t, vector in enumerate(vectors - mean):
        rest = vector.copy()
        for k, earlier in enumerate(components):
            # The last band is what the mean and the others leave of it: nothing.
            if np.linalg.norm(earlier) > 1e-6:
                shares[t, k] = (vector @ earlier) / (earlier @ earlier)
                rest -= shares[t, k] * earlier
        components.append(rest)
    components[0] = matched(pair.spatial.ravel(), components[0])
    expected = [
        components[t] + mean[t] + sum(shares[t, k] * components[k] for k in range(t))
        for t in range(1, 4)
    ]
    fused = fuse(GramSchmidt(), pair).reshape(3, -1)
    np.testing.assert_allclose(fused, expected, rtol=0, atol=1e-8)


def test_ihs_is_the_linear_transform_forth_and_back(pair):
    # Tu et al. (2001): intensity and two chromaticities of red, green, blue.
    root = np.sqrt(2)
    forth = np.array(
        [[1 / 3, 1 / 3, 1 / 3], [-root / 6, -root / 6, 2 * root / 6], [1 / root, -1 / root, 0]]
    )
    components = np.tensordot(forth, bands_up(pair), axes=1)
    components[0] = matched(pair.spatial[0], components[0])
    expected = np.tensordot(np.linalg.inv(forth), components, axes=1)
    np.testing.assert_allclose(fuse(Ihs(), pair), expected, rtol=0, atol=1e-8)


@pytest.mark.parametrize("sign", [1, -1])
def test_pca_is_the_transform_forth_and_back(pair, sign):
    pair = pair.replace(spatial=500 + sign * (pair.spatial - 500))
    m = bands_up(pair).reshape(3, -1)
    mean = m.mean(axis=1, keepdims=True)
    axes, _, _ = np.linalg.svd(m - mean, full_matrices=False)
    components = axes.T @ (m - mean)
    pan = pair.spatial.ravel()
    if np.corrcoef(components[0], pan)[0, 1] < 0:
        axes[:, 0] *= -1
        components[0] *= -1
    components[0] = matched(pan, components[0])
    expected = axes @ components + mean
    fused = fuse(PrincipalComponent(), pair).reshape(3, -1)
    np.testing.assert_allclose(fused, expected, rtol=0, atol=1e-7)


def test_sfim_divides_by_the_mean_of_five_by_five(pair):
    mean = ndimage.uniform_filter(pair.spatial[0], 5, mode="nearest")
    expected = bands_up(pair) * pair.spatial / mean
    np.testing.assert_allclose(fuse(Sfim(), pair), expected, rtol=1e-12)


def test_sfim_keeps_the_bands_where_the_pan_is_black(pair):
    black = pair.replace(spatial=np.zeros_like(pair.spatial))
    assert np.array_equal(fuse(Sfim(), black), bands_up(pair))


def test_awlp_adds_wavelet_planes_in_proportion(pair):
    m = bands_up(pair)
    intensity = m.mean(axis=0)
    # Padded once for all levels, as one filter of their product sees the border.
    wide = np.pad(matched(pair.spatial[0], intensity), 12, mode="edge")
    added = np.zeros_like(intensity)
    for level in range(2):
        # The B3 spline with holes of 2^level - 1 zeros.
        taps = np.zeros(4 * 2**level + 1)
        taps[:: 2**level] = np.array([1, 4, 6, 4, 1]) / 16
        smooth = ndimage.correlate1d(wide, taps, axis=0)
        smooth = ndimage.correlate1d(smooth, taps, axis=1)
        added += (wide - smooth)[12:-12, 12:-12]
        wide = smooth
    assert intensity.min() > 0.1 * intensity.mean()
    expected = m + m / intensity * added
    np.testing.assert_allclose(fuse(Awlp(), pair), expected, rtol=0, atol=1e-8)


@pytest.mark.parametrize(("ratio", "expected"), [(2, 1), (3, 2), (4, 2), (6, 3), (8, 3)])
def test_awlp_takes_the_planes_of_the_nearest_power_of_two(ratio, expected):
    assert planes(ratio) == expected
