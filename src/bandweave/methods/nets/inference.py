"""Run a network over many tiles so that no tile knows which others it was computed with.

Matrix products take other paths for other batch shapes and thread counts, and then differ in the
last bits. So every tile, or every full batch, is computed in one fixed shape.
"""

from __future__ import annotations

import copy
from concurrent.futures import ThreadPoolExecutor
from typing import Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from bandweave.errors import ConfigError
from bandweave.methods.nets.u2net import U2Net

Device = Literal["auto", "cpu", "cuda"]
Tiles = NDArray[np.float32]

GPU_BATCH = 32
"""Tiles per call on a GPU, enough to fill it."""


class TileRunner(Protocol):
    """A network on a device."""

    @property
    def batch(self) -> int:
        """Return how many tiles at a time keep the device busy."""
        ...

    def __call__(self, spatial: Tiles, spectral: Tiles) -> Tiles:
        """Fuse tiles of the unit range, clamped to it.

        Args:
            spatial: `(n, c, H, W)`, unit range.
            spectral: `(n, C, H/ratio, W/ratio)`, unit range.

        Returns:
            `(n, C, H, W)`, clamped to [0, 1]; each tile is the same whatever else is passed.
        """
        ...


def make_runner(model: U2Net, device: Device, threads: int | None = None) -> TileRunner:
    """Put a copy of a network on a device.

    Args:
        model: Left as it is.
        device: `auto` takes a CUDA device where there is one.
        threads: Tiles computed side by side on the CPU; None for as many as torch would use.

    Raises:
        ConfigError: `cuda` was asked for and there is none.
    """
    return CpuRunner(model, threads) if chosen_device(device) == "cpu" else CudaRunner(model)


def chosen_device(device: Device) -> Literal["cpu", "cuda"]:
    """Return where `device` means to compute on this machine.

    Raises:
        ConfigError: `cuda` was asked for and there is none.
    """
    has_cuda = torch.cuda.is_available()
    if device == "cuda" and not has_cuda:
        raise ConfigError("No CUDA device was found; use --device cpu, or auto to take what is.")
    return "cpu" if device == "cpu" or not has_cuda else "cuda"


class CpuRunner:
    """One tile per thread, each computed alone on one core.

    The result does not depend on the number of threads, and no layer waits for the slowest core:
    one batch on all cores loses most of its speed as soon as anything else runs
    (benchmarks/bench_tiles.py).
    """

    def __init__(self, model: U2Net, threads: int | None = None) -> None:
        self._model = _frozen_copy(model)
        self._threads = threads or torch.get_num_threads()
        self._pool = ThreadPoolExecutor(self._threads, initializer=_use_one_core)

    @property
    def batch(self) -> int:
        """Return four tiles per thread, so that threads seldom wait for the last one."""
        return 4 * self._threads

    def __call__(self, spatial: Tiles, spectral: Tiles) -> Tiles:
        """Fuse tiles of the unit range, see `TileRunner`."""
        fused = list(self._pool.map(self._fuse_one, spatial, spectral))
        # Setting the threads of a worker also sets what threads to come will start with: give that
        # back the value of the calling thread.
        torch.set_num_threads(torch.get_num_threads())
        return np.stack(fused)

    def _fuse_one(self, spatial: Tiles, spectral: Tiles) -> Tiles:
        with torch.inference_mode():
            fused = self._model(_channels_last(spatial[None]), _channels_last(spectral[None]))
            tile: Tiles = fused[0].clamp(0, 1).numpy()
        return tile


class CudaRunner:
    """Batches of one fixed shape; the last one is filled with repetitions of its last tile."""

    batch = GPU_BATCH

    def __init__(self, model: U2Net) -> None:
        self._model = _frozen_copy(model).to("cuda")

    def __call__(self, spatial: Tiles, spectral: Tiles) -> Tiles:
        """Fuse tiles of the unit range, see `TileRunner`."""
        starts = range(0, len(spatial), self.batch)
        stops = [start + self.batch for start in starts]
        return np.concatenate(
            [self._fuse(spatial[k:n], spectral[k:n]) for k, n in zip(starts, stops, strict=True)]
        )

    def _fuse(self, spatial: Tiles, spectral: Tiles) -> Tiles:
        count = len(spatial)
        order = np.minimum(np.arange(self.batch), count - 1)
        # Without this, convolutions round their inputs to 10 bits of mantissa.
        exact = torch.backends.cudnn.flags(allow_tf32=False)
        with torch.inference_mode(), exact:
            fused = self._model(
                _channels_last(spatial[order]).to("cuda"),
                _channels_last(spectral[order]).to("cuda"),
            )
            tiles: Tiles = fused[:count].clamp(0, 1).cpu().numpy()
        return tiles


def _frozen_copy(model: U2Net) -> U2Net:
    """Copy a network for inference; channels last saves copies between maps and tokens."""
    copied = copy.deepcopy(model).eval().requires_grad_(requires_grad=False)
    for parameter in copied.parameters():
        if parameter.ndim == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
    return copied


def _channels_last(images: Tiles) -> torch.Tensor:
    return torch.from_numpy(images).contiguous(memory_format=torch.channels_last)


def _use_one_core() -> None:
    """Keep torch within the calling thread; holds for this thread alone."""
    torch.set_num_threads(1)
