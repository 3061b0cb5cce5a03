"""Structural similarity."""

from __future__ import annotations

from typing import Literal

import numpy as np

from bandweave.errors import ScaleError
from bandweave.metrics import compilation
from bandweave.metrics.accumulate import MeanTally
from bandweave.metrics.inputs import matched
from bandweave.metrics.similarity import similarity_tally
from bandweave.metrics.sliding import sliding_tallies
from bandweave.metrics.windows import GaussianMean, complete_windows, require_room
from bandweave.pair import Mask
from bandweave.radiometry import Image

SsimBorder = Literal["valid", "same"]

REACH = GaussianMean.size // 2
"""Pixels per side that a window reaches beyond its centre."""

Margins = tuple[tuple[int, int], tuple[int, int]]


def ssim(
    estimate: Image,
    reference: Image,
    *,
    peak: float,
    border: SsimBorder = "valid",
    valid: Mask | None = None,
) -> float:
    """Return the mean over windows, then bands, of SSIM (Wang et al. 2004).

    (2 μ_f μ_g + c₁)(2 σ_fg + c₂) / ((μ_f² + μ_g² + c₁)(σ_f² + σ_g² + c₂)) with c₁ = (0.01 peak)²,
    c₂ = (0.03 peak)², and means under an 11 x 11 Gaussian of σ = 1.5 pixels. Windows with an
    invalid pixel are left out.

    Args:
        estimate: F `(C, H, W)`, physical values.
        reference: G, the same shape and unit.
        peak: Value of full scale in the unit of the images.
        border: `valid` keeps windows inside the image (the pansharpening toolboxes), `same`
            repeats the edge pixels and has one window per pixel (MATLAB, the CAVE tables).
        valid: `(H, W)`, True where a pixel counts; None means everywhere.

    Returns:
        Dimensionless in [−1, 1], 1 at identity; nan where no window is wholly valid.

    Raises:
        ScaleError: `peak` is not a positive number.
        ShapeError: Shapes or mask do not fit each other, or `border` is `valid` and the image
            smaller than the window.
        NodataError: No pixel is valid, or a valid one is not finite.

    Example:
        >>> image = np.arange(20.0 * 15).reshape(1, 20, 15)
        >>> ssim(image, image, peak=300.0)
        1.0
    """
    f, g, mask = matched(estimate, reference, valid)
    margins = ((REACH, REACH), (REACH, REACH)) if border == "same" else ((0, 0), (0, 0))
    return ssim_tally(f, g, mask, peak=peak, margins=margins).mean()


def ssim_tally(
    f: Image, g: Image, valid: Mask | None, *, peak: float, margins: Margins
) -> MeanTally:
    """Sum SSIM over the windows of finite images `(C, H, W)`, for each band.

    `margins` says by how many copies of the edge pixel each side is extended first.
    """
    c1, c2 = ssim_constants(peak)
    if any(map(any, margins)):
        f, g = (np.pad(image, ((0, 0), *margins), mode="edge") for image in (f, g))
        valid = None if valid is None else np.pad(valid, margins, mode="edge")
    size = GaussianMean.size
    require_room((f.shape[1], f.shape[2]), size)
    if compilation.is_compiled():
        windows = (f.shape[1] - size + 1, f.shape[2] - size + 1)
        return sliding_tallies(f, g, valid, gaussians=windows, constants=(c1, c2))[1]
    complete = None if valid is None else complete_windows(valid, size, size)
    return similarity_tally(f, g, GaussianMean, c1=c1, c2=c2, complete=complete)


def ssim_constants(peak: float) -> tuple[float, float]:
    """Return c₁ and c₂ for a peak in the unit of the images.

    Raises:
        ScaleError: It is not a positive number.
    """
    if not (np.isfinite(peak) and peak > 0):
        raise ScaleError(f"SSIM needs a positive peak in the unit of the images, got {peak}.")
    return (0.01 * peak) ** 2, (0.03 * peak) ** 2
