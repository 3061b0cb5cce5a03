"""High-pass modulation: scale a band by a sharp image over its low-pass version."""

from __future__ import annotations

import numpy as np

from bandweave.radiometry import Image

# Smallest denominator, as a share of the low-pass image's mean over the scene. Where a scene is
# almost black the quotient says nothing of contrast any more and would turn noise into bright dots.
FLOOR_SHARE = 0.1

EPSILON = float(np.finfo(np.float64).eps)
"""What the toolbox adds to denominators instead of a floor."""


def modulate(base: Image, detail: Image, low: Image, floor: float) -> Image:
    """Return base · (1 + detail / max(low, floor)): base · sharp / low above the floor.

    Args:
        base: `(H, W)`, what is scaled, any unit.
        detail: `(H, W)`, sharp minus low-pass image.
        low: `(H, W)`, low-pass image in the unit of `detail`.
        floor: Smallest denominator, in the unit of `low`; where it is not positive, `base` is
            returned as it is.
    """
    if floor <= 0:
        return base.copy()
    contrast = np.maximum(low, low.dtype.type(floor))
    np.divide(detail, contrast, out=contrast)
    contrast += 1
    contrast *= base
    return contrast
