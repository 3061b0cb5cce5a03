"""Q2n block by block: see `bandweave.metrics.q2n`.

The value of a block follows from the means of its bands and the products of all bands of one image
with all of the other. Pixels are whole numbers, counted from a band's first one, so that these sums
lose nothing. Some blocks beside each other are copied into lines that stay in the cache, and there
the products of four bands with four others are summed at once, in registers.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bandweave.metrics.compiled.jit import (
    IMAGE,
    INDEX,
    REAL,
    TABLE,
    WHOLE,
    FlatImage,
    Memory,
    as_written,
    entry,
    kept_memory,
    reordered,
)
from bandweave.metrics.inputs import Array
from bandweave.radiometry import Image

Index = NDArray[np.intp]

_VALUES_AT_ONCE = 2**16  # of an image, so that both images' blocks stay in the processor's cache
_TILE = 4  # bands of either image whose products are summed at once, in the processor's registers


@as_written
def _rounded(value: float) -> float:
    """Round half away from zero and saturate, as MATLAB's conversion to uint16 does."""
    return min(max(float(np.floor(value + 0.5)), 0.0), 65535.0)


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
def _take(image: FlatImage, rows: Index, cols: Index, width: int, block: int, step: int,
          planes: Array, moments: Array) -> None:  # fmt: skip
    """Write blocks beside each other as whole numbers, counted from the band's first pixel.

    Args:
        image: The image.
        rows: The row of the image that stands in each row of the blocks.
        cols: The column that stands in each of their columns.
        width: How many of these columns are the image's own, from `cols[0]` on.
        block: Pixels per side of a block.
        step: Columns between blocks.
        planes: For each block its bands, each in a line, and what fills them up.
        moments: `(3, blocks, bands)`: the band's first pixel, Σ x and Σ x².
    """
    blocks, bands = moments.shape[1:]
    each = -(-bands // _TILE) * _TILE
    for band in range(bands):
        base = _rounded(image.line[band * image.band])
        # Row by row through all blocks: each row of the image is read in one go.
        for k in range(block):
            start = band * image.band + rows[k] * image.row
            line = image.line[start + cols[0] : start + cols[0] + width]
            for n in range(blocks):
                out = planes[n * each + band, k * block : (k + 1) * block]
                left = n * step
                if left + block <= width:
                    _round_row(line[left : left + block], base, out)
                else:
                    _round_row(line[left:], base, out[: width - left])
                    for c in range(width - left, block):
                        out[c] = _rounded(image.line[start + cols[left + c]]) - base
        for n in range(blocks):
            moments[0, n, band] = base
            sums = _moments(planes[n * each + band, : block * block])
            moments[1, n, band], moments[2, n, band] = sums


@reordered
def _multiply(a: Array, b: Array, c: Array, d: Array, w: Array, x: Array, y: Array,
              z: Array, out: Array) -> None:  # fmt: skip
    """Write the products of four planes with four others, summed over the pixels."""
    aw, ax, ay, az = 0.0, 0.0, 0.0, 0.0
    bw, bx, by, bz = 0.0, 0.0, 0.0, 0.0
    cw, cx, cy, cz = 0.0, 0.0, 0.0, 0.0
    dw, dx, dy, dz = 0.0, 0.0, 0.0, 0.0
    for k in range(len(a)):
        aw, ax, ay, az = aw + a[k] * w[k], ax + a[k] * x[k], ay + a[k] * y[k], az + a[k] * z[k]
        bw, bx, by, bz = bw + b[k] * w[k], bx + b[k] * x[k], by + b[k] * y[k], bz + b[k] * z[k]
        cw, cx, cy, cz = cw + c[k] * w[k], cx + c[k] * x[k], cy + c[k] * y[k], cz + c[k] * z[k]
        dw, dx, dy, dz = dw + d[k] * w[k], dx + d[k] * x[k], dy + d[k] * y[k], dz + d[k] * z[k]
    out[0, 0], out[0, 1], out[0, 2], out[0, 3] = aw, ax, ay, az
    out[1, 0], out[1, 1], out[1, 2], out[1, 3] = bw, bx, by, bz
    out[2, 0], out[2, 1], out[2, 2], out[2, 3] = cw, cx, cy, cz
    out[3, 0], out[3, 1], out[3, 2], out[3, 3] = dw, dx, dy, dz


@as_written
def _variance(moments: Array, band: int, pixels: int) -> float:
    total, squared = moments[1, band], moments[2, band]
    return float((pixels * squared - total * total) / (pixels * (pixels - 1)))


@as_written
def _quality(products: Array, f: Array, g: Array, pixels: int, sign: Array, epsilon: float,
             std: Array, parts: Array) -> float:  # fmt: skip
    """Return the value of a block from Σ g_i f_j and the moments of both images."""
    bands, planes = f.shape[1], len(sign)
    norm, spread = float(planes - bands), 0.0
    for b in range(bands):
        var_f, var_g = _variance(f, b, pixels), _variance(g, b, pixels)
        sum_f, sum_g = f[1, b] + pixels * f[0, b], g[1, b] + pixels * g[0, b]
        std[0, b] = np.sqrt(var_g) if var_g > 0.0 else epsilon
        std[1, b] = 1.0 if sum_g == 0.0 else std[0, b]
        norm += ((sum_f - sum_g) / pixels / std[1, b] + 1.0) ** 2
        spread += (1.0 if var_g > 0.0 else 0.0) + max(var_f, 0.0) / (std[1, b] * std[1, b])
    parts[:] = 0.0
    for i in range(bands):
        for j in range(bands):
            covariance = pixels * products[i, j] - g[1, i] * f[1, j]
            covariance /= pixels * (pixels - 1) * (std[0, i] * std[1, j])
            parts[i ^ j] += covariance * sign[i, j]
    quality = 0.0
    for k in range(planes):
        quality += parts[k] * parts[k]
    luminance = 2.0 * np.sqrt(planes * norm) / (planes + norm)
    if spread > 0.0:
        return float(2.0 * luminance * np.sqrt(quality) / spread)
    return float(luminance)


@entry(IMAGE, IMAGE, WHOLE, WHOLE, INDEX, INDEX, WHOLE, WHOLE, TABLE, REAL, TABLE, TABLE)
def _map(f: FlatImage, g: FlatImage, bands: int, width: int, rows: Index, cols: Index, block: int,
         step: int, sign: Array, epsilon: float, planes: Array, values: Array) -> None:  # fmt: skip
    pixels, each = block * block, -(-bands // _TILE) * _TILE
    most = len(planes) // (2 * each)
    x, y = planes[: most * each], planes[most * each :]
    for n in range(len(planes)):
        if n % each >= bands:
            planes[n] = 0.0
    of_f, of_g = np.empty((3, most, bands)), np.empty((3, most, bands))
    products, std, parts = np.empty((each, each)), np.empty((2, bands)), np.empty(len(sign))
    for i in range(values.shape[0]):
        down = rows[i * step : i * step + block]
        for first in range(0, values.shape[1], most):
            across, own = cols[first * step :], width - first * step
            blocks = min(most, values.shape[1] - first)
            _take(f, down, across, own, block, step, x, of_f[:, :blocks])
            _take(g, down, across, own, block, step, y, of_g[:, :blocks])
            for n in range(blocks):
                for j in range(n * each, (n + 1) * each, _TILE):
                    for k in range(n * each, (n + 1) * each, _TILE):
                        _multiply(
                            y[j, :pixels], y[j + 1, :pixels], y[j + 2, :pixels], y[j + 3, :pixels],
                            x[k, :pixels], x[k + 1, :pixels], x[k + 2, :pixels], x[k + 3, :pixels],
                            products[j - n * each :, k - n * each :],
                        )  # fmt: skip
                values[i, first + n] = _quality(
                    products, of_f[:, n], of_g[:, n], pixels, sign, epsilon, std, parts
                )


def quality_map(
    f: Image,
    g: Image,
    rows: Index,
    cols: Index,
    *,
    block: int,
    step: int,
    sign: Array,
    epsilon: float,
) -> Array:
    """Return the value of every block; the formula is that of `q2n._block_values`.

    Args:
        f: Estimate `(C, H, W)`, finite, float64.
        g: Reference, the same shape.
        rows: The row of the images that stands in each row of the continued images.
        cols: The same for their columns, of which the first W are the images' own.
        block: Pixels per side of a block.
        step: Pixels between blocks.
        sign: `(planes, planes)`, the sign of e_i · e_j*, which is part i XOR j.
        epsilon: What stands for the standard deviation of a flat block.
    """
    values = np.empty(tuple((len(index) - block) // step + 1 for index in (rows, cols)))
    x, y, size = FlatImage.of(f), FlatImage.of(g), f.shape[2]
    with kept_memory() as memory:
        planes = _planes(memory, len(f), block * block, values.shape[1])
        _map(x, y, len(f), size, rows, cols, block, step, sign, epsilon, planes, values)
    return values


def _planes(memory: Memory, bands: int, pixels: int, blocks: int) -> Array:
    """Return memory for the bands of both images' blocks, for as many as are done at once.

    Each plane begins where the processor's own lines begin, and at another place of its cache.
    """
    each = -(-bands // _TILE) * _TILE
    most = min(max(_VALUES_AT_ONCE // (each * pixels), 1), blocks)
    pitch = -(-pixels // 8) * 8 + 8
    return memory.line("blocks", 2 * most * each * pitch).reshape(-1, pitch)
