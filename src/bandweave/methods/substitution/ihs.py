"""IHS: the intensity of the bands replaced by the PAN, hue and saturation kept."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bandweave.degrade.sampling import interpolation_apron
from bandweave.methods.base import Local
from bandweave.methods.statistics import Measurement, SceneStatistics
from bandweave.methods.substitution.brovey import require_pan
from bandweave.methods.substitution.component import (
    FittedSubstitution,
    fine_measurement,
    substitute,
)
from bandweave.pair import PairProfile


@dataclass(frozen=True, slots=True)
class Ihs:
    """IHS in its generalised form for any number of bands.

    I = Σ M_b / C; P' = (P − mean P) · std(I) / std(P) + mean(I); F_b = M_b + P' − I. For three
    bands that is the linear IHS transform, the exchange of the intensity, and the inverse.

    Source: T.-M. Tu, S.-C. Su, H.-C. Shyu and P. S. Huang, 2001, "A new look at IHS-like image
    fusion methods", Information Fusion 2(3), 177-186.
    """

    id: str = "ihs"
    precision: type[np.float32 | np.float64] = np.float32

    def measurement(self, profile: PairProfile) -> Measurement | None:
        """Sum M and P on the fine grid."""
        return fine_measurement(profile)

    def fit(self, profile: PairProfile, statistics: SceneStatistics | None) -> FittedSubstitution:
        """Match the PAN to the intensity.

        Raises:
            BandCountError: The spatial image is no PAN.
            NodataError: The PAN or all bands are constant over the valid pixels.
        """
        require_pan(profile, self.id)
        assert statistics is not None
        bands = profile.bands
        reach = Local(interpolation_apron(profile.ratio), is_rowwise=True)
        weights, gains = np.full(bands, 1 / bands), np.ones(bands)
        return substitute(reach, statistics.fine, weights, gains, method=self.id)
