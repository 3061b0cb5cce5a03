"""Spatial distortion D_s of QNR and HQNR."""

from __future__ import annotations

import numpy as np

from bandweave.errors import BandCountError, ShapeError
from bandweave.metrics.accumulate import MeanTally
from bandweave.metrics.blocks import block_quality
from bandweave.metrics.inputs import cleaned
from bandweave.pair import Mask
from bandweave.radiometry import Image


def d_s(
    hrms: Image,
    pan: Image,
    spectral: Image,
    pan_low: Image,
    *,
    block: int = 32,
    spectral_block: int | None = None,
    valid: Mask | None = None,
    spectral_valid: Mask | None = None,
) -> float:
    """Return the mean over bands of |Q(F_b, P) − Q(M_b, P̃)| (Alparone et al. 2008).

    Q is the UQI on blocks that do not overlap, P̃ the PAN at the resolution of the coarse image.
    In the toolboxes M and P̃ lie on the fine grid: `ms_up`, and the PAN reduced by bicubic
    `imresize` and interpolated back like `ms_up`.

    Args:
        hrms: F `(C, H, W)`, physical values; H and W are multiples of `block`.
        pan: P `(1, H, W)` in the same unit.
        spectral: M `(C, H, W)` or `(C, h, w)`.
        pan_low: P̃ `(1, H, W)` or `(1, h, w)`, on the grid of M.
        block: Pixels per side of the blocks of `hrms`.
        spectral_block: The same for `spectral`; `block` by default.
        valid: `(H, W)`, True where a pixel of `hrms` and `pan` counts; None means everywhere.
        spectral_valid: The same for `spectral` and `pan_low`.

    Returns:
        Dimensionless in [0, 2], 0 where the bands relate to the PAN as before; nan where a band
        has no block.

    Raises:
        BandCountError: The multispectral images have different numbers of bands, or a PAN several.
        ShapeError: Images that belong together differ in size, or are no multiple of the block.
        NodataError: A valid pixel is not finite.

    Example:
        >>> image = np.random.default_rng(1).uniform(1, 2047, (5, 64, 96))
        >>> d_s(image[:4], image[4:], image[:4], image[4:])
        0.0
    """
    if len(hrms) != len(spectral) or len(pan) != 1 or len(pan_low) != 1:
        raise BandCountError(
            "D_s needs two images of the same bands and two of one band, got "
            f"{len(hrms)} and {len(spectral)}, {len(pan)} and {len(pan_low)}."
        )
    for one, other in ((hrms, pan), (spectral, pan_low)):
        if one.shape[1:] != other.shape[1:]:
            raise ShapeError(
                f"Bands and PAN must be of one size to be compared, got {one.shape[1:]} and "
                f"{other.shape[1:]}."
            )
    fine = cleaned(np.concatenate([hrms, pan]), "hrms with PAN", valid)
    coarse = cleaned(np.concatenate([spectral, pan_low]), "spectral image with PAN", spectral_valid)
    return d_s_of(
        block_quality(*fine, block=block), block_quality(*coarse, block=spectral_block or block)
    )


def d_s_of(fused: MeanTally, coarse: MeanTally) -> float:
    """Return D_s from the block qualities `(C + 1, C + 1)` of both images, the PAN last."""
    return float(np.abs(fused.means()[:-1, -1] - coarse.means()[:-1, -1]).mean())
