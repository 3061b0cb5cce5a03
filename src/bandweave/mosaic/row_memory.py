"""Memory of the rows that are put together, used again for the next ones."""

from __future__ import annotations

import math
import mmap
import weakref
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray


class ReusedMemory:
    """Large arrays one after the other in the same memory; `keep_freed_blocks` keeps small ones.

    An array's memory is used again when neither it nor any view of it is held any more. Not for
    several threads at a time; arrays may be dropped in any.
    """

    def __init__(self) -> None:
        self._spare: list[mmap.mmap] = []

    def empty(self, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        """Return an array of any content."""
        kind = np.dtype(dtype)
        size = math.prod(shape) * kind.itemsize
        memory = self._spare.pop() if self._spare else None
        if memory is None or len(memory) < size:
            memory = _mapped(size)
        lent = _Lent((size,), np.uint8, memory)
        weakref.finalize(lent, self._spare.append, memory)
        return np.asarray(lent).view(kind).reshape(shape)


def _mapped(size: int) -> mmap.mmap:
    """Return memory in large pages, as NumPy gets it, where the system has them."""
    memory = mmap.mmap(-1, max(size, 1))
    if hasattr(mmap, "MADV_HUGEPAGE"):
        memory.madvise(mmap.MADV_HUGEPAGE)
    return memory


class _Lent(np.ndarray[Any, Any]):
    """Memory in use, held by its views.

    Neither it nor what it is made of is a plain array: NumPy would look behind it for their base.
    """
