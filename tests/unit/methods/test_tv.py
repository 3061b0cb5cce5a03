"""TV against dense matrices, and what its parameters do."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest

from bandweave.degrade.sampling import imresize
from bandweave.errors import BandCountError, ResourceError
from bandweave.methods.base import WholeScene
from bandweave.methods.table import METHODS
from bandweave.methods.variational.tv import Tv, TvSettings, gradient, gradient_adjoint
from bandweave.mosaic.runner import ArraySink, RunLimits, run_scene
from bandweave.pair import ImagePair
from bandweave.sensors import find_sensor
from bandweave.source import ArraySource
from scenes import smooth_truth


def make_pair(bands: int = 3, shape: tuple[int, int] = (3, 2)) -> ImagePair:
    truth = smooth_truth(bands, shape[0] * 4, shape[1] * 4)
    return ImagePair(truth.mean(axis=0, keepdims=True), imresize(truth, 0.25), 4, (1.5, 1.5))


def fuse(method: Tv, pair: ImagePair) -> np.ndarray:
    return method.fit(pair.profile, None).fuse(pair)


def differences(height: int, width: int, rows: int, cols: int) -> np.ndarray:
    """Return the matrix of x[r + rows, c + cols] - x[r, c], zero rows where that is outside."""
    matrix = np.zeros((height * width, height * width))
    for r in range(height - rows):
        for c in range(width - cols):
            here = r * width + c
            matrix[here, here] = -1
            matrix[here, (r + rows) * width + c + cols] = 1
    return matrix


def resizing(shape: tuple[int, int], scale: float) -> np.ndarray:
    columns = np.eye(shape[0] * shape[1]).reshape(-1, *shape)
    return imresize(columns, scale, method="bilinear").reshape(len(columns), -1).T


@pytest.mark.parametrize("regularisation", [1e-3, 40.0])
def test_tv_is_its_iteration_in_dense_matrices(regularisation):
    pair = make_pair()
    height, width = pair.shape
    settings = TvSettings((0.5, 0.2, 0.3), regularisation, iterations=7)
    down, up = resizing((height, width), 0.25), resizing((height // 4, width // 4), 4.0)
    horizontal, vertical = differences(height, width, 0, 1), differences(height, width, 1, 0)
    d = np.concatenate([horizontal, vertical])
    y = pair.spectral.reshape(3, -1)
    pan, w = pair.spatial.ravel(), np.array(settings.weights)
    alpha, c, n = settings.step, settings.dual_step, height * width
    x, z = np.zeros((3, n)), np.zeros((3, 2 * n))
    for _ in range(settings.iterations):
        b = alpha * x + (y - x @ down.T) @ up.T + np.outer(w, pan - w @ x)
        slope = np.hypot(x @ horizontal.T, x @ vertical.T)
        q = np.tile(2 * alpha / regularisation * slope + c, 2)
        z = (b @ d.T + c * z - z @ d @ d.T) / q
        x = (b - z @ d) / alpha
    expected = x.reshape(3, height, width)
    np.testing.assert_allclose(fuse(Tv(settings), pair), expected, rtol=0, atol=1e-9)


def test_gradient_and_its_adjoint(rng):
    x, z = rng.normal(size=(3, 37, 31)), rng.normal(size=(2, 3, 37, 31))
    assert np.vdot(gradient(x), z) == pytest.approx(np.vdot(x, gradient_adjoint(z)), rel=1e-12)


def test_more_regularisation_smooths_more():
    pair = make_pair(shape=(9, 8))
    variation = [
        np.hypot(*gradient(fuse(Tv(TvSettings((1 / 3,) * 3, strength)), pair))).sum()
        for strength in (1e-3, 30.0, 300.0)
    ]
    assert variation[0] > variation[1] > variation[2]


def test_sensors_bring_their_settings():
    pair = make_pair(4).replace(sensor=find_sensor("ge1"))
    scene, toolbox = (Tv(toolbox=t).fit(pair.profile, None).settings for t in (False, True))
    assert toolbox.regularisation == 157.8954
    assert scene == replace(toolbox, regularisation=1e-3)
    unknown = Tv().fit(pair.replace(sensor=None).profile, None).settings
    assert unknown.weights == (0.25,) * 4


def test_weights_have_to_fit_the_bands():
    with pytest.raises(BandCountError, match="3 bands, 2 weights"):
        fuse(Tv(TvSettings((0.5, 0.5), 1e-3)), make_pair())


def test_the_toolbox_s_program_needs_four_bands():
    with pytest.raises(BandCountError, match="needs 4 bands or more, found 3"):
        fuse(Tv(toolbox=True), make_pair())


def test_a_scene_beyond_the_memory_is_refused():
    pair = make_pair()
    limits = RunLimits(max_memory=100)
    with pytest.raises(ResourceError, match="works on the whole scene at once"):
        run_scene(
            Tv().fit(pair.profile, None),
            ArraySource(pair),
            ArraySink(),
            precision=np.float32,
            limits=limits,
        )


def test_the_toolbox_s_double_precision_takes_twice_the_memory():
    profile = make_pair(4, shape=(64, 48)).profile
    create_toolbox = METHODS["tv"].create_toolbox
    assert create_toolbox is not None
    needed = [m.fit(profile, None).reach.bytes_per_pixel for m in (Tv(), create_toolbox())]
    assert needed[1] == 2 * needed[0]


def test_the_stated_memory_holds_the_iteration():
    pair = make_pair(4, shape=(64, 48))
    single = pair.replace(
        spatial=pair.spatial.astype(np.float32), spectral=pair.spectral.astype(np.float32)
    )
    fitted = Tv(TvSettings((0.25,) * 4, 1e-3, iterations=2)).fit(pair.profile, None)
    assert isinstance(fitted.reach, WholeScene)
    tracemalloc.start()
    fitted.fuse(single)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    stated = fitted.reach.bytes_per_pixel * 256 * 192
    assert 0.5 * stated < peak < stated
