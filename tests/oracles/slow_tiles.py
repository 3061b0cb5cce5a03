"""What a tile must show, pixel by pixel: block means of the image, a straight line to grey."""

from __future__ import annotations

import numpy as np


def block_means(image: np.ndarray, valid: np.ndarray, factor: int) -> tuple[np.ndarray, np.ndarray]:
    """Return means `(C, h, w)` of the valid pixels of factor x factor blocks, and where any is."""
    bands, height, width = image.shape
    rows, cols = -(-height // factor), -(-width // factor)
    means = np.zeros((bands, rows, cols))
    known = np.zeros((rows, cols), bool)
    for row in range(rows):
        for col in range(cols):
            block = np.s_[row * factor : (row + 1) * factor, col * factor : (col + 1) * factor]
            chosen = valid[block]
            known[row, col] = chosen.any()
            for band in range(bands):
                if chosen.any():
                    means[band, row, col] = image[band][block][chosen].astype(float).mean()
    return means, known


def grey(value: float, low: float, high: float) -> int:
    """Return the grey level of one DN, halves to even."""
    if value <= low:
        return 0
    if value >= high:
        return 255
    return round(255 * (float(value) - low) / (high - low))
