"""UQI and SSIM, window by window: see `bandweave.metrics.similarity` for the formula.

The sums of a row of windows are four rows behind each other in one line: of s = f + g, counted from
a typical value, of d = f − g, of s² and of d².
"""

from __future__ import annotations

import numpy as np

from bandweave.metrics.compiled.jit import (
    FLAG,
    IMAGE,
    MASK,
    REAL,
    TABLE,
    VALUES,
    WHOLE,
    FlatImage,
    as_written,
    counted,
    entry,
    reordered,
)
from bandweave.metrics.inputs import Array
from bandweave.pair import Mask
from bandweave.radiometry import Image

# Columns at once, so that the lines of a row stay in the nearest cache. It is a constant because
# LLVM then sees by itself that rows of one array do not overlap.
_PITCH = 272
_ROW = 4 * _PITCH
_DEPTH = 16  # rows of Gaussian means between two moves of the rows they share
_SAMPLE = 8  # every eighth row and column shows what value is typical
_STEP = 2.0**-10  # typical values are multiples of this, so that whole numbers stay exact
# The share of U + V in the squares it is a rest of, below which it may be rounding.
_LEAST_REST = 2.0**-24


@as_written
def _rows(count: int) -> Array:
    """Return rows of zeros that begin where the processor's own lines begin (64 bytes)."""
    block = np.zeros(count * _ROW + 8)
    skipped = -(block.ctypes.data // 8) % 8
    return block[skipped : skipped + count * _ROW].reshape(count, _ROW)


@as_written
def _typical(f: FlatImage, g: FlatImage, band: int, height: int, width: int) -> float:
    """Return what f + g is counted from: squares lose little, sums of whole numbers nothing."""
    total, count = 0.0, 0
    for row in range(0, height, _SAMPLE):
        for col in range(0, width, _SAMPLE):
            i, j = band * f.band + row * f.row + col, band * g.band + row * g.row + col
            total += f.line[i] + g.line[j]
            count += 1
    return float(np.rint(total / count / _STEP) * _STEP)


@as_written
def _part(image: FlatImage, band: int, row: int, left: int, width: int) -> Array:
    start = band * image.band + row * image.row + left
    return image.line[start : start + width]


@as_written
def _values(f: Array, g: Array, typical: float, out: Array) -> None:
    """Write s, d, s² and d²."""
    for i in range(len(f)):
        s, d = f[i] + g[i] - typical, f[i] - g[i]
        out[i] = s
        out[i + _PITCH] = d
        out[i + 2 * _PITCH] = s * s
        out[i + 3 * _PITCH] = d * d


@as_written
def _end(f: Array, g: Array, typical: float, below: Array, out: Array) -> None:
    """Write the sums from a row to the end of its block, from those below it."""
    for i in range(len(f)):
        s, d = f[i] + g[i] - typical, f[i] - g[i]
        out[i] = below[i] + s
        out[i + _PITCH] = below[i + _PITCH] + d
        out[i + 2 * _PITCH] = below[i + 2 * _PITCH] + s * s
        out[i + 3 * _PITCH] = below[i + 3 * _PITCH] + d * d


@as_written
def _begin(f: Array, g: Array, typical: float, begin: Array) -> None:
    """Add a row to the sums from the beginning of its block."""
    for i in range(len(f)):
        s, d = f[i] + g[i] - typical, f[i] - g[i]
        begin[i] += s
        begin[i + _PITCH] += d
        begin[i + 2 * _PITCH] += s * s
        begin[i + 3 * _PITCH] += d * d


@as_written
def _clear(line: Array) -> None:
    for i in range(len(line)):
        line[i] = 0.0


@as_written
def _copy(line: Array, out: Array) -> None:
    for i in range(len(out)):
        out[i] = line[i]


@as_written
def _sum(values: Array) -> float:
    total = 0.0
    for i in range(len(values)):
        total += values[i]
    return total


@as_written
def _add(a: Array, b: Array, out: Array) -> None:
    for i in range(len(out)):
        out[i] = a[i] + b[i]


@as_written
def _add_to(total: Array, a: Array) -> None:
    for i in range(len(total)):
        total[i] += a[i]


@as_written
def _add_four(a: Array, b: Array, c: Array, d: Array, out: Array) -> None:
    for i in range(len(d)):
        out[i] = (a[i] + c[i]) + (b[i] + d[i])


@as_written
def _sum_across(line: Array, spare: Array, size: int) -> Array:
    """Return the sums over every other of `size` neighbours; both lines are overwritten.

    Windows are halved again and again, so that sums of equal values are exact.
    """
    step = size
    while step >= 8:
        near, far = step // 4, step // 2
        _add_four(line, line[near:], line[far:], line[near + far :], spare)
        line, spare = spare, line
        step = near
    if step == 4:
        _add(line, line[2:], spare[: len(line) - 2])
        line, spare = spare, line
    return line


@reordered
def _mean(t: tuple[float, ...], a: float, b: float, c: float, d: float, e: float, middle: float,
          f: float, g: float, h: float, i: float, j: float) -> float:  # fmt: skip
    inner = t[0] * middle + t[1] * (e + f) + t[2] * (d + g)
    return inner + t[3] * (c + h) + t[4] * (b + i) + t[5] * (a + j)


@reordered
def _filter_down(x: Array, t: tuple[float, ...], out: Array) -> None:
    """Write the means over 11 rows for four rows behind each other."""
    r = _ROW
    for i in range(_ROW):
        out[i] = _mean(
            t, x[i], x[i + r], x[i + 2 * r], x[i + 3 * r], x[i + 4 * r], x[i + 5 * r],
            x[i + 6 * r], x[i + 7 * r], x[i + 8 * r], x[i + 9 * r], x[i + 10 * r],
        )  # fmt: skip
        out[i + r] = _mean(
            t, x[i + r], x[i + 2 * r], x[i + 3 * r], x[i + 4 * r], x[i + 5 * r], x[i + 6 * r],
            x[i + 7 * r], x[i + 8 * r], x[i + 9 * r], x[i + 10 * r], x[i + 11 * r],
        )  # fmt: skip


@reordered
def _filter_across(x: Array, t: tuple[float, ...], out: Array) -> None:
    """Write the means over 11 neighbours, at the first of them."""
    for i in range(len(x) - 10):
        out[i] = _mean(
            t, x[i], x[i + 1], x[i + 2], x[i + 3], x[i + 4], x[i + 5], x[i + 6], x[i + 7],
            x[i + 8], x[i + 9], x[i + 10],
        )  # fmt: skip


@as_written
def _q(s: float, d: float, u: float, v: float, shift: float, c1: float, c2: float) -> float:
    mean, b = s + shift, d * d
    a = mean * mean + 2.0 * c1
    u += 2.0 * c2
    # Both windows flat: only the luminance remains. Both means zero: nothing to compare.
    is_flat, is_empty = u + v == 0.0, a + b == 0.0
    structure = 1.0 if is_flat else u - v
    structure_of = 1.0 if is_flat else u + v
    luminance = 1.0 if is_empty else a - b
    luminance_of = 1.0 if is_empty else a + b
    q = (luminance * structure) / (luminance_of * structure_of)
    return 1.0 if is_empty else q


@as_written
def _box_quality(line: Array, out: Array, weight: float, shift: float) -> int:
    """Write q from half the sums of its windows; return how many windows are in doubt."""
    doubtful = 0
    for i in range(len(out)):
        s = line[i] + line[i + 1]
        d = line[i + _PITCH] + line[i + _PITCH + 1]
        ss = line[i + 2 * _PITCH] + line[i + 2 * _PITCH + 1]
        dd = line[i + 3 * _PITCH] + line[i + 3 * _PITCH + 1]
        u, v = weight * ss - s * s, weight * dd - d * d
        doubtful += (u + v != 0.0) & (u + v <= _LEAST_REST * (s * s + d * d))
        out[i] = _q(s, d, u, v, shift, 0.0, 0.0)
    return doubtful


@as_written
def _gaussian_quality(line: Array, out: Array, shift: float, c1: float, c2: float) -> None:
    """Write q from the means of its windows."""
    for i in range(len(out)):
        s, d = line[i], line[i + _PITCH]
        u, v = line[i + 2 * _PITCH] - s * s, line[i + 3 * _PITCH] - d * d
        out[i] = _q(s, d, u, v, shift, c1, c2)


@as_written
def _keep(values: Array, counts: Mask) -> None:
    for i in range(len(values)):
        values[i] = values[i] if counts[i] else 0.0


@as_written
def _strip(width: int, size: int) -> int:
    """Return how many of the windows beside each other are computed at once."""
    windows, most = width - size + 1, _PITCH - size + 1
    return -(-windows // -(-windows // most))


@entry(IMAGE, IMAGE, WHOLE, WHOLE, WHOLE, MASK, FLAG, TABLE)
def _boxes(f: FlatImage, g: FlatImage, height: int, width: int, size: int, complete: Mask,
           is_masked: bool, found: Array) -> None:  # fmt: skip
    ends = _rows(size + 1)  # for each row of a block, the sums from it to the last
    lines = _rows(3)
    begin, sums, spare = lines[0], lines[1], lines[2]
    strip = _strip(width, size)
    qualities, totals = np.empty(strip), np.empty(strip)
    weight = float(size * size)
    for band in range(found.shape[1]):
        middle = _typical(f, g, band, height, width)
        for left in range(0, width - size + 1, strip):
            cols = min(strip, width - size + 1 - left)
            reach = cols + size - 1
            quality, total = qualities[:cols], totals[:cols]
            _clear(total)
            for first in range(0, height - size + 1, size):
                for k in range(size - 1, -1, -1):
                    x = _part(f, band, first + k, left, reach)
                    y = _part(g, band, first + k, left, reach)
                    _end(x, y, middle, ends[k + 1], ends[k])
                _clear(begin)
                for k in range(min(size, height - size + 1 - first)):
                    if k:
                        x = _part(f, band, first + size + k - 1, left, reach)
                        y = _part(g, band, first + size + k - 1, left, reach)
                        _begin(x, y, middle, begin)
                    # A window is the end of one block of rows and the beginning of the next.
                    _add(ends[k], begin, sums)
                    across = _sum_across(sums, spare, size)
                    found[1, band] += _box_quality(across, quality, weight, weight * middle)
                    if is_masked:
                        _keep(quality, complete[first + k, left : left + cols])
                    _add_to(total, quality)
            found[0, band] += _sum(total)


@entry(IMAGE, IMAGE, WHOLE, WHOLE, VALUES, REAL, REAL, MASK, FLAG, TABLE)
def _gaussians(f: FlatImage, g: FlatImage, height: int, width: int, taps: Array, c1: float,
               c2: float, complete: Mask, is_masked: bool, found: Array) -> None:  # fmt: skip
    rows, lines = _rows(_DEPTH + 11), _rows(3)
    flat, means, across = rows.reshape(-1), lines[:2].reshape(-1), lines[2]
    weights = (taps[0], taps[1], taps[2], taps[3], taps[4], taps[5])
    strip = _strip(width, 11)
    qualities, totals = np.empty(strip), np.empty(strip)
    for band in range(found.shape[1]):
        middle = _typical(f, g, band, height, width)
        for left in range(0, width - 10, strip):
            cols = min(strip, width - 10 - left)
            quality, total = qualities[:cols], totals[:cols]
            _clear(total)
            held = 0
            for first in range(0, height - 10, _DEPTH):
                wanted = min(_DEPTH, height - 10 - first)
                for k in range(held, wanted + 10):
                    x = _part(f, band, first + k, left, cols + 10)
                    y = _part(g, band, first + k, left, cols + 10)
                    _values(x, y, middle, rows[k])
                for k in range(0, wanted, 2):
                    _filter_down(flat[k * _ROW :], weights, means)
                    for n in range(min(2, wanted - k)):
                        _filter_across(lines[n], weights, across)
                        _gaussian_quality(across, quality, middle, c1, c2)
                        if is_masked:
                            _keep(quality, complete[first + k + n, left : left + cols])
                        _add_to(total, quality)
                held = 10
                for k in range(held):
                    _copy(rows[_DEPTH + k], rows[k])
            found[0, band] += _sum(total)


def box_similarity(f: Image, g: Image, size: int, complete: Mask | None) -> tuple[Array, Array]:
    """Return Σ q of each band over windows of `size` x `size` pixels, and how many are in doubt.

    In doubt is a window whose variances may be nothing but rounding and are not exactly 0.

    Args:
        f: Estimate `(C, H, W)`, finite, float64.
        g: Reference, the same shape.
        size: A power of two up to 128.
        complete: Positions that count; None means all.
    """
    found = np.zeros((2, len(f)))
    x, y, counts, is_masked = FlatImage.of(f), FlatImage.of(g), *counted(complete)
    _boxes(x, y, f.shape[1], f.shape[2], size, counts, is_masked, found)
    return found[0], found[1]


def gaussian_similarity(
    f: Image, g: Image, taps: Array, c1: float, c2: float, complete: Mask | None
) -> Array:
    """Return Σ q of each band over windows of 11 x 11 pixels under a separable Gaussian.

    Args:
        f: Estimate `(C, H, W)`, finite, float64.
        g: Reference, the same shape.
        taps: The 11 weights of one axis, symmetric, adding up to 1.
        c1: c₁ in the square of the images' unit.
        c2: c₂ in the same unit.
        complete: Positions that count; None means all.
    """
    found, half = np.zeros((1, len(f))), np.ascontiguousarray(taps[5:])
    x, y, counts, is_masked = FlatImage.of(f), FlatImage.of(g), *counted(complete)
    _gaussians(x, y, f.shape[1], f.shape[2], half, c1, c2, counts, is_masked, found)
    total: Array = found[0]
    return total
