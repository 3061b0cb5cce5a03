"""Any method on the bands that its PAN says something about; the others are interpolated."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from bandweave.degrade.sampling import interpolation_apron
from bandweave.methods.base import Fitted, Local, Method, Reach, WholeScene
from bandweave.methods.interpolation import upsample
from bandweave.methods.statistics import Features, Measurement, SceneStatistics
from bandweave.pair import ImagePair, PairProfile
from bandweave.radiometry import Image
from bandweave.sensors import Sensor
from bandweave.window import Window


@dataclass(frozen=True, slots=True)
class FittedCoveredBands:
    """A fitted method for some bands, interpolation for the rest."""

    fitted: Fitted
    covered: tuple[int, ...]
    """Bands that the method fuses."""
    bands: int
    """All bands."""
    ratio: int

    @property
    def reach(self) -> Reach:
        """Return the method's reach, or the interpolator's where that is longer."""
        match self.fitted.reach:
            case Local(apron=apron):
                return Local(max(apron, interpolation_apron(self.ratio)))
            case WholeScene(bytes_per_pixel=needed):
                # The result and one pass of the interpolation, in float64.
                return WholeScene(needed + 8 * 2 * self.bands)
            case other:
                return other

    def fuse(self, pair: ImagePair) -> Image:
        """Fuse the covered bands, interpolate the others."""
        rest = [band for band in range(self.bands) if band not in self.covered]
        hrms = np.empty((self.bands, *pair.shape), dtype=pair.spectral.dtype)
        hrms[list(self.covered)] = self.fitted.fuse(pair_of(pair, self.covered))
        hrms[rest] = upsample(pair.replace(spectral=pair.spectral[rest]))
        return hrms


@dataclass(frozen=True, slots=True)
class CoveredBands:
    """A classical method that sees some of the bands only.

    Its regressions and statistics are over the covered bands, as if the others were not there; the
    others are `ms_up`. For Landsat's infrared and thermal bands, for example.
    """

    method: Method
    """Fuses the covered bands."""
    covered: tuple[int, ...]
    """Bands that it gets, from 0, in ascending order; at least one."""

    @property
    def id(self) -> str:
        """Return the method's id."""
        return self.method.id

    @property
    def precision(self) -> type[np.float32 | np.float64]:
        """Return the method's precision."""
        return self.method.precision

    def measurement(self, profile: PairProfile) -> Measurement | None:
        """Sum the method's features of the covered bands."""
        inner = self.method.measurement(profile_of(profile, self.covered))
        if inner is None:
            return None

        def features(pair: ImagePair, core: Window) -> Features:
            return inner.features(pair_of(pair, self.covered), core)

        return Measurement(features, inner.apron)

    def fit(self, profile: PairProfile, statistics: SceneStatistics | None) -> FittedCoveredBands:
        """Fit the method on the covered bands.

        Raises:
            FusionError: They do not suit the method.
        """
        fitted = self.method.fit(profile_of(profile, self.covered), statistics)
        return FittedCoveredBands(fitted, self.covered, profile.bands, profile.ratio)


def profile_of(profile: PairProfile, bands: tuple[int, ...]) -> PairProfile:
    """Return the profile of a pair reduced to some bands."""
    names = profile.band_names
    return replace(
        profile,
        bands=len(bands),
        sensor=_sensor_of(profile.sensor, profile.bands, bands),
        band_names=None if names is None else tuple(names[band] for band in bands),
    )


def pair_of(pair: ImagePair, bands: tuple[int, ...]) -> ImagePair:
    """Return a pair reduced to some bands."""
    return pair.replace(
        spectral=pair.spectral[list(bands)],
        sensor=_sensor_of(pair.sensor, len(pair.spectral), bands),
    )


def _sensor_of(sensor: Sensor | None, count: int, bands: tuple[int, ...]) -> Sensor | None:
    """Return the sensor with these bands; as it is where it knows others than the image has."""
    if sensor is None or len(sensor.bands) != count:
        return sensor
    return replace(sensor, bands=tuple(sensor.bands[band] for band in bands))
