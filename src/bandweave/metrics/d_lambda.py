"""Spectral distortion D_λ of QNR."""

from __future__ import annotations

import numpy as np

from bandweave.errors import BandCountError
from bandweave.metrics.accumulate import MeanTally
from bandweave.metrics.blocks import block_quality
from bandweave.metrics.inputs import cleaned
from bandweave.pair import Mask
from bandweave.radiometry import Image


def d_lambda(
    hrms: Image,
    spectral: Image,
    *,
    block: int = 32,
    spectral_block: int | None = None,
    valid: Mask | None = None,
    spectral_valid: Mask | None = None,
) -> float:
    """Return the mean over band pairs i < j of |Q(F_i, F_j) − Q(M_i, M_j)| (Alparone et al. 2008).

    Q is the UQI on blocks that do not overlap. The toolboxes compare with the interpolated coarse
    image on the same blocks; the original paper with the coarse image itself, on blocks smaller
    by the ratio.

    Args:
        hrms: F `(C, H, W)`, physical values; H and W are multiples of `block`.
        spectral: M, `ms_up` `(C, H, W)` or `lrms` `(C, h, w)` in the same unit.
        block: Pixels per side of the blocks of `hrms`.
        spectral_block: The same for `spectral`; `block` by default.
        valid: `(H, W)`, True where a pixel of `hrms` counts; None means everywhere.
        spectral_valid: The same for `spectral`.

    Returns:
        Dimensionless in [0, 2], 0 where the relations between the bands are kept; nan for one
        band, or where a pair has no block.

    Raises:
        BandCountError: The images have different numbers of bands.
        ShapeError: An image is no multiple of its block, or a mask does not fit.
        NodataError: A valid pixel is not finite.

    Example:
        >>> image = np.random.default_rng(1).uniform(1, 2047, (4, 64, 96))
        >>> d_lambda(image, image)
        0.0
    """
    if len(hrms) != len(spectral):
        raise BandCountError(
            f"Both images need the same bands, got {len(hrms)} and {len(spectral)}."
        )
    fused = block_quality(*cleaned(hrms, "hrms", valid), block=block)
    coarse = block_quality(
        *cleaned(spectral, "spectral image", spectral_valid), block=spectral_block or block
    )
    return d_lambda_of(fused, coarse)


def d_lambda_of(fused: MeanTally, coarse: MeanTally) -> float:
    """Return D_λ from the block qualities `(C, C)` of both images."""
    bands = len(fused.total)
    first, second = np.triu_indices(bands, k=1)
    if len(first) == 0:
        return float("nan")
    distance = np.abs(fused.means() - coarse.means())
    return float(distance[first, second].mean())
