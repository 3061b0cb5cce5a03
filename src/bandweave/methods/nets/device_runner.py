"""A network on GPUs: few calls, no waiting, and rows of tiles blended and rounded there.

Several threads may be inside: each takes a lane, a stream of a GPU with its own recorded graph, so
that one lane's images travel while another's are computed. The same code runs on a CPU, where a
lane has neither, and tests run it there.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from queue import SimpleQueue
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from bandweave.methods.base import RowJoin
from bandweave.methods.nets.attention.layer import Precision
from bandweave.methods.nets.exact import exact_convolutions
from bandweave.methods.nets.network import FusionNetwork
from bandweave.methods.nets.recording import recorded, sent
from bandweave.methods.nets.u2net import LearnedUpsampling
from bandweave.radiometry import Image, Storage

Images = NDArray[np.float32]

# Calls that may be under way at a time on each device: one computes while the other travels.
_LANES = 2

# Layers whose weights autocast rounds anew in every call.
_CAST = nn.Linear | nn.Conv2d | nn.ConvTranspose2d


class DeviceRunner:
    """Batches of one fixed shape; the last one is filled with repetitions of its last tile.

    Hence a tile is the same whatever else is in the call. `bf16` means products and convolutions in
    bfloat16; norms, softmax statistics and the sum with the up-sampled image stay in float32.
    """

    def __init__(
        self,
        model: FusionNetwork,
        batch: int,
        precision: Precision = "fp32",
        devices: Sequence[str] = ("cuda",),
    ) -> None:
        """Put a copy of a network on each device.

        Args:
            model: In the state for inference.
            batch: Tiles per call.
            precision: Type of the network's products.
            devices: Where to compute; several share the tiles and, on equal GPUs, give the same
                pixels as one.
        """
        self.batch = batch
        self.calls_at_once = _LANES * len(devices)
        self._bands = model.config.bands
        self._lanes: SimpleQueue[_Lane] = SimpleQueue()
        models = [_placed(model, precision, name) for name in devices]
        for _ in range(_LANES):
            for name, placed in zip(devices, models, strict=True):
                self._lanes.put(_Lane(placed, batch, precision, torch.device(name)))

    def __call__(self, spatial: Images, spectral: Images, start: Images | None = None) -> Images:
        """Fuse tiles of the unit range, see `TileRunner`."""
        images = (spatial, spectral) if start is None else (spatial, spectral, start)
        with self._lane() as lane:
            (fused,) = lane.fetched(lane.fused([lane.sent(image) for image in images]))
        return fused

    def fuse_row(
        self,
        images: Sequence[Image] | None,
        size: int,
        full_scale: float,
        join: RowJoin,
        above: Callable[[], Image | None],
    ) -> tuple[NDArray[Any], Image]:
        """Fuse a row of overlapping tiles, see `FittedRows`.

        Args:
            images: The network's arguments over the whole row, physical values: `(c, H, W)` with
                H = `size` for fine images, `(C, h, w)` for the coarse one; None for zeros.
            size: Side of a tile.
            full_scale: Physical value that maps to 1.0.
            join: How the tiles are summed up.
            above: Waits for what the row above has left.

        Returns:
            The finished rows, and the rest.
        """
        rows, cols = join.part.slices
        with self._lane() as lane:
            if images is None:
                total = lane.zeros(self._bands, *join.part.shape)
            else:
                total = lane.blended(images, size, full_scale, join)[:, rows, cols]
            # The device is busy with this row by now.
            shared = above()
            if shared is not None:
                total[:, : shared.shape[1]] += lane.sent(shared)
            finished = _stored(total[:, : join.finished], join.storage)
            kept, left = lane.fetched(finished, total[:, join.finished :])
        return kept, left

    @contextmanager
    def _lane(self) -> Iterator[_Lane]:
        lane = self._lanes.get()
        try:
            with torch.inference_mode(), torch.cuda.stream(lane.stream):
                yield lane
        finally:
            self._lanes.put(lane)


class _Lane:
    """A stream of a device, and the network recorded on it; on a CPU, plain calls."""

    def __init__(
        self, model: FusionNetwork, batch: int, precision: Precision, device: torch.device
    ) -> None:
        self._model, self._batch, self._device = model, batch, device
        self._is_mixed = precision == "bf16"
        # torch has no annotations there. Without a stream `torch.cuda.stream` changes nothing.
        self.stream = torch.cuda.Stream(device) if device.type == "cuda" else None  # type: ignore[no-untyped-call]
        if self.stream is not None:
            # There the weights are cast, perhaps still.
            self.stream.wait_stream(torch.cuda.current_stream(device))
        self._held: list[Tensor] = []
        self._replay: Callable[[], Tensor] | None = None

    def zeros(self, *shape: int) -> Tensor:
        """Return zeros on the device."""
        return torch.zeros(shape, device=self._device)

    def sent(self, image: NDArray[Any]) -> Tensor:
        """Copy an image to the device, and make it float32 there."""
        return sent(torch.from_numpy(np.ascontiguousarray(image)), self._device).float()

    def fetched(self, *images: Tensor) -> list[NDArray[Any]]:
        """Copy images from the device and wait for them, and for nothing else."""
        if self.stream is None:
            return [image.numpy() for image in images]
        copies = [torch.empty(i.shape, dtype=i.dtype, pin_memory=True) for i in images]
        for held, image in zip(copies, images, strict=True):
            held.copy_(image, non_blocking=True)
        self.stream.synchronize()
        return [held.numpy() for held in copies]

    def blended(
        self, images: Sequence[Image], size: int, full_scale: float, join: RowJoin
    ) -> Tensor:
        """Cut a row into its tiles, fuse these and sum them up, `(C, size, W)`, physical values."""
        count, width = len(join.along), images[0].shape[2]
        stride = (width - size) // max(count - 1, 1)
        tiles = []
        for image in images:
            side, step = (n * image.shape[2] // width for n in (size, stride))
            row = self.sent(image) / full_scale
            tiles.append(row.unfold(2, side, max(step, 1)).permute(2, 0, 1, 3))
        fused = self.fused(tiles) * self.sent(join.along * full_scale)[:, None, None]
        fused *= self.sent(join.down)[:, None]
        # Columns of a sum over tiles, for each band and row by itself.
        columns = fused.permute(1, 2, 3, 0).flatten(0, 1)
        total = functional.fold(columns, (1, width), (1, size), stride=(1, max(stride, 1)))
        return total.view(-1, size, width)

    def fused(self, images: Sequence[Tensor]) -> Tensor:
        """Return `(n, C, H, W)` of the unit range, for any number n of tiles."""
        count = len(images[0])
        batches = []
        for first in range(0, count, self._batch):
            part = torch.arange(first, first + self._batch, device=self._device)
            part = part.clamp_(max=count - 1)
            batches.append(self._computed([_channels_last(image[part]) for image in images]))
        return torch.cat(batches)[:count]

    def _computed(self, images: list[Tensor]) -> Tensor:
        """Run the network; images of the first shape that comes play a recording."""
        if self._replay is None:
            self._replay = self._recorded(images)
        if [held.shape for held in self._held] != [image.shape for image in images]:
            with exact_convolutions():
                return self._compute(*images)
        for held, image in zip(self._held, images, strict=True):
            held.copy_(image)
        return self._replay().clone()

    def _recorded(self, images: list[Tensor]) -> Callable[[], Tensor]:
        self._held = [image.clone() for image in images]
        with exact_convolutions():  # and one recording at a time
            if self.stream is not None:
                for _ in range(3):  # kernels are compiled and chosen before they are recorded
                    self._compute(*self._held)
            return recorded(lambda: self._compute(*self._held), self.stream)

    def _compute(self, *images: Tensor) -> Tensor:
        kind = self._device.type
        # Casts are part of a recording: none may be taken from an earlier call.
        with torch.autocast(kind, torch.bfloat16, enabled=self._is_mixed, cache_enabled=False):
            fused: Tensor = self._model(*images).float().clamp(0, 1)
        return fused


def _placed(model: FusionNetwork, precision: Precision, device: str) -> FusionNetwork:
    """Return a copy of a network on a device, with the weights that autocast would cast cast."""
    placed = copy.deepcopy(model).to(device)
    if precision == "bf16":
        exact = [
            m
            for part in placed.modules()
            if isinstance(part, LearnedUpsampling)
            for m in part.modules()
        ]
        for layer in placed.modules():
            if isinstance(layer, _CAST) and layer not in exact:
                layer.to(torch.bfloat16)
    return placed


def _stored(image: Tensor, storage: Storage | None) -> Tensor:
    """Round and clip as `to_storage` does, for types whose values float32 holds."""
    if storage is None or not storage.is_narrow_integer:
        return image
    kept = torch.from_numpy(np.empty(0, storage.dtype)).dtype
    return image.round().clamp(*storage.range).nan_to_num(0.0).to(kept)


def _channels_last(images: Tensor) -> Tensor:
    return images.contiguous(memory_format=torch.channels_last)
