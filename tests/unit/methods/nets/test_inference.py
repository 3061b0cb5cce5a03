"""No tile knows which others it was computed with."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bandweave.errors import ConfigError
from bandweave.methods.nets.inference import CpuRunner, chosen_devices, make_runner


@pytest.fixture
def tiles(rng, card) -> tuple[np.ndarray, np.ndarray]:
    spatial = rng.random((7, 1, 32, 32), np.float32)
    return spatial, rng.random((7, card.bands, 8, 8), np.float32)


def test_equals_the_network_clamped(model, tiles):
    with torch.no_grad():
        # Twice the range, so that the clamp has something to do.
        expected = model(*(2 * torch.from_numpy(image) for image in tiles)).clamp(0, 1)
    actual = CpuRunner(model, threads=1)(*(2 * image for image in tiles))
    assert actual.dtype == np.float32
    assert (actual == 0).any() or (actual == 1).any()
    np.testing.assert_allclose(actual, expected, rtol=0, atol=2e-6)


@pytest.mark.parametrize("threads", [1, 3])
def test_a_tile_is_the_same_bit_by_bit_in_any_company(model, tiles, threads):
    runner = CpuRunner(model, threads)
    together = runner(*tiles)
    alone = CpuRunner(model, threads=1)
    for k in range(7):
        np.testing.assert_array_equal(together[k : k + 1], alone(*(i[k : k + 1] for i in tiles)))
    reversed_order = runner(*(np.ascontiguousarray(image[::-1]) for image in tiles))
    np.testing.assert_array_equal(reversed_order[::-1], together)


def test_the_callers_threads_are_left_alone(model, tiles):
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        CpuRunner(model, threads=2)(*tiles)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_the_network_is_left_alone(model, tiles):
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    CpuRunner(model)(*tiles)
    assert all(p.requires_grad for p in model.parameters())
    assert all(torch.equal(before[n], t) for n, t in model.state_dict().items())


def test_without_a_gpu_cuda_is_refused_and_auto_takes_the_cpu(model, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match="No CUDA device was found; use --device cpu"):
        make_runner(model, "cuda")
    assert isinstance(make_runner(model, "auto"), CpuRunner)


@pytest.mark.parametrize(
    ("device", "found"),
    [
        ("auto", ("cuda",)),
        ("cpu", ("cpu",)),
        ("cuda", ("cuda",)),
        ("cuda:1", ("cuda:1",)),
        ("cuda:1,cuda:0,cuda:1", ("cuda:1", "cuda:0")),
    ],
)
def test_devices_are_chosen_of_those_there_are(device, found, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert chosen_devices(device) == found
    with pytest.raises(ConfigError, match="There is no device cuda:2: this machine has 2"):
        chosen_devices("cuda:0,cuda:2")
