"""Blocks of an image as whole numbers, with their moments: what Q2n is computed from."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from bandweave.metrics.inputs import Array
from bandweave.radiometry import Image

_LARGEST = 65535  # both images are brought to unsigned 16-bit integers first

Index = NDArray[np.intp]


@dataclass(frozen=True, slots=True, eq=False)
class RoundedBlocks:
    """Blocks counted from whole numbers, so that their sums and products are exact or nearly so."""

    values: Image
    """`(N, C, pixels)`, counted from a whole number for each block and band."""
    moments: Array
    """`(3, N, C)`: these numbers, and Σ x and Σ x² of the values."""


class Rounding:
    """Cuts chunks of blocks out of two images, over and over in the same memory."""

    def __init__(
        self, bands: int, cols: Index, *, most: int, block: int, step: int, dtype: np.dtype[Any]
    ) -> None:
        """Prepare for chunks of up to `most` rows of blocks; `cols` continues the columns."""
        self._cols, self._block, self._step = cols, block, step
        self._across = (len(cols) - block) // step + 1
        strip = (bands, (most - 1) * step + block, len(cols))
        blocks = (2, most * self._across, bands, block * block)
        # One block of memory, so that the allocator keeps it from one call to the next. The blocks
        # begin where the processor's own lines begin (64 bytes).
        scratch = np.empty(prod(blocks) + prod(strip) + 64 // dtype.itemsize, dtype)
        skipped = -scratch.ctypes.data % 64 // dtype.itemsize
        self._blocks = scratch[skipped:][: prod(blocks)].reshape(blocks)
        self._strip = scratch[skipped + prod(blocks) :][: prod(strip)].reshape(strip)

    def __call__(self, image: Image, rows: Index, slot: int) -> RoundedBlocks:
        """Return the blocks of a finite `image` `(C, H, W)` whose rows continue as `rows` says.

        They stay as they are until the slot, 0 or 1, is used again.
        """
        down = (len(rows) - self._block) // self._step + 1
        out = self._blocks[slot, : down * self._across]
        part = _mirrored(image, rows, self._cols, out=self._strip)
        shape = (down, self._across, len(image), self._block, self._block)
        _to_sixteen_bits(blocks_of(part, self._block, self._step), out=out.reshape(shape))
        return _centred(out)


def mirrored_index(size: int, block: int, step: int) -> Index:
    """Return the index of each line once an axis is mirrored, edge included, to whole blocks."""
    index = np.arange(size + max(-size % step, block - size)) % (2 * size)
    return np.minimum(index, 2 * size - 1 - index)


def blocks_of(image: NDArray[Any], block: int, step: int) -> NDArray[Any]:
    """View `(C, H, W)` as blocks `(rows, columns, C, block, block)`."""
    windows = sliding_window_view(image, (block, block), axis=(1, 2))
    return windows[:, ::step, ::step].transpose(1, 2, 0, 3, 4)


def _mirrored(image: Image, rows: Index, cols: Index, *, out: Image) -> Image:
    """Return `image` continued as `rows` and `cols` say: in `out` unless it reaches far enough."""
    height, width = min(image.shape[1], len(rows)), image.shape[2]
    if (height, width) == (len(rows), len(cols)):
        return image[:, :height]
    part = out[:, : len(rows)]
    part[:, :height, :width] = image[:, :height]
    part[:, :height, width:] = part[:, :height, cols[width:]]
    part[:, height:] = part[:, rows[height:]]
    return part


def _to_sixteen_bits(image: Image, *, out: Image) -> None:
    """Round half away from zero and saturate, as MATLAB's conversion to uint16 does."""
    np.copyto(out, image)
    out += 0.5  # by itself: the copy goes over short runs, which is slow enough
    np.floor(out, out=out)
    np.clip(out, 0, _LARGEST, out=out)


def _centred(values: Image) -> RoundedBlocks:
    """Count whole numbers `(N, C, pixels)` from one near their mean, in place.

    Single precision holds such differences exactly, and squares of them lose little.
    """
    base = np.rint(np.einsum("ncp->nc", values) / values.shape[2])
    values -= base[:, :, None]
    total, squared = np.einsum("ncp->nc", values), np.vecdot(values, values)
    return RoundedBlocks(values, np.stack((base, total, squared), dtype=np.float64))
