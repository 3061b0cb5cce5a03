"""What component substitution methods share: an intensity, a matched PAN, a gain per band."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bandweave.degrade.sampling import interpolation_apron
from bandweave.errors import NodataError
from bandweave.methods.base import Local
from bandweave.methods.interpolation import upsample
from bandweave.methods.portions import row_portions, weighted_sum
from bandweave.methods.statistics import Features, Measurement, Moments, Vector
from bandweave.pair import ImagePair, PairProfile
from bandweave.radiometry import Image
from bandweave.window import Window


@dataclass(frozen=True, slots=True, eq=False)
class FittedSubstitution:
    """F_b = M_b + g_b · (a P + c − Σ_k w_k M_k), everything settled."""

    reach: Local
    weights: Vector
    """`(C,)`, w: the bands' share in the intensity."""
    gains: Vector
    """`(C,)`, g."""
    pan_gain: float
    """a = std(I) / std(P)."""
    offset: float
    """c = mean(I) − a · mean(P)."""

    def fuse(self, pair: ImagePair) -> Image:
        """Add the matched PAN's difference to the intensity, band by band."""
        return self.fuse_core(pair, Window.whole(pair.shape))

    def fuse_core(self, pair: ImagePair, core: Window) -> Image:
        """Return the same of a part."""
        hrms = upsample(pair, core)
        kind = hrms.dtype.type
        pan = core.cut(pair.spatial)[0]
        for rows in row_portions(*pan.shape):
            detail = pan[rows] * kind(self.pan_gain)
            detail += kind(self.offset)
            detail -= weighted_sum(self.weights, hrms[:, rows])
            for band, gain in enumerate(self.gains):
                hrms[band, rows] += kind(gain) * detail
        return hrms


def fine_measurement(profile: PairProfile) -> Measurement:
    """Sum M and P on the fine grid: features 0 … C − 1 and C."""
    return Measurement(_bands_and_pan, interpolation_apron(profile.ratio))


def match_pan(moments: Moments, weights: Vector, *, method: str) -> tuple[float, float]:
    """Match the PAN to the intensity I = Σ w_b M_b by mean and deviation: P' = a P + c.

    Args:
        moments: Of M (C features) and P, in this order.
        weights: `(C,)`, w. A constant in I would cancel.
        method: For the message.

    Returns:
        a = std(I) / std(P) and c = mean(I) − a · mean(P).

    Raises:
        NodataError: The PAN or the intensity does not vary.
    """
    bands = len(weights)
    covariance = moments.covariance()
    intensity_variance = float(weights @ covariance[:bands, :bands] @ weights)
    pan_variance = float(covariance[bands, bands])
    if intensity_variance <= 0 or pan_variance <= 0:
        raise NodataError(
            f"{method} needs a PAN and bands that vary and are related, but over "
            f"{moments.count} valid pixels the variance of the PAN is "
            f"{pan_variance:.4g} and of the fitted intensity {intensity_variance:.4g}; "
            "use exp or brovey for this scene, or check the nodata values."
        )
    gain = float(np.sqrt(intensity_variance / pan_variance))
    return gain, float(weights @ moments.mean[:bands]) - gain * float(moments.mean[bands])


def substitute(
    reach: Local, moments: Moments, weights: Vector, gains: Vector | None = None, *, method: str
) -> FittedSubstitution:
    """Settle a substitution from the moments of M (C features) and P, in this order.

    Args:
        reach: Reach of the interpolation.
        moments: Of the scene.
        weights: `(C,)`, w.
        gains: `(C,)`, what each band takes of P' − I; None for cov(M_b, I) / var(I).
        method: For the message.

    Raises:
        NodataError: The PAN or the intensity does not vary.
    """
    pan_gain, offset = match_pan(moments, weights, method=method)
    if gains is None:
        bands = len(weights)
        with_intensity = moments.comoment[:bands, :bands] @ weights
        gains = with_intensity / (weights @ with_intensity)
    return FittedSubstitution(reach, weights, gains, pan_gain, offset)


def _bands_and_pan(pair: ImagePair, core: Window) -> Features:
    fine = np.concatenate([upsample(pair, core), core.cut(pair.spatial)])
    return Features(fine, core.coarse(pair.ratio).cut(pair.spectral)[:0])
