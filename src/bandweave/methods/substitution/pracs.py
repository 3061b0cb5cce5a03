"""PRACS: each band's intensity is the PAN only as far as the band follows it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bandweave.degrade.sampling import interpolation_apron
from bandweave.methods.base import Local
from bandweave.methods.interpolation import upsample
from bandweave.methods.modulation import FLOOR_SHARE
from bandweave.methods.statistics import Measurement, SceneStatistics, Vector, solve_least_squares
from bandweave.methods.substitution.brovey import require_pan
from bandweave.methods.substitution.component import match_pan
from bandweave.methods.substitution.gram_schmidt import intensity_measurement
from bandweave.pair import ImagePair, PairProfile
from bandweave.radiometry import Image


@dataclass(frozen=True, slots=True, eq=False)
class FittedPracs:
    """PRACS with settled coefficients, see `Pracs`."""

    reach: Local
    weights: Vector
    """`(C,)`, w: I = Σ w_k M_k + w_0."""
    intercept: float
    """w_0, DN."""
    intensity_mean: float
    """mean(I), DN."""
    band_mean: Vector
    """`(C,)`, mean(M_b), DN."""
    slope: Vector
    """`(C,)`, std(M_b) / std(I): from the PAN's unit to the band's."""
    likeness: Vector
    """`(C,)`, ρ_b."""
    injection: Vector
    """`(C,)`, β · g_b."""

    def fuse(self, pair: ImagePair) -> Image:
        """Add the partly replaced component's detail, less of it where the band departs."""
        hrms = upsample(pair)
        kind = hrms.dtype.type
        intensity = np.tensordot(self.weights.astype(hrms.dtype), hrms, axes=1)
        intensity += kind(self.intercept)
        detail = pair.spatial[0] - intensity
        intensity -= kind(self.intensity_mean)
        for band, original in enumerate(hrms):
            mean, slope, rho = self.band_mean[band], self.slope[band], self.likeness[band]
            if mean <= 0:  # the quotient below has no meaning
                continue
            component = intensity * kind(rho * slope) + original * kind(1 - rho)
            component += kind(rho * mean)
            np.maximum(component, kind(FLOOR_SHARE * mean), out=component)
            stability = 1 - np.abs(1 - kind(rho) * original / component)
            np.maximum(stability, 0, out=stability)
            hrms[band] += kind(self.injection[band] * rho * slope) * stability * detail
        return hrms


@dataclass(frozen=True, slots=True)
class Pracs:
    """PRACS: partial replacement adaptive component substitution.

    1. p = PAN behind a Gaussian of MTF gain 0.15 on the coarse grid; (w, w_0) = least squares of p
       on the bands of `lrms`; I = Σ w_k M_k + w_0, the PAN as the bands explain it.
    2. Histogram matching to each band, by mean and deviation:
       P'_b = (P − mean I) · std(M_b) / std(I) + mean(M_b), I'_b = the same of I.
    3. Partial replacement with ρ_b = CC(I, M_b): the sharp synthetic component is
       P_b = ρ_b P'_b + (1 − ρ_b) M_b. The regression of the degraded P_b on the bands is the
       coarse one, I_b = ρ_b I'_b + (1 − ρ_b) M_b.
    4. F_b = M_b + β · g_b · L_b · (P_b − I_b) with g_b = CC(I_b, M_b) · std(M_b) / std(I_b) and the
       local instability adjustment L_b = 1 − |1 − ρ_b M_b / I_b|, which takes detail away where
       the band and its component differ.

    I_b below a tenth of mean(M_b) is raised to that, a negative L_b to 0: detail is never turned
    round. A band whose mean is not positive is left as it is. Statistics run over all valid pixels
    of the scene; the rest is local.

    Source: J. Choi, K. Yu and Y. Kim, 2011, "A new adaptive component-substitution-based satellite
    image fusion by using partial replacement", IEEE TGRS 49(1), 295-309; notation after G. Vivone
    et al., 2015, "A critical comparison among pansharpening algorithms", IEEE TGRS 53(5), where
    the bands are matched to the PAN instead: the same but for the unit of the quotient in L_b.
    """

    strength: float = 1.0
    """β, share of the detail that is added."""
    id: str = "pracs"
    precision: type[np.float32 | np.float64] = np.float32

    def measurement(self, profile: PairProfile) -> Measurement | None:
        """Sum M and P on the fine grid, `lrms` and p on the coarse one."""
        return intensity_measurement(profile)

    def fit(self, profile: PairProfile, statistics: SceneStatistics | None) -> FittedPracs:
        """Settle the intensity, and how far each band follows it.

        Raises:
            BandCountError: The spatial image is no PAN.
            NodataError: The PAN or all bands are constant over the valid pixels.
        """
        require_pan(profile, self.id)
        assert statistics is not None
        bands = profile.bands
        moments = statistics.fine
        weights, intercept = solve_least_squares(statistics.coarse, bands, list(range(bands)))
        match_pan(moments, weights, method=self.id)  # refuses scenes that do not vary
        band_mean = moments.mean[:bands]
        covariance = moments.covariance()[:bands, :bands]
        with_intensity = covariance @ weights
        intensity_deviation = float(np.sqrt(weights @ with_intensity))
        deviation = np.sqrt(np.diag(covariance))
        likeness = np.zeros(bands)
        np.divide(
            with_intensity, deviation * intensity_deviation, out=likeness, where=deviation > 0
        )
        return FittedPracs(
            reach=Local(interpolation_apron(profile.ratio)),
            weights=weights,
            intercept=intercept,
            intensity_mean=float(weights @ band_mean) + intercept,
            band_mean=band_mean,
            slope=deviation / intensity_deviation,
            likeness=likeness,
            injection=self.strength * _gain(likeness),
        )


def _gain(likeness: Vector) -> Vector:
    """Return g_b = cov(I_b, M_b) / var(I_b).

    In units of var(M_b) = var(I'_b) and with cov(I'_b, M_b) = ρ_b, both follow from ρ_b alone.
    """
    rest = 1 - likeness
    shared = likeness**2 + rest
    gain: Vector = shared / (likeness**2 + rest**2 + 2 * likeness**2 * rest)
    return gain
