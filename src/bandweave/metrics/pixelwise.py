"""RMSE, PSNR, SAM and ERGAS from one pass over the pixels, in portions that stay in the cache."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bandweave.metrics import compilation
from bandweave.metrics.ergas import Denominator, ergas_of
from bandweave.metrics.inputs import Array, Precision, require_finite
from bandweave.metrics.psnr import psnr_of
from bandweave.pair import Mask
from bandweave.radiometry import Image

_PIXELS_AT_ONCE = 2**16


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

    Single precision stays single, everything else is computed in double precision.

    Raises:
        NodataError: A valid pixel is not finite.
    """
    height, width = reference.shape[1:]
    is_single = estimate.dtype == reference.dtype == np.float32
    dtype: Precision = np.float32 if is_single and not compilation.is_compiled() else np.float64
    tally = PixelTally.empty(len(reference))
    rows = max(_PIXELS_AT_ONCE // width, 1)
    for first in range(0, height, rows):
        part = slice(first, min(first + rows, height))
        f: Image = estimate[:, part].astype(dtype, copy=False)
        g: Image = reference[:, part].astype(dtype, copy=False)
        usable = None if valid is None else valid[part]
        tally = tally.merged((_compiled_rows if compilation.is_compiled() else _rows)(f, g, usable))
    return tally


def _rows(f: Image, g: Image, valid: Mask | None) -> PixelTally:
    f, g = (image.reshape(len(image), -1) for image in (f, g))
    count = f.shape[1]
    if valid is not None:
        # Zero in both images: no error, and no angle, as no spectrum.
        usable, zero = valid.ravel(), f.dtype.type(0)
        f, g = np.where(usable, f, zero), np.where(usable, g, zero)
        count = int(np.count_nonzero(usable))
    return _columns(f, g, count)


def _compiled_rows(f: Image, g: Image, valid: Mask | None) -> PixelTally:
    from bandweave.metrics.compiled.jit import kept_memory  # noqa: PLC0415  # an extra
    from bandweave.metrics.compiled.pixels import pixel_sums  # noqa: PLC0415

    with kept_memory() as memory:
        (first, second, squared), adjacent, opposite, angles = pixel_sums(f, g, valid, memory)
        angle = np.arctan2(opposite, adjacent, out=adjacent).sum()  # 0 where there is none
    for image, total, role in ((f, first, "estimate"), (g, second, "reference")):
        if not np.isfinite(total).all():
            require_finite(image if valid is None else np.where(valid, image, 0.0), role)
    count = f.shape[1] * f.shape[2] if valid is None else int(np.count_nonzero(valid))
    return PixelTally(count, squared, first, second, float(angle), angles)


def _columns(f: Image, g: Image, count: int) -> PixelTally:
    """Sum over columns `(C, N)`, `count` of which are valid and the rest zero."""
    sums = [np.einsum("cn->c", image).astype(np.float64) for image in (f, g)]
    for image, total, role in ((f, sums[0], "estimate"), (g, sums[1], "reference")):
        if not np.isfinite(total).all():
            require_finite(image, role)
    error = f - g
    squared = np.vecdot(error, error).astype(np.float64)
    angle, angles = _angles(f, error)
    return PixelTally(count, squared, sums[0], sums[1], angle, angles)


def _angles(f: Image, error: Image) -> tuple[float, int]:
    """Return the sum of the angles between f and g = f − error, and how many pixels have one.

    The tangent by Lagrange's identity, ‖f‖²‖g‖² − ⟨f, g⟩² = ‖f‖²‖f − g‖² − ⟨f, f − g⟩², resolves
    angles near 0 that the cosine cannot tell from 0.
    """
    power, inner, cross = (
        np.einsum("cn,cn->n", a, b) for a, b in ((f, f), (f, error), (error, error))
    )
    cross *= power
    np.subtract(power, inner, out=power)  # ⟨f, g⟩
    np.square(inner, out=inner)
    cross -= inner
    np.maximum(cross, 0.0, out=cross)
    np.sqrt(cross, out=cross)
    has_angle = (cross > 0) | (power != 0)
    np.arctan2(cross, power, out=cross)  # 0 where there is none
    return float(cross.sum(dtype=np.float64)), int(np.count_nonzero(has_angle))
