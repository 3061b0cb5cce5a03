"""The instruments behind a hyperspectral pair, found from the pair itself.

Both images show one scene x: `lrhsi` = A x and `msi` = P x. A acts on pixels and P on bands, so
that A msi = P lrhsi: the sharp image, blurred and sampled by the right point spread, is a mixture
of the coarse one's bands. Every guess of A gives the best P by non-negative least squares, and what
P leaves unexplained is the score of A. Without noise the score of the truth is 0.

Noise in the sharp image would favour wide point spreads, which average it away; the residual is
therefore measured against the noise that passes the point spread and the mixture,

    score = Σ_b ‖A z_b − wᵀ_b y‖² / (‖h‖² + ‖w_b‖²),

as if both images carried noise of one relative strength. The truth stays the minimum without noise.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy
from numpy.typing import NDArray

from bandweave.degrade.instrument import Instrument
from bandweave.degrade.psf import (
    gaussian_at,
    gaussian_spread,
    gaussian_support,
    uniform_spread,
)
from bandweave.errors import NodataError
from bandweave.instruments import HyperspectralModel, PointSpread, ResponseMatrix
from bandweave.pair import ImagePair, Mask
from bandweave.window import Window

Matrix = NDArray[np.float64]
Phase = tuple[float, float]

_FIRST_WIDTHS = (0.125, 0.25, 0.5)
"""Widths that the search begins with, as shares of the ratio."""
_SEARCH_SAMPLES = 4096
"""Coarse pixels that the search uses; the final fit uses all."""
_SAMPLES_PER_BAND = 8
"""Coarse pixels per spectral band below which nothing can be told."""
_EXPLAINED_DB = 25.0
"""A sharp band that the coarse ones predict no better than this is not made of them."""


@dataclass(frozen=True, slots=True)
class InstrumentEstimate:
    """What was found, and how sure it is."""

    model: HyperspectralModel
    """Point spread, phase and response; a sharp band that is not explained has a row of zeros.
    A phase within a thousandth of a whole or half pixel is that."""
    sigma: float | None
    """Width of the Gaussian in fine pixels, None for a mean over a square."""
    predicted_db: tuple[float, ...]
    """Per sharp band: its power over that of what the coarse bands leave unexplained, decibels."""
    confidence: float
    """1 − score here / score half a pixel away, as amplitudes, in [0, 1]: 1 without noise, 0 where
    the images do not tell one place from another."""
    noise: float
    """Deviation of the noise in both images as a share of their signal, if they carry alike."""
    samples: int
    """Coarse pixels that were used."""

    @property
    def explained(self) -> tuple[bool, ...]:
        """Tell for each sharp band whether it is a mixture of the coarse ones."""
        return tuple(db >= _EXPLAINED_DB for db in self.predicted_db)

    def as_dict(self) -> dict[str, Any]:
        """Return everything for JSON."""
        psf = self.model.psf
        return {
            "psf": psf.name,
            "sigma": self.sigma,
            "taps": psf.taps,
            "phase": self.model.phase,
            "response": self.model.response,
            "predicted_db": self.predicted_db,
            "confidence": self.confidence,
            "noise": self.noise,
            "samples": self.samples,
        }


def identify_instruments(
    windows: Sequence[ImagePair],
    *,
    psf: PointSpread | None = None,
    response: ResponseMatrix | None = None,
) -> InstrumentEstimate:
    """Find the point spread, its place, and the spectral response of a pair.

    Gaussians of any width and support and the mean over ratio x ratio pixels are compared. The
    phase of the pairs is where the search begins; it covers one coarse pixel.

    Args:
        windows: Parts of one pair; samples near their edges and masks are left out.
        psf: Point spread where it is known: only the response is estimated.
        response: `(c, C)` where it is known: only the point spread is estimated.

    Raises:
        NodataError: There are too few valid pixels.
    """
    fit = _Fit(windows, response)
    phase = windows[0].phase
    sigma: float | None = None
    if psf is None:
        psf, phase, sigma = _search(fit)
    found = fit.mixture(psf)
    weights = found.weights.T
    weights = np.where(found.predicted_db[:, None] >= _EXPLAINED_DB, weights, 0)
    return InstrumentEstimate(
        HyperspectralModel(psf, phase, tuple(tuple(map(float, row)) for row in weights)),
        sigma,
        tuple(map(float, found.predicted_db)),
        _confidence(fit, psf, found.score),
        math.sqrt(found.score / found.residual.size),
        fit.samples,
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Mixture:
    """The best response for one point spread."""

    residual: Matrix
    """`(N, c)`, in units of the noise that passes, so that its squares sum to the score."""
    weights: Matrix
    """`(C, c)`."""
    predicted_db: NDArray[np.float64]
    """`(c,)`."""

    @property
    def score(self) -> float:
        return float(np.sum(self.residual**2))


class _Fit:
    """Least squares of the blurred, sampled sharp image on the coarse bands."""

    def __init__(self, windows: Sequence[ImagePair], response: ResponseMatrix | None) -> None:
        self.ratio, self.phase = windows[0].ratio, windows[0].phase
        self._windows, self._response = windows, response
        self._usable = [_usable(pair) for pair in windows]
        bands = np.concatenate(
            [pair.spectral[:, use] for pair, use in zip(windows, self._usable, strict=True)], axis=1
        ).T.astype(np.float64)
        self.samples = len(bands)
        if self.samples < _SAMPLES_PER_BAND * bands.shape[1] or not bands.any():
            raise NodataError(
                f"To find the sensor model of {bands.shape[1]} bands takes "
                f"{_SAMPLES_PER_BAND * bands.shape[1]} valid coarse pixels away from edges, there "
                f"are {self.samples}; give --psf and --srf."
            )
        self._bands = bands
        self._q, self._r = np.linalg.qr(bands)
        sharp = np.concatenate([pair.spatial.reshape(len(pair.spatial), -1) for pair in windows], 1)
        self._power = np.sqrt(np.mean(np.square(sharp, dtype=np.float64), axis=1))
        self._power = np.where(self._power > 0, self._power, 1)
        self._unit = float(np.sqrt(np.mean(bands**2)))

    def part(self, most: int) -> _Fit:
        """Return a fit on some of the windows, or on the middle of the only one."""
        if self.samples <= most:
            return self
        if len(self._windows) > 1:
            step = math.ceil(self.samples / most)
            return _Fit(self._windows[step // 2 :: step], self._response)
        pair = self._windows[0]
        share = math.sqrt(most / self.samples)
        return _Fit([_middle(pair, share)], self._response)

    def mixture(self, psf: PointSpread) -> _Mixture:
        """Return the best non-negative response for a point spread, or the known one."""
        seen = np.concatenate(
            [
                Instrument(psf, self.ratio, self.phase).observe(pair.spatial)[:, use]
                for pair, use in zip(self._windows, self._usable, strict=True)
            ],
            axis=1,
        ).T.astype(np.float64)
        if self._response is None:
            sides = self._q.T @ seen
            weights = np.stack([scipy.optimize.nnls(self._r, side)[0] for side in sides.T], axis=1)
        else:
            weights = np.array(self._response).T
        left = seen - self._bands @ weights
        share = np.linalg.norm(weights, axis=0) * self._unit / self._power
        gain = np.sqrt(np.sum(psf.kernel**2) + share**2)
        power = np.sqrt(np.mean(seen**2, axis=0))
        rest = np.sqrt(np.mean(left**2, axis=0))
        predicted = 20 * np.log10(np.maximum(power, 1e-300) / np.maximum(rest, 1e-16 * power))
        return _Mixture(left / (self._power * gain), weights, predicted)


def _search(fit: _Fit) -> tuple[PointSpread, Phase, float | None]:
    """Return the best point spread of all families, its middle, and its width if it has one."""
    small = fit.part(_SEARCH_SAMPLES)
    start = _coarse_search(small)
    wide = 2 * math.ceil(4 * math.exp(start[0])) + 1
    start = _refine(small, start, wide).point
    candidates = [_refine(small, start, size) for size in _sizes(start)]
    best = min(candidates, key=lambda found: found.score)
    square, middle = min(
        _squares(start, fit.ratio), key=lambda found: small.mixture(found[0]).score
    )
    if small.mixture(square).score < best.score:
        return square, middle, None
    final = _refine(fit, best.point, best.size)
    sigma, row, col = math.exp(final.point[0]), float(final.point[1]), float(final.point[2])
    return gaussian_spread(sigma, final.size, (row, col)), (_snapped(row), _snapped(col)), sigma


def _snapped(place: float) -> float:
    """Return the whole or half pixel that a place is within a thousandth of, else the place.

    Simulations and registered grids have such phases, and networks a phase that they were trained
    at: nothing should be resampled for what is rounding.
    """
    near = round(2 * place) / 2
    return near if abs(place - near) < 1e-3 else place


def _coarse_search(fit: _Fit) -> NDArray[np.float64]:
    """Return (log σ, row, column) of the best Gaussian on a grid over one coarse pixel."""
    ratio = fit.ratio
    steps = np.linspace(-0.5, ratio - 0.5, min(2 * ratio, 8) + 1)
    places = [
        np.array([math.log(share * ratio), row, col])
        for share in _FIRST_WIDTHS
        for row in steps
        for col in steps
    ]

    def score(point: NDArray[np.float64]) -> float:
        sigma = math.exp(point[0])
        spread = gaussian_spread(sigma, gaussian_support(sigma), (point[1], point[2]))
        return fit.mixture(spread).score

    return min(places, key=score)


@dataclass(frozen=True, slots=True, eq=False)
class _Refined:
    point: NDArray[np.float64]
    """(log σ, row, column)."""
    size: int
    score: float


def _refine(fit: _Fit, point: NDArray[np.float64], size: int) -> _Refined:
    """Minimise over width and place with the support held where it is (Levenberg-Marquardt)."""
    first = tuple(math.ceil(p - size / 2) for p in point[1:])

    def residual(at: NDArray[np.float64]) -> NDArray[np.float64]:
        # Widths beyond these are one tap, or flat over any support.
        sigma = math.exp(min(max(at[0], -3.0), 5.0))
        spread = gaussian_at(sigma, size, (at[1], at[2]), (first[0], first[1]))
        return fit.mixture(spread).residual.ravel()

    found = scipy.optimize.least_squares(
        residual, point, method="lm", xtol=1e-14, ftol=1e-14, gtol=1e-14, max_nfev=60
    )
    return _Refined(found.x, size, 2 * float(found.cost))


def _sizes(point: NDArray[np.float64]) -> Iterator[int]:
    """Yield the supports that a Gaussian of this width may have been cut at.

    Odd where its middle lies on a pixel, even where it lies between two, both where it is neither.
    """
    sigma = math.exp(point[0])
    off = np.abs(point[1:] - np.round(point[1:]))
    for size in range(2, 2 * math.ceil(4 * sigma) + 2):
        is_near = size / 2 >= sigma
        fits = (off < 0.35).all() if size % 2 else (off > 0.15).all()
        if is_near and fits:
            yield size


def _squares(point: NDArray[np.float64], ratio: int) -> Iterator[tuple[PointSpread, Phase]]:
    """Yield the means over ratio x ratio pixels around a place."""
    half = (ratio - 1) / 2
    rows, cols = (round(float(p) - half) for p in point[1:])
    for row in (rows - 1, rows, rows + 1):
        for col in (cols - 1, cols, cols + 1):
            middle = (row + half, col + half)
            yield uniform_spread(ratio, middle), middle


def _confidence(fit: _Fit, psf: PointSpread, score: float) -> float:
    """Compare the score with those of the same point spread moved by half a pixel."""
    away = min(fit.mixture(moved).score for moved in _moved(psf))
    return float(1 - math.sqrt(score / away)) if 0 < score < away else float(score < away)


def _moved(psf: PointSpread) -> Iterator[PointSpread]:
    """Yield the point spread half a pixel up, down, left and right (linear interpolation)."""
    kernel = psf.kernel
    for axis in (0, 1):
        around = [(0, 1) if k == axis else (0, 0) for k in (0, 1)]
        later = np.pad(kernel, around)
        moved = (later + np.roll(later, 1, axis)) / 2
        taps = tuple(tuple(map(float, row)) for row in moved)
        for back in (0, 1):
            start = [s - back * (k == axis) for k, s in enumerate(psf.start)]
            yield PointSpread(taps, (start[0], start[1]), psf.name)


def _usable(pair: ImagePair) -> Mask:
    """Return the coarse pixels whose surroundings are whole: two coarse pixels to each side."""
    h, w = pair.spectral.shape[1:]
    whole = np.ones((h, w), dtype=bool)
    if pair.valid is not None:
        whole = np.all(pair.valid.reshape(h, pair.ratio, w, pair.ratio), axis=(1, 3))
    usable: Mask = scipy.ndimage.binary_erosion(whole, np.ones((5, 5), dtype=bool), border_value=0)
    return usable


def _middle(pair: ImagePair, share: float) -> ImagePair:
    h, w = (max(int(size * share), 1) for size in pair.spectral.shape[1:])
    row, col = (pair.spectral.shape[1] - h) // 2, (pair.spectral.shape[2] - w) // 2
    return pair.crop(Window(row, col, h, w).fine(pair.ratio))
