"""BT-H: the Brovey transform on bands from which the haze was taken."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from bandweave.methods.base import Fitted, Local, Reach
from bandweave.methods.convention import Convention, low_pan_apron
from bandweave.methods.modulation import EPSILON, FLOOR_SHARE, contrast
from bandweave.methods.portions import row_portions, weighted_sum
from bandweave.methods.statistics import Features, SceneStatistics, Vector, solve_proportional
from bandweave.methods.two_pass import TwoPass, require_varying
from bandweave.pair import ImagePair, PairProfile
from bandweave.radiometry import Image
from bandweave.window import Window

# Share of the first percentile that counts as haze, for the four bands of the classical
# instruments (Lolli et al. 2017); a longer wavelength is scattered less.
HAZE_SHARES = {"blue": 0.95, "green": 0.45, "red": 0.40, "nir": 0.05}

# Percentile that stands for the minimum of a band. A single black pixel that no mask tells would
# make the haze 0, which costs hazy scenes up to 20 dB in the blue; a thousandth of the pixels does
# not (docs/decisions/0008).
_DARKEST = 0.1


@dataclass(frozen=True, slots=True, eq=False)
class FittedBtH:
    """BT-H with settled haze and weights: F_b = max(M_b − L_b, 0) · P' / I + L_b."""

    reach: Reach
    convention: Convention
    haze: Vector
    """`(C,)`, L, DN."""
    weights: Vector
    """`(C,)`, α: I = Σ α_b (M_b − L_b)."""
    pan_gain: float
    """P' = pan_gain · P + pan_offset."""
    pan_offset: float
    floor: float | None
    """Smallest I to divide by, DN; None for the toolbox's quotient without floor."""

    def fuse(self, pair: ImagePair) -> Image:
        """Scale the haze-free bands by the PAN's contrast."""
        return self.fuse_core(pair, Window.whole(pair.shape))

    def fuse_core(self, pair: ImagePair, core: Window) -> Image:
        """Return the same of a part."""
        hrms = self.convention.upsample(pair, core)
        pan = core.cut(pair.spatial)[0]
        for rows in row_portions(*pan.shape):
            self._scale(hrms[:, rows], pan[rows])
        return hrms

    def _scale(self, bands: Image, pan: Image) -> None:
        """Do it for some rows, in place."""
        kind = bands.dtype.type
        haze = self.haze.astype(kind)[:, None, None]
        bands -= haze
        intensity = weighted_sum(self.weights, bands)
        matched = pan * kind(self.pan_gain)
        matched += kind(self.pan_offset)
        if self.floor is None:
            quotient = matched / (intensity + EPSILON)
        else:
            quotient = contrast(matched - intensity, intensity, self.floor)
        if bands.min(initial=0) < 0:  # to look is cheaper, and most parts have no such pixel
            np.maximum(bands, 0, out=bands)
        bands *= quotient
        bands += haze


@dataclass(frozen=True, slots=True)
class BtH(TwoPass):
    """BT-H: Brovey with haze correction.

    1. Haze L_b: with the four bands blue, green, red and near infrared, known by their names,
       (0.95, 0.45, 0.40, 0.05) times the first percentile of the band; else its minimum, here the
       percentile 0.1. Both are of the observed bands.
    2. P_L = LP(P), a Gaussian of gain 0.3; α = least squares of P_L on M, without constant.
    3. I = Σ α_b (M_b − L_b); P' = (P − mean P_L) · std(I) / std(P_L) + mean(I).
    4. F_b = max(M_b − L_b, 0) · P' / I + L_b, I at least a tenth of its mean.

    The toolbox takes any four bands for blue, green, red and near infrared in this order, and
    minima and percentiles of M_b.

    Source: S. Lolli, L. Alparone, A. Garzelli and G. Vivone, 2017, "Haze correction for
    contrast-based multispectral pansharpening", IEEE GRSL 14(12), 2255-2259.
    """

    id: ClassVar[str] = "bt_h"

    def features(self, pair: ImagePair, profile: PairProfile, core: Window) -> Features:
        """Return M and P_L, with percentiles of the observed bands, for the toolbox of M."""
        fine = np.concatenate(
            [self.convention.upsample(pair, core), self.convention.smooth_pan(pair, core)]
        )
        every = tuple(range(profile.bands))
        spectral = core.coarse(pair.ratio).cut(pair.spectral)
        if not self.toolbox:
            return Features(fine, spectral, ranked_coarse=every)
        ranked = every if profile.bands == len(HAZE_SHARES) else ()
        return Features(fine, spectral[:0], ranked)

    def apron(self, profile: PairProfile) -> int:
        """Return the reach of the interpolation and of the PAN's filter."""
        return low_pan_apron(profile.ratio)

    def settle(self, profile: PairProfile, statistics: SceneStatistics) -> Fitted:
        """Settle haze, weights and the match of the PAN.

        Raises:
            NodataError: The PAN does not vary.
        """
        moments, bands = statistics.fine, profile.bands
        require_varying(moments, bands, "a PAN", self.id)
        haze = self._haze(profile, statistics)
        weights = solve_proportional(moments, bands, list(range(bands)))
        covariance = moments.covariance()
        variance = float(weights @ covariance[:bands, :bands] @ weights)
        mean = float(weights @ (moments.mean[:bands] - haze))
        gain = float(np.sqrt(max(variance, 0.0) / covariance[bands, bands]))
        return FittedBtH(
            reach=Local(self.apron(profile), is_rowwise=True),
            convention=self.convention,
            haze=haze,
            weights=weights,
            pan_gain=gain,
            pan_offset=mean - gain * float(moments.mean[bands]),
            floor=None if self.toolbox else FLOOR_SHARE * mean,
        )

    def _haze(self, profile: PairProfile, statistics: SceneStatistics) -> Vector:
        names = profile.band_names or ()
        if len(names) == len(HAZE_SHARES) and set(names) == set(HAZE_SHARES):
            order = names
        elif self.toolbox and profile.bands == len(HAZE_SHARES):
            order = tuple(HAZE_SHARES)
        elif self.toolbox:
            return statistics.fine.smallest[: profile.bands]
        else:
            return np.array([d.percentile(_DARKEST) for d in statistics.distributions])
        percentiles = [d.percentile(1) for d in statistics.distributions]
        return np.array([HAZE_SHARES[n] * p for n, p in zip(order, percentiles, strict=True)])
