"""The runner of GPUs, run on the CPU: batches, rows of tiles, both precisions."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from bandweave.methods.learned import FittedTileNetwork, LearnedMethod
from bandweave.methods.nets.checkpoint import Weights
from bandweave.methods.nets.device_runner import DeviceRunner
from bandweave.methods.nets.inference import CpuRunner
from bandweave.mosaic.runner import ArraySink, RunLimits, run_scene
from bandweave.pair import ImagePair
from bandweave.source import ArraySource
from bandweave.window import Window


@pytest.fixture
def tiles(rng, card) -> tuple[np.ndarray, np.ndarray]:
    spatial = rng.random((7, 1, 32, 32), np.float32)
    return spatial, rng.random((7, card.bands, 8, 8), np.float32)


@pytest.fixture
def lifted(model):
    """Lift an untrained head's answers, which lie around 0, into the unit range."""
    with torch.no_grad():
        model.head[-1].bias += 0.4
    return model


def test_equals_the_runner_of_tiles_alone(lifted, tiles):
    actual = DeviceRunner(lifted, batch=3, device="cpu")(*tiles)
    np.testing.assert_allclose(actual, CpuRunner(lifted)(*tiles), rtol=0, atol=2e-6)


def test_a_tile_is_the_same_bit_by_bit_in_any_company(lifted, tiles):
    runner = DeviceRunner(lifted, batch=3, device="cpu")
    together = runner(*tiles)
    for k in (0, 3, 6):
        np.testing.assert_array_equal(runner(*(i[k : k + 1] for i in tiles))[0], together[k])


def test_bfloat16_spares_what_the_residual_is_added_to(lifted, tiles):
    # Without a residual nothing is left but the up-sampled image, in float32.
    exact = DeviceRunner(lifted, 4, "fp32", "cpu")(*tiles)
    rounded = DeviceRunner(lifted, 4, "bf16", "cpu")(*tiles)
    assert 0 < np.abs(rounded - exact).max() < 0.01
    with torch.no_grad():
        lifted.head[-1].weight.zero_()
        lifted.head[-1].bias.zero_()
    exact = DeviceRunner(lifted, 4, "fp32", "cpu")(*tiles)
    rounded = DeviceRunner(lifted, 4, "bf16", "cpu")(*tiles)
    np.testing.assert_array_equal(rounded, exact)


def on_device(model, card, base: ImagePair) -> tuple[FittedTileNetwork, FittedTileNetwork]:
    """Return the method as it runs on a CPU, and with the runner of GPUs."""
    method = LearnedMethod(Weights(model, card, "0" * 64), device="cpu", threads=1, pan_sigma=0.6)
    fitted = method.fit(base.profile, None)
    return fitted, replace(fitted, runner=DeviceRunner(model, batch=3, device="cpu"))


@pytest.mark.parametrize("window", [None, Window(13, 7, 41, 61)])
@pytest.mark.parametrize("masked", [False, True])
def test_rows_blended_on_the_device_equal_tiles_blended_one_by_one(
    lifted, card, rng, window, masked
):
    shape = (100, 124)
    valid = None
    if masked:
        valid = np.ones(shape, dtype=bool)
        valid[:70, :50] = False  # whole tiles, and parts of others
        valid[90:] = False
    pair = ImagePair(
        rng.uniform(0, 1023, (1, *shape)).astype(np.float32),
        rng.uniform(0, 1023, (3, shape[0] // 4, shape[1] // 4)).astype(np.float32),
        4,
        (2.0, 2.0),
        full_scale=1023.0,
        valid=valid,
    )
    results = []
    for fitted in on_device(lifted, card, pair):
        sink = ArraySink()
        run_scene(
            fitted,
            ArraySource(pair),
            sink,
            precision=np.float32,
            window=window,
            limits=RunLimits(workers=2),
        )
        results.append(sink)
    tiles, rows = results
    assert not on_device(lifted, card, pair)[0].blends_rows
    assert np.std(tiles.hrms[:, tiles.valid]) > 5
    np.testing.assert_array_equal(rows.valid, tiles.valid)
    np.testing.assert_allclose(rows.hrms, tiles.hrms, rtol=0, atol=1023 * 2e-6)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize(("precision", "tolerance"), [("fp32", 2e-5), ("bf16", 0.02)])
def test_the_gpu_agrees_and_plays_its_recording(lifted, tiles, precision, tolerance):
    expected = CpuRunner(lifted)(*tiles)
    runner = DeviceRunner(lifted, 4, precision)
    fused = runner(*tiles)
    np.testing.assert_allclose(fused, expected, rtol=0, atol=tolerance)
    for _ in range(3):  # more calls than lanes
        np.testing.assert_array_equal(runner(*(image[2:3] for image in tiles))[0], fused[2])
