"""SFIM: bands scaled by the PAN over its local mean."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bandweave.degrade.sampling import correlate, interpolation_apron
from bandweave.methods.base import Local
from bandweave.methods.interpolation import upsample
from bandweave.methods.statistics import Measurement, SceneStatistics
from bandweave.methods.substitution.brovey import require_pan
from bandweave.pair import ImagePair, PairProfile
from bandweave.radiometry import Image


@dataclass(frozen=True, slots=True)
class FittedSfim:
    """SFIM for one ratio."""

    reach: Local

    def fuse(self, pair: ImagePair) -> Image:
        """Return F_b = M_b · P / mean(P); M_b itself where the mean is not positive."""
        hrms = upsample(pair)
        side = mean_side(pair.ratio)
        mean = correlate(pair.spatial, np.full((1, side, side), 1.0 / side**2))
        one = np.ones_like(mean)
        hrms *= np.divide(pair.spatial, mean, out=one, where=mean > 0)
        return hrms


@dataclass(frozen=True, slots=True)
class Sfim:
    """SFIM: smoothing-filter-based intensity modulation, F_b = M_b · P / mean(P).

    The mean runs over the smallest odd square that is not smaller than a coarse pixel (5 x 5 at
    ratio 4). Purely local; with a PAN that is nowhere negative the factor is at most the number of
    pixels in the mean.

    Source: J. G. Liu, 2000, "Smoothing filter-based intensity modulation: a spectral preserve image
    fusion technique for improving spatial details", Int. J. Remote Sensing 21(18), 3461-3472.
    """

    id: str = "sfim"
    precision: type[np.float32 | np.float64] = np.float32

    def measurement(self, profile: PairProfile) -> Measurement | None:
        """Nothing of the whole scene is needed."""
        del profile
        return None

    def fit(self, profile: PairProfile, statistics: SceneStatistics | None) -> FittedSfim:
        """Settle the apron.

        Raises:
            BandCountError: The spatial image is no PAN.
        """
        del statistics
        require_pan(profile, self.id)
        # The interpolator reaches further than the mean at every ratio.
        return FittedSfim(Local(interpolation_apron(profile.ratio)))


def mean_side(ratio: int) -> int:
    """Return the smallest odd number that is not below the ratio."""
    return ratio // 2 * 2 + 1
