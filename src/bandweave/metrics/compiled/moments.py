"""Means and co-moments of both images, for correlation: see `bandweave.metrics.cc`.

Each band is gone through twice: the products are counted from the means of the first time, because
the difference of two large sums would lose digits.
"""

from __future__ import annotations

import numpy as np

from bandweave.metrics.compiled.jit import (
    FLAG,
    IMAGE,
    MASK,
    TABLE,
    WHOLE,
    FlatImage,
    as_written,
    counted,
    entry,
    reordered,
)
from bandweave.metrics.inputs import Array
from bandweave.pair import Mask
from bandweave.radiometry import Image


@as_written
def _centred(image: FlatImage, band: int, row: int, mean: float, counts: Mask, is_masked: bool,
             out: Array) -> None:  # fmt: skip
    """Write a row counted from the mean, with 0 at what does not count."""
    start = band * image.band + row * image.row
    line = image.line[start : start + len(out)]
    if is_masked:
        valid = counts[row]
        for c in range(len(out)):
            out[c] = line[c] - mean if valid[c] else 0.0
    else:
        for c in range(len(out)):
            out[c] = line[c] - mean


@reordered
def _sum(values: Array) -> float:
    total = 0.0
    for c in range(len(values)):
        total += values[c]
    return total


@reordered
def _products(x: Array, y: Array) -> tuple[float, float, float]:
    xx, yy, xy = 0.0, 0.0, 0.0
    for c in range(len(x)):
        xx += x[c] * x[c]
        yy += y[c] * y[c]
        xy += x[c] * y[c]
    return xx, yy, xy


@entry(IMAGE, IMAGE, WHOLE, WHOLE, WHOLE, MASK, FLAG, TABLE, TABLE)
def _moments(f: FlatImage, g: FlatImage, height: int, width: int, count: int, valid: Mask,
             is_masked: bool, means: Array, comoments: Array) -> None:  # fmt: skip
    rows = np.empty((2, width))
    x, y = rows[0], rows[1]
    for band in range(means.shape[1]):
        first, second = 0.0, 0.0
        for row in range(height):
            _centred(f, band, row, 0.0, valid, is_masked, x)
            _centred(g, band, row, 0.0, valid, is_masked, y)
            first += _sum(x)
            second += _sum(y)
        means[0, band], means[1, band] = first / count, second / count
        for row in range(height):
            _centred(f, band, row, means[0, band], valid, is_masked, x)
            _centred(g, band, row, means[1, band], valid, is_masked, y)
            products = _products(x, y)
            for k in range(3):
                comoments[k, band] += products[k]


def moments(f: Image, g: Image, count: int, valid: Mask | None) -> tuple[Array, Array]:
    """Return the means of both images `(2, C)`, and Σ x², Σ y², Σ x y counted from them `(3, C)`.

    Args:
        f: Estimate `(C, H, W)`, float64.
        g: Reference, the same shape.
        count: Number of pixels that count, above 0.
        valid: Pixels that count; None means all.
    """
    means, comoments = np.zeros((2, len(f))), np.zeros((3, len(f)))
    x, y, counts, is_masked = FlatImage.of(f), FlatImage.of(g), *counted(valid)
    _moments(x, y, f.shape[1], f.shape[2], count, counts, is_masked, means, comoments)
    return means, comoments
