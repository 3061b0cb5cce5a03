"""Spectral distortion D_λ^K of HQNR."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bandweave.degrade.mtf import mtf_kernel
from bandweave.degrade.sampling import correlate
from bandweave.errors import BandCountError
from bandweave.metrics.q2n import q2n
from bandweave.pair import Mask
from bandweave.radiometry import Image


def d_lambda_k(
    hrms: Image,
    ms_up: Image,
    *,
    gains: Sequence[float],
    ratio: int,
    block: int = 32,
    shift: int | None = None,
    valid: Mask | None = None,
) -> float:
    """Return 1 − Q2n(MTF(F), M) (Khan, Alparone and Chanussot 2009).

    F is blurred by the sensor's MTF (border replicated, not decimated) and compared with the
    interpolated coarse image M as the reference.

    Args:
        hrms: F `(C, H, W)`, DN.
        ms_up: M, the same shape and unit.
        gains: MTF at the coarse Nyquist frequency for each band, in (0, 1).
        ratio: Fine pixels per coarse pixel.
        block: Pixels per side of the blocks of Q2n.
        shift: Pixels between blocks; `block` by default.
        valid: `(H, W)`, True where the blurred pixel counts; None means everywhere.

    Returns:
        Dimensionless in [0, 1], 0 where the blurred image equals M; nan where no block is valid.

    Raises:
        BandCountError: There is not one gain per band.
        SensorModelError: A gain is outside (0, 1).
        ShapeError: Shapes or mask do not fit each other.
        NodataError: No pixel is valid, or a pixel is not finite.

    Example:
        >>> image = np.full((3, 64, 64), 500.0)
        >>> image[:, ::2] = 700.0  # detail that the blurred image lacks
        >>> d_lambda_k(image, image, gains=[0.3, 0.3, 0.3], ratio=4) > 0.9
        True
    """
    if len(gains) != len(hrms):
        raise BandCountError(
            f"One MTF gain per band is needed: {len(hrms)} bands, {len(gains)} gains."
        )
    kernels = np.stack([mtf_kernel(gain, ratio) for gain in gains])
    blurred = correlate(hrms.astype(np.float64, copy=False), kernels, border="replicate")
    return 1.0 - q2n(blurred, ms_up, block=block, shift=shift, valid=valid)
