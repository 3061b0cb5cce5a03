"""UQI: sums over boxes of 32 x 32 pixels, and q of each.

A box that begins at line k of a group ends k lines into another: it holds the last lines of the
first group, whole groups between them, and the first lines of the last one. No sum is taken back,
so that what a window does not hold leaves no trace in it. Groups are 8 rows, and 4 columns.
"""

from __future__ import annotations

from bandweave.metrics.compiled.dealt_rows import (
    BOX,
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
from bandweave.metrics.compiled.jit import as_written
from bandweave.metrics.inputs import Array
from bandweave.pair import Mask

# The share of U + V in the squares it is a rest of, below which it may be rounding.
_LEAST_REST = 2.0**-24


@as_written
def _add_group(x: Array, cols: int, out: Array) -> None:
    """Write the sums over the rows of a group for one line of s or d, and of its squares."""
    r, squared = DEALT, 2 * PLANE
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
    r, w, q = DEALT, ROW, 2 * PLANE
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
        out[j] = (x[j] + x[j + PITCH]) + (x[j + 2 * PITCH] + x[j + 3 * PITCH])


@as_written
def _add_middle(fours: Array, out: Array) -> None:
    """Write the sums over the 28 columns that all boxes of a group of columns hold."""
    for j in range(len(out) - 7):
        near = (fours[j + 1] + fours[j + 2]) + (fours[j + 3] + fours[j + 4])
        out[j] = near + ((fours[j + 5] + fours[j + 6]) + fours[j + 7])


@as_written
def _box_across(x: Array, middle: Array, count: int, out: Array) -> None:
    """Write the sums over 32 columns of one plane."""
    p, e = PITCH, BOX // 4
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
        s, d = x[i], x[i + PLANE]
        squared, b = s * s, d * d
        u, v = weight * x[i + 2 * PLANE] - squared, weight * x[i + 3 * PLANE] - b
        rest, a = u + v, (s + shift) * (s + shift)
        doubtful += (rest != 0.0) & (rest <= _LEAST_REST * (squared + b)) & (i < count)
        # Both windows flat: only the luminance remains. Both means zero: nothing to compare.
        is_empty = a + b == 0.0
        is_flat = (rest == 0.0) | is_empty
        u, v = 1.0 if is_flat else u, 0.0 if is_flat else v
        a, b = 1.0 if is_empty else a, 0.0 if is_empty else b
        out[i] = quality(a, b, u, v)
    return doubtful


@as_written
def _boxes_down(memory: Lines, top: int, cols: int) -> None:
    """Sum up the rows of a group of boxes, once the group of rows below them is dealt."""
    slot = top // GROUP % SLOTS
    new, old = memory.dealt[slot * CHUNK :], memory.dealt[(slot + 1) % SLOTS * CHUNK :]
    first = memory.totals[(slot + 2) % SLOTS * ROW :]
    second = memory.totals[(slot + 3) % SLOTS * ROW :]
    third = memory.totals[(slot + 4) % SLOTS * ROW :]
    for i in range(0, DEALT, PITCH):
        _box_down(old[i:], new[i:], first[i:], second[i:], third[i:], cols, memory.sums[i:])


@as_written
def _box_row(x: Array, held: int, cols: int, typical: float, memory: Lines) -> int:
    """Write q of a row of boxes from the sums over their rows; return how many are in doubt."""
    fours, middle, across = memory.fours, memory.middle, memory.across
    for q in range(4):
        _add_fours(x[q * PLANE :], held, fours[q * PITCH :])
    _add_middle(fours, middle)
    for q in range(4):
        _box_across(x[q * PLANE :], middle[q * PITCH :], held_length(cols), across[q * PLANE :])
    doubtful, weight = 0, float(BOX * BOX)
    for p in range(4):
        line = memory.quality[p * PITCH : p * PITCH + held_length(cols)]
        count = (cols - p + 3) // 4
        doubtful += _box_quality(across[p * PITCH :], weight, weight * typical, count, line)
    return doubtful


@as_written
def add_boxes(top: int, rows: int, left: int, cols: int, held: int, typical: float, whole: Mask,
              is_masked: bool, memory: Lines) -> int:  # fmt: skip
    """Add q of the boxes that begin four groups before a group of rows to the columns' sums.

    Args:
        top: The group's first row, which is dealt.
        rows: Rows of boxes in the image.
        left: Column of the first box.
        cols: Boxes beside each other.
        held: How much of each line the rows fill.
        typical: What s is counted from.
        whole: Boxes that count.
        is_masked: Whether others do not.
        memory: Where the rows are.

    Returns:
        How many boxes are in doubt.
    """
    first, slot, doubtful = top - BOX, top // GROUP % SLOTS, 0
    for i in range(0, DEALT, PITCH):
        _add_group(memory.dealt[slot * CHUNK + i :], held, memory.totals[slot * ROW + i :])
    if 0 <= first < rows:
        _boxes_down(memory, top, held)
    for k in range(max(0, -first), min(GROUP, rows - first)):
        row = memory.sums[k * ROW : (k + 1) * ROW]
        doubtful += _box_row(row, held, cols, typical, memory)
        add_row(memory.boxes, memory.quality, whole, first + k, left, cols, is_masked)
    return doubtful
