"""How the loops of this folder are compiled, and how images and memory are handed to them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, TypeVar

import numba
import numpy as np
from numba import types
from numpy.lib.stride_tricks import as_strided

from bandweave.metrics.inputs import Array
from bandweave.pair import Mask
from bandweave.radiometry import Image

_Function = TypeVar("_Function", bound=Callable[..., Any])


class FlatImage(NamedTuple):
    """Bands `(C, H, W)` as one line, in which pixel (b, r, c) is number b · band + r · row + c.

    A part of a larger image becomes a line that runs over what lies beside it.
    """

    line: Array
    band: int
    row: int

    @classmethod
    def of(cls, image: Image) -> FlatImage:
        """Lay out an image; it is copied only where its columns do not lie side by side."""
        bands, height, width = image.shape
        if image.flags.c_contiguous:  # by far the cheapest way
            line: Array = image.reshape(-1)  # type: ignore[assignment]  # float64 by agreement
            line.flags.writeable = False
            return cls(line, height * width, width)
        size, (band, row, column) = image.itemsize, image.strides
        has_rows = column == size or width == 1
        if not has_rows or min(band, row) < 0 or band % size or row % size:
            return cls.of(np.ascontiguousarray(image))
        band, row = band // size, row // size
        length = (bands - 1) * band + (height - 1) * row + width
        whole = image.base
        if (
            isinstance(whole, np.ndarray)
            and whole.flags.c_contiguous
            and whole.dtype == image.dtype
        ):
            start = (_address(image) - _address(whole)) // size
            line = whole.reshape(-1)[start : start + length]
            line.flags.writeable = False
        else:
            line = as_strided(image, (length,), (size,), writeable=False)
        return cls(line, band, row)


def _address(image: Image) -> int:
    address: int = image.__array_interface__["data"][0]
    return address


WHOLE = types.intp
REAL = types.float64
FLAG = types.boolean
VALUES = types.Array(types.float64, 1, "C", readonly=True)
INDEX = types.Array(types.intp, 1, "C", readonly=True)
LINE = types.Array(types.float64, 1, "C")
COUNTS = types.Array(types.intp, 1, "C")
MASK = types.Array(types.boolean, 2, "C", readonly=True)
TABLE = types.Array(types.float64, 2, "C")
IMAGE = types.NamedTuple((VALUES, WHOLE, WHOLE), FlatImage)  # type: ignore[no-untyped-call]


_NO_MASK = np.ones((1, 1), dtype=np.bool_)


def counted(valid: Mask | None) -> tuple[Mask, bool]:
    """Return a mask as loops take it, and whether there is one."""
    if valid is None:
        return _NO_MASK, False
    return np.ascontiguousarray(valid), True


class Memory:
    """Lines for results on the way, which keep what was left in them."""

    def __init__(self) -> None:
        self._lines: dict[str, Array] = {}

    def line(self, purpose: str, count: int) -> Array:
        """Return values that begin where the processor's own lines begin (64 bytes)."""
        line = self._lines.get(purpose)
        if line is None or len(line) < count:
            block = np.zeros(count + 8)
            skipped = -(block.ctypes.data // 8) % 8
            line = self._lines[purpose] = block[skipped : skipped + count]
        return line[:count]


_FREE: list[Memory] = []


@contextmanager
def kept_memory() -> Iterator[Memory]:
    """Lend memory to one call; some MiB are kept for each call that ran at the same time.

    New pages from the system cost more than what is computed in them.
    """
    try:
        memory = _FREE.pop()
    except IndexError:
        memory = Memory()
    try:
        yield memory
    finally:
        _FREE.append(memory)


# LLVM makes vector instructions of loops over lines that lie side by side and do not overlap, so
# the helpers of this folder take lines, and write one of them per loop where they can.


def as_written(function: _Function) -> _Function:
    """Compile a helper whose operations keep their order: equal values differ by exactly 0."""
    return _compiled(function)


def reordered(function: _Function) -> _Function:
    """Compile a helper whose sums may be taken in another order, the same for all calls."""
    return _compiled(function, fastmath={"reassoc", "contract", "nsz"})


def entry(*arguments: Any) -> Callable[[_Function], _Function]:
    """Compile what is called from Python, for exactly these types, or load what was compiled.

    It runs without the interpreter's lock.
    """

    def decorate(function: _Function) -> _Function:
        signature = types.void(*arguments)
        try:
            return _compiled(function, signature, cache=True)
        except RuntimeError:  # nowhere to keep it: every process compiles it
            return _compiled(function, signature)

    return decorate


def _compiled(function: _Function, *signature: Any, **options: Any) -> _Function:
    make: Any = numba.njit(*signature, nogil=True, error_model="numpy", **options)
    made: _Function = make(function)
    return made
