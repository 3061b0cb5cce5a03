"""Scenes that lie on a device as a whole, and batches gathered from them there.

The CPU draws where tiles lie and how they are turned, as it does without a device; what travels is
ten whole numbers per tile. A turned tile is a matter of the steps from pixel to pixel.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bandweave.methods.nets.recording import sent
from bandweave.train.loss import TensorBatch
from bandweave.train.scene import Cut, Symmetry, TrainingScene, UnitImage
from bandweave.window import Window


class DeviceTiles:
    """Images of all scenes, one behind the other, one memory per role."""

    def __init__(
        self,
        pixels: int,
        *,
        spatial_bands: int,
        bands: int,
        start_bands: int,
        ratio: int,
        device: torch.device,
    ) -> None:
        """Take the memory.

        Args:
            pixels: Most fine pixels of all scenes together.
            spatial_bands: c.
            bands: C.
            start_bands: M C, or 0 where the network starts from nothing.
            ratio: Fine pixels per coarse one.
            device: Where to keep them.
        """
        self._device = device
        self._ratio = ratio
        roles = (spatial_bands, start_bands, bands)
        self._spatial, self._start, self._gt = (_Memory(n, pixels, device) for n in roles)
        self._spectral = _Memory(bands, pixels // ratio**2, device)
        self._slots: dict[Hashable, tuple[TrainingScene, int]] = {}
        self._used = 0

    @staticmethod
    def size(pixels: int, *, spatial_bands: int, bands: int, start_bands: int, ratio: int) -> int:
        """Return the bytes that it takes."""
        values = pixels * (spatial_bands + bands + start_bands) + pixels // ratio**2 * bands
        return 4 * values

    def located(self, placed: Sequence[tuple[Hashable, Cut]]) -> Located:
        """Say where tiles lie on the device; to be called in the order of the batches.

        Args:
            placed: Tiles, each with the place of its scene: another scene at a known place, which
                has the same size, takes the place of the one before.
        """
        new: list[tuple[int, TrainingScene]] = []
        table = []
        for place, cut in placed:
            scene, first = self._slots.get(place, (None, self._used))
            if scene is not cut.scene:
                if scene is None:
                    self._used += cut.scene.size[0] * cut.scene.size[1]
                self._slots[place] = (cut.scene, first)
                new.append((first, cut.scene))
            height, width = cut.scene.size
            table.append(
                (
                    *_row(first, (height, width), cut.fine, cut.symmetry),
                    *_row(
                        first // self._ratio**2,
                        (height // self._ratio, width // self._ratio),
                        cut.coarse,
                        cut.symmetry,
                    ),
                )
            )
        operators = torch.tensor([cut.scene.operator for _, cut in placed])
        side = placed[0][1].fine.height
        return Located(self, new, np.array(table, np.int64), operators, side)

    def gathered(self, located: Located) -> TensorBatch:
        """Copy the new scenes to the device, and gather the tiles there."""
        for first, scene in located.new:
            self._spatial.keep(first, scene.spatial)
            self._spectral.keep(first // self._ratio**2, scene.spectral)
            self._gt.keep(first, scene.gt)
            if scene.start is not None:
                self._start.keep(first, scene.start)
        fine, coarse = sent(torch.from_numpy(located.table), self._device).chunk(2, dim=1)
        side = located.side
        return TensorBatch(
            self._spatial.tiles(fine, side),
            self._spectral.tiles(coarse, side // self._ratio),
            self._start.tiles(fine, side) if self._start.bands else None,
            self._gt.tiles(fine, side),
            located.operators,
        )


@dataclass(frozen=True, slots=True, eq=False)
class Located:
    """A batch that is drawn and not gathered yet."""

    tiles: DeviceTiles
    new: list[tuple[int, TrainingScene]]
    """Scenes that are not on the device yet, and the pixel that they begin at."""
    table: NDArray[np.int64]
    """`(B, 10)`: where the tiles lie in the fine images, then in the spectral one."""
    operators: Tensor
    """`(B,)`."""
    side: int
    """Fine pixels per side."""

    def gathered(self) -> TensorBatch:
        """Return the tiles."""
        return self.tiles.gathered(self)


class _Memory:
    """The images of one role: that of `bands` bands that begins at pixel k lies at bands · k."""

    def __init__(self, bands: int, pixels: int, device: torch.device) -> None:
        self.bands = bands
        self._values = torch.empty(bands * pixels, device=device)

    def keep(self, first: int, image: UnitImage) -> None:
        """Copy an image `(bands, H, W)` to the device."""
        place = slice(self.bands * first, self.bands * first + image.size)
        values = torch.from_numpy(np.ascontiguousarray(image)).view(-1)
        self._values[place] = sent(values, self._values.device)

    def tiles(self, table: Tensor, side: int) -> Tensor:
        """Return `(B, bands, side, side)` from rows of `_row`."""
        first, plane, begin, down, right = table[..., None, None, None].unbind(1)
        across = torch.arange(side, device=table.device)
        band = torch.arange(self.bands, device=table.device)[:, None, None]
        place = self.bands * first + plane * band + begin + down * across[:, None] + right * across
        return self._values[place]


def _row(
    first: int, shape: tuple[int, int], window: Window, symmetry: Symmetry
) -> tuple[int, int, int, int, int]:
    """Return the image's first pixel, pixels per band, and the steps within a band."""
    begin, down, right = symmetry.steps(shape[1], window.height)
    begin += window.row * shape[1] + window.col
    return first, shape[0] * shape[1], begin, down, right
