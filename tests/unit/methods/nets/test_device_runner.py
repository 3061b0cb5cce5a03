"""The runner of GPUs, run on the CPU: batches, rows of tiles, several devices, both precisions."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from bandweave.methods.learned import FittedTileNetwork, LearnedMethod
from bandweave.methods.nets import device_runner
from bandweave.methods.nets.checkpoint import Weights
from bandweave.methods.nets.device_runner import DeviceRunner
from bandweave.methods.nets.inference import CpuRunner
from bandweave.mosaic import tile_rows
from bandweave.mosaic.resume import RowStore
from bandweave.mosaic.runner import ArraySink, RunLimits, run_scene
from bandweave.mosaic.tile_rows import narrow
from bandweave.pair import ImagePair
from bandweave.radiometry import Storage
from bandweave.source import ArraySource
from bandweave.window import Window

LIMITS = RunLimits(workers=2)


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
    actual = DeviceRunner(lifted, batch=3, devices=["cpu"])(*tiles)
    np.testing.assert_allclose(actual, CpuRunner(lifted)(*tiles), rtol=0, atol=2e-6)


def test_a_tile_is_the_same_bit_by_bit_in_any_company(lifted, tiles):
    runner = DeviceRunner(lifted, batch=3, devices=["cpu"])
    together = runner(*tiles)
    for k in (0, 3, 6):
        np.testing.assert_array_equal(runner(*(i[k : k + 1] for i in tiles))[0], together[k])


def test_bfloat16_spares_what_the_residual_is_added_to(lifted, tiles):
    # Without a residual nothing is left but the up-sampled image, in float32.
    exact = DeviceRunner(lifted, 4, "fp32", ["cpu"])(*tiles)
    rounded = DeviceRunner(lifted, 4, "bf16", ["cpu"])(*tiles)
    assert 0 < np.abs(rounded - exact).max() < 0.01
    with torch.no_grad():
        lifted.head[-1].weight.zero_()
        lifted.head[-1].bias.zero_()
    exact = DeviceRunner(lifted, 4, "fp32", ["cpu"])(*tiles)
    rounded = DeviceRunner(lifted, 4, "bf16", ["cpu"])(*tiles)
    np.testing.assert_array_equal(rounded, exact)


def test_weights_cast_before_give_the_bits_of_autocast(lifted, tiles):
    ours = DeviceRunner(lifted, 7, "bf16", ["cpu"])(*tiles)
    spatial, spectral = (
        torch.from_numpy(image).contiguous(memory_format=torch.channels_last) for image in tiles
    )
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        expected = lifted(spatial, spectral).float().clamp(0, 1).numpy()
    np.testing.assert_array_equal(ours, expected)


def test_tiles_of_another_size_are_computed_without_the_recording(lifted, tiles, rng):
    runner = DeviceRunner(lifted, 3, devices=["cpu"])
    runner(*tiles)
    larger = rng.random((2, 1, 40, 40), np.float32), rng.random((2, 3, 10, 10), np.float32)
    for _ in range(2):  # both lanes
        np.testing.assert_allclose(runner(*larger), CpuRunner(lifted)(*larger), rtol=0, atol=2e-6)


def test_convolutions_are_exact_in_there_and_as_before_elsewhere(lifted, tiles):
    convolutions, seen = torch.backends.cudnn.conv, []
    lifted.register_forward_hook(lambda *_: seen.append(convolutions.fp32_precision))
    before, runner = convolutions.fp32_precision, DeviceRunner(lifted, 4, devices=["cpu"])
    assert before != "ieee"
    for cut in (32, 32, 16):  # both lanes play the first size
        runner(tiles[0][..., :cut, :cut], tiles[1][..., : cut // 4, : cut // 4])
    assert seen[-1] == "ieee"
    assert convolutions.fp32_precision == before


def test_a_lane_waits_for_its_weights_to_be_cast(monkeypatch):
    waited = []

    class Stream:
        def __init__(self, device):
            self.device = device

        def wait_stream(self, other):
            waited.append((self.device, other))

    monkeypatch.setattr(torch.cuda, "Stream", Stream)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: f"that of {device}")
    device_runner._Lane(None, 1, "bf16", torch.device("cuda:1"))
    assert waited == [(torch.device("cuda:1"), "that of cuda:1")]


def on_device(model, card, base: ImagePair) -> tuple[FittedTileNetwork, FittedTileNetwork]:
    """Return the method as it runs on a CPU, and with the runner of GPUs."""
    method = LearnedMethod(Weights(model, card, "0" * 64), device="cpu", threads=1, pan_sigma=0.6)
    fitted = method.fit(base.profile, None)
    return fitted, replace(fitted, runner=DeviceRunner(model, batch=3, devices=["cpu"]))


@pytest.fixture
def whole_numbers(rng, card) -> ImagePair:
    """Return a scene of 4 x 3 tiles as a 10-bit instrument delivers it, at the phase trained."""
    return ImagePair(
        rng.integers(0, 1024, (1, 60, 44)).astype(np.float32),
        rng.integers(0, 1024, (3, 15, 11)).astype(np.float32),
        4,
        card.phase,
        full_scale=1023.0,
    )


def with_devices(model, card, pair: ImagePair, count: int) -> FittedTileNetwork:
    fitted = LearnedMethod(Weights(model, card, "0" * 64), device="cpu").fit(pair.profile, None)
    return replace(fitted, runner=DeviceRunner(model, 3, devices=["cpu"] * count))


def fused(fitted: FittedTileNetwork, pair: ImagePair, **options) -> np.ndarray:
    sink = ArraySink()
    options = {"limits": LIMITS, **options}
    run_scene(fitted, ArraySource(pair), sink, precision=np.float32, **options)
    return sink.hrms


def test_several_devices_give_the_bits_of_one(lifted, card, whole_numbers):
    one, three = (with_devices(lifted, card, whole_numbers, count) for count in (1, 3))
    assert (one.rows_at_once, three.rows_at_once) == (2, 6)
    np.testing.assert_array_equal(fused(three, whole_numbers), fused(one, whole_numbers))


@pytest.mark.parametrize(
    "storage",
    [Storage(np.dtype("uint16"), 500), Storage(np.dtype("uint8")), Storage(np.dtype("i4"))],
)
def test_rows_are_rounded_on_the_device_as_here(lifted, card, whole_numbers, storage):
    fitted = with_devices(lifted, card, whole_numbers, 1)
    exact = fused(fitted, whole_numbers)
    assert exact.max() > 500
    kept = fused(fitted, whole_numbers, stored=storage)
    is_there = storage.dtype.itemsize <= 2
    assert kept.dtype == (storage.dtype if is_there else np.float32)
    np.testing.assert_array_equal(kept, storage(exact) if is_there else exact)


def test_no_number_becomes_0_as_it_does_here():
    image = torch.tensor([[np.nan, np.inf, -np.inf, 2.5, 3.5, -1.0, 700.0]])
    for storage in (Storage(np.dtype("uint16"), 600), Storage(np.dtype("int16"))):
        np.testing.assert_array_equal(
            device_runner._stored(image, storage).numpy(), storage(image.numpy())
        )


def test_whole_numbers_travel_in_16_bits_and_give_the_same_bits(
    lifted, card, whole_numbers, monkeypatch
):
    fitted = with_devices(lifted, card, whole_numbers, 1)
    types: list[np.dtype] = []

    def watched(image: np.ndarray) -> np.ndarray:
        types.append(narrow(image).dtype)
        return narrow(image)

    monkeypatch.setattr(tile_rows, "narrow", watched)
    travelled = fused(fitted, whole_numbers)
    assert set(types) == {np.dtype("uint16")}
    monkeypatch.setattr(tile_rows, "narrow", lambda image: image)
    np.testing.assert_array_equal(travelled, fused(fitted, whole_numbers))


@pytest.mark.parametrize("value", [0.5, -1.0, 65536.0, np.nan, np.inf])
def test_what_16_bits_cannot_hold_travels_as_it_is(value):
    image = np.array([[[0.0, 65535.0, value]]], np.float32)
    assert narrow(image).dtype == np.float32
    np.testing.assert_array_equal(narrow(image), image)
    assert narrow(image[..., :2]).dtype == np.uint16


def test_an_interrupted_run_goes_on_with_the_same_bits(lifted, card, whole_numbers, tmp_path):
    fitted = with_devices(lifted, card, whole_numbers, 2)
    storage = Storage(np.dtype("uint16"))
    expected = fused(fitted, whole_numbers, stored=storage)

    class Interrupted(ArraySink):
        def write_rows(self, rows, valid):
            if len(self._rows) == 1:
                raise KeyboardInterrupt
            super().write_rows(rows, valid)

    def run(sink: ArraySink) -> np.ndarray:
        store = RowStore(tmp_path, {}, resume=True)
        source = ArraySource(whole_numbers)
        run_scene(
            fitted,
            source,
            sink,
            precision=np.float32,
            limits=LIMITS,
            store=store,
            stored=storage,
        )
        return sink.hrms

    with pytest.raises(KeyboardInterrupt):
        run(Interrupted())
    assert len(list(tmp_path.glob("rows-*"))) >= 2
    np.testing.assert_array_equal(run(ArraySink()), expected)


@pytest.mark.parametrize("failing", [0, 1, 3])
def test_a_row_that_fails_leaves_none_waiting(lifted, card, whole_numbers, failing):
    fitted = with_devices(lifted, card, whole_numbers, 2)
    fuse_row, calls = fitted.runner.fuse_row, []

    def failing_row(*arguments):
        calls.append(None)
        if len(calls) == failing + 1:
            raise RuntimeError("the device is gone")
        return fuse_row(*arguments)

    fitted.runner.fuse_row = failing_row
    with pytest.raises(RuntimeError, match="the device is gone"):
        fused(fitted, whole_numbers)


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
            limits=LIMITS,
        )
        results.append(sink)
    tiles, rows = results
    assert not on_device(lifted, card, pair)[0].rows_at_once
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
