"""UQI and SSIM, window by window: see `bandweave.metrics.similarity` for the formula.

Four values are summed over each window: s = f + g, counted from a typical value, d = f − g, s² and
d². The columns of a row are dealt to four lines: line p holds columns p, p + 4, p + 8, ... In that
order a loop makes the sums of four neighbouring windows from the same few numbers, and all numbers
of a line lie side by side. A plane is four lines, a row four planes: s, d, s² and d², of which only
s and d are dealt. Both metrics take the same dealt rows, eight at a time.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import types

from bandweave.metrics.compiled.jit import (
    FLAG,
    IMAGE,
    LINE,
    MASK,
    REAL,
    TABLE,
    VALUES,
    WHOLE,
    FlatImage,
    Memory,
    as_written,
    counted,
    entry,
    kept_memory,
    reordered,
)
from bandweave.metrics.inputs import Array
from bandweave.pair import Mask
from bandweave.radiometry import Image

BOX = 32  # pixels per side of the windows of UQI; `sliding` offers no others

# Lengths are constants because LLVM then sees by itself that lines of one array do not overlap. A
# line takes a fourth of the columns at once: few enough for the rows of a window to stay in the
# processor's second cache. It begins where the processor's own lines begin (64 bytes).
_LINE = 72
_PLANE = 4 * _LINE
_DEALT = 2 * _PLANE
_ROW = 4 * _PLANE
_GROUP = 8  # rows that are dealt at once, and rows of windows
_CHUNK = _GROUP * _DEALT
_SLOTS = BOX // _GROUP + 1  # groups that a group of boxes touches
_COPIES = 2  # of the first slots, behind the last one: three follow each other from any slot on
_COLS = 4 * _LINE - BOX  # windows beside each other whose columns fit into the lines

_SAMPLES = (32, 8)  # every 32nd row and eighth column shows what value is typical
_STEP = 2.0**-10  # typical values are multiples of this, so that whole numbers stay exact
# The share of U + V in the squares it is a rest of, below which it may be rounding.
_LEAST_REST = 2.0**-24


class _Lines(NamedTuple):
    """Lines for results on the way."""

    dealt: Array
    """Groups of rows of s and d, and copies of the first of them."""
    totals: Array
    """Sums over each group's rows."""
    sums: Array
    """Sums or means over the rows of a group of windows."""
    across: Array
    """The same over their columns, too."""
    fours: Array
    """Sums over four columns each."""
    middle: Array
    """Sums over the columns that the boxes of four columns share."""
    quality: Array
    """q of a row of windows."""
    boxes: Array
    """Sums of q over the rows, for boxes."""
    gaussians: Array
    """The same for Gaussians."""

    @classmethod
    def of(cls, memory: Memory) -> _Lines:
        """Take the lines from a memory."""
        return cls(*(memory.line(name, size) for name, size in _SIZES.items()))


_SIZES = {
    "dealt": (_SLOTS + _COPIES) * _CHUNK,
    "totals": _SLOTS * _ROW,
    "sums": _GROUP * _ROW,
    "across": _ROW,
    "fours": _PLANE,
    "middle": _PLANE,
    "quality": _PLANE,
    "boxes": _PLANE,
    "gaussians": _PLANE,
}
_LINES = types.NamedUniTuple(LINE, len(_SIZES), _Lines)  # type: ignore[no-untyped-call]


@as_written
def _typical(f: FlatImage, g: FlatImage, band: int, height: int, width: int) -> float:
    """Return what f + g is counted from: squares lose little, sums of whole numbers nothing."""
    total, count = 0.0, 0
    for row in range(0, height, _SAMPLES[0]):
        for col in range(0, width, _SAMPLES[1]):
            i, j = band * f.band + row * f.row + col, band * g.band + row * g.row + col
            total += f.line[i] + g.line[j]
            count += 1
    return float(np.rint(total / count / _STEP) * _STEP)


@as_written
def _part(image: FlatImage, band: int, row: int, left: int, width: int) -> Array:
    start = band * image.band + row * image.row + left
    return image.line[start : start + width]


