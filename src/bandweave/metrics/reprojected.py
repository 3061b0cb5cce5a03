"""Metrics of the fused image brought back to the coarse grid, against the original coarse image.

The offset between PAN and coarse image is measured first, band by band, so that a registration
error of the data is not taken for an error of the fusion (Scarpa and Ciotola 2022). The kernels
are the toolboxes' MTF kernels with negative taps set to zero, divided by their sum.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bandweave.degrade.mtf import mtf_kernel
from bandweave.degrade.sampling import Kernels, correlate
from bandweave.errors import BandCountError, ShapeError
from bandweave.metrics.cross_correlation import local_cross_correlation
from bandweave.metrics.ergas import ergas
from bandweave.metrics.inputs import Array, cleaned
from bandweave.metrics.q2n import q2n
from bandweave.metrics.sam import sam
from bandweave.metrics.uqi import uqi
from bandweave.pair import Mask
from bandweave.radiometry import Image


@dataclass(frozen=True, slots=True)
class Reprojection:
    """How a fused image is brought back to the coarse grid."""

    ratio: int
    """Fine pixels per coarse pixel."""
    gains: tuple[float, ...]
    """MTF at the coarse Nyquist frequency for each band, in (0, 1)."""
    offsets: tuple[tuple[int, int], ...]
    """Fine index (row, column) of coarse sample 0, for each band."""

    @classmethod
    def measured(
        cls, pan: Image, lrms: Image, *, gains: Sequence[float], ratio: int
    ) -> Reprojection:
        """Take for each band the phase at which the decimated PAN resembles it most.

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
        if len(gains) != len(lrms):
            raise BandCountError(
                f"One MTF gain per band is needed: {len(lrms)} bands, {len(gains)} gains."
            )
        if pan.shape[1:] != (lrms.shape[1] * ratio, lrms.shape[2] * ratio):
            raise ShapeError(
                f"At ratio {ratio} a coarse image of {lrms.shape[1:]} needs a PAN as many times as "
                f"large, got {pan.shape[1:]}."
            )
        blurred = correlate(cleaned(pan, "PAN")[0], positive_kernels(gains[:1], ratio))
        likeness = phase_likeness(blurred, cleaned(lrms, "lrms")[0], ratio)
        return cls(ratio, tuple(gains), best_offsets(likeness.mean(axis=(2, 3))))

    def apply(self, hrms: Image) -> Image:
        """Filter each band of `hrms` `(C, H, W)` and sample it from its offset: `(C, h, w)`."""
        kernels = positive_kernels(self.gains, self.ratio)
        return self.sampled(correlate(hrms.astype(np.float64, copy=False), kernels))

    def sampled(self, blurred: Image) -> Image:
        """Keep every `ratio`-th pixel of each band from its offset."""
        return np.stack(
            [
                band[row :: self.ratio, col :: self.ratio]
                for band, (row, col) in zip(blurred, self.offsets, strict=True)
            ]
        )


def r_sam(
    hrms: Image, lrms: Image, *, reprojection: Reprojection, valid: Mask | None = None
) -> float:
    """Return the SAM in degrees of the reprojected image against `lrms`; `valid` is `(h, w)`."""
    return sam(reprojection.apply(hrms), lrms, valid=valid)


def r_ergas(
    hrms: Image, lrms: Image, *, reprojection: Reprojection, valid: Mask | None = None
) -> float:
    """Return the ERGAS of the reprojected image against `lrms`; `valid` is `(h, w)`."""
    return ergas(reprojection.apply(hrms), lrms, ratio=reprojection.ratio, valid=valid)


def r_q2n(
    hrms: Image, lrms: Image, *, reprojection: Reprojection, valid: Mask | None = None
) -> float:
    """Return the Q2n of the reprojected image against `lrms`; `valid` is `(h, w)`."""
    return q2n(reprojection.apply(hrms), lrms, valid=valid)


def r_uqi(
    hrms: Image, lrms: Image, *, reprojection: Reprojection, valid: Mask | None = None
) -> float:
    """Return the UQI of the reprojected image against `lrms`; `valid` is `(h, w)`."""
    return uqi(reprojection.apply(hrms), lrms, valid=valid)


def positive_kernels(gains: Sequence[float], ratio: int) -> Kernels:
    """Return MTF kernels `(C, 41, 41)` without negative taps, divided by their sums."""
    kernels = np.stack([np.maximum(mtf_kernel(gain, ratio), 0.0) for gain in gains])
    scaled: Kernels = kernels / kernels.sum(axis=(1, 2), keepdims=True)
    return scaled


def phase_likeness(blurred_pan: Image, lrms: Image, ratio: int) -> Array:
    """Return ρ of every band with every decimation, `(ratio², C, h, w)`, phases by rows."""
    phases = [(i, j) for i in range(ratio) for j in range(ratio)]
    return np.stack(
        [
            local_cross_correlation(lrms, blurred_pan[:, i::ratio, j::ratio], half_width_of(ratio))
            for i, j in phases
        ]
    )


def best_offsets(likeness: Array) -> tuple[tuple[int, int], ...]:
    """Return the phase of the largest mean likeness `(ratio², C)` for each band."""
    ratio = round(len(likeness) ** 0.5)
    return tuple(divmod(int(best), ratio) for best in np.argmax(likeness, axis=0))


def half_width_of(ratio: int) -> int:
    """Return half the side of the windows of the local cross-correlation: ratio / 2, rounded up."""
    return -(-ratio // 2)
