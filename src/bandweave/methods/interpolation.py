"""Bring the spectral image to the fine grid and stop: the floor of every table."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bandweave.degrade.sampling import imresize, interpolation_apron
from bandweave.methods.base import Local, Reach, WholeScene
from bandweave.methods.convention import SCENE, TOOLBOX, Convention
from bandweave.methods.statistics import Measurement, SceneStatistics
from bandweave.pair import ImagePair, PairProfile
from bandweave.radiometry import Image
from bandweave.window import Window


def upsample(pair: ImagePair, core: Window | None = None) -> Image:
    """Return `ms_up` `(C, H, W)`: the spectral image on the fine grid, or a part of it.

    The 23-tap interpolator at the pair's own phase; the scene's border is mirrored.
    """
    return SCENE.upsample(pair, core)


@dataclass(frozen=True, slots=True)
class FittedInterpolation:
    """EXP for one ratio."""

    reach: Reach
    convention: Convention

    def fuse(self, pair: ImagePair) -> Image:
        """Return `ms_up`."""
        return self.convention.upsample(pair)

    def fuse_core(self, pair: ImagePair, core: Window) -> Image:
        """Return `ms_up` of a part."""
        return self.convention.upsample(pair, core)


@dataclass(frozen=True, slots=True)
class Interpolation:
    """EXP: `hrms = ms_up`.

    Source: B. Aiazzi, L. Alparone, S. Baronti and A. Garzelli, 2002, "Context-driven fusion of
    high spatial and spectral resolution images based on oversampled multiresolution analysis",
    IEEE TGRS 40(10), 2300-2312 (the 23-tap filter).
    """

    toolbox: bool = False
    """Continue the image periodically as the field's MATLAB toolbox does; needs it whole."""
    id: str = "exp"
    precision: type[np.float32 | np.float64] = np.float32

    def measurement(self, profile: PairProfile) -> Measurement | None:
        """Nothing of the whole scene is needed."""
        del profile
        return None

    def fit(self, profile: PairProfile, statistics: SceneStatistics | None) -> FittedInterpolation:
        """Settle the reach."""
        del statistics
        if self.toolbox:
            # The result and one pass of the interpolation, in float64.
            return FittedInterpolation(WholeScene(8 * 2 * profile.bands), TOOLBOX)
        return FittedInterpolation(
            Local(interpolation_apron(profile.ratio), is_rowwise=True), SCENE
        )


@dataclass(frozen=True, slots=True)
class FittedBicubic:
    """Bicubic interpolation for one ratio."""

    reach: Local

    def fuse(self, pair: ImagePair) -> Image:
        """Return the spectral image enlarged."""
        return imresize(pair.spectral, pair.ratio)


@dataclass(frozen=True, slots=True)
class Bicubic:
    """Bicubic interpolation as MATLAB's `imresize`: the first row of hyperspectral tables.

    Samples are put in the middle of their cells whatever the pair's phase. Those of the CAVE
    protocol lie half a pixel further, and that half pixel is part of the published rows.

    Source: R. Keys, 1981, "Cubic convolution interpolation for digital image processing", IEEE
    TASSP 29(6), 1153-1160.
    """

    id: str = "bicubic"
    precision: type[np.float32 | np.float64] = np.float64

    def measurement(self, profile: PairProfile) -> Measurement | None:
        """Nothing of the whole scene is needed."""
        del profile
        return None

    def fit(self, profile: PairProfile, statistics: SceneStatistics | None) -> FittedBicubic:
        """Settle the reach."""
        del statistics
        # The kernel ends 2 coarse pixels from the place, which lies within its own.
        return FittedBicubic(Local(3 * profile.ratio))
