"""Spatial distortion D_ρ."""

from __future__ import annotations

import numpy as np

from bandweave.errors import BandCountError, ShapeError
from bandweave.metrics.accumulate import MeanTally
from bandweave.metrics.cross_correlation import correlation_valid, local_cross_correlation
from bandweave.metrics.inputs import cleaned
from bandweave.pair import Mask
from bandweave.radiometry import Image


def d_rho(hrms: Image, pan: Image, *, half_width: int, valid: Mask | None = None) -> float:
    """Return the mean over pixels and bands of 1 − ρ(F_b, P) (Scarpa and Ciotola 2022).

    ρ is the local cross-correlation clipped to [−1, 1]. Pixels whose windows reach invalid ones
    are left out.

    Args:
        hrms: F `(C, H, W)`, physical values.
        pan: P `(1, H, W)`.
        half_width: Half the side of the windows in pixels; ratio / 2 in the definition.
        valid: `(H, W)`, True where a pixel counts; None means everywhere.

    Returns:
        Dimensionless in [0, 2], 0 where every band follows the PAN in every window.

    Raises:
        BandCountError: The PAN has several bands.
        ShapeError: Images or mask differ in size.
        NodataError: A valid pixel is not finite.

    Example:
        >>> pan = np.random.default_rng(1).uniform(0, 2047, (1, 32, 30))
        >>> abs(round(d_rho(np.concatenate([2 * pan, pan + 9]), pan, half_width=2), 1))
        0.0
    """
    if len(pan) != 1:
        raise BandCountError(f"D_rho needs a PAN of one band, got {len(pan)}.")
    if hrms.shape[1:] != pan.shape[1:]:
        raise ShapeError(
            f"Bands and PAN must be of one size, got {hrms.shape[1:]} and {pan.shape[1:]}."
        )
    f, mask = cleaned(hrms, "hrms", valid)
    p, _ = cleaned(pan, "PAN", valid)
    distance = local_distance(f, p, half_width)
    return distance_tally(distance, correlation_valid(mask, half_width)).mean()


def local_distance(f: Image, pan: Image, half_width: int) -> Image:
    """Return 1 − ρ at every pixel of finite images."""
    return 1.0 - np.clip(local_cross_correlation(f, pan, half_width), -1.0, 1.0)


def distance_tally(distance: Image, valid: Mask | None) -> MeanTally:
    """Sum values `(C, H, W)` over the valid pixels, for each band."""
    columns = distance.reshape(len(distance), -1) if valid is None else distance[:, valid]
    return MeanTally(columns.sum(axis=1), np.full(len(distance), float(columns.shape[1])))
