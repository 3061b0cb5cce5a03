"""The blocks of Q2n as whole numbers, with their moments: see `bandweave.metrics.q2n`."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bandweave.metrics.compiled.jit import (
    IMAGE,
    INDEX,
    REAL,
    TABLE,
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


@as_written
def _variance(moments: Array, n: int, band: int, pixels: int) -> float:
    total, squared = moments[1, n, band], moments[2, n, band]
    return float((pixels * squared - total * total) / (pixels * (pixels - 1)))


@entry(TABLES, TABLES, TABLES, WHOLE, TABLE, REAL, TABLE)
def _qualities(products: Array, f: Array, g: Array, pixels: int, sign: Array, epsilon: float,
               values: Array) -> None:  # fmt: skip
    blocks, bands, _ = products.shape
    planes = len(sign)
    parts, std, std_f = np.empty(planes), np.empty(bands), np.empty(bands)
    for n in range(blocks):
        norm, spread = float(planes - bands), 0.0
        for b in range(bands):
            var_f, var_g = _variance(f, n, b, pixels), _variance(g, n, b, pixels)
            sum_f, sum_g = f[1, n, b] + pixels * f[0, n, b], g[1, n, b] + pixels * g[0, n, b]
            std[b] = np.sqrt(var_g) if var_g > 0.0 else epsilon
            std_f[b] = 1.0 if sum_g == 0.0 else std[b]
            norm += ((sum_f - sum_g) / pixels / std_f[b] + 1.0) ** 2
            spread += (1.0 if var_g > 0.0 else 0.0) + max(var_f, 0.0) / (std_f[b] * std_f[b])
        for k in range(planes):
            parts[k] = 0.0
        for i in range(bands):
            for j in range(bands):
                covariance = pixels * products[n, i, j] - g[1, n, i] * f[1, n, j]
                covariance /= pixels * (pixels - 1) * (std[i] * std_f[j])
                parts[i ^ j] += covariance * sign[i, j]
        quality = 0.0
        for k in range(planes):
            quality += parts[k] * parts[k]
        luminance = 2.0 * np.sqrt(planes * norm) / (planes + norm)
        mixed = 2.0 * luminance * np.sqrt(quality) / spread if spread > 0.0 else luminance
        values[0, n] = mixed


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


def block_qualities(
    products: Array, f: Array, g: Array, pixels: int, sign: Array, epsilon: float
) -> Array:
    """Return the values of N blocks; the formula is that of `q2n._block_values`.

    Args:
        products: `(N, C, C)`, Σ g_i f_j of what `rounded_blocks` wrote.
        f: The estimate's moments, as `rounded_blocks` returns them.
        g: The reference's.
        pixels: Pixels of a block.
        sign: `(planes, planes)`, the sign of e_i · e_j*, which is part i XOR j.
        epsilon: What stands for the standard deviation of a flat block.
    """
    values = np.empty((1, len(products)))
    _qualities(products, f, g, pixels, sign, epsilon, values)
    found: Array = values[0]
    return found
