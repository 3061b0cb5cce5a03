"""Rows of one head between memory and registers, in Triton.

S is the head's width, D its width in registers.
"""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def load_rows(base, rows, stride, pixels, S: tl.constexpr, D: tl.constexpr):
    """Load rows of a head, zeros beyond the last pixel and beyond the head's width."""
    columns = tl.arange(0, D)
    inside = rows[:, None] < pixels
    if S != D:
        inside = inside & (columns[None, :] < S)
    return tl.load(base + rows[:, None] * stride + columns[None, :], mask=inside, other=0.0)


@triton.jit
def store_rows(base, rows, stride, pixels, values, S: tl.constexpr, D: tl.constexpr):
    """Store rows of a head, rounded to the type of the memory."""
    columns = tl.arange(0, D)
    inside = rows[:, None] < pixels
    if S != D:
        inside = inside & (columns[None, :] < S)
    values = values.to(base.dtype.element_ty)
    tl.store(base + rows[:, None] * stride + columns[None, :], values, mask=inside)
