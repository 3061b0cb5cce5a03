"""Pieces of an image small enough for what is computed of them to stay in the processor's cache."""

from __future__ import annotations

from collections.abc import Iterator

from bandweave.methods.statistics import Vector
from bandweave.radiometry import Image

_AT_ONCE = 2**16
"""Pixels: four bands of so many fill a megabyte in single precision."""


def row_portions(rows: int, cols: int) -> Iterator[slice]:
    """Cut `rows` rows of `cols` pixels into runs of about 2¹⁶ pixels.

    Example:
        >>> list(row_portions(140, 1024))
        [slice(0, 64, None), slice(64, 128, None), slice(128, 140, None)]
    """
    step = max(_AT_ONCE // max(cols, 1), 1)
    for start in range(0, rows, step):
        yield slice(start, min(start + step, rows))


def weighted_sum(weights: Vector, images: Image) -> Image:
    """Return Σ_k w_k x_k of images `(C, H, W)`, in their type: `(H, W)`."""
    rows, cols = images.shape[1:]
    flat = images.reshape(len(images), rows * cols)
    total: Image = weights.astype(images.dtype) @ flat
    return total.reshape(rows, cols)
