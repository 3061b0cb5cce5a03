"""Sums that metrics are made of; those of two areas add up, so that scenes are scored in tiles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bandweave.metrics.inputs import Array


@dataclass(frozen=True, slots=True, eq=False)
class MeanTally:
    """Sums and counts of local values: of windows, blocks or pixels."""

    total: Array
    """Sum of the values, for each entry (band, band pair) of an array of any shape."""
    count: Array
    """Number of values, for each entry."""

    def merged(self, other: MeanTally) -> MeanTally:
        """Add the values of another area."""
        return MeanTally(self.total + other.total, self.count + other.count)

    def means(self) -> Array:
        """Return the mean of each entry; nan where nothing was counted."""
        means = np.full(np.shape(self.total), np.nan)
        np.divide(self.total, self.count, out=means, where=self.count > 0)
        return means

    def mean(self) -> float:
        """Return the mean over the entries of their means; nan where one has no value."""
        return float(self.means().mean())

    @classmethod
    def joined(cls, tallies: Sequence[MeanTally]) -> MeanTally:
        """Put the entries of several tallies side by side."""
        return cls(
            np.concatenate([tally.total for tally in tallies]),
            np.concatenate([tally.count for tally in tallies]),
        )

    @classmethod
    def of(cls, values: Array) -> MeanTally:
        """Sum up values of one entry."""
        return cls(np.array([values.sum()]), np.array([float(values.size)]))


@dataclass(frozen=True, slots=True)
class Spread:
    """Mean and standard deviation over images."""

    mean: float
    """Mean of the defined values; nan where there is none."""
    std: float
    """Standard deviation with n − 1; nan below two values."""
    count: int
    """Number of defined values."""

    @classmethod
    def of(cls, values: list[float]) -> Spread:
        """Summarise one metric's values; nan (not defined for that image) is left out."""
        defined = np.array([value for value in values if not np.isnan(value)])
        if defined.size == 0:
            return cls(float("nan"), float("nan"), 0)
        # An infinite PSNR makes the mean infinite and leaves no spread to speak of.
        has_spread = defined.size > 1 and bool(np.isfinite(defined).all())
        std = float(defined.std(ddof=1)) if has_spread else float("nan")
        return cls(float(defined.mean()), std, int(defined.size))
