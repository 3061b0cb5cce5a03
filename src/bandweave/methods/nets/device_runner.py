"""A network on a device of its own: few calls, no waiting, and rows of tiles blended there.

Several threads may be inside: each takes a lane, a stream with its own recorded graph, so that one
lane's images travel while another's are computed. All code but the recording runs on any device.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from queue import SimpleQueue
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from bandweave.methods.nets.attention import Precision
from bandweave.methods.nets.network import FusionNetwork

Images = NDArray[np.float32]

# Calls that may be under way at a time, as many as the mosaic makes.
_LANES = 2

# The switches of cuDNN are one for all threads, and one graph is recorded at a time.
_EXCLUSIVE = threading.Lock()


class DeviceRunner:
    """Batches of one fixed shape; the last one is filled with repetitions of its last tile.

    Hence a tile is the same whatever else is in the call. `bf16` means autocast: products and
    convolutions in bfloat16, norms, softmax statistics and the sum with the up-sampled image in
    float32.
    """

    def __init__(
        self,
        model: FusionNetwork,
        batch: int,
        precision: Precision = "fp32",
        device: torch.device | str = "cuda",
    ) -> None:
        """Take over a network that nobody changes any more.

        Args:
            model: In the state for inference; moved to the device.
            batch: Tiles per call.
            precision: Type of the network's products.
            device: Where to compute.
        """
        self.batch = batch
        self._device = torch.device(device)
        self._model = model.to(self._device)
        self._precision = precision
        self._lanes: SimpleQueue[_Lane] = SimpleQueue()
        for _ in range(_LANES):
            self._lanes.put(_Lane(self._device))

    def __call__(self, spatial: Images, spectral: Images, start: Images | None = None) -> Images:
        """Fuse tiles of the unit range, see `TileRunner`."""
        images = (spatial, spectral) if start is None else (spatial, spectral, start)
        with self._lane() as lane:
            return lane.fetched(self._fused(lane, [lane.sent(image) for image in images]))

    def fuse_row(
        self,
        images: Sequence[Images],
        size: int,
        down: Images,
        along: Images,
        full_scale: float,
    ) -> Images:
        """Fuse a row of overlapping tiles and sum them up, weighted.

        Args:
            images: The network's arguments over the whole row, physical values: `(c, H, W)` with
                H = `size` for fine images, `(C, h, w)` for the coarse one.
            size: Side of a tile.
            down: Weights along the rows of a tile, `(size,)`.
            along: Weights along the columns of each of the n tiles, `(n, size)`.
            full_scale: Physical value that maps to 1.0.

        Returns:
            `(C, size, W)`, physical values.
        """
        count, width = len(along), images[0].shape[2]
        stride = (width - size) // max(count - 1, 1)
        with self._lane() as lane:
            tiles = []
            for image in images:
                side, step = (n * image.shape[2] // width for n in (size, stride))
                row = lane.sent(image) / full_scale
                tiles.append(row.unfold(2, side, max(step, 1)).permute(2, 0, 1, 3))
            fused = self._fused(lane, tiles) * (lane.sent(along * full_scale)[:, None, None])
            fused *= lane.sent(down)[:, None]
            # Columns of a sum over tiles, for each band and row by itself.
            columns = fused.permute(1, 2, 3, 0).flatten(0, 1)
            blended = functional.fold(columns, (1, width), (1, size), stride=(1, max(stride, 1)))
            return lane.fetched(blended.view(-1, size, width))

    @contextmanager
    def _lane(self) -> Iterator[_Lane]:
        lane = self._lanes.get()
        try:
            with torch.inference_mode(), lane.current():
                yield lane
        finally:
            self._lanes.put(lane)

    def _fused(self, lane: _Lane, images: Sequence[Tensor]) -> Tensor:
        """Return `(n, C, H, W)` of the unit range, for any number n of tiles."""
        count = len(images[0])
        batches = []
        for first in range(0, count, self.batch):
            part = torch.arange(first, first + self.batch, device=self._device).clamp_(
                max=count - 1
            )
            tiles = [_channels_last(image[part]) for image in images]
            batches.append(lane.computed(self._compute, tiles))
        return torch.cat(batches)[:count]

    def _compute(self, *images: Tensor) -> Tensor:
        kind = self._device.type
        is_mixed = self._precision == "bf16"
        # Casts are part of a recorded graph: none may be taken from an earlier call.
        with torch.autocast(kind, torch.bfloat16, enabled=is_mixed, cache_enabled=False):
            fused: Tensor = self._model(*images).float().clamp(0, 1)
        return fused


class _Lane:
    """A stream and the graph recorded on it; on a CPU, plain calls."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._is_cuda = device.type == "cuda"
        # torch has no annotations there.
        self._stream = torch.cuda.Stream(device) if self._is_cuda else None  # type: ignore[no-untyped-call]
        self._graph: torch.cuda.CUDAGraph | None = None
        self._held: list[Tensor] = []
        self._result: Tensor | None = None

    def current(self) -> torch.cuda.StreamContext | nullcontext[None]:
        """Make the stream the thread's current one."""
        return nullcontext() if self._stream is None else torch.cuda.stream(self._stream)

    def sent(self, image: Images) -> Tensor:
        """Copy an image to the device, in the background."""
        held = torch.from_numpy(np.ascontiguousarray(image, np.float32))
        if not self._is_cuda:
            return held
        return held.pin_memory().to(self._device, non_blocking=True)

    def fetched(self, image: Tensor) -> Images:
        """Copy an image from the device and wait for it, and for nothing else."""
        if self._stream is None:
            return np.asarray(image.numpy())
        fetched = torch.empty(image.shape, dtype=image.dtype, pin_memory=True)
        fetched.copy_(image, non_blocking=True)
        self._stream.synchronize()
        return np.asarray(fetched.numpy())

    def computed(self, compute: _Compute, images: list[Tensor]) -> Tensor:
        """Return `compute(*images)`; images of the first shape that comes play a recording."""
        if self._stream is None:
            return compute(*images)
        if self._graph is None:
            self._record(compute, images)
        if [held.shape for held in self._held] != [image.shape for image in images]:
            with _exact():
                return compute(*images)
        assert self._graph is not None
        assert self._result is not None
        for held, image in zip(self._held, images, strict=True):
            held.copy_(image)
        self._graph.replay()
        return self._result.clone()

    def _record(self, compute: _Compute, images: list[Tensor]) -> None:
        self._held = [image.clone() for image in images]
        graph = torch.cuda.CUDAGraph()
        with _exact():
            for _ in range(3):  # kernels are compiled and chosen before they are recorded
                compute(*self._held)
            torch.cuda.synchronize()
            with torch.cuda.graph(graph, stream=self._stream, capture_error_mode="thread_local"):
                self._result = compute(*self._held)
        self._graph = graph


class _Compute(Protocol):
    """A network's forward pass."""

    def __call__(self, *images: Tensor) -> Tensor:
        """Return the fused tiles."""
        ...


@contextmanager
def _exact() -> Iterator[None]:
    """Without this, convolutions round float32 to 10 bits of mantissa."""
    with _EXCLUSIVE, torch.backends.cudnn.flags(allow_tf32=False):
        yield


def _channels_last(images: Tensor) -> Tensor:
    return images.contiguous(memory_format=torch.channels_last)
