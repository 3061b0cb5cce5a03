"""The blocks of Q2n as whole numbers, with their moments: see `bandweave.metrics.q2n`."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bandweave.metrics.compiled.jit import (
    IMAGE,
    INDEX,
    TABLES,
    WHOLE,
    FlatImage,
    as_written,
    entry,
    reordered,
)
from bandweave.metrics.inputs import Array
from bandweave.radiometry import Image

Index = NDArray[np.intp]


@as_written
def _rounded(value: float) -> float:
    """Round half away from zero and saturate, as MATLAB's conversion to uint16 does."""
    limited = min(max(value + 0.5, 0.0), 65535.0)
    return float(np.int32(limited))  # the floor of what is not negative, in vector instructions


@as_written
def _round_row(values: Array, base: float, out: Array) -> None:
    for c in range(len(out)):
        out[c] = _rounded(values[c]) - base


@reordered
def _moments(values: Array) -> tuple[float, float]:
    """Return Σ x and Σ x²; of whole numbers they are exact in any order."""
    total, squared = 0.0, 0.0
    for k in range(len(values)):
        total += values[k]
        squared += values[k] * values[k]
    return total, squared


@as_written
def _deal(row: Array, step: int, k: int, first: int, band: int, block: int, out: Array) -> None:
    """Copy a row to row k of the blocks from `first` on that lie side by side."""
    for j in range((len(row) - block) // step + 1):
        part, source = out[first + j, band, k * block : (k + 1) * block], row[j * step :]
        for c in range(block):
            part[c] = source[c]


@entry(IMAGE, WHOLE, INDEX, INDEX, WHOLE, WHOLE, TABLES, TABLES)
def _blocks(image: FlatImage, width: int, rows: Index, cols: Index, block: int, step: int,
            out: Array, moments: Array) -> None:  # fmt: skip
    across = (len(cols) - block) // step + 1
    line = np.empty(len(cols))
    for band in range(out.shape[1]):
        base = _rounded(image.line[band * image.band])
        for first in range(0, len(out), across):
            top = first // across * step
            # Row by row through all blocks: each row of the image is read in one go.
            for k in range(block):
                start = band * image.band + rows[top + k] * image.row
                _round_row(image.line[start : start + width], base, line[:width])
                for c in range(width, len(cols)):
                    line[c] = line[cols[c]]
                _deal(line, step, k, first, band, block, out)
            for n in range(first, first + across):
                moments[0, n, band] = base
                moments[1, n, band], moments[2, n, band] = _moments(out[n, band])


def rounded_blocks(
    image: Image, rows: Index, cols: Index, block: int, step: int, out: Array
) -> Array:
    """Write blocks of whole numbers, counted from the band's first, to `out` `(N, C, block²)`.

    Args:
        image: `(C, H, W)`, finite, float64.
        rows: The row of the image that stands in each row of the continued image.
        cols: The same for its columns, of which the first W are the image's own.
        block: Pixels per side of a block.
        step: Pixels between blocks.
        out: One entry for each block of the continued image, by rows and columns.

    Returns:
        `(3, N, C)`: the band's first pixel, and Σ x and Σ x² of what is counted from it.
    """
    moments = np.empty((3, *out.shape[:2]))
    _blocks(FlatImage.of(image), image.shape[2], rows, cols, block, step, out, moments)
    return moments
