"""What is known of the instruments behind a pair beyond their names: point spread and response.

Both are plain numbers, so that they can be compared, kept in a file and used as keys.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bandweave.errors import SensorModelError

ResponseMatrix = tuple[tuple[float, ...], ...]
"""c rows of C weights: how strongly each broad band sees each narrow one; rows sum to 1."""


@dataclass(frozen=True, slots=True)
class PointSpread:
    """Which fine pixels a coarse one is a mean of, the same for all bands.

    y(i, j) = Σ_{m,n} taps[m][n] · x(r·i + start_row + m, r·j + start_col + n)

    The place of the taps is part of the value, since it differs from one simulation to the next
    by a pixel or two; where the samples lie for interpolation is the pair's `phase`.

    Raises:
        SensorModelError: The taps are no table of finite numbers, or do not sum to 1.
    """

    taps: tuple[tuple[float, ...], ...]
    """Rows of taps that sum to 1."""
    start: tuple[int, int]
    """Fine index (row, column) of the first tap at coarse sample 0."""
    name: str
    """What reports call it, for example `Gaussian, sigma 0.5, 3 x 3 taps`."""

    def __post_init__(self) -> None:
        if not self.taps or len({len(row) for row in self.taps}) != 1 or not self.taps[0]:
            raise SensorModelError(f"The point spread {self.name} must be a table of taps.")
        kernel = self.kernel
        if not np.all(np.isfinite(kernel)) or abs(kernel.sum() - 1) > 1e-9:
            raise SensorModelError(
                f"The taps of the point spread {self.name} must be finite and sum to 1, they sum "
                f"to {kernel.sum():g}; divide them by their sum."
            )

    @property
    def kernel(self) -> NDArray[np.float64]:
        """Return the taps `(k, l)`."""
        return np.array(self.taps, dtype=np.float64)

    @property
    def shape(self) -> tuple[int, int]:
        """Return (k, l)."""
        return len(self.taps), len(self.taps[0])


@dataclass(frozen=True, slots=True)
class HyperspectralModel:
    """Both instruments of a hyperspectral pair: `lrhsi` = A x and `msi` = P x of one scene x."""

    psf: PointSpread
    """A."""
    phase: tuple[float, float]
    """Fine index (row, column) of the middle of coarse sample 0."""
    response: ResponseMatrix
    """P, `(c, C)`."""

    @property
    def spatial_bands(self) -> int:
        """Return c."""
        return len(self.response)

    @property
    def bands(self) -> int:
        """Return C."""
        return len(self.response[0])
