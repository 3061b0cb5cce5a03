"""AWLP: wavelet planes of the PAN, added to each band in proportion to its share."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import log2

import numpy as np

from bandweave.degrade.mtf import Kernel
from bandweave.degrade.sampling import correlate, interpolation_apron
from bandweave.methods.base import Local
from bandweave.methods.interpolation import upsample
from bandweave.methods.modulation import FLOOR_SHARE, contrast
from bandweave.methods.statistics import Measurement, SceneStatistics
from bandweave.methods.substitution.brovey import require_pan
from bandweave.methods.substitution.component import fine_measurement, match_pan
from bandweave.pair import ImagePair, PairProfile
from bandweave.radiometry import Image

# Cubic B-spline of the à trous transform (J.-L. Starck and F. Murtagh, 1994).
_SPLINE = np.array([1, 4, 6, 4, 1]) / 16


@dataclass(frozen=True, slots=True)
class FittedAwlp:
    """AWLP with a settled gain: F_b = M_b · (1 + a (P − P_n) / I)."""

    reach: Local
    pan_gain: float
    """a = std(I) / std(P)."""
    floor: float
    """Smallest I to divide by, DN."""

    def fuse(self, pair: ImagePair) -> Image:
        """Add the planes."""
        hrms = upsample(pair)
        smooth = correlate(pair.spatial, _smoothing(planes(pair.ratio))[None])
        detail = hrms.dtype.type(self.pan_gain) * (pair.spatial[0] - smooth[0])
        intensity = hrms.mean(axis=0)
        hrms *= contrast(detail, intensity, self.floor)
        return hrms


@dataclass(frozen=True, slots=True)
class Awlp:
    """AWLP: additive wavelet luminance proportional.

    I = Σ M_b / C; P' = the PAN with mean and deviation of I; w_1 … w_n = planes of its à trous
    transform with the cubic B-spline, whose sum is P' − P'_n; F_b = M_b + M_b / I · Σ w_k. The
    ratio is 2ⁿ, other ratios take the nearest n. I below a tenth of its mean is raised to that.

    Source: X. Otazu, M. González-Audícana, O. Fors and J. Núñez, 2005, "Introduction of sensor
    spectral response into image fusion methods. Application to wavelet-based methods", IEEE TGRS
    43(10), 2376-2385.
    """

    id: str = "awlp"
    precision: type[np.float32 | np.float64] = np.float32

    def measurement(self, profile: PairProfile) -> Measurement | None:
        """Sum M and P on the fine grid."""
        return fine_measurement(profile)

    def fit(self, profile: PairProfile, statistics: SceneStatistics | None) -> FittedAwlp:
        """Match the PAN to the intensity.

        Raises:
            BandCountError: The spatial image is no PAN.
            NodataError: The PAN or all bands are constant over the valid pixels.
        """
        require_pan(profile, self.id)
        assert statistics is not None
        weights = np.full(profile.bands, 1 / profile.bands)
        gain, _ = match_pan(statistics.fine, weights, method=self.id)
        floor = FLOOR_SHARE * float(weights @ statistics.fine.mean[: profile.bands])
        # The interpolator reaches further than the planes, whose half width is 2ⁿ⁺¹ − 2.
        return FittedAwlp(Local(interpolation_apron(profile.ratio)), gain, floor)


def planes(ratio: int) -> int:
    """Return n, the wavelet planes that lie between the two scales."""
    return max(round(log2(ratio)), 1)


@lru_cache(maxsize=16)
def _smoothing(levels: int) -> Kernel:
    """Return the kernel that `levels` passes of the à trous filter come to."""
    line = np.ones(1)
    for level in range(levels):
        holes = np.zeros(4 * 2**level + 1)
        holes[:: 2**level] = _SPLINE
        line = np.convolve(line, holes)
    return np.outer(line, line)
