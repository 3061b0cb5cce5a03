"""RMSE, PSNR, SAM and ERGAS from one pass over the pixels, in portions that stay in the cache."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bandweave.metrics.ergas import Denominator, ergas_of
from bandweave.metrics.inputs import Array, require_finite
from bandweave.metrics.psnr import psnr_of
from bandweave.pair import Mask
from bandweave.radiometry import Image

_PIXELS_AT_ONCE = 2**14


@dataclass(frozen=True, slots=True, eq=False)
class PixelTally:
    """Sums over pixels, from which every metric without windows follows."""

    count: int
    """Number of valid pixels."""
    squared: Array
    """`(C,)`, Σ (f − g)²."""
    estimate: Array
    """`(C,)`, Σ f."""
    reference: Array
    """`(C,)`, Σ g."""
    angle: float
    """Sum of the spectral angles in radians."""
    angles: int
    """Number of pixels that have an angle."""

    @classmethod
    def empty(cls, bands: int) -> PixelTally:
        """Start from no pixel at all."""
        return cls(0, np.zeros(bands), np.zeros(bands), np.zeros(bands), 0.0, 0)

    def merged(self, other: PixelTally) -> PixelTally:
        """Add the pixels of another area."""
        return PixelTally(
            self.count + other.count,
            self.squared + other.squared,
            self.estimate + other.estimate,
            self.reference + other.reference,
            self.angle + other.angle,
            self.angles + other.angles,
        )

    def rmse(self) -> float:
        """Return the root mean square error over all bands."""
        return float(np.sqrt(self._per_pixel(self.squared).mean()))

    def psnr(self, *, peak: float) -> float:
        """Return the peak signal-to-noise ratio in dB, see `psnr`."""
        return psnr_of(self._per_pixel(self.squared), peak=peak)

    def ergas(self, *, ratio: float, denominator: Denominator = "gt") -> float:
        """Return ERGAS, see `ergas`."""
        sums = self.reference if denominator == "gt" else self.estimate
        return ergas_of(self._per_pixel(self.squared), self._per_pixel(sums), ratio=ratio)

    def sam(self) -> float:
        """Return the mean spectral angle in degrees, see `sam`."""
        return float(np.degrees(self.angle / self.angles)) if self.angles else float("nan")

    def _per_pixel(self, sums: Array) -> Array:
        return sums / self.count if self.count else np.full_like(sums, np.nan)


def pixel_tally(estimate: Image, reference: Image, valid: Mask | None) -> PixelTally:
    """Sum over the valid pixels of images `(C, H, W)` of any real type.

    Raises:
        NodataError: A valid pixel is not finite.
    """
    height, width = reference.shape[1:]
    tally = PixelTally.empty(len(reference))
    rows = max(_PIXELS_AT_ONCE // width, 1)
    for first in range(0, height, rows):
        part = slice(first, min(first + rows, height))
        f, g = (
            image[:, part].reshape(len(image), -1).astype(np.float64, copy=False)
            for image in (estimate, reference)
        )
        count = f.shape[1]
        if valid is not None:
            # Zero in both images: no error, and no angle, as no spectrum.
            usable = valid[part].ravel()
            f, g = np.where(usable, f, 0.0), np.where(usable, g, 0.0)
            count = int(np.count_nonzero(usable))
        tally = tally.merged(_columns(f, g, count))
    return tally


def _columns(f: Array, g: Array, count: int) -> PixelTally:
    """Sum over columns `(C, N)`, `count` of which are valid and the rest zero."""
    sums = f.sum(axis=1), g.sum(axis=1)
    for image, total, role in ((f, sums[0], "estimate"), (g, sums[1], "reference")):
        if not np.isfinite(total).all():
            require_finite(image, role)
    inner, norms, spare = (np.einsum("cn,cn->n", a, b) for a, b in ((f, g), (f, f), (g, g)))
    norms *= spare
    np.sqrt(norms, out=norms)
    angles = int(np.count_nonzero(norms))
    if angles < len(norms):
        has_angle = norms > 0
        inner, norms = inner[has_angle], norms[has_angle]
    inner /= norms
    np.clip(inner, -1.0, 1.0, out=inner)
    np.arccos(inner, out=inner)
    error = f - g
    squared = np.einsum("cn,cn->c", error, error)
    return PixelTally(count, squared, *sums, float(inner.sum()), angles)
