"""Peak signal-to-noise ratio."""

from __future__ import annotations

import numpy as np

from bandweave.errors import ScaleError
from bandweave.metrics.inputs import Array, pixels
from bandweave.pair import Mask
from bandweave.radiometry import Image


def psnr(estimate: Image, reference: Image, *, peak: float, valid: Mask | None = None) -> float:
    """Return the mean over bands of 10·log₁₀(peak² / MSE_b).

    The mean of the bands' values, not the value of the pooled error, which is smaller.

    Args:
        estimate: F `(C, H, W)`, physical values.
        reference: G, the same shape and unit.
        peak: Value of full scale in the unit of the images: 2047 for 11-bit DN, 1 for reflectance.
        valid: `(H, W)`, True where a pixel counts; None means everywhere.

    Returns:
        Decibel; +inf where a band has no error at all.

    Raises:
        ScaleError: `peak` is not a positive number.
        ShapeError: Shapes or mask do not fit each other.
        NodataError: No pixel is valid, or a valid one is not finite.

    Example:
        >>> psnr(np.zeros((2, 3, 4)), np.full((2, 3, 4), 10.0), peak=1000.0)
        40.0
    """
    f, g = pixels(estimate, reference, valid)
    return psnr_of(np.mean((f - g) ** 2, axis=1), peak=peak)


def psnr_of(mse: Array, *, peak: float) -> float:
    """Return the PSNR of bands with mean squared errors `mse` `(C,)`."""
    if not (np.isfinite(peak) and peak > 0):
        raise ScaleError(f"PSNR needs a positive peak in the unit of the images, got {peak}.")
    with np.errstate(divide="ignore"):
        return float(np.mean(10.0 * np.log10(peak**2 / mse)))