@as_written
def _deal(f: Array, g: Array, typical: float, out: Array) -> None:
    """Write s and d of a row, its columns dealt to four lines."""
    fours = len(f) // 4
    for j in range(fours):
        for p in range(4):
            a, b = f[4 * j + p], g[4 * j + p]
            out[j + p * _LINE] = a + b - typical
            out[j + p * _LINE + _PLANE] = a - b
    for p in range(len(f) - 4 * fours):
        a, b = f[4 * fours + p], g[4 * fours + p]
        out[fours + p * _LINE] = a + b - typical
        out[fours + p * _LINE + _PLANE] = a - b


@as_written
def _length(cols: int) -> int:
    """Return how much of each line holds these columns, rounded up to whole vector instructions.

    What is computed of the rest is finite or not, and left out of the sums.
    """
    return (cols + 31) // 32 * 8


@as_written
def _deal_group(f: FlatImage, g: FlatImage, band: int, top: int, height: int, left: int, reach: int,
                typical: float, has_copies: bool, dealt: Array) -> None:  # fmt: skip
    """Deal the rows of a group to its slot, and to the slot's copy if it has one."""
    slot = top // _GROUP % _SLOTS
    for k in range(min(_GROUP, height - top)):
        x = _part(f, band, top + k, left, reach)
        y = _part(g, band, top + k, left, reach)
        start = slot * _CHUNK + k * _DEALT
        _deal(x, y, typical, dealt[start : start + _DEALT])
    if has_copies and slot < _COPIES:
        source = dealt[slot * _CHUNK : (slot + 1) * _CHUNK]
        copy = dealt[(slot + _SLOTS) * _CHUNK : (slot + _SLOTS + 1) * _CHUNK]
        for i in range(_CHUNK):
            copy[i] = source[i]


@as_written
def _ratio(a: float, b: float, u: float, v: float) -> float:
    return ((a - b) * (u - v)) / ((a + b) * (u + v))


@as_written
def _add_to(total: Array, values: Array) -> None:
    for i in range(len(total)):
        total[i] += values[i]


