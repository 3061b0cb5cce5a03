"""BT-H against its definition and the toolbox's weights."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from bandweave.degrade.mtf import lowpass_kernel
from bandweave.degrade.sampling import interpolate
from bandweave.errors import NodataError
from bandweave.methods.statistics import SceneStatistics
from bandweave.methods.substitution.bt_h import BtH
from bandweave.mosaic.runner import RunLimits, fit_method
from bandweave.pair import ImagePair
from bandweave.sensors import find_sensor
from bandweave.source import ArraySource
from bandweave.window import Window
from scenes import smooth_truth
from toolbox_golden import SCENES, golden_components, golden_pair


def make_pair(rng, bands: int) -> ImagePair:
    truth = smooth_truth(bands, 148, 124)
    lrms = truth[:, 2::4, 2::4] + rng.normal(0, 5, (bands, 37, 31))
    return ImagePair(truth.mean(axis=0, keepdims=True), lrms, 4, (2.0, 2.0))


def fuse(pair: ImagePair) -> np.ndarray:
    return fit_method(BtH(), ArraySource(pair), RunLimits()).fuse(pair)


def by_definition(pair: ImagePair, haze: np.ndarray) -> np.ndarray:
    m = interpolate(pair.spectral, 4, (2, 2), border="symmetric")
    pan = pair.spatial[0]
    kernel = lowpass_kernel(4)
    low = ndimage.correlate(pan, kernel / kernel.sum(), mode="nearest")
    alpha = np.linalg.lstsq(m.reshape(len(m), -1).T, low.ravel(), rcond=None)[0]
    intensity = np.tensordot(alpha, m - haze[:, None, None], axes=1)
    matched = (pan - low.mean()) * intensity.std() / low.std() + intensity.mean()
    floored = np.maximum(intensity, 0.1 * intensity.mean())
    clean = np.maximum(m - haze[:, None, None], 0)
    return clean * (1 + (matched - intensity) / floored) + haze[:, None, None]


@pytest.mark.parametrize("bands", [3, 4])
def test_bands_lose_what_a_thousandth_of_their_pixels_is_below(rng, bands):
    pair = make_pair(rng, bands)  # without names: nobody says that four bands are B, G, R, NIR
    haze = np.percentile(pair.spectral.reshape(bands, -1), 0.1, axis=1, method="hazen")
    np.testing.assert_allclose(fuse(pair), by_definition(pair, haze), rtol=0, atol=1e-7)


def test_blue_green_red_and_infrared_lose_shares_of_their_percentile(rng):
    pair = make_pair(rng, 4).replace(sensor=find_sensor("qb"))
    darkest = np.percentile(pair.spectral.reshape(4, -1), 1, axis=1, method="hazen")
    haze = darkest * [0.95, 0.45, 0.40, 0.05]
    np.testing.assert_allclose(fuse(pair), by_definition(pair, haze), rtol=0, atol=1e-7)


def test_the_toolbox_takes_any_four_bands_for_these(rng):
    pair = make_pair(rng, 4)
    named = pair.replace(sensor=find_sensor("qb"))
    fused = [BtH(toolbox=True).fit(p.profile, None).fuse(p) for p in (pair, named)]
    np.testing.assert_array_equal(*fused)


def test_a_black_pixel_does_not_take_the_haze_away(rng):
    # Light on a patchwork of colours, and over it most haze in the first band.
    light = smooth_truth(1, 256, 252) - 90
    colours = np.kron(rng.uniform(0.3, 1, (3, 16, 12)), np.ones((16, 21)))
    truth = light * colours + np.array([600.0, 200, 50])[:, None, None]
    pan = truth.mean(axis=0, keepdims=True)
    pair = ImagePair(pan, truth.reshape(3, 64, 4, 63, 4).mean(axis=(2, 4)), 4, (1.5, 1.5))
    spoilt = pair.spectral.copy()
    spoilt[:, 50, 50] = 0  # one of 4032 pixels, which no mask tells
    errors = [
        np.abs(fuse(pair.replace(spectral=lrms)) - truth)[:, :150, :150].mean()
        for lrms in (pair.spectral, spoilt)
    ]
    assert errors[1] < 1.1 * errors[0]


def test_haze_follows_the_names_of_the_bands(rng):
    pair = make_pair(rng, 4).replace(sensor=find_sensor("qb"))
    assert pair.profile.band_names == ("blue", "green", "red", "nir")
    order = [2, 1, 0, 3]
    bands = tuple(pair.sensor.bands[k] for k in order)
    turned = pair.replace(spectral=pair.spectral[order], sensor=replace(pair.sensor, bands=bands))
    np.testing.assert_allclose(fuse(turned), fuse(pair)[order], rtol=0, atol=1e-8)


def test_masked_pixels_set_no_haze(rng):
    pair = make_pair(rng, 3)
    spoilt = pair.spectral.copy()
    spoilt[:, 20:24, 10:14] = 0
    valid = np.ones(pair.shape, dtype=bool)
    valid[40:136, 4:96] = False  # the hole and what the interpolator makes of it
    clean = fuse(pair.replace(valid=valid))
    masked = fuse(pair.replace(spectral=spoilt, valid=valid))
    assert np.abs(masked - clean)[:, :20].max() < 1e-6


def test_a_constant_pan_is_refused(rng):
    pair = make_pair(rng, 3)
    with pytest.raises(NodataError, match="bt_h needs a PAN that varies"):
        fuse(pair.replace(spatial=np.full_like(pair.spatial, 250.0)))


@pytest.mark.golden
@pytest.mark.parametrize("scene", SCENES)
def test_weights_are_the_toolbox_s(shared, scene):
    pair, _ = golden_pair(shared, scene)
    method = BtH(toolbox=True)
    statistics = SceneStatistics.of(
        method.features(pair, pair.profile, Window.whole(pair.shape)), pair
    )
    weights = method.settle(pair.profile, statistics).weights
    golden = golden_components(shared, scene)["bth_alpha"][:, 0]
    assert weights == pytest.approx(golden, rel=1e-9)
