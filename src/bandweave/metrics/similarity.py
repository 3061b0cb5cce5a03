"""The one formula behind UQI and SSIM.

With window means μ, variances σ² and covariance σ_xy both are

    q = (2 μ_x μ_y + c₁)(2 σ_xy + c₂) / ((μ_x² + μ_y² + c₁)(σ_x² + σ_y² + c₂)),

UQI with a box window and c₁ = c₂ = 0, SSIM with a Gaussian one. For s = x + y and d = x − y this is

    q = (A − B)(U − V) / ((A + B)(U + V)),
    A = E[s]² + 2 c₁,  B = E[d]²,  U = E[s²] − E[s]² + 2 c₂,  V = E[d²] − E[d]²,

four window sums instead of five. Common factors of the window's weight cancel where c₁ = c₂ = 0.
"""

from __future__ import annotations

import numpy as np

from bandweave.metrics.accumulate import MeanTally
from bandweave.metrics.inputs import Array
from bandweave.metrics.windows import WindowSum, length, positions
from bandweave.pair import Mask


def similarity_tally(
    f: Array,
    g: Array,
    window: WindowSum,
    *,
    c1: float = 0.0,
    c2: float = 0.0,
    complete: Mask | None = None,
) -> MeanTally:
    """Sum the local values of q over all positions of the window, band by band.

    Args:
        f: Estimate `(C, H, W)`, finite everywhere.
        g: Reference, the same shape.
        window: Window sum for images of H x W pixels; its weights add up to 1 where the constants
            are not 0.
        c1: c₁ in the square of the images' unit.
        c2: c₂ in the same unit.
        complete: Positions that count; None means all.
    """
    # One block of memory, so that the allocator keeps it from one call to the next.
    scratch = np.empty((7, f[0].size))
    plane = scratch[6].reshape(f.shape[1:])
    sums = list(scratch[:6, : length(window)])
    total = np.empty(len(f))
    for band, (x, y) in enumerate(zip(f, g, strict=True)):
        np.add(x, y, out=plane)
        _moments(plane, window, sums[0], sums[1])
        np.subtract(x, y, out=plane)
        _moments(plane, window, sums[2], sums[3])
        quality = positions(_quality(sums, c1, c2), window)
        total[band] = quality.sum() if complete is None else quality[complete].sum()
    count = float(quality.size if complete is None else np.count_nonzero(complete))
    return MeanTally(total, np.full(len(f), count))


def _moments(plane: Array, window: WindowSum, squared_mean: Array, variance: Array) -> None:
    """Write (Σ x)² and n Σ x² − (Σ x)² for the window's n; `plane` is squared on the way."""
    window(plane, squared_mean)
    np.square(squared_mean, out=squared_mean)
    np.square(plane, out=plane)
    window(plane, variance)
    if window.weight != 1.0:
        variance *= window.weight
    variance -= squared_mean


def _quality(sums: list[Array], c1: float, c2: float) -> Array:
    """Return q from the flat planes A, U, B, V, which are overwritten, as two spare ones are."""
    a, u, b, v, luminance, structure = sums
    if c1 or c2:
        a += 2 * c1
        u += 2 * c2
    np.subtract(a, b, out=luminance)
    np.subtract(u, v, out=structure)
    a += b
    u += v
    if not c2:
        # Both windows flat: only the luminance remains (Wang and Bovik's own rule).
        flat = u == 0
        if flat.any():
            u[flat] = structure[flat] = 1.0
    luminance *= structure
    a *= u
    if not c1:
        # Both means zero: nothing to compare.
        empty = a == 0
        if empty.any():
            a[empty] = luminance[empty] = 1.0
    luminance /= a
    return luminance
