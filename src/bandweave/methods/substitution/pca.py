"""PCA: the first principal component of the bands replaced by the PAN."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bandweave.degrade.sampling import interpolation_apron
from bandweave.methods.base import Local
from bandweave.methods.statistics import Measurement, SceneStatistics, Vector
from bandweave.methods.substitution.brovey import require_pan
from bandweave.methods.substitution.component import (
    FittedSubstitution,
    fine_measurement,
    substitute,
)
from bandweave.pair import PairProfile


@dataclass(frozen=True, slots=True)
class PrincipalComponent:
    """PCA: exchange the first principal component.

    v = eigenvector of the bands' covariance with the largest eigenvalue, its sign such that vᵀM
    rises with the PAN; PC = vᵀ(M − mean M); P' = (P − mean P) · std(PC) / std(P);
    F_b = M_b + v_b · (P' − PC).

    Source: P. S. Chavez and A. Y. Kwarteng, 1989, "Extracting spectral contrast in Landsat thematic
    mapper image data using selective principal component analysis", Photogramm. Eng. Remote Sens.
    55(3), 339-348.
    """

    id: str = "pca"
    precision: type[np.float32 | np.float64] = np.float32

    def measurement(self, profile: PairProfile) -> Measurement | None:
        """Sum M and P on the fine grid."""
        return fine_measurement(profile)

    def fit(self, profile: PairProfile, statistics: SceneStatistics | None) -> FittedSubstitution:
        """Find the component and match the PAN to it.

        Raises:
            BandCountError: The spatial image is no PAN.
            NodataError: The PAN or all bands are constant over the valid pixels.
        """
        require_pan(profile, self.id)
        assert statistics is not None
        bands = profile.bands
        covariance = statistics.fine.covariance()
        component: Vector = np.linalg.eigh(covariance[:bands, :bands])[1][:, -1]
        if component @ covariance[:bands, bands] < 0:
            component = -component
        reach = Local(interpolation_apron(profile.ratio), is_rowwise=True)
        return substitute(reach, statistics.fine, component, component, method=self.id)
