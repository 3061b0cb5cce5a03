"""Sums over a whole scene that methods are fitted from; mergeable, so that tiles can be added."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bandweave.methods.distribution import Distribution
from bandweave.pair import ImagePair, Mask
from bandweave.radiometry import Image
from bandweave.window import Window

_AT_ONCE = 2**15  # pixels: few enough for products in single precision, and for the cache
_SAMPLE = 8  # every eighth row and column tells about where the mean is

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Moments:
    """Count, mean and co-moments of F features over pixels.

    `comoment` = Σ (x − mean)(x − mean)ᵀ. Merging follows T. Chan, G. Golub and R. LeVeque (1979),
    which keeps the digits that a plain sum of squares loses.

    Example:
        >>> x = np.arange(6.0).reshape(1, 2, 3)
        >>> float(Moments.of(x).covariance()[0, 0])
        3.5
    """

    count: int
    """Number of pixels."""
    mean: Vector
    """`(F,)`."""
    comoment: Matrix
    """`(F, F)`, symmetric."""
    smallest: Vector
    """`(F,)`, minimum of each feature; +inf where no pixel was counted."""
    largest: Vector
    """`(F,)`, maximum of each feature; -inf where no pixel was counted."""

    @classmethod
    def empty(cls, features: int) -> Moments:
        """Start from no pixel at all."""
        inf = np.full(features, np.inf)
        return cls(0, np.zeros(features), np.zeros((features, features)), inf, -inf)

    @classmethod
    def of(cls, features: Image, valid: Mask | None = None) -> Moments:
        """Sum over the valid pixels of `features` `(F, H, W)`."""
        stack = features if valid is None else features[:, valid][:, None]
        bands, rows, cols = stack.shape
        count = rows * cols
        if count == 0 or bands == 0:
            return replace(cls.empty(bands), count=count)
        # Counted from near the mean, so that one pass keeps the digits.
        origin = stack[:, ::_SAMPLE, ::_SAMPLE].mean(axis=(1, 2)).astype(stack.dtype)
        total = np.zeros(bands)
        products = np.zeros((bands, bands))
        smallest, largest = np.full(bands, np.inf), np.full(bands, -np.inf)
        for window in _portions(rows, cols):
            part = (stack[:, *window] - origin[:, None, None]).reshape(bands, -1)
            total += np.einsum("fn->f", part)
            for i, feature in enumerate(part):
                products[i, i:] += np.vecdot(part[i:], feature)
            np.minimum(smallest, part.min(axis=1), out=smallest)
            np.maximum(largest, part.max(axis=1), out=largest)
        products = np.triu(products) + np.triu(products, 1).T
        base, shift = origin.astype(np.float64), total / count
        comoment = products - count * np.outer(shift, shift)
        return cls(count, base + shift, comoment, base + smallest, base + largest)

    def merged(self, other: Moments) -> Moments:
        """Add the pixels of `other`."""
        if other.count == 0:
            return self
        if self.count == 0:
            return other
        count = self.count + other.count
        delta = other.mean - self.mean
        return Moments(
            count,
            self.mean + delta * (other.count / count),
            self.comoment
            + other.comoment
            + np.outer(delta, delta) * (self.count * other.count / count),
            np.minimum(self.smallest, other.smallest),
            np.maximum(self.largest, other.largest),
        )

    def covariance(self) -> Matrix:
        """Return the covariance `(F, F)`, dividing by n − 1."""
        return self.comoment / max(self.count - 1, 1)


def _portions(rows: int, cols: int) -> Iterator[tuple[slice, slice]]:
    """Cut an image into portions of about 2¹⁵ pixels."""
    down, along = max(_AT_ONCE // cols, 1), min(cols, _AT_ONCE)
    for top in range(0, rows, down):
        for left in range(0, cols, along):
            yield slice(top, top + down), slice(left, left + along)


@dataclass(frozen=True, slots=True, eq=False)
class Features:
    """What a method wants to have summed over the scene, for one window of it."""

    fine: Image
    """`(F, H, W)` features on the fine grid; F may be 0."""
    coarse: Image
    """`(G, h, w)` features on the coarse grid; G may be 0."""
    ranked: tuple[int, ...] = ()
    """Fine features of which percentiles are wanted, too."""
    ranked_coarse: tuple[int, ...] = ()
    """Coarse features of which percentiles are wanted."""
    parts: Iterable[Features] = ()
    """Of methods that are measured in the same pass, each summed by itself; gone through once, so
    that a generator keeps the memory of all but one free."""


@dataclass(frozen=True, slots=True, eq=False)
class SceneStatistics:
    """Sums over all valid pixels of a scene."""

    fine: Moments
    coarse: Moments
    distributions: tuple[Distribution, ...] = ()
    """One per feature of `Features.ranked`, then of `Features.ranked_coarse`."""
    parts: tuple[SceneStatistics, ...] = ()
    """Those of `Features.parts`."""

    @classmethod
    def of(cls, features: Features, pair: ImagePair) -> SceneStatistics:
        """Sum the features of one window over its valid pixels."""
        return cls(
            Moments.of(features.fine, pair.valid),
            Moments.of(features.coarse, pair.coarse_valid),
            (
                *_distributions(features.fine, features.ranked, pair.valid),
                *_distributions(features.coarse, features.ranked_coarse, pair.coarse_valid),
            ),
            tuple(cls.of(part, pair) for part in features.parts),
        )

    def merged(self, other: SceneStatistics) -> SceneStatistics:
        """Add the pixels of another window."""
        distributions = zip(self.distributions, other.distributions, strict=True)
        parts = zip(self.parts, other.parts, strict=True)
        return SceneStatistics(
            self.fine.merged(other.fine),
            self.coarse.merged(other.coarse),
            tuple(mine.merged(theirs) for mine, theirs in distributions),
            tuple(mine.merged(theirs) for mine, theirs in parts),
        )


@dataclass(frozen=True, slots=True)
class Measurement:
    """How a method measures a scene: a local function of the pair, and the context it needs."""

    features: Callable[[ImagePair, Window], Features]
    """Maps a pair to the features of a part of it: a fine window on multiples of the ratio."""
    apron: int
    """Fine pixels of context per side that make the features exact; a multiple of the ratio."""


def _distributions(
    features: Image, ranked: tuple[int, ...], valid: Mask | None
) -> tuple[Distribution, ...]:
    used = slice(None) if valid is None else valid
    return tuple(Distribution.of(features[index][used]) for index in ranked)


def solve_least_squares(moments: Moments, target: int, columns: list[int]) -> tuple[Vector, float]:
    """Regress feature `target` on `columns` with an intercept, from moments alone.

    Solves min over (w, w₀) of Σ (t − wᵀx − w₀)². Singular directions get weight 0 (minimum norm).

    Returns:
        Weights in the order of `columns`, and the intercept.
    """
    gram = moments.comoment[np.ix_(columns, columns)]
    right = moments.comoment[columns, target]
    weights: NDArray[Any] = np.linalg.lstsq(gram, right, rcond=1e-12)[0]
    intercept = moments.mean[target] - weights @ moments.mean[columns]
    return weights, float(intercept)


def solve_proportional(moments: Moments, target: int, columns: list[int]) -> Vector:
    """Regress feature `target` on `columns` without an intercept, from moments alone.

    Solves min over w of Σ (t − wᵀx)². Singular directions get weight 0 (minimum norm).
    """
    raw = moments.comoment + moments.count * np.outer(moments.mean, moments.mean)
    weights: NDArray[Any] = np.linalg.lstsq(
        raw[np.ix_(columns, columns)], raw[columns, target], rcond=1e-12
    )[0]
    return weights
