"""How the loops of this folder are compiled, and how images are handed to them."""

from __future__ import annotations

from collections.abc import Callable
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
        size = image.itemsize
        has_rows = image.strides[2] == size or image.shape[2] == 1
        if not has_rows or any(step < 0 or step % size for step in image.strides):
            image = np.ascontiguousarray(image)
        bands, height, width = image.shape
        band, row = image.strides[0] // size, image.strides[1] // size
        length = (bands - 1) * band + (height - 1) * row + width
        return cls(as_strided(image, (length,), (size,), writeable=False), band, row)


WHOLE = types.intp
REAL = types.float64
FLAG = types.boolean
VALUES = types.Array(types.float64, 1, "C", readonly=True)
INDEX = types.Array(types.intp, 1, "C", readonly=True)
COUNTS = types.Array(types.intp, 1, "C")
MASK = types.Array(types.boolean, 2, "C", readonly=True)
TABLE = types.Array(types.float64, 2, "C")
TABLES = types.Array(types.float64, 3, "C")
IMAGE = types.NamedTuple((VALUES, WHOLE, WHOLE), FlatImage)  # type: ignore[no-untyped-call]


def counted(valid: Mask | None) -> tuple[Mask, bool]:
    """Return a mask as loops take it, and whether there is one."""
    if valid is None:
        return np.ones((1, 1), dtype=np.bool_), False
    return np.ascontiguousarray(valid), True


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
