"""PRACS against its definition, written down step by step."""

from __future__ import annotations

import numpy as np
import pytest

from bandweave.degrade.observe import observe
from bandweave.degrade.sampling import interpolate
from bandweave.methods.substitution.pracs import Pracs
from bandweave.mosaic.runner import RunLimits, fit_method
from bandweave.pair import ImagePair
from bandweave.source import ArraySource
from scenes import smooth_truth


@pytest.fixture
def pair() -> ImagePair:
    truth = smooth_truth(3, 148, 124)
    truth[2] = 1100 - 0.8 * truth[2]  # a band that goes against the PAN
    pan = np.tensordot([0.5, 0.4, 0.1], truth, axes=1)[None] + 40
    lrms = observe(truth, [0.3], 4, (1.5, 1.5))
    return ImagePair(pan, lrms, 4, (1.5, 1.5))


def fuse(pair: ImagePair, method: Pracs | None = None) -> np.ndarray:
    return fit_method(method or Pracs(), ArraySource(pair), RunLimits()).fuse(pair)


def matched(image: np.ndarray, like: np.ndarray, to: np.ndarray) -> np.ndarray:
    """Move `image` by what gives `like` the mean and deviation of `to`."""
    return (image - like.mean()) * to.std() / like.std() + to.mean()


def test_pracs_is_its_definition(pair: ImagePair) -> None:
    bands = pair.spectral.reshape(3, -1)
    p = observe(pair.spatial, [0.15], 4, (1.5, 1.5)).ravel()
    design = np.column_stack([*bands, np.ones(p.size)])
    w = np.linalg.lstsq(design, p, rcond=None)[0]
    m = interpolate(pair.spectral, 4, (1.5, 1.5), border="symmetric")
    design_up = np.column_stack([*m.reshape(3, -1), np.ones(m[0].size)])
    intensity = (design_up @ w).reshape(m.shape[1:])
    expected = np.empty_like(m)
    for b, band in enumerate(m):
        rho = np.corrcoef(intensity.ravel(), band.ravel())[0, 1]
        sharp = rho * matched(pair.spatial[0], intensity, band) + (1 - rho) * band
        # The degraded component: the PAN degraded, the band as it was seen.
        degraded = rho * matched(p, intensity, band) + (1 - rho) * bands[b]
        coarse = np.linalg.lstsq(design, degraded, rcond=None)[0]
        synthetic = (design_up @ coarse).reshape(band.shape)
        gain = np.corrcoef(synthetic.ravel(), band.ravel())[0, 1] * band.std() / synthetic.std()
        floored = np.maximum(synthetic, 0.1 * band.mean())
        stability = np.maximum(1 - np.abs(1 - rho * band / floored), 0)
        expected[b] = band + gain * stability * (sharp - synthetic)
    assert np.abs(expected[0] - m[0]).max() > 20  # detail is added
    np.testing.assert_allclose(fuse(pair), expected, rtol=0, atol=1e-7)


def test_a_band_without_likeness_to_the_pan_is_left_as_it_is(rng) -> None:
    truth = smooth_truth(2, 148, 124)
    bands = observe(truth, [0.3], 4, (1.5, 1.5))
    bands[1] = rng.permutation(bands[0].ravel()).reshape(bands[0].shape)
    pair = ImagePair(truth[:1], bands, 4, (1.5, 1.5))
    added = fuse(pair) - interpolate(bands, 4, (1.5, 1.5), border="symmetric")
    assert added[1].std() < 0.02 * added[0].std()


def test_the_strength_scales_what_is_added(pair: ImagePair) -> None:
    m = interpolate(pair.spectral, 4, (1.5, 1.5), border="symmetric")
    half = fuse(pair, Pracs(strength=0.5))
    np.testing.assert_allclose(half - m, 0.5 * (fuse(pair) - m), rtol=0, atol=1e-9)


def test_a_band_of_no_mean_is_left_as_it_is(pair: ImagePair) -> None:
    below = pair.replace(spectral=pair.spectral - np.array([0, 0, 2000.0])[:, None, None])
    m = interpolate(below.spectral, 4, (1.5, 1.5), border="symmetric")
    fused = fuse(below)
    assert np.array_equal(fused[2], m[2])
    assert not np.array_equal(fused[0], m[0])
