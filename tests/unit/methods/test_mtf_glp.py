"""The three pyramid methods against their definitions and the toolbox's coefficients."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from bandweave.degrade.mtf import lowpass_kernel, mtf_kernel
from bandweave.degrade.sampling import interpolate
from bandweave.errors import NodataError, SensorModelError
from bandweave.methods.convention import TOOLBOX
from bandweave.methods.modulation import contrast
from bandweave.methods.mtf_glp import MtfGlpFs, MtfGlpHpm, MtfGlpHpmR
from bandweave.methods.statistics import SceneStatistics
from bandweave.mosaic.runner import RunLimits, fit_method
from bandweave.pair import ImagePair
from bandweave.sensors import find_sensor
from bandweave.source import ArraySource
from bandweave.window import Window
from scenes import smooth_truth
from toolbox_golden import SCENES, golden_components, golden_pair

QB = find_sensor("qb")
ALL = [MtfGlpFs(), MtfGlpHpm(), MtfGlpHpmR()]
IDS = [method.id for method in ALL]


@pytest.fixture
def pair(rng) -> ImagePair:
    truth = smooth_truth(4, 148, 124)
    lrms = truth[:, 2::4, 2::4] + rng.normal(0, 5, (4, 37, 31))
    return ImagePair(truth.mean(axis=0, keepdims=True), lrms, 4, (2.0, 2.0), sensor=QB)


def fuse(method, pair: ImagePair) -> np.ndarray:
    return fit_method(method, ArraySource(pair), RunLimits()).fuse(pair)


def low_pass(pan: np.ndarray, gain: float) -> np.ndarray:
    """Filter with SciPy, keep every fourth pixel, interpolate."""
    filtered = ndimage.correlate(pan, mtf_kernel(gain, 4, normalised=True), mode="nearest")
    return interpolate(filtered[None, 2::4, 2::4], 4, (2, 2), border="symmetric")[0]


def bands_up(pair: ImagePair) -> np.ndarray:
    return interpolate(pair.spectral, 4, (2, 2), border="symmetric")


def test_fs_is_its_definition(pair):
    pan = pair.spatial[0]
    expected = []
    for band, gain in zip(bands_up(pair), QB.mtf_gains(4), strict=True):
        low = low_pass(pan, gain)
        g = np.cov(band.ravel(), pan.ravel())[0, 1] / np.cov(low.ravel(), pan.ravel())[0, 1]
        expected.append(band + g * (pan - low))
    np.testing.assert_allclose(fuse(MtfGlpFs(), pair), expected, rtol=0, atol=1e-8)


def test_hpm_is_its_definition_above_the_floor(pair):
    pan = pair.spatial[0]
    kernel = lowpass_kernel(4)
    smooth = ndimage.correlate(pan, kernel / kernel.sum(), mode="nearest")
    expected = []
    for band, gain in zip(bands_up(pair), QB.mtf_gains(4), strict=True):
        matched = (pan - pan.mean()) * band.std() / smooth.std() + band.mean()
        low = low_pass(matched, gain)
        assert low.min() > 0.1 * band.mean()
        expected.append(band * matched / low)
    # The interpolator's weights sum to 1 - 4e-10, which the oracle keeps in its constant.
    np.testing.assert_allclose(fuse(MtfGlpHpm(), pair), expected, rtol=0, atol=1e-5)


def test_hpm_r_is_its_definition_above_the_floor(pair):
    pan = pair.spatial[0]
    expected = []
    for band, gain in zip(bands_up(pair), QB.mtf_gains(4), strict=True):
        low = low_pass(pan, gain)
        g = np.cov(band.ravel(), low.ravel())[0, 1] / low.var(ddof=1)
        c = band.mean() / g - pan.mean()
        assert (g * (low + c)).min() > 0.1 * band.mean()
        expected.append(band * (pan + c) / (low + c))
    np.testing.assert_allclose(fuse(MtfGlpHpmR(), pair), expected, rtol=0, atol=1e-8)


def test_modulation_is_limited_by_the_floor():
    detail, low = np.array([[4.0, 4.0, 4.0]]), np.array([[8.0, 1.0, -5.0]])
    np.testing.assert_allclose(contrast(detail, low, 2.0), [[1.5, 3.0, 3.0]])
    np.testing.assert_array_equal(contrast(detail, low, 0.0), np.ones((1, 3)))


@pytest.mark.parametrize("method", [MtfGlpHpm(), MtfGlpHpmR()], ids=["hpm", "hpm_r"])
def test_a_pan_with_zeros_gives_no_bright_dots(method, pair):
    pan = pair.spatial - pair.spatial.min()
    pan[:, 40:60, 50:90] = 0
    lrms = pair.spectral - pair.spectral.min(axis=(1, 2), keepdims=True)
    fused = fuse(method, pair.replace(spatial=pan, spectral=lrms))
    assert np.isfinite(fused).all()
    # The detail is at most the range, the denominator at least a tenth of the mean.
    assert fused.max() < 11 * lrms.max()


@pytest.mark.parametrize("method", ALL, ids=IDS)
def test_an_unknown_sensor_is_asked_for(method, pair):
    with pytest.raises(SensorModelError, match=r"of the 4 bands, but no sensor is known .* give"):
        fuse(method, pair.replace(sensor=None))


@pytest.mark.parametrize("method", ALL, ids=IDS)
def test_a_constant_pan_is_refused(method, pair):
    with pytest.raises(NodataError, match=r"needs a PAN that varies, but it is 0.1 in all 18352"):
        fuse(method, pair.replace(spatial=np.full_like(pair.spatial, 0.1)))


@pytest.mark.parametrize("method", ALL, ids=IDS)
def test_a_constant_band_stays_constant(method, pair):
    lrms = pair.spectral.copy()
    lrms[2] = 300.0
    fused = fuse(method, pair.replace(spectral=lrms))
    np.testing.assert_allclose(fused[2], 300.0, rtol=1e-8)
    assert fused[1].std() > 10


@pytest.mark.golden
@pytest.mark.parametrize("scene", SCENES)
def test_coefficients_are_the_toolbox_s(shared, scene):
    pair, _ = golden_pair(shared, scene)
    golden = golden_components(shared, scene)
    gains = pair.sensor.mtf_gains(pair.profile.bands)
    low = TOOLBOX.low_pan(pair, gains)
    assert np.abs(low - np.moveaxis(golden["glp_pan_lp"], 2, 0)).max() <= 1e-8

    def settled(method):
        features = method.features(pair, pair.profile, Window.whole(pair.shape))
        return method.settle(pair.profile, SceneStatistics.of(features, pair))

    injection = settled(MtfGlpFs(toolbox=True)).injection
    assert injection == pytest.approx(golden["glp_fs_gain"][0], rel=1e-12)
    slope = settled(MtfGlpHpmR(toolbox=True)).slope
    assert slope == pytest.approx(golden["glp_hpmr_g"][0], rel=1e-12)