@as_written
def _add_row(total: Array, values: Array, complete: Mask, row: int, left: int, cols: int,
             is_masked: bool) -> None:  # fmt: skip
    """Add a row of windows to the sums of each column, without those that do not count."""
    if not is_masked:
        _add_to(total, values)
        return
    counts = complete[row, left : left + cols]
    for c in range(cols):
        if counts[c]:
            total[c // 4 + c % 4 * _LINE] += values[c // 4 + c % 4 * _LINE]


@as_written
def _sum(values: Array, cols: int) -> float:
    """Return the sum of a plane over the columns that were dealt to it."""
    total = 0.0
    for c in range(cols):
        total += values[c // 4 + c % 4 * _LINE]
    return total


# --- boxes --------------------------------------------------------------------------------------
# A box that begins at line k of a group ends k lines into another: it holds the last lines of the
# first group, whole groups between them, and the first lines of the last one. No sum is taken back,
# so that what a window does not hold leaves no trace in it. Groups are 8 rows, and 4 columns.


@as_written
def _add_group(x: Array, cols: int, out: Array) -> None:
    """Write the sums over the rows of a group for one line of s or d, and of its squares."""
    r, squared = _DEALT, 2 * _PLANE
    for i in range(cols):
        a, b, c, d = x[i], x[i + r], x[i + 2 * r], x[i + 3 * r]
        e, f, g, h = x[i + 4 * r], x[i + 5 * r], x[i + 6 * r], x[i + 7 * r]
        out[i] = ((a + b) + (c + d)) + ((e + f) + (g + h))
        out[i + squared] = ((a * a + b * b) + (c * c + d * d)) + ((e * e + f * f) + (g * g + h * h))


@as_written
def _slide_by_eight(
    middle: float,
    a: float, b: float, c: float, d: float, e: float, f: float, g: float, h: float,
    i: float, j: float, k: float, z: float, m: float, n: float, o: float,
) -> tuple[float, float, float, float, float, float, float, float]:  # fmt: skip
    """Return the sums from a, b, ... h on, over `middle`, to all before i, before j, ... to o."""
    gh = g + h
    fh = f + gh
    eh = e + fh
    dh = d + eh
    ch = c + dh
    bh = b + ch
    mi = middle + i
    mj = mi + j
    mk = mj + k
    mz = mk + z
    mm = mz + m
    mn = mm + n
    return (
        (a + bh) + middle, bh + mi, ch + mj, dh + mk, eh + mz, fh + mm, gh + mn, h + (mn + o),
    )  # fmt: skip


@as_written
def _slide_by_four(
    middle: float, a: float, b: float, c: float, d: float, e: float, f: float, g: float
) -> tuple[float, float, float, float]:
    """Return the sums from a, b, c, d on, over `middle`, to all before e, f, g and to g."""
    cd, me = c + d, middle + e
    mf = me + f
    return (a + b) + (cd + middle), (b + cd) + me, cd + mf, d + (mf + g)


@as_written
def _box_down(old: Array, new: Array, first: Array, second: Array, third: Array, cols: int,
              out: Array) -> None:  # fmt: skip
    """Write the sums over 32 rows, from each row of a group on, for one line of s or d."""
    r, w, q = _DEALT, _ROW, 2 * _PLANE
    for i in range(cols):
        a, b, c, d = old[i], old[i + r], old[i + 2 * r], old[i + 3 * r]
        e, f, g, h = old[i + 4 * r], old[i + 5 * r], old[i + 6 * r], old[i + 7 * r]
        s, t, u, v = new[i], new[i + r], new[i + 2 * r], new[i + 3 * r]
        x, y, z = new[i + 4 * r], new[i + 5 * r], new[i + 6 * r]
        (
            out[i], out[i + w], out[i + 2 * w], out[i + 3 * w],
            out[i + 4 * w], out[i + 5 * w], out[i + 6 * w], out[i + 7 * w],
        ) = _slide_by_eight(
            first[i] + (second[i] + third[i]), a, b, c, d, e, f, g, h, s, t, u, v, x, y, z
        )  # fmt: skip
        (
            out[i + q], out[i + w + q], out[i + 2 * w + q], out[i + 3 * w + q],
            out[i + 4 * w + q], out[i + 5 * w + q], out[i + 6 * w + q], out[i + 7 * w + q],
        ) = _slide_by_eight(
            first[i + q] + (second[i + q] + third[i + q]),
            a * a, b * b, c * c, d * d, e * e, f * f, g * g, h * h,
            s * s, t * t, u * u, v * v, x * x, y * y, z * z,
        )  # fmt: skip


@as_written
def _add_fours(x: Array, count: int, out: Array) -> None:
    """Write the sums over each four columns: one line from a plane."""
    for j in range(count):
        out[j] = (x[j] + x[j + _LINE]) + (x[j + 2 * _LINE] + x[j + 3 * _LINE])


@as_written
def _add_middle(fours: Array, out: Array) -> None:
    """Write the sums over the 28 columns that all boxes of a group of columns hold."""
    for j in range(len(out) - 7):
        near = (fours[j + 1] + fours[j + 2]) + (fours[j + 3] + fours[j + 4])
        out[j] = near + ((fours[j + 5] + fours[j + 6]) + fours[j + 7])


@as_written
def _box_across(x: Array, middle: Array, count: int, out: Array) -> None:
    """Write the sums over 32 columns of one plane."""
    p, e = _LINE, BOX // 4
    for j in range(count):
        out[j], out[j + p], out[j + 2 * p], out[j + 3 * p] = _slide_by_four(
            middle[j], x[j], x[j + p], x[j + 2 * p], x[j + 3 * p],
            x[j + e], x[j + e + p], x[j + e + 2 * p],
        )  # fmt: skip


@as_written
def _box_quality(x: Array, weight: float, shift: float, count: int, out: Array) -> int:
    """Write q from the sums of its windows; return how many of the first `count` are in doubt."""
    doubtful = 0
    for i in range(len(out)):
        s, d = x[i], x[i + _PLANE]
        squared, b = s * s, d * d
        u, v = weight * x[i + 2 * _PLANE] - squared, weight * x[i + 3 * _PLANE] - b
        rest, a = u + v, (s + shift) * (s + shift)
        doubtful += (rest != 0.0) & (rest <= _LEAST_REST * (squared + b)) & (i < count)
        # Both windows flat: only the luminance remains. Both means zero: nothing to compare.
        is_empty = a + b == 0.0
        is_flat = (rest == 0.0) | is_empty
        u, v = 1.0 if is_flat else u, 0.0 if is_flat else v
        a, b = 1.0 if is_empty else a, 0.0 if is_empty else b
        out[i] = _ratio(a, b, u, v)
    return doubtful


@as_written
def _boxes_down(memory: _Lines, top: int, cols: int) -> None:
    """Sum up the rows of a group of boxes, once the group of rows below them is dealt."""
    slot = top // _GROUP % _SLOTS
    new, old = memory.dealt[slot * _CHUNK :], memory.dealt[(slot + 1) % _SLOTS * _CHUNK :]
    first = memory.totals[(slot + 2) % _SLOTS * _ROW :]
    second = memory.totals[(slot + 3) % _SLOTS * _ROW :]
    third = memory.totals[(slot + 4) % _SLOTS * _ROW :]
    for i in range(0, _DEALT, _LINE):
        _box_down(old[i:], new[i:], first[i:], second[i:], third[i:], cols, memory.sums[i:])


@as_written
def _box_row(x: Array, held: int, cols: int, typical: float, memory: _Lines) -> int:
    """Write q of a row of boxes from the sums over their rows; return how many are in doubt."""
    fours, middle, across = memory.fours, memory.middle, memory.across
    for q in range(4):
        _add_fours(x[q * _PLANE :], held, fours[q * _LINE :])
    _add_middle(fours, middle)
    for q in range(4):
        _box_across(x[q * _PLANE :], middle[q * _LINE :], _length(cols), across[q * _PLANE :])
    doubtful, weight = 0, float(BOX * BOX)
    for p in range(4):
        line = memory.quality[p * _LINE : p * _LINE + _length(cols)]
        count = (cols - p + 3) // 4
        doubtful += _box_quality(across[p * _LINE :], weight, weight * typical, count, line)
    return doubtful


# --- Gaussians ----------------------------------------------------------------------------------


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
    r, w, q = _DEALT, _ROW, 2 * _PLANE
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
    p = _LINE
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
        s, d = x[i], x[i + _PLANE]
        u, v = x[i + 2 * _PLANE] - s * s, x[i + 3 * _PLANE] - d * d
        mean = s + shift
        out[i] = _ratio(mean * mean + 2.0 * c1, d * d, u + 2.0 * c2, v)


@as_written
def _gaussians_down(memory: _Lines, top: int, weights: tuple[float, ...], cols: int) -> None:
    """Average the rows of a group of Gaussians, once the two groups below them are dealt."""
    x = memory.dealt[(top // _GROUP + _SLOTS - 2) % _SLOTS * _CHUNK :]
    for k in range(0, _GROUP, 4):
        for i in range(0, _DEALT, _LINE):
            _filter_down(x[k * _DEALT + i :], weights, cols, memory.sums[k * _ROW + i :])


@as_written
def _gaussian_row(x: Array, weights: tuple[float, ...], cols: int, typical: float, c1: float,
                  c2: float, memory: _Lines) -> None:  # fmt: skip
    """Write q of a row of Gaussians from the means over their rows."""
    for q in range(0, _ROW, _PLANE):
        _filter_across(x[q:], weights, _length(cols), memory.across[q:])
    for p in range(0, _PLANE, _LINE):
        line = memory.quality[p : p + _length(cols)]
        _gaussian_quality(memory.across[p:], typical, c1, c2, line)


# --- both ---------------------------------------------------------------------------------------


@as_written
def _strip_sums(f: FlatImage, g: FlatImage, place: tuple[int, int, int, int], reach: int,
                boxes: tuple[int, int], gaussians: tuple[int, int], weights: tuple[float, ...],
                c1: float, c2: float, whole: tuple[Mask, Mask], is_masked: bool,
                typical: float, memory: _Lines) -> int:  # fmt: skip
    """Add q of the windows beside each other to the sums of each column.

    Returns how many boxes are in doubt. `place` is the band, the first column, the rows of the
    image, and those that are dealt until the last windows are whole.
    """
    band, left, height, last = place
    held, doubtful = _length(reach), 0
    for top in range(0, last, _GROUP):
        _deal_group(f, g, band, top, height, left, reach, typical, gaussians[1] > 0, memory.dealt)
        rows, cols = boxes
        if cols > 0:
            slot, first = top // _GROUP % _SLOTS, top - BOX
            for i in range(0, _DEALT, _LINE):
                x, total = memory.dealt[slot * _CHUNK + i :], memory.totals[slot * _ROW + i :]
                _add_group(x, held, total)
            if 0 <= first < rows:
                _boxes_down(memory, top, held)
            for k in range(max(0, -first), min(_GROUP, rows - first)):
                row = memory.sums[k * _ROW : (k + 1) * _ROW]
                doubtful += _box_row(row, held, cols, typical, memory)
                _add_row(memory.boxes, memory.quality, whole[0], first + k, left, cols, is_masked)
        rows, cols = gaussians
        if cols > 0:
            first = top - 2 * _GROUP
            if 0 <= first < rows:
                _gaussians_down(memory, top, weights, held)
            for k in range(max(0, -first), min(_GROUP, rows - first)):
                row = memory.sums[k * _ROW : (k + 1) * _ROW]
                _gaussian_row(row, weights, cols, typical, c1, c2, memory)
                _add_row(memory.gaussians, memory.quality, whole[1], first + k, left, cols,
                         is_masked)  # fmt: skip
    return doubtful


@entry(IMAGE, IMAGE, WHOLE, WHOLE, WHOLE, WHOLE, WHOLE, WHOLE, VALUES, REAL, REAL, MASK, MASK, FLAG,
       _LINES, TABLE)  # fmt: skip
def _windows(f: FlatImage, g: FlatImage, height: int, width: int, box_rows: int, box_cols: int,
             gaussian_rows: int, gaussian_cols: int, taps: Array, c1: float, c2: float,
             whole_boxes: Mask, whole_gaussians: Mask, is_masked: bool, memory: _Lines,
             found: Array) -> None:  # fmt: skip
    weights = (taps[0], taps[1], taps[2], taps[3], taps[4], taps[5])
    # Boxes begin four groups before the one that ends their last row, Gaussians two.
    last = max(
        box_rows + BOX if box_rows else 0, gaussian_rows + 2 * _GROUP if gaussian_rows else 0
    )
    windows = max(box_cols, gaussian_cols)
    strip = -(-windows // -(-windows // _COLS))
    for band in range(found.shape[1]):
        typical = _typical(f, g, band, height, width)
        for left in range(0, windows, strip):
            boxes = max(min(strip, box_cols - left), 0)
            gaussians = max(min(strip, gaussian_cols - left), 0)
            reach = min(max(boxes + BOX - 1, gaussians + 10), width - left)
            memory.boxes[:] = 0.0
            memory.gaussians[:] = 0.0
            found[1, band] += _strip_sums(
                f, g, (band, left, height, last), reach, (box_rows, boxes),
                (gaussian_rows, gaussians), weights, c1, c2, (whole_boxes, whole_gaussians),
                is_masked, typical, memory,
            )  # fmt: skip
            found[0, band] += _sum(memory.boxes, boxes)
            found[2, band] += _sum(memory.gaussians, gaussians)


def similarities(
    f: Image,
    g: Image,
    boxes: tuple[int, int],
    gaussians: tuple[int, int],
    *,
    taps: Array,
    constants: tuple[float, float],
    complete: tuple[Mask | None, Mask | None],
) -> Array:
    """Return, for each band, what UQI and SSIM are made of: `(3, C)`.

    That is Σ q over windows of 32 x 32 pixels, how many of these are in doubt, and Σ q over windows
    of 11 x 11 pixels under a separable Gaussian. In doubt is a window whose variances may be
    nothing but rounding and are not exactly 0.

    Args:
        f: Estimate `(C, H, W)`, finite, float64.
        g: Reference, the same shape.
        boxes: Rows and columns of windows of 32 x 32 pixels, from the first pixel on; 0 for none.
        gaussians: The same for those of 11 x 11.
        taps: The 11 weights of the Gaussian's axes, symmetric, adding up to 1.
        constants: c₁ and c₂ of the latter, in the square of the images' unit.
        complete: Positions that count, of the boxes and the Gaussians; None where all do.
    """
    found = np.zeros((3, len(f)))
    x, y, half = FlatImage.of(f), FlatImage.of(g), np.ascontiguousarray(taps[5:])
    (whole_boxes, has_mask), (whole_gaussians, has_other) = (counted(mask) for mask in complete)
    with kept_memory() as memory:
        _windows(x, y, f.shape[1], f.shape[2], *boxes, *gaussians, half, *constants, whole_boxes,
                 whole_gaussians, has_mask or has_other, _Lines.of(memory), found)  # fmt: skip
    return found
