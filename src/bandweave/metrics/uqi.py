"""Universal image quality index, the "Q" of the toolboxes."""

from __future__ import annotations

from functools import partial

from bandweave.metrics import compilation
from bandweave.metrics.accumulate import MeanTally
from bandweave.metrics.inputs import matched
from bandweave.metrics.similarity import similarity_tally
from bandweave.metrics.sliding import BOX, sliding_tallies
from bandweave.metrics.windows import BoxSum, complete_windows, require_box
from bandweave.pair import Mask
from bandweave.radiometry import Image

WINDOW = BOX
"""Pixels per side of the sliding window in the field's toolboxes."""


def uqi(
    estimate: Image, reference: Image, *, window: int = WINDOW, valid: Mask | None = None
) -> float:
    """Return the mean over windows, then bands, of 4 σ_fg μ_f μ_g / ((σ_f² + σ_g²)(μ_f² + μ_g²)).

    The window slides by one pixel and stays inside the image (Wang and Bovik 2002). Where both
    windows are flat the value is 2 μ_f μ_g / (μ_f² + μ_g²), and 1 where both are zero. Windows
    with an invalid pixel are left out.

    Args:
        estimate: F `(C, H, W)`, physical values.
        reference: G, the same shape and unit.
        window: Pixels per side, a power of two.
        valid: `(H, W)`, True where a pixel counts; None means everywhere.

    Returns:
        Dimensionless in [−1, 1], 1 at identity; nan where no window is wholly valid.

    Raises:
        ShapeError: Shapes or mask do not fit each other, or the image is smaller than the window.
        NodataError: No pixel is valid, or a valid one is not finite.

    Example:
        >>> import numpy as np
        >>> image = np.arange(40.0 * 36).reshape(1, 40, 36)
        >>> uqi(image, image)
        1.0
    """
    f, g, mask = matched(estimate, reference, valid)
    return uqi_tally(f, g, mask, window=window).mean()


def uqi_tally(f: Image, g: Image, valid: Mask | None, *, window: int = WINDOW) -> MeanTally:
    """Sum UQI over the windows of finite images `(C, H, W)`, for each band."""
    require_box((f.shape[1], f.shape[2]), window)
    if compilation.is_compiled() and window == BOX:
        return sliding_tallies(f, g, valid, boxes=(f.shape[1] - BOX + 1, f.shape[2] - BOX + 1))[0]
    complete = None if valid is None else complete_windows(valid, window, window)
    return similarity_tally(f, g, partial(BoxSum, size=window), complete=complete)
