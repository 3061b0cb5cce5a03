"""Slow, obvious versions of filters, the interpolating cascade and resizing."""

from __future__ import annotations

import math

import numpy as np

HALF_BAND = (
    0.5,
    0.305334091185,
    0.0,
    -0.072698593239,
    0.0,
    0.021809577942,
    0.0,
    -0.005192756653,
    0.0,
    0.000807762146,
    0.0,
    -0.000060081482,
)


def border_index(i: int, n: int, border: str) -> int:
    if border == "replicate":
        return min(max(i, 0), n - 1)
    if border == "circular":
        return i % n
    i %= 2 * n
    return i if i < n else 2 * n - 1 - i


def correlate(band: np.ndarray, kernel: np.ndarray, border: str) -> np.ndarray:
    height, width = band.shape
    mid_row, mid_col = kernel.shape[0] // 2, kernel.shape[1] // 2
    out = np.zeros(band.shape)
    for y in range(height):
        for x in range(width):
            total = 0.0
            for m in range(kernel.shape[0]):
                row = border_index(y + m - mid_row, height, border)
                for n in range(kernel.shape[1]):
                    total += kernel[m, n] * band[row, border_index(x + n - mid_col, width, border)]
            out[y, x] = total
    return out


def cascade(band: np.ndarray, ratio: int) -> np.ndarray:
    """Double the grid log2(ratio) times: insert zeros, filter circularly along both axes."""
    taps = [2 * HALF_BAND[abs(k)] for k in range(-11, 12)]
    for stage in range(int(math.log2(ratio))):
        spread = np.zeros((2 * band.shape[0], 2 * band.shape[1]))
        first = 1 if stage == 0 else 0
        spread[first::2, first::2] = band
        for axis in (0, 1):
            spread = sum(
                tap * np.roll(spread, k, axis) for tap, k in zip(taps, range(-11, 12), strict=True)
            )
        band = spread
    return band
