"""The one formula behind UQI and SSIM.

With window means μ, variances σ² and covariance σ_xy both are

    q = (2 μ_x μ_y + c₁)(2 σ_xy + c₂) / ((μ_x² + μ_y² + c₁)(σ_x² + σ_y² + c₂)),

UQI with a box window and c₁ = c₂ = 0, SSIM with a Gaussian one. For s = x + y and d = x − y this is

    q = (A − B)(U − V) / ((A + B)(U + V)),
    A = E[s]² + 2 c₁,  B = E[d]²,  U = E[s²] − E[s]² + 2 c₂,  V = E[d²] − E[d]²,

four window sums instead of five. Common factors of the window's weight cancel where c₁ = c₂ = 0.
U and V are small differences of large numbers, so bands are counted from a typical value, which
changes neither; only A needs the mean itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from bandweave.metrics.accumulate import MeanTally
from bandweave.metrics.inputs import row_sums, staggered
from bandweave.metrics.windows import WindowSum, length, positions
from bandweave.pair import Mask
from bandweave.radiometry import Image

# The share of U + V in the squares it is a rest of, above which single precision resolves it.
_LEAST_REST = 2.0**-12
_SAMPLE = 8  # every eighth row and column shows what value is typical
_STEP = 2.0**-10  # typical values are multiples of this, so that whole numbers stay exact


def similarity_tally(
    f: Image,
    g: Image,
    window_of: Callable[[tuple[int, int, int], np.dtype[Any]], WindowSum],
    *,
    c1: float = 0.0,
    c2: float = 0.0,
    complete: Mask | None = None,
) -> MeanTally:
    """Sum the local values of q over all positions of the window, for each band.

    Images in single precision are computed in single precision, except where c₂ is 0 and the
    variance in some window would drown in rounding: these are computed in double precision.

    Args:
        f: Estimate `(C, H, W)`, finite everywhere.
        g: Reference, the same shape and type.
        window_of: Makes the window sum for C x H x W pixels of a type; its weights add up to 1
            where the constants are not 0.
        c1: c₁ in the square of the images' unit.
        c2: c₂ in the same unit.
        complete: Positions that count; None means all.
    """
    window = window_of((f.shape[0], f.shape[1], f.shape[2]), f.dtype)
    scratch = staggered(7, f.size, f.dtype)
    plane = scratch[6].reshape(f.shape)
    a, u, b, v, level, spare, last = scratch[:, : length(window)]
    np.add(f, g, out=plane)
    typical = np.rint(plane[:, ::_SAMPLE, ::_SAMPLE].mean(axis=(1, 2)) / _STEP) * _STEP
    plane -= typical[:, None, None]
    _moments(plane, window, a, u, squared=level)
    for band, value in enumerate(typical):
        a[band * window.band_pitch :][: window.band_pitch] += value * window.weight
    np.square(a, out=a)
    np.subtract(f, g, out=plane)
    _moments(plane, window, b, v, squared=b)
    ratio = (_SumAndDifference(a, b, spare), _SumAndDifference(u, v, last))
    if f.dtype == np.float32 and not c2 and not _is_resolved(u, level, b):
        f, g = f.astype(np.float64), g.astype(np.float64)
        return similarity_tally(f, g, window_of, complete=complete)
    quality = positions(_quality(*ratio, c1, c2), window)
    if complete is None:
        return MeanTally(row_sums(quality), np.full(len(f), float(quality[0].size)))
    total = np.array([band[complete].sum(dtype=np.float64) for band in quality])
    return MeanTally(total, np.full(len(f), float(np.count_nonzero(complete))))


def _moments(
    plane: Image, window: WindowSum, first: Image, variance: Image, *, squared: Image
) -> None:
    """Write Σ x, n Σ x² − (Σ x)² and (Σ x)² for the window's n; `plane` is squared on the way."""
    window(plane, first)
    np.square(first, out=squared)
    np.square(plane, out=plane)
    window(plane, variance)
    if window.weight != 1.0:
        variance *= window.weight
    variance -= squared


def _is_resolved(rest: Image, level: Image, b: Image) -> bool:
    """Tell whether U + V exceeds the rounding of single precision wherever it is not exactly 0."""
    if rest.min() > _LEAST_REST * (float(level.max()) + float(b.max())):
        return True
    level += b
    level *= _LEAST_REST
    return not np.any((rest <= level) & (rest != 0))


class _SumAndDifference:
    """x + y, written over x, and x − y."""

    def __init__(self, x: Image, y: Image, difference: Image) -> None:
        self.difference = np.subtract(x, y, out=difference)
        self.sum = np.add(x, y, out=x)

    def add(self, constant: float) -> None:
        """Count a constant in both."""
        self.sum += constant
        self.difference += constant


def _quality(
    luminance: _SumAndDifference, structure: _SumAndDifference, c1: float, c2: float
) -> Image:
    """Return q from A ± B and U ± V without their constants; all are overwritten."""
    if c1 or c2:
        luminance.add(2 * c1)
        structure.add(2 * c2)
    numerator, denominator = luminance.difference, luminance.sum
    if not c2 and not structure.sum.min() > 0:
        # Both windows flat: only the luminance remains (Wang and Bovik's own rule).
        flat = structure.sum == 0
        structure.sum[flat] = structure.difference[flat] = 1.0
    if not c1 and not denominator.min() > 0:
        # Both means zero: nothing to compare.
        empty = denominator == 0
        for plane in (numerator, denominator, structure.sum, structure.difference):
            plane[empty] = 1.0
    numerator *= structure.difference
    denominator *= structure.sum
    numerator /= denominator
    return numerator
