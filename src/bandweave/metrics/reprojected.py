"""Metrics of the fused image brought back to the coarse grid, against the original coarse image.

The offset between PAN and coarse image is measured first, band by band, so that a registration
error of the data is not taken for an error of the fusion (Scarpa and Ciotola 2022). The kernels
are the toolboxes' MTF kernels with negative taps set to zero, divided by their sum.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bandweave.degrade.mtf import mtf_kernel
from bandweave.degrade.sampling import Kernels, correlate
from bandweave.errors import BandCountError, ShapeError
from bandweave.metrics.cross_correlation import local_cross_correlation
from bandweave.metrics.ergas import ergas
from bandweave.metrics.inputs import cleaned
from bandweave.metrics.q2n import q2n
from bandweave.metrics.sam import sam
from bandweave.metrics.uqi import uqi
from bandweave.pair import Mask
from bandweave.radiometry import Image

Offsets = Sequence[tuple[int, int]]
"""Fine index (row, column) of coarse sample 0, for each band."""


def positive_kernels(gains: Sequence[float], ratio: int) -> Kernels:
    """Return MTF kernels `(C, 41, 41)` without negative taps, divided by their sums."""
    kernels = np.stack([np.maximum(mtf_kernel(gain, ratio), 0.0) for gain in gains])
    scaled: Kernels = kernels / kernels.sum(axis=(1, 2), keepdims=True)
    return scaled


def reprojection_offsets(
    pan: Image, lrms: Image, *, gains: Sequence[float], ratio: int
) -> list[tuple[int, int]]:
    """Return for each band the phase at which the decimated PAN resembles it most.

    The PAN is filtered with band 0's kernel; the mean local cross-correlation of its ratio²
    decimations with the band decides.

    Args:
        pan: P `(1, H, W)`.
        lrms: L `(C, h, w)`, H = ratio·h and W = ratio·w.
        gains: MTF at the coarse Nyquist frequency for each band, in (0, 1).
        ratio: Fine pixels per coarse pixel.

    Raises:
        BandCountError: There is not one gain per band.
        ShapeError: The shapes do not nest.
    """
    _require(lrms.shape, pan.shape, gains, ratio)
    blurred = correlate(cleaned(pan, "PAN")[0], positive_kernels(gains[:1], ratio))
    return best_offsets(phase_likeness(blurred, cleaned(lrms, "lrms")[0], ratio).mean(axis=(2, 3)))


def phase_likeness(blurred_pan: Image, lrms: Image, ratio: int) -> Image:
    """Return ρ of every band with every decimation, `(ratio², C, h, w)`, phases by rows."""
    half_width = half_width_of(ratio)
    phases = [(i, j) for i in range(ratio) for j in range(ratio)]
    return np.stack(
        [
            local_cross_correlation(lrms, blurred_pan[:, i::ratio, j::ratio], half_width)
            for i, j in phases
        ]
    )


def best_offsets(likeness: Image) -> list[tuple[int, int]]:
    """Return the phase of the largest mean likeness `(ratio², C)` for each band."""
    ratio = round(len(likeness) ** 0.5)
    return [divmod(int(best), ratio) for best in np.argmax(likeness, axis=0)]


def half_width_of(ratio: int) -> int:
    """Return half the side of the windows of the local cross-correlation: ratio / 2 rounded up."""
    return -(-ratio // 2)


def reproject(hrms: Image, *, gains: Sequence[float], ratio: int, offsets: Offsets) -> Image:
    """Return F filtered with each band's kernel and sampled from its offset, `(C, h, w)`."""
    blurred = correlate(hrms.astype(np.float64, copy=False), positive_kernels(gains, ratio))
    return sampled(blurred, ratio, offsets)


def sampled(blurred: Image, ratio: int, offsets: Offsets) -> Image:
    """Keep every `ratio`-th pixel of each band from its offset."""
    return np.stack(
        [band[row::ratio, col::ratio] for band, (row, col) in zip(blurred, offsets, strict=True)]
    )


def r_sam(
    hrms: Image,
    lrms: Image,
    *,
    gains: Sequence[float],
    ratio: int,
    offsets: Offsets,
    valid: Mask | None = None,
) -> float:
    """Return the SAM in degrees of the reprojected image against `lrms`; `valid` is `(h, w)`."""
    return sam(reproject(hrms, gains=gains, ratio=ratio, offsets=offsets), lrms, valid=valid)


def r_ergas(
    hrms: Image,
    lrms: Image,
    *,
    gains: Sequence[float],
    ratio: int,
    offsets: Offsets,
    valid: Mask | None = None,
) -> float:
    """Return the ERGAS of the reprojected image against `lrms`; `valid` is `(h, w)`."""
    low = reproject(hrms, gains=gains, ratio=ratio, offsets=offsets)
    return ergas(low, lrms, ratio=ratio, valid=valid)


def r_q2n(
    hrms: Image,
    lrms: Image,
    *,
    gains: Sequence[float],
    ratio: int,
    offsets: Offsets,
    valid: Mask | None = None,
) -> float:
    """Return the Q2n of the reprojected image against `lrms`; `valid` is `(h, w)`."""
    return q2n(reproject(hrms, gains=gains, ratio=ratio, offsets=offsets), lrms, valid=valid)


def r_uqi(
    hrms: Image,
    lrms: Image,
    *,
    gains: Sequence[float],
    ratio: int,
    offsets: Offsets,
    valid: Mask | None = None,
) -> float:
    """Return the UQI of the reprojected image against `lrms`; `valid` is `(h, w)`."""
    return uqi(reproject(hrms, gains=gains, ratio=ratio, offsets=offsets), lrms, valid=valid)


def _require(
    lrms: tuple[int, ...], pan: tuple[int, ...], gains: Sequence[float], ratio: int
) -> None:
    if len(gains) != lrms[0]:
        raise BandCountError(
            f"One MTF gain per band is needed: {lrms[0]} bands, {len(gains)} gains."
        )
    if pan[1:] != (lrms[1] * ratio, lrms[2] * ratio):
        raise ShapeError(
            f"At ratio {ratio} a coarse image of {lrms[1]} x {lrms[2]} pixels needs a PAN of "
            f"{lrms[1] * ratio} x {lrms[2] * ratio}, got {pan[1]} x {pan[2]}."
        )
