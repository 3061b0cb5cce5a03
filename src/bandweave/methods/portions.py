"""Pieces of an image small enough for what is computed of them to stay in the processor's cache."""

from __future__ import annotations

from collections.abc import Iterator

from bandweave.methods.statistics import Vector
from bandweave.radiometry import Image

_AT_ONCE = 2**15
"""Pixels: a handful of images of so many fill a megabyte."""


def row_portions(rows: int, cols: int) -> Iterator[slice]:
    """Cut `rows` rows of `cols` pixels into runs of about 2¹⁵ pixels.

    Example:
        >>> list(row_portions(70, 1024))
        [slice(0, 32, None), slice(32, 64, None), slice(64, 70, None)]
    """
    step = max(_AT_ONCE // max(cols, 1), 1)
    for start in range(0, rows, step):
        yield slice(start, min(start + step, rows))


def weighted_sum(weights: Vector, images: Image) -> Image:
    """Return Σ_k w_k x_k of images `(C, H, W)`, in their type: `(H, W)`."""
    first, *others = weights.astype(images.dtype)
    total: Image = images[0] * first
    for weight, image in zip(others, images[1:], strict=True):
        total += weight * image
    return total
