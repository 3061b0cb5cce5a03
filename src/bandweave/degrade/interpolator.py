"""The 23-tap interpolator of the field's toolboxes as one continuous kernel.

The toolboxes double the grid again and again with a 23-tap half-band filter (B. Aiazzi et al.,
2002). The filter keeps the samples it is given, so the cascade converges to one function φ with
φ(0) = 1 and φ(k) = 0 at all other integers, and each stage computes values of that φ at dyadic
points. Read off at other points, the same φ interpolates to any ratio and any phase.
"""

from __future__ import annotations

from functools import cache, lru_cache

import numpy as np
from numpy.typing import NDArray

from bandweave.degrade.banded import Stencil

# Centre to end; twice the tabulated filter, because zeros are inserted before it.
_HALF_FILTER = 2 * np.array(
    [
        0.5,
        0.305334091185,
        0.0,
        -0.072698593239,
        0.0,
        0.021809577942,
        0.0,
        -0.005192756653,
        0.0,
        0.000807762146,
        0.0,
        -0.000060081482,
    ]
)
_LEVELS = 14  # φ is tabulated at multiples of 2^-14 coarse pixels
_NEGLIGIBLE = 1e-12  # of φ(0): taps below are left out
# In single precision taps are left out that are below a tenth of its rounding.
_NEGLIGIBLE_SINGLE = 1e-8


@cache
def _table() -> NDArray[np.float64]:
    """Return φ at multiples of 2^-14, from minus to plus 11 coarse pixels (its exact support)."""
    taps = np.concatenate([_HALF_FILTER[:0:-1], _HALF_FILTER])
    values = np.ones(1)
    for _ in range(_LEVELS):
        # Zeros put between the values and the filter over it, without computing with the zeros.
        finer = np.empty(2 * len(values) + len(taps) - 2)
        finer[::2] = np.convolve(values, taps[::2])
        finer[1::2] = np.convolve(values, taps[1::2])
        values = finer
    values.setflags(write=False)
    return values


def kernel_values(offsets: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return φ at `offsets` in coarse pixels; linear between the tabulated points."""
    table = _table()
    half = len(table) // 2
    points = np.arange(-half, half + 1)
    values: NDArray[np.float64] = np.interp(
        offsets * 2**_LEVELS, points, table, left=0.0, right=0.0
    )
    return values


@cache
def reach() -> int:
    """Return the whole coarse pixels beyond which φ is below 1e-12 of its peak."""
    table = _table()
    significant = np.flatnonzero(np.abs(table) > _NEGLIGIBLE)
    return int(np.ceil((len(table) // 2 - significant[0]) / 2**_LEVELS))


@lru_cache(maxsize=256)
def interpolation_stencil(ratio: int, phase: float, *, is_single: bool = False) -> Stencil:
    """Return the weights that put `ratio` fine pixels in place of each coarse one.

    Fine pixel m receives Σ_k φ((m − phase) / ratio − k) · coarse[k]. For images in single precision
    (`is_single`) fewer taps do.
    """
    first = int(np.floor(-phase / ratio)) - reach()
    last = int(np.ceil((ratio - 1 - phase) / ratio)) + reach()
    coarse = np.arange(first, last + 1)
    offsets = (np.arange(ratio)[None, :] - phase) / ratio - coarse[:, None]
    taps = kernel_values(offsets)
    taps[np.abs(taps) < (_NEGLIGIBLE_SINGLE if is_single else _NEGLIGIBLE)] = 0.0
    if not _is_cascade(ratio, phase):
        # The tabulated filter sums to 1 - 4e-10; where no reference has to be met, constants are
        # kept to rounding instead.
        taps /= taps.sum(axis=0)
    used = np.flatnonzero(np.any(taps != 0, axis=1))
    return Stencil(taps[used[0] : used[-1] + 1], step_in=1, start=int(coarse[used[0]]))


def _is_cascade(ratio: int, phase: float) -> bool:
    """Tell whether the toolboxes' own cascade computes this ratio and phase."""
    return ratio > 1 and ratio & (ratio - 1) == 0 and phase == ratio / 2
