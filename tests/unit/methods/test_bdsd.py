"""BDSD-PC against its definition, solved by another solver, and the toolbox's coefficients."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage
from scipy.optimize import lsq_linear

from bandweave.degrade.mtf import mtf_kernel
from bandweave.degrade.sampling import imresize, interpolate
from bandweave.errors import NodataError
from bandweave.methods.statistics import SceneStatistics
from bandweave.methods.substitution.bdsd import BdsdPc
from bandweave.mosaic.runner import RunLimits, fit_method
from bandweave.pair import ImagePair
from bandweave.sensors import find_sensor
from bandweave.source import ArraySource
from bandweave.window import Window
from scenes import smooth_truth
from toolbox_golden import SCENES, golden_components, golden_pair

QB = find_sensor("qb")


@pytest.fixture
def pair(rng) -> ImagePair:
    truth = smooth_truth(4, 148, 124)
    lrms = truth[:, 2::4, 2::4] + rng.normal(0, 5, (4, 37, 31))
    return ImagePair(truth.mean(axis=0, keepdims=True), lrms, 4, (2.0, 2.0), sensor=QB)


def fuse(pair: ImagePair) -> np.ndarray:
    return fit_method(BdsdPc(), ArraySource(pair), RunLimits()).fuse(pair)


def test_bdsd_pc_is_its_definition(pair):
    m = interpolate(pair.spectral, 4, (2, 2), border="symmetric")
    shrunk = imresize(m, 0.25)
    gains = QB.mtf_gains(4)
    blurred = [
        ndimage.correlate(band, mtf_kernel(gain, 4, normalised=True), mode="nearest")
        for band, gain in zip(shrunk, gains, strict=True)
    ]
    pan_kernel = mtf_kernel(QB.pan_mtf_gain, 4, normalised=True)
    pan = ndimage.correlate(pair.spatial[0], pan_kernel, mode="nearest")[2::4, 2::4]
    columns = np.stack([pan, *blurred]).reshape(5, -1).T
    bounds = ([0.0, *[-np.inf] * 4], [np.inf, *[0.0] * 4])
    expected = []
    for band in range(4):
        detail = (shrunk[band] - blurred[band]).ravel()
        gamma = lsq_linear(columns, detail, bounds, method="bvls", tol=1e-14).x
        combined = np.tensordot(gamma, np.concatenate([pair.spatial, m]), axes=1)
        expected.append(m[band] + combined)
    np.testing.assert_allclose(fuse(pair), expected, rtol=0, atol=1e-6)


def test_a_constant_pan_is_refused(pair):
    with pytest.raises(NodataError, match="bdsd_pc needs a PAN that varies"):
        fuse(pair.replace(spatial=np.full_like(pair.spatial, 250.0)))


def test_equal_bands_share_their_weights(pair):
    lrms = pair.spectral.copy()
    lrms[1] = lrms[0]
    sensor_free = pair.replace(spectral=lrms, sensor=find_sensor("none"))
    fused = fuse(sensor_free)
    assert np.isfinite(fused).all()
    np.testing.assert_allclose(fused[0], fused[1], rtol=0, atol=1e-6)


@pytest.mark.golden
@pytest.mark.parametrize("scene", SCENES)
def test_intermediates_and_weights_are_the_toolbox_s(shared, scene):
    pair, _ = golden_pair(shared, scene)
    golden = golden_components(shared, scene)
    method = BdsdPc(toolbox=True)
    features = method.features(pair, pair.profile, Window.whole(pair.shape))
    pan, blurred, detail = np.split(features.coarse, [1, 1 + len(pair.spectral)])
    assert np.abs(pan[0] - golden["bdsd_pan_lr"]).max() <= 1e-8
    assert np.abs(np.moveaxis(blurred, 0, 2) - golden["bdsd_ms_lr"]).max() <= 1e-8
    assert np.abs(np.moveaxis(blurred + detail, 0, 2) - golden["bdsd_gt"]).max() <= 1e-8
    weights = method.settle(pair.profile, SceneStatistics.of(features, pair)).weights
    assert weights == pytest.approx(golden["bdsd_gamma"], rel=0, abs=1e-10)
    # The toolbox's own interior-point solver agrees to its own tolerance.
    assert weights == pytest.approx(golden["bdsd_gamma_qp"], rel=0, abs=1e-7)
