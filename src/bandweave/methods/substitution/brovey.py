"""Weighted Brovey: scale every band by PAN over a weighted sum of the bands."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np

from bandweave.degrade.banded import Stencil
from bandweave.degrade.sampling import interpolation_apron
from bandweave.errors import BandCountError
from bandweave.methods.base import Local
from bandweave.methods.interpolation import upsample
from bandweave.methods.modulation import FLOOR_SHARE, contrast
from bandweave.methods.portions import row_portions, weighted_sum
from bandweave.methods.statistics import (
    Features,
    Measurement,
    SceneStatistics,
    Vector,
    solve_proportional,
)
from bandweave.pair import ImagePair, PairProfile
from bandweave.radiometry import Image
from bandweave.window import Window


@dataclass(frozen=True, slots=True, eq=False)
class FittedBrovey:
    """Brovey with settled weights."""

    reach: Local
    weights: Vector
    """`(C,)`, w: the bands' share in the intensity."""
    floor: float | None
    """Smallest I to divide by, DN; None for the plain quotient where I is positive."""

    def fuse(self, pair: ImagePair) -> Image:
        """Return F_b = M_b · P / I with I = Σ w_b M_b; M_b itself where I is not positive."""
        return self.fuse_core(pair, Window.whole(pair.shape))

    def fuse_core(self, pair: ImagePair, core: Window) -> Image:
        """Return the same of a part."""
        hrms = upsample(pair, core)
        pan = core.cut(pair.spatial)[0]
        for rows in row_portions(*pan.shape):
            intensity = weighted_sum(self.weights, hrms[:, rows])
            hrms[:, rows] *= _gain(pan[rows], intensity, self.floor)
        return hrms


def _gain(pan: Image, intensity: Image, floor: float | None) -> Image:
    """Return P / I; below the floor 1 + (P − I) / floor, without one 1 where I is not positive."""
    lowest = intensity.min(initial=np.inf)
    if lowest > 0 and lowest >= (floor or 0.0):
        return np.divide(pan, intensity, out=intensity)
    if floor is not None:
        return contrast(pan - intensity, intensity, floor)
    return np.divide(pan, intensity, out=np.ones_like(pan), where=intensity > 0)


@dataclass(frozen=True, slots=True)
class Brovey:
    """The weighted Brovey transform, F_b = M_b · P / I with I = Σ_k w_k M_k.

    The sum has to be the PAN as the bands would make it up, or the quotient changes their level:
    with equal weights, which `gdal_pansharpen` takes, by as much as the PAN reads higher than the
    bands' mean. So the weights are fitted: w = argmin Σ (p − Σ_k w_k L_k)² over all valid pixels of
    the scene, L being `lrms` and p the PAN's mean over the area of each of its pixels. I is at
    least a tenth of its mean. Weights that are given, or equal ones, 1/C, are taken as they are:
    nothing is measured, and where I is not positive the bands are left alone.

    Source: A. R. Gillespie, A. B. Kahle and R. E. Walker, 1987, "Color enhancement of highly
    correlated images. II. Channel ratio and chromaticity transformation techniques", Remote
    Sensing of Environment 22(3), 343-365. The intensity is fitted as B. Aiazzi, S. Baronti and
    M. Selva, 2007, IEEE TGRS 45(10), 3230-3239, do it, here without constant, which keeps the
    formula.
    """

    weights: tuple[float, ...] | Literal["fitted", "equal"] = "fitted"
    """Weight w_k of each band in the intensity."""
    id: str = "brovey"
    precision: type[np.float32 | np.float64] = np.float32

    def measurement(self, profile: PairProfile) -> Measurement | None:
        """Sum `lrms` and p on the coarse grid, unless the weights are known.

        Raises:
            BandCountError: The spatial image is no PAN.
        """
        require_pan(profile, self.id)
        if self.weights != "fitted":
            return None
        is_on_grid = all(phase == (profile.ratio - 1) / 2 for phase in profile.phase)
        return Measurement(_bands_and_pan, 0 if is_on_grid else profile.ratio)

    def fit(self, profile: PairProfile, statistics: SceneStatistics | None) -> FittedBrovey:
        """Settle the weights.

        Raises:
            BandCountError: There is not one weight per band, or the spatial image is no PAN.
        """
        require_pan(profile, self.id)
        bands = profile.bands
        reach = Local(interpolation_apron(profile.ratio), is_rowwise=True)
        if self.weights == "fitted":
            assert statistics is not None
            moments = statistics.coarse
            fitted = solve_proportional(moments, bands, list(range(bands)))
            return FittedBrovey(reach, fitted, FLOOR_SHARE * float(fitted @ moments.mean[:bands]))
        weights = np.array((1 / bands,) * bands if self.weights == "equal" else self.weights)
        if len(weights) != bands:
            raise BandCountError(
                f"brovey needs one weight for each band that it fuses: {bands} bands, "
                f"{len(weights)} weights."
            )
        return FittedBrovey(reach, weights, None)


def require_pan(profile: PairProfile, method: str) -> None:
    """Refuse a spatial image of several bands.

    Raises:
        BandCountError: The spatial image has more than one band.
    """
    if profile.spatial_bands != 1:
        raise BandCountError(
            f"{method} needs a panchromatic image of one band as the first input, found "
            f"{profile.spatial_bands} bands; give the PAN first and the multispectral image second."
        )


def cell_means(pair: ImagePair) -> Image:
    """Return the mean of the PAN `(1, h, w)` over the area of each coarse pixel.

    The area is a square of `ratio` fine pixels around ratio · k + phase; fine pixels at its edge
    count by the share that lies in it. The scene's border is replicated.
    """
    rows, cols = (_mean_over_cell(pair.ratio, phase) for phase in pair.phase)
    height, width = pair.spectral.shape[1:]
    narrowed = rows.apply(pair.spatial, -2, height, "replicate")
    return cols.apply(narrowed, -1, width, "replicate")


@lru_cache(maxsize=16)
def _mean_over_cell(ratio: int, phase: float) -> Stencil:
    start, stop = phase - ratio / 2, phase + ratio / 2
    first, last = math.floor(start + 0.5), math.ceil(stop - 0.5)
    edges = np.clip(np.arange(first, last + 2) - 0.5, start, stop)
    return Stencil(np.diff(edges)[:, None] / ratio, ratio, first)


def _bands_and_pan(pair: ImagePair, core: Window) -> Features:
    part = core.coarse(pair.ratio)
    coarse = np.concatenate([part.cut(pair.spectral), part.cut(cell_means(pair))])
    return Features(core.cut(pair.spatial)[:0], coarse)
