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
from bandweave.methods.nets.attention.layer import Precision, has_bf16_products, use_precision
from bandweave.methods.nets.device_runner import DeviceRunner
from bandweave.methods.nets.network import FusionNetwork

Device = str
"""`auto`, `cpu`, `cuda` (the first one), or numbered ones: `cuda:1`, `cuda:0,cuda:1`."""
Tiles = NDArray[np.float32]

GPU_BATCH = 32
"""Tiles per call on a GPU, enough to fill it."""


class TileRunner(Protocol):
    """A network on a device."""

    @property
    def batch(self) -> int:
        """Return how many tiles at a time keep the device busy."""
        ...

    def __call__(self, spatial: Tiles, spectral: Tiles, start: Tiles | None = None) -> Tiles:
        """Fuse tiles of the unit range, clamped to it; may be called from several threads.

        Args:
            spatial: `(n, c, H, W)`, unit range.
            spectral: `(n, C, H/ratio, W/ratio)`, unit range.
            start: `(n, C, H, W)`, unit range: what the network's base makes of the tiles, or None
                where it has none.

        Returns:
            `(n, C, H, W)`, clamped to [0, 1]; each tile is the same whatever else is passed.
        """
        ...


def make_runner(
    model: FusionNetwork,
    device: Device,
    threads: int | None = None,
    gpu_batch: int = GPU_BATCH,
    *,
    precision: Precision = "fp32",
) -> TileRunner:
    """Put a copy of a network on a device.

    Args:
        model: Left as it is.
        device: `auto` takes a CUDA device where there is one; several share the tiles.
        threads: Tiles computed side by side on the CPU; None for as many as torch would use.
        gpu_batch: Tiles per call on a GPU.
        precision: Rounding of the products: in the attention on the CPU, in the whole network on a
            GPU.

    Raises:
        ConfigError: A CUDA device was asked for that is not there.
    """
    devices = chosen_devices(device)
    if devices == ("cpu",):
        return CpuRunner(model, threads, precision)
    return DeviceRunner(_frozen_copy(model), gpu_batch, precision, devices)


def chosen_devices(device: Device) -> tuple[str, ...]:
    """Return where `device` means to compute on this machine: `cpu`, or CUDA devices.

    Raises:
        ConfigError: A CUDA device was asked for that is not there.
    """
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if device == "cpu" or (device == "auto" and not count):
        return ("cpu",)
    if not count:
        raise ConfigError("No CUDA device was found; use --device cpu, or auto to take what is.")
    named = ("cuda",) if device == "auto" else tuple(dict.fromkeys(device.split(",")))
    for name in named:
        if (torch.device(name).index or 0) >= count:
            raise ConfigError(
                f"There is no device {name}: this machine has {count}, counted from cuda:0."
            )
    return named


def chosen_precision(
    wanted: Literal["auto", "fp32", "bf16"], device: Device, network: FusionNetwork
) -> Precision:
    """Return how the attention is computed: `auto` takes bfloat16 where it gains and costs nothing.

    That is on a CPU that multiplies it, for networks of which it was measured; results then depend
    on the processor, in digits far behind those that the data bear.

    Raises:
        ConfigError: `device` names a CUDA device that is not there.
    """
    if wanted != "auto":
        return wanted
    gains = chosen_devices(device) == ("cpu",) and has_bf16_products()
    return "bf16" if gains and network.bears_bf16 else "fp32"


class CpuRunner:
    """One tile per thread, each computed alone on one core.

    The result does not depend on the number of threads, and no layer waits for the slowest core:
    one batch on all cores loses most of its speed as soon as anything else runs
    (benchmarks/bench_tiles.py).
    """

    def __init__(
        self, model: FusionNetwork, threads: int | None = None, precision: Precision = "fp32"
    ) -> None:
        self._model = _frozen_copy(model)
        use_precision(self._model, precision)
        self._callers_threads = torch.get_num_threads()
        self._threads = threads or self._callers_threads
        self._pool = ThreadPoolExecutor(self._threads, initializer=_use_one_core)

    @property
    def batch(self) -> int:
        """Return four tiles per thread, so that threads seldom wait for the last one."""
        return 4 * self._threads

    def __call__(self, spatial: Tiles, spectral: Tiles, start: Tiles | None = None) -> Tiles:
        """Fuse tiles of the unit range, see `TileRunner`."""
        images = (spatial, spectral) if start is None else (spatial, spectral, start)
        fused = list(self._pool.map(self._fuse_one, *images))
        # Setting the threads of a worker also sets what threads to come will start with: give that
        # back its value.
        torch.set_num_threads(self._callers_threads)
        return np.stack(fused)

    def _fuse_one(self, *images: Tiles) -> Tiles:
        with torch.inference_mode():
            fused = self._model(*(_channels_last(image[None]) for image in images))
            tile: Tiles = fused[0].clamp(0, 1).numpy()
        return tile


def _frozen_copy(model: FusionNetwork) -> FusionNetwork:
    """Copy a network for inference; channels last saves copies between maps and tokens."""
    copied = copy.deepcopy(model).eval().requires_grad_(requires_grad=False)
    lay_channels_last(copied)
    return copied


def lay_channels_last(model: FusionNetwork) -> None:
    """Lay the weights of convolutions in memory as these read them where channels come last."""
    for parameter in model.parameters():
        if parameter.ndim == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)


def _channels_last(images: Tiles) -> torch.Tensor:
    return torch.from_numpy(images).contiguous(memory_format=torch.channels_last)


def _use_one_core() -> None:
    """Keep torch within the calling thread; holds for this thread alone."""
    torch.set_num_threads(1)
