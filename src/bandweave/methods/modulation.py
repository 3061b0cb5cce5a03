"""High-pass modulation: scale a band by a sharp image over its low-pass version."""

from __future__ import annotations

import numpy as np

from bandweave.radiometry import Image

# Smallest denominator, as a share of the low-pass image's mean over the scene. Where a scene is
# almost black the quotient says nothing of contrast any more and would turn noise into bright dots.
FLOOR_SHARE = 0.1

EPSILON = float(np.finfo(np.float64).eps)
"""What the toolbox adds to denominators instead of a floor."""


def contrast(detail: Image, low: Image, floor: float) -> Image:
    """Return 1 + detail / max(low, floor): sharp / low above the floor.

    Args:
        detail: `(H, W)`, sharp minus low-pass image.
        low: `(H, W)`, low-pass image in the unit of `detail`.
        floor: Smallest denominator, in the unit of `low`; where it is not positive, 1 everywhere.
    """
    if floor <= 0:
        return np.ones_like(low)
    # To look is cheaper than to compare pixel by pixel, and few images have such pixels.
    if not low.min(initial=np.inf) >= floor:
        low = np.maximum(low, low.dtype.type(floor))
    quotient: Image = np.divide(detail, low)
    quotient += 1
    return quotient
