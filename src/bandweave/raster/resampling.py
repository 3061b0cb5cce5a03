"""Sample an image between its pixels, on a regular grid of nearly the same pitch."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bandweave.radiometry import Image
from bandweave.raster.nesting import AxisMap

_CUBIC = -0.5
"""Slope parameter of R. Keys (1981): the value that reproduces parabolas."""


def tap_range(axis: AxisMap, first: int, stop: int) -> tuple[int, int]:
    """Return the first and one past the last source index that samples [first, stop) touch."""
    low = int(np.floor(axis.origin + axis.pitch * first)) - 1
    high = int(np.floor(axis.origin + axis.pitch * (stop - 1))) + 2
    return low, high + 1


def nearest_index(axis: AxisMap, first: int, stop: int) -> NDArray[np.int64]:
    """Return the source index nearest to each of the samples [first, stop)."""
    positions = axis.origin + axis.pitch * np.arange(first, stop)
    nearest: NDArray[np.int64] = np.floor(positions + 0.5).astype(np.int64)
    return nearest


def interpolate_rows(image: Image, axis: AxisMap, first: int, stop: int, source: int) -> Image:
    """Interpolate along rows by cubic convolution (R. Keys, 1981).

    Positions are counted from the file's origin, so that a sample does not depend on the window.

    Args:
        image: `(C, n, W)`, source rows from index `source` on, at least those of `tap_range`.
        axis: Where the samples lie.
        first: First sample.
        stop: One past the last sample.
        source: Index of the image's first row.

    Returns:
        `(C, stop - first, W)`, the image's type.
    """
    positions = axis.origin + axis.pitch * np.arange(first, stop)
    below = np.floor(positions)
    weights = _cubic_weights(positions - below).astype(image.dtype)
    rows = below.astype(np.int64) - source
    sampled: Image = weights[0][:, None] * image[:, rows - 1]
    for tap in range(1, 4):
        sampled += weights[tap][:, None] * image[:, rows + tap - 1]
    return sampled


def _cubic_weights(t: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the weights `(4, n)` of the samples at -1, 0, 1 and 2 for positions t in [0, 1)."""
    a = _CUBIC
    near, far = (np.stack([t, 1 - t]), np.stack([1 + t, 2 - t]))
    inner = (a + 2) * near**3 - (a + 3) * near**2 + 1
    outer = a * (far**3 - 5 * far**2 + 8 * far - 4)
    return np.stack([outer[0], inner[0], inner[1], outer[1]])
