"""Gram-Schmidt: an intensity is replaced by the PAN, each band changed by its share in it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bandweave.degrade.observe import observation_apron, observe
from bandweave.degrade.sampling import interpolation_apron
from bandweave.methods.base import Local
from bandweave.methods.interpolation import upsample
from bandweave.methods.statistics import (
    Features,
    Measurement,
    SceneStatistics,
    solve_least_squares,
)
from bandweave.methods.substitution.brovey import require_pan
from bandweave.methods.substitution.component import (
    FittedSubstitution,
    fine_measurement,
    substitute,
)
from bandweave.pair import ImagePair, PairProfile
from bandweave.window import Window

# Gain of the Gaussian that brings the PAN to the coarse grid for the regression. It only has to
# make PAN and bands comparable; 0.15 is the value of the field's comparisons.
PAN_GAIN = 0.15


@dataclass(frozen=True, slots=True)
class GramSchmidtAdaptive:
    """GSA: component substitution with an intensity fitted to the PAN.

    1. p = PAN filtered with a Gaussian of MTF gain 0.15 and sampled on the coarse grid.
    2. (w, w₀) = least squares of p on the bands of `lrms`; I = Σ w_b M_b + w₀.
    3. P' = (P − mean P) · std(I) / std(P) + mean(I).
    4. F_b = M_b + cov(M_b, I) / var(I) · (P' − I).

    Statistics run over all valid pixels of the scene; the rest is local.

    Source: B. Aiazzi, S. Baronti and M. Selva, 2007, "Improving component substitution
    pansharpening through multivariate regression of MS + Pan data", IEEE TGRS 45(10), 3230-3239.
    """

    id: str = "gsa"
    precision: type[np.float32 | np.float64] = np.float32

    def measurement(self, profile: PairProfile) -> Measurement | None:
        """Sum M and P on the fine grid, `lrms` and p on the coarse one."""
        return intensity_measurement(profile)

    def fit(self, profile: PairProfile, statistics: SceneStatistics | None) -> FittedSubstitution:
        """Regress the intensity and derive the gains from the scene's moments.

        Raises:
            BandCountError: The spatial image is no PAN.
            NodataError: The PAN or all bands are constant over the valid pixels.
        """
        require_pan(profile, self.id)
        assert statistics is not None
        bands = profile.bands
        weights, _ = solve_least_squares(statistics.coarse, bands, list(range(bands)))
        return substitute(
            Local(interpolation_apron(profile.ratio), is_rowwise=True),
            statistics.fine,
            weights,
            method=self.id,
        )


@dataclass(frozen=True, slots=True)
class GramSchmidt:
    """GS: component substitution with the bands' mean as intensity.

    I = Σ M_b / C; P' = (P − mean P) · std(I) / std(P) + mean(I);
    F_b = M_b + cov(M_b, I) / var(I) · (P' − I), which is what the Gram-Schmidt transform, the
    exchange of its first component and the inverse come to.

    Source: C. A. Laben and B. V. Brower, 2000, "Process for enhancing the spatial resolution of
    multispectral imagery using pan-sharpening", US patent 6,011,875.
    """

    id: str = "gs"
    precision: type[np.float32 | np.float64] = np.float32

    def measurement(self, profile: PairProfile) -> Measurement | None:
        """Sum M and P on the fine grid."""
        return fine_measurement(profile)

    def fit(self, profile: PairProfile, statistics: SceneStatistics | None) -> FittedSubstitution:
        """Derive the gains from the scene's moments.

        Raises:
            BandCountError: The spatial image is no PAN.
            NodataError: The PAN or all bands are constant over the valid pixels.
        """
        require_pan(profile, self.id)
        assert statistics is not None
        reach = Local(interpolation_apron(profile.ratio), is_rowwise=True)
        weights = np.full(profile.bands, 1 / profile.bands)
        return substitute(reach, statistics.fine, weights, method=self.id)


def intensity_measurement(profile: PairProfile) -> Measurement:
    """Sum M and P on the fine grid, `lrms` and the degraded PAN p on the coarse one.

    In this order: features 0 … C − 1 are the bands, C is the PAN.
    """
    apron = max(interpolation_apron(profile.ratio), observation_apron(profile.ratio))
    return Measurement(_features, apron)


def _features(pair: ImagePair, core: Window) -> Features:
    pan_low = observe(pair.spatial, [PAN_GAIN], pair.ratio, pair.phase)
    coarse = core.coarse(pair.ratio)
    return Features(
        fine=np.concatenate([upsample(pair, core), core.cut(pair.spatial)]),
        coarse=np.concatenate([coarse.cut(pair.spectral), coarse.cut(pan_low)]),
    )
