"""Weighted Brovey: scale every band by PAN over a weighted sum of the bands."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bandweave.degrade.sampling import interpolation_apron
from bandweave.errors import BandCountError
from bandweave.methods.base import Local
from bandweave.methods.interpolation import upsample
from bandweave.methods.portions import row_portions, weighted_sum
from bandweave.methods.statistics import Measurement, SceneStatistics
from bandweave.pair import ImagePair, PairProfile
from bandweave.radiometry import Image
from bandweave.window import Window


@dataclass(frozen=True, slots=True)
class FittedBrovey:
    """Brovey with settled weights."""

    reach: Local
    weights: tuple[float, ...]

    def fuse(self, pair: ImagePair) -> Image:
        """Return F_b = M_b · P / I with I = Σ w_b M_b; M_b itself where I is not positive."""
        return self.fuse_core(pair, Window.whole(pair.shape))

    def fuse_core(self, pair: ImagePair, core: Window) -> Image:
        """Return the same of a part."""
        hrms = upsample(pair, core)
        pan = core.cut(pair.spatial)[0]
        weights = np.asarray(self.weights)
        for rows in row_portions(*pan.shape):
            hrms[:, rows] *= _gain(pan[rows], weighted_sum(weights, hrms[:, rows]))
        return hrms


def _gain(pan: Image, intensity: Image) -> Image:
    """Return P / I; 1 where I is not positive."""
    if intensity.min(initial=np.inf) > 0:
        return np.divide(pan, intensity, out=intensity)
    return np.divide(pan, intensity, out=np.ones_like(pan), where=intensity > 0)


@dataclass(frozen=True, slots=True)
class Brovey:
    """The weighted Brovey transform, F_b = M_b · P / Σ_k w_k M_k.

    Equal weights 1/C by default, as `gdal_pansharpen` has them. Purely local: a pixel depends on
    nothing but its surroundings.

    Source: A. R. Gillespie, A. B. Kahle and R. E. Walker, 1987, "Color enhancement of highly
    correlated images. II. Channel ratio and chromaticity transformation techniques", Remote
    Sensing of Environment 22(3), 343-365.
    """

    weights: tuple[float, ...] | None = None
    """Weight w_k of each band in the intensity, used as given; None for equal weights, 1/C."""
    id: str = "brovey"
    precision: type[np.float32 | np.float64] = np.float32

    def measurement(self, profile: PairProfile) -> Measurement | None:
        """Nothing of the whole scene is needed."""
        del profile
        return None

    def fit(self, profile: PairProfile, statistics: SceneStatistics | None) -> FittedBrovey:
        """Settle the weights.

        Raises:
            BandCountError: There is not one weight per band, or the spatial image is no PAN.
        """
        del statistics
        require_pan(profile, self.id)
        weights = self.weights or (1.0 / profile.bands,) * profile.bands
        if len(weights) != profile.bands:
            raise BandCountError(
                f"brovey needs one weight for each band that it fuses: {profile.bands} bands, "
                f"{len(weights)} weights."
            )
        return FittedBrovey(
            Local(interpolation_apron(profile.ratio), is_rowwise=True), tuple(weights)
        )


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
