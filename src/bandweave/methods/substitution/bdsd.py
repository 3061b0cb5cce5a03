"""BDSD-PC: each band's detail as a constrained combination of the PAN and all bands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import scipy

from bandweave.degrade.mtf import kernel_size
from bandweave.degrade.observe import observation_apron
from bandweave.degrade.sampling import correlate, imresize, interpolation_apron
from bandweave.methods.base import Fitted, Local, Reach
from bandweave.methods.convention import Convention, require_gains
from bandweave.methods.portions import row_portions
from bandweave.methods.statistics import Features, Matrix, Moments, SceneStatistics, Vector
from bandweave.methods.two_pass import TwoPass, require_varying
from bandweave.pair import ImagePair, PairProfile
from bandweave.radiometry import Image
from bandweave.window import Window

# Stands for the MTF of a PAN that was never published; the toolbox's value for such sensors.
NEUTRAL_PAN_GAIN = 0.15

# Directions of the regressors weaker than this, relative to the strongest, are left out.
_SINGULAR = 1e-12


@dataclass(frozen=True, slots=True, eq=False)
class FittedBdsd:
    """BDSD with settled weights: F_b = M_b + γ_0b P + Σ_k γ_kb M_k."""

    reach: Reach
    convention: Convention
    weights: Matrix
    """`(C + 1, C)`, γ: PAN first, then the bands; one column per fused band."""

    def fuse(self, pair: ImagePair) -> Image:
        """Add the combination to each band."""
        return self.fuse_core(pair, Window.whole(pair.shape))

    def fuse_core(self, pair: ImagePair, core: Window) -> Image:
        """Return the same of a part."""
        hrms = self.convention.upsample(pair, core)
        kind = hrms.dtype
        weights = self.weights.astype(kind)
        mixing = weights[1:].T + np.eye(len(hrms), dtype=kind)
        pan = core.cut(pair.spatial)[0]
        for rows in row_portions(*pan.shape):
            hrms[:, rows] = np.tensordot(mixing, hrms[:, rows], axes=1)
            for band, gain in enumerate(weights[0]):
                hrms[band, rows] += gain * pan[rows]
        return hrms


@dataclass(frozen=True, slots=True)
class BdsdPc(TwoPass):
    """BDSD-PC: band-dependent spatial detail, physically constrained.

    1. One scale further down: G = M shrunk by the ratio (antialiased bicubic), G̃ = G behind each
       band's MTF, p = P behind its own MTF, on the same grid.
    2. For each band γ = argmin ‖[p, G̃_1 … G̃_C] γ − (G_b − G̃_b)‖² with γ_0 ≥ 0 and the others ≤ 0,
       without constant, by non-negative least squares on the scene's sums.
    3. F_b = M_b + [P, M_1 … M_C] γ.

    Pixels of G lie at phase (ratio − 1) / 2, those of p at the pair's own: for registered
    deliveries the same, for pairs that toolboxes simulated half a fine pixel apart, as there. A PAN
    gain that the sensor table does not know is taken as 0.15.

    Source: G. Vivone, 2019, "Robust band-dependent spatial-detail approaches for panchromatic
    sharpening", IEEE TGRS 57(9), 6421-6433.
    """

    id: ClassVar[str] = "bdsd_pc"
    needs_gains: ClassVar[bool] = True

    def features(self, pair: ImagePair, profile: PairProfile, core: Window) -> Features:
        """Return p, G̃ and G − G̃ on the coarse grid."""
        shrunk = imresize(self.convention.upsample(pair), 1 / pair.ratio)
        kernels = self.convention.kernels(require_gains(profile, self.id), pair)
        blurred = correlate(shrunk, kernels)
        pan = self._coarse_pan(pair, profile)
        part = core.coarse(pair.ratio)
        pan, shrunk, blurred = (part.cut(image) for image in (pan, shrunk, blurred))
        return Features(
            core.cut(pair.spatial)[:0], np.concatenate([pan, blurred, shrunk - blurred])
        )

    def apron(self, profile: PairProfile) -> int:
        """Return the reach of interpolating, shrinking and filtering again, in fine pixels."""
        blur = profile.ratio * (kernel_size(profile.ratio) // 2)
        shrink = 2 * profile.ratio
        return max(
            interpolation_apron(profile.ratio) + shrink + blur, observation_apron(profile.ratio)
        )

    def settle(self, profile: PairProfile, statistics: SceneStatistics) -> Fitted:
        """Solve for the weights of each band.

        Raises:
            NodataError: The PAN does not vary.
        """
        moments, bands = statistics.coarse, profile.bands
        require_varying(moments, 0, "a PAN", self.id)
        weights = np.stack(
            [_constrained(moments, bands, 1 + bands + band) for band in range(bands)], axis=1
        )
        return FittedBdsd(
            Local(interpolation_apron(profile.ratio), is_rowwise=True), self.convention, weights
        )

    def _coarse_pan(self, pair: ImagePair, profile: PairProfile) -> Image:
        assert profile.sensor is not None
        gain = profile.sensor.pan_mtf_gain or NEUTRAL_PAN_GAIN
        return self.convention.coarse_pan(pair, [gain])


def _constrained(moments: Moments, bands: int, target: int) -> Vector:
    """Minimise ‖A γ − t‖² with γ_0 ≥ 0, γ_k ≤ 0, from the raw second moments of A and t.

    With AᵀA = V Λ Vᵀ the sum equals ‖Λ^½ Vᵀ γ − Λ^−½ Vᵀ Aᵀt‖² up to a constant, a problem of C + 1
    rows for non-negative least squares; signs of the band columns are turned for it and back.
    """
    signs = np.array([1.0] + [-1.0] * bands)
    raw = moments.comoment + moments.count * np.outer(moments.mean, moments.mean)
    size = 1 + bands
    gram = raw[:size, :size] * np.outer(signs, signs)
    right = raw[:size, target] * signs
    strength, axes = np.linalg.eigh(gram)
    kept = strength > _SINGULAR * strength[-1]
    root = np.sqrt(strength[kept])
    weights: Vector = scipy.optimize.nnls(
        root[:, None] * axes[:, kept].T, (axes[:, kept].T @ right) / root
    )[0]
    signed: Vector = weights * signs
    return signed
