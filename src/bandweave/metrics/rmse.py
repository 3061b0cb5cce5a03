"""Root mean square error."""

from __future__ import annotations

import numpy as np

from bandweave.metrics.inputs import pixels
from bandweave.pair import Mask
from bandweave.radiometry import Image


def rmse(estimate: Image, reference: Image, *, valid: Mask | None = None) -> float:
    """Return √(mean of (F − G)²) over all bands and valid pixels.

    Args:
        estimate: F `(C, H, W)`, physical values.
        reference: G, the same shape and unit.
        valid: `(H, W)`, True where a pixel counts; None means everywhere.

    Returns:
        Error in the unit of the images, 0 at identity, unbounded above.

    Raises:
        ShapeError: Shapes or mask do not fit each other.
        NodataError: No pixel is valid, or a valid one is not finite.

    Example:
        >>> rmse(np.zeros((2, 3, 4)), np.full((2, 3, 4), 5.0))
        5.0
    """
    f, g = pixels(estimate, reference, valid)
    return float(np.sqrt(np.mean((f - g) ** 2)))
