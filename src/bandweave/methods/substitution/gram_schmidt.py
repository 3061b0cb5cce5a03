"""GSA: adaptive Gram-Schmidt, the intensity regressed on the degraded PAN."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bandweave.degrade.observe import observation_apron, observe
from bandweave.degrade.sampling import interpolation_apron
from bandweave.errors import NodataError
from bandweave.methods.base import Local
from bandweave.methods.interpolation import upsample
from bandweave.methods.statistics import (
    Features,
    Measurement,
    SceneStatistics,
    Vector,
    solve_least_squares,
)
from bandweave.methods.substitution.brovey import require_pan
from bandweave.pair import ImagePair, PairProfile
from bandweave.radiometry import Image

# Gain of the Gaussian that brings the PAN to the coarse grid for the regression. It only has to
# make PAN and bands comparable; 0.15 is the value of the field's comparisons.
PAN_GAIN = 0.15


@dataclass(frozen=True, slots=True, eq=False)
class FittedGramSchmidt:
    """GSA after the regression: F_b = M_b + g_b · (a P + c − Σ_k w_k M_k)."""

    reach: Local
    weights: Vector
    """`(C,)`, w: the bands' share in the intensity."""
    gains: Vector
    """`(C,)`, g_b = cov(M_b, I) / var(I)."""
    pan_gain: float
    """a = std(I) / std(P)."""
    offset: float
    """c = mean(I) − w₀ − a · mean(P)."""

    def fuse(self, pair: ImagePair) -> Image:
        """Add the matched PAN's difference to the intensity, band by band."""
        ms_up = upsample(pair)
        kind = ms_up.dtype
        detail = pair.spatial[0] * kind.type(self.pan_gain) + kind.type(self.offset)
        detail -= np.tensordot(self.weights.astype(kind), ms_up, axes=1)
        for band, gain in enumerate(self.gains.astype(kind)):
            ms_up[band] += gain * detail
        return ms_up


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
        apron = max(interpolation_apron(profile.ratio), observation_apron(profile.ratio))
        return Measurement(_features, apron)

    def fit(self, profile: PairProfile, statistics: SceneStatistics | None) -> FittedGramSchmidt:
        """Regress the intensity and derive the gains from the scene's moments.

        Raises:
            BandCountError: The spatial image is no PAN.
            NodataError: The PAN or all bands are constant over the valid pixels.
        """
        require_pan(profile, self.id)
        assert statistics is not None
        bands = profile.bands
        weights, _ = solve_least_squares(statistics.coarse, bands, list(range(bands)))
        covariance = statistics.fine.covariance()
        with_intensity = covariance[:bands, :bands] @ weights
        intensity_variance = float(weights @ with_intensity)
        pan_variance = float(covariance[bands, bands])
        if intensity_variance <= 0 or pan_variance <= 0:
            raise NodataError(
                "gsa needs a PAN and bands that vary and are related, but over "
                f"{statistics.fine.count} valid pixels the variance of the PAN is "
                f"{pan_variance:.4g} and of the fitted intensity {intensity_variance:.4g}; "
                "use exp or brovey for this scene, or check the nodata values."
            )
        pan_gain = float(np.sqrt(intensity_variance / pan_variance))
        mean = statistics.fine.mean
        # The regression's constant w₀ stands in both I and mean(I) and cancels.
        offset = float(weights @ mean[:bands]) - pan_gain * float(mean[bands])
        return FittedGramSchmidt(
            reach=Local(interpolation_apron(profile.ratio)),
            weights=weights,
            gains=with_intensity / intensity_variance,
            pan_gain=pan_gain,
            offset=offset,
        )


def _features(pair: ImagePair) -> Features:
    pan_low = observe(pair.spatial, [PAN_GAIN], pair.ratio, pair.phase)
    return Features(
        fine=np.concatenate([upsample(pair), pair.spatial]),
        coarse=np.concatenate([pair.spectral, pan_low]),
    )
