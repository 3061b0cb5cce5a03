"""Rows of two images as the windows of UQI and SSIM take them, and the lines they are summed in.

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

from bandweave.metrics.compiled.jit import LINE, FlatImage, Memory, as_written
from bandweave.metrics.inputs import Array
from bandweave.pair import Mask

BOX = 32  # pixels per side of the windows of UQI; `sliding` offers no others

# Lengths are constants because LLVM then sees by itself that lines of one array do not overlap. A
# line takes a fourth of the columns at once: few enough for the rows of a window to stay in the
# processor's second cache. It begins where the processor's own lines begin (64 bytes).
PITCH = 72  # values per line
PLANE = 4 * PITCH
DEALT = 2 * PLANE
ROW = 4 * PLANE
GROUP = 8  # rows that are dealt at once, and rows of windows
CHUNK = GROUP * DEALT
SLOTS = BOX // GROUP + 1  # groups that a group of boxes touches
COPIES = 2  # of the first slots, behind the last one: three follow each other from any slot on
COLS = 4 * PITCH - BOX  # windows beside each other whose columns fit into the lines

_SAMPLES = (32, 8)  # every 32nd row and eighth column shows what value is typical
_STEP = 2.0**-10  # typical values are multiples of this, so that whole numbers stay exact


class Lines(NamedTuple):
    """Memory for dealt rows and for results on the way."""

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
    def of(cls, memory: Memory) -> Lines:
        """Take the lines from a memory."""
        return cls(*(memory.line(name, size) for name, size in _SIZES.items()))


_SIZES = {
    "dealt": (SLOTS + COPIES) * CHUNK,
    "totals": SLOTS * ROW,
    "sums": GROUP * ROW,
    "across": ROW,
    "fours": PLANE,
    "middle": PLANE,
    "quality": PLANE,
    "boxes": PLANE,
    "gaussians": PLANE,
}
LINES = types.NamedUniTuple(LINE, len(_SIZES), Lines)  # type: ignore[no-untyped-call]


@as_written
def typical_sum(f: FlatImage, g: FlatImage, band: int, height: int, width: int) -> float:
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
            out[j + p * PITCH] = a + b - typical
            out[j + p * PITCH + PLANE] = a - b
    for p in range(len(f) - 4 * fours):
        a, b = f[4 * fours + p], g[4 * fours + p]
        out[fours + p * PITCH] = a + b - typical
        out[fours + p * PITCH + PLANE] = a - b


@as_written
def held_length(cols: int) -> int:
    """Return how much of each line holds these columns, rounded up to whole vector instructions.

    What is computed of the rest is finite or not, and left out of the sums.
    """
    return (cols + 31) // 32 * 8


@as_written
def deal_group(f: FlatImage, g: FlatImage, band: int, top: int, height: int, left: int, reach: int,
               typical: float, has_copies: bool, dealt: Array) -> None:  # fmt: skip
    """Deal the rows of a group to its slot, and to the slot's copy if it has one."""
    slot = top // GROUP % SLOTS
    for k in range(min(GROUP, height - top)):
        x = _part(f, band, top + k, left, reach)
        y = _part(g, band, top + k, left, reach)
        start = slot * CHUNK + k * DEALT
        _deal(x, y, typical, dealt[start : start + DEALT])
    if has_copies and slot < COPIES:
        source = dealt[slot * CHUNK : (slot + 1) * CHUNK]
        copy = dealt[(slot + SLOTS) * CHUNK : (slot + SLOTS + 1) * CHUNK]
        for i in range(CHUNK):
            copy[i] = source[i]


@as_written
def quality(a: float, b: float, u: float, v: float) -> float:
    """Return q of a window: see `bandweave.metrics.similarity`."""
    return ((a - b) * (u - v)) / ((a + b) * (u + v))


@as_written
def _add_to(total: Array, values: Array) -> None:
    for i in range(len(total)):
        total[i] += values[i]


@as_written
def add_row(total: Array, values: Array, complete: Mask, row: int, left: int, cols: int,
            is_masked: bool) -> None:  # fmt: skip
    """Add a row of windows to the sums of each column, without those that do not count."""
    if not is_masked:
        _add_to(total, values)
        return
    counts = complete[row, left : left + cols]
    for c in range(cols):
        if counts[c]:
            total[c // 4 + c % 4 * PITCH] += values[c // 4 + c % 4 * PITCH]


@as_written
def sum_over(values: Array, cols: int) -> float:
    """Return the sum of a plane over the columns that were dealt to it."""
    total = 0.0
    for c in range(cols):
        total += values[c // 4 + c % 4 * PITCH]
    return total
