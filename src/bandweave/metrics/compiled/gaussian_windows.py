"""SSIM: means under a separable Gaussian of 11 x 11 pixels, and q of each.

Four neighbouring means are made at once from the 14 values that they share.
"""

from __future__ import annotations

from bandweave.metrics.compiled.dealt_rows import (
    CHUNK,
    DEALT,
    GROUP,
    PITCH,
    PLANE,
    ROW,
    SLOTS,
    Lines,
    add_row,
    held_length,
    quality,
)
from bandweave.metrics.compiled.jit import as_written, reordered
from bandweave.metrics.inputs import Array
from bandweave.pair import Mask


@reordered
def _mean(t: tuple[float, ...], a: float, b: float, c: float, d: float, e: float, middle: float,
          f: float, g: float, h: float, i: float, j: float) -> float:  # fmt: skip
    inner = t[0] * middle + t[1] * (e + f) + t[2] * (d + g)
    return inner + t[3] * (c + h) + t[4] * (b + i) + t[5] * (a + j)


@reordered
def _means(t: tuple[float, ...], a: float, b: float, c: float, d: float, e: float, f: float,
           g: float, h: float, i: float, j: float, k: float, z: float, m: float, n: float,
           ) -> tuple[float, float, float, float]:  # fmt: skip
    """Return the four means over 11 neighbours."""
    return (
        _mean(t, a, b, c, d, e, f, g, h, i, j, k),
        _mean(t, b, c, d, e, f, g, h, i, j, k, z),
        _mean(t, c, d, e, f, g, h, i, j, k, z, m),
        _mean(t, d, e, f, g, h, i, j, k, z, m, n),
    )


@reordered
def _filter_down(x: Array, t: tuple[float, ...], cols: int, out: Array) -> None:
    """Write four rows of means over 11 rows for one line of s or d, and of its squares."""
    r, w, q = DEALT, ROW, 2 * PLANE
    for z in range(cols):
        a, b, c, d, e = x[z], x[z + r], x[z + 2 * r], x[z + 3 * r], x[z + 4 * r]
        f, g, h, i, j = x[z + 5 * r], x[z + 6 * r], x[z + 7 * r], x[z + 8 * r], x[z + 9 * r]
        k, m, n, o = x[z + 10 * r], x[z + 11 * r], x[z + 12 * r], x[z + 13 * r]
        out[z], out[z + w], out[z + 2 * w], out[z + 3 * w] = _means(
            t, a, b, c, d, e, f, g, h, i, j, k, m, n, o
        )
        out[z + q], out[z + w + q], out[z + 2 * w + q], out[z + 3 * w + q] = _means(
            t, a * a, b * b, c * c, d * d, e * e, f * f, g * g, h * h, i * i, j * j, k * k, m * m,
            n * n, o * o,
        )  # fmt: skip


@reordered
def _filter_across(x: Array, t: tuple[float, ...], count: int, out: Array) -> None:
    """Write the means over 11 columns of one plane, at the first of them."""
    p = PITCH
    for z in range(count):
        out[z], out[z + p], out[z + 2 * p], out[z + 3 * p] = _means(
            t, x[z], x[z + p], x[z + 2 * p], x[z + 3 * p],
            x[z + 1], x[z + 1 + p], x[z + 1 + 2 * p], x[z + 1 + 3 * p],
            x[z + 2], x[z + 2 + p], x[z + 2 + 2 * p], x[z + 2 + 3 * p],
            x[z + 3], x[z + 3 + p],
        )  # fmt: skip


@as_written
def _gaussian_quality(x: Array, shift: float, c1: float, c2: float, out: Array) -> None:
    """Write q from the means of its windows."""
    for i in range(len(out)):
        s, d = x[i], x[i + PLANE]
        u, v = x[i + 2 * PLANE] - s * s, x[i + 3 * PLANE] - d * d
        mean = s + shift
        out[i] = quality(mean * mean + 2.0 * c1, d * d, u + 2.0 * c2, v)


@as_written
def _gaussians_down(memory: Lines, top: int, weights: tuple[float, ...], cols: int) -> None:
    """Average the rows of a group of Gaussians, once the two groups below them are dealt."""
    x = memory.dealt[(top // GROUP + SLOTS - 2) % SLOTS * CHUNK :]
    for k in range(0, GROUP, 4):
        for i in range(0, DEALT, PITCH):
            _filter_down(x[k * DEALT + i :], weights, cols, memory.sums[k * ROW + i :])


@as_written
def _gaussian_row(x: Array, weights: tuple[float, ...], cols: int, typical: float, c1: float,
                  c2: float, memory: Lines) -> None:  # fmt: skip
    """Write q of a row of Gaussians from the means over their rows."""
    for q in range(0, ROW, PLANE):
        _filter_across(x[q:], weights, held_length(cols), memory.across[q:])
    for p in range(0, PLANE, PITCH):
        line = memory.quality[p : p + held_length(cols)]
        _gaussian_quality(memory.across[p:], typical, c1, c2, line)


@as_written
def add_gaussians(top: int, rows: int, left: int, cols: int, held: int, weights: tuple[float, ...],
                  typical: float, c1: float, c2: float, whole: Mask, is_masked: bool,
                  memory: Lines) -> None:  # fmt: skip
    """Add q of the Gaussians that begin two groups before a group of rows to the columns' sums.

    Args:
        top: The group's first row, which is dealt.
        rows: Rows of Gaussians in the image.
        left: Column of the first Gaussian.
        cols: Gaussians beside each other.
        held: How much of each line the rows fill.
        weights: Of the middle and of its five neighbours on either side.
        typical: What s is counted from.
        c1: c₁ of SSIM.
        c2: c₂ of SSIM.
        whole: Gaussians that count.
        is_masked: Whether others do not.
        memory: Where the rows are.
    """
    first = top - 2 * GROUP
    if 0 <= first < rows:
        _gaussians_down(memory, top, weights, held)
    for k in range(max(0, -first), min(GROUP, rows - first)):
        row = memory.sums[k * ROW : (k + 1) * ROW]
        _gaussian_row(row, weights, cols, typical, c1, c2, memory)
        add_row(memory.gaussians, memory.quality, whole, first + k, left, cols, is_masked)
