"""How often which value occurs in a scene; mergeable, for percentiles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bandweave.radiometry import Image

Codes = NDArray[np.int64]

LARGEST_SIZE = 2**16
"""Distinct values that are told apart."""


@dataclass(frozen=True, slots=True, eq=False)
class Distribution:
    """Counts of the values that occur.

    Exact up to 65,536 distinct values; beyond that, values are rounded to the largest number of
    mantissa bits that leaves no more. For a band of a scene that is about 1 part in 10,000, and
    percentiles interpolate between the rounded values. The rounding depends on the values alone,
    not on the order in which parts are merged.

    Example:
        >>> parts = Distribution.of(np.arange(50.0)).merged(Distribution.of(np.arange(50.0, 100)))
        >>> parts.percentile(1)
        0.5
    """

    codes: Codes
    """Sorted; the values' bits in an order-preserving form, without the dropped ones."""
    counts: NDArray[np.int64]
    """Pixels of each code."""
    dropped: int
    """Low bits of the float64 mantissa that are not told apart."""

    @classmethod
    def of(cls, values: Image) -> Distribution:
        """Count the values of an array of any shape; all must be finite."""
        whole = _whole_numbers(values.reshape(-1))
        if whole is not None:
            occurring = np.bincount(whole)
            found = np.flatnonzero(occurring)
            return cls._counted(_codes(found.astype(np.float64)), occurring[found], 0)
        codes = np.sort(_codes(values.reshape(-1)))
        return cls._counted(codes, np.ones(codes.shape, dtype=np.int64), 0)

    def merged(self, other: Distribution) -> Distribution:
        """Add the pixels of `other`."""
        dropped = max(self.dropped, other.dropped)
        codes = np.concatenate([part.codes >> (dropped - part.dropped) for part in (self, other)])
        order = np.argsort(codes, kind="stable")
        counts = np.concatenate([self.counts, other.counts])
        return self._counted(codes[order], counts[order], dropped)

    def percentile(self, percent: float) -> float:
        """Return the value below which `percent` % of the pixels lie, by the midpoint rule.

        Sorted value k of n stands at 100·(k + 0.5)/n percent; linear between, constant outside.

        Raises:
            ValueError: There is no pixel.
        """
        if self.codes.size == 0:
            raise ValueError("A percentile needs at least one pixel.")
        ends = np.cumsum(self.counts)
        last = int(ends[-1]) - 1
        rank = min(max(percent / 100 * (last + 1) - 0.5, 0.0), float(last))
        below = int(rank)
        places = np.searchsorted(ends, [below, min(below + 1, last)], side="right")
        low, high = _values(self.codes[places], self.dropped)
        return float(low + (rank - below) * (high - low))

    @classmethod
    def _counted(cls, codes: Codes, counts: NDArray[np.int64], dropped: int) -> Distribution:
        """Join equal codes of a sorted list, dropping as few bits as the size allows."""
        fewest, most = dropped, 64
        while fewest < most:
            middle = (fewest + most) // 2
            if _distinct(codes >> (middle - dropped)) <= LARGEST_SIZE:
                most = middle
            else:
                fewest = middle + 1
        shortened = codes >> (fewest - dropped)
        is_first = np.ones(shortened.shape, dtype=bool)
        is_first[1:] = shortened[1:] != shortened[:-1]
        first = np.flatnonzero(is_first)
        joined = np.add.reduceat(counts, first) if first.size else counts
        return cls(shortened[first], joined, fewest)


def _whole_numbers(values: Image) -> NDArray[np.uint16] | None:
    """Return values as unsigned 16-bit integers where all of them are such, as sensors deliver."""
    if not values.size or not 0 <= values.min() <= values.max() < LARGEST_SIZE:
        return None
    whole = values.astype(np.uint16)
    return whole if np.array_equal(whole, values) else None


def _distinct(codes: Codes) -> int:
    return int(np.count_nonzero(codes[1:] != codes[:-1])) + bool(codes.size)


def _codes(values: NDArray[np.floating[Any]]) -> Codes:
    """Return integers in the order of the values: the bits, those of negative numbers inverted."""
    bits: Codes = (values.astype(np.float64) + 0.0).view(np.int64)  # + 0.0: no negative zero
    return np.where(bits < 0, bits ^ np.int64(2**63 - 1), bits)


def _values(codes: Codes, dropped: int) -> NDArray[np.float64]:
    """Return the middle of the values that share each code."""
    bits = (codes << dropped) + ((1 << dropped) >> 1)
    return np.where(bits < 0, bits ^ np.int64(2**63 - 1), bits).view(np.float64)
