"""Correlation of two images in a small window around every pixel."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from bandweave.metrics.windows import complete_windows
from bandweave.pair import Mask
from bandweave.radiometry import Image

_SMALLEST = 1e-20  # floor of a window's sum of squares in the definition


def local_cross_correlation(x: Image, y: Image, half_width: int) -> Image:
    """Return ρ at every pixel of images `(C, H, W)` (Scarpa and Ciotola 2022).

    With S the sum over rows k − w + 1 ... k + w and the same columns (zero outside the image) and
    x' = x − S(x) / (2w)², each pixel less the mean of its own window,

        ρ = S(x' y') / √(S(x'²) S(y'²)),

    each S of squares at least 1e-20. Not clipped to [−1, 1].

    Args:
        x: `(C, H, W)`, finite.
        y: `(C, H, W)`, or `(1, H, W)` for all bands.
        half_width: w in pixels, 1 or more.
    """
    dx, dy = (image - _window_sum(image, half_width) / (2 * half_width) ** 2 for image in (x, y))
    power_x, power_y = (
        np.maximum(_window_sum(np.square(d), half_width), _SMALLEST) for d in (dx, dy)
    )
    correlation: Image = _window_sum(dx * dy, half_width) / np.sqrt(power_x * power_y)
    return correlation


def correlation_context(half_width: int) -> int:
    """Return the pixels of context that make ρ exact: those of a window of windows."""
    return 2 * half_width


def correlation_valid(valid: Mask | None, half_width: int) -> Mask | None:
    """Return where ρ depends on valid pixels only; outside the image is as defined."""
    if valid is None:
        return None
    # Windows of windows: rows k - 2w + 2 ... k + 2w.
    padded = np.pad(valid, (2 * half_width - 2, 2 * half_width), constant_values=True)
    return complete_windows(padded, 4 * half_width - 1, 4 * half_width - 1)


def _window_sum(image: Image, half_width: int) -> Image:
    size = 2 * half_width
    # An even window has no centre; the origin puts w - 1 pixels before and w after.
    for axis in (1, 2):
        image = ndimage.correlate1d(image, np.ones(size), axis, mode="constant", origin=-1)
    return image
