"""What methods share that measure a scene first and then fuse it pixel by pixel."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from bandweave.errors import NodataError
from bandweave.methods.base import Fitted, WholeScene
from bandweave.methods.convention import SCENE, TOOLBOX, Convention, require_gains
from bandweave.methods.statistics import Features, Measurement, Moments, SceneStatistics
from bandweave.methods.substitution.brovey import require_pan
from bandweave.pair import ImagePair, PairProfile
from bandweave.radiometry import Image
from bandweave.window import Window

# Below this share of its largest value, a standard deviation is rounding: what filters leave of a
# constant in single precision.
_NEGLIGIBLE = 1e-6


@dataclass(frozen=True, slots=True)
class TwoPass(ABC):
    """A method of one PAN that needs sums over the whole scene, then its surroundings only."""

    toolbox: bool = False
    """Equal to the field's MATLAB toolbox, with its periodic border and its kernels that do not
    sum to 1, for comparison with published numbers. Needs the whole scene at once."""
    id: ClassVar[str]
    needs_gains: ClassVar[bool] = False
    """Whether the MTF gains of the bands have to be known."""

    @property
    def precision(self) -> type[np.float32 | np.float64]:
        """Return single precision for scenes, double where the toolbox is to be equalled.

        Sums are always float64; a fused pixel is a short sum or a quotient that single precision
        holds to 0.02 DN of 11 bits or better (tests/test_method_contract.py).
        """
        return np.float64 if self.toolbox else np.float32

    @property
    def convention(self) -> Convention:
        """Return the filters in use."""
        return TOOLBOX if self.toolbox else SCENE

    def check(self, profile: PairProfile) -> None:
        """Refuse pairs that the method cannot fuse, before a pixel is read.

        Raises:
            BandCountError: The spatial image is no PAN.
            SensorModelError: MTF gains are needed and not known.
        """
        require_pan(profile, self.id)
        if self.needs_gains:
            require_gains(profile, self.id)

    def is_at_once(self, profile: PairProfile) -> bool:
        """Tell whether the scene is measured and fused whole, see `FittedAtOnce`."""
        del profile
        return self.toolbox

    @abstractmethod
    def features(self, pair: ImagePair, profile: PairProfile, core: Window) -> Features:
        """Return what is summed over the scene, of a part of a pair."""

    @abstractmethod
    def apron(self, profile: PairProfile) -> int:
        """Return the context that makes both the features and the fusion exact."""

    @abstractmethod
    def settle(self, profile: PairProfile, statistics: SceneStatistics) -> Fitted:
        """Derive the coefficients from the sums."""

    def measurement(self, profile: PairProfile) -> Measurement | None:
        """Sum the features, unless the scene is fused at once."""
        self.check(profile)
        if self.is_at_once(profile):
            return None
        return Measurement(
            lambda pair, core: self.features(pair, profile, core), self.apron(profile)
        )

    def fit(self, profile: PairProfile, statistics: SceneStatistics | None) -> Fitted:
        """Settle the coefficients; at once they are settled when the pixels are there.

        Raises:
            FusionError: The pair does not suit the method.
        """
        self.check(profile)
        if self.is_at_once(profile):
            return FittedAtOnce(self, profile)
        assert statistics is not None
        return self.settle(profile, statistics)


@dataclass(frozen=True, slots=True)
class FittedAtOnce:
    """A two-pass method on a pair that is held whole: both passes in `fuse`."""

    method: TwoPass
    profile: PairProfile

    @property
    def reach(self) -> WholeScene:
        """Return that everything is needed."""
        # float64 images that are alive together: the bands, their features, and the sums' copy.
        return WholeScene(bytes_per_pixel=8 * 6 * (self.profile.bands + 1))

    def fuse(self, pair: ImagePair) -> Image:
        """Measure, settle, fuse."""
        features = self.method.features(pair, self.profile, Window.whole(pair.shape))
        statistics = SceneStatistics.of(features, pair)
        return self.method.settle(self.profile, statistics).fuse(pair)


def is_constant(moments: Moments, feature: int) -> bool:
    """Tell whether a feature's deviation is mere rounding of its values."""
    largest = max(abs(moments.smallest[feature]), abs(moments.largest[feature]))
    deviation = np.sqrt(moments.comoment[feature, feature] / max(moments.count, 1))
    return bool(deviation <= _NEGLIGIBLE * largest)


def require_varying(moments: Moments, feature: int, what: str, method: str) -> None:
    """Refuse a scene in which a feature does not vary.

    Raises:
        NodataError: The feature is the same in all valid pixels.
    """
    if is_constant(moments, feature):
        raise NodataError(
            f"{method} needs {what} that varies, but it is {moments.mean[feature]:.6g} in all "
            f"{moments.count} valid pixels; check the nodata values, or use exp for this scene."
        )
