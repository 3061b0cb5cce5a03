"""Where pairs come from, one window at a time."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from bandweave.grid import Grid
from bandweave.pair import ImagePair, PairProfile
from bandweave.sensors import Sensor
from bandweave.window import Window


class PairSource(Protocol):
    """A pair too large to hold: its profile, and its pixels by window.

    `read` may be called from several threads at once.
    """

    @property
    def profile(self) -> PairProfile:
        """Return shapes, ratio, phase, scale and sensor of the whole scene."""
        ...

    @property
    def grid(self) -> Grid | None:
        """Return the fine grid of the whole scene, or None without georeference."""
        ...

    def read(self, window: Window, dtype: type[np.float32 | np.float64]) -> ImagePair:
        """Read a fine window inside the scene whose edges are multiples of the ratio.

        Invalid pixels hold any finite value and are False in the pair's `valid`.
        """
        ...


@dataclass(frozen=True, slots=True)
class ArraySource:
    """A pair that lies in memory, seen as a `PairSource`."""

    pair: ImagePair

    @property
    def profile(self) -> PairProfile:
        """Return the pair's profile."""
        return self.pair.profile

    @property
    def grid(self) -> Grid | None:
        """Return the pair's grid."""
        return self.pair.grid

    def read(self, window: Window, dtype: type[np.float32 | np.float64]) -> ImagePair:
        """Cut out a window and bring it to `dtype`."""
        part = self.pair.crop(window)
        return part.replace(
            spatial=part.spatial.astype(dtype, copy=False),
            spectral=part.spectral.astype(dtype, copy=False),
        )


@dataclass(frozen=True, slots=True)
class InformedSource:
    """A source of which more is known than it says itself."""

    source: PairSource
    full_scale: float | None
    """Value that maps to 1.0."""
    sensor: Sensor | None
    """Sensor model."""
    phase: tuple[float, float] | None = None
    """Fine index of coarse sample 0 where it is known better, or None."""

    @property
    def profile(self) -> PairProfile:
        """Return the source's profile with the known scale, sensor and phase."""
        profile = self.source.profile
        return replace(
            profile,
            full_scale=self.full_scale,
            sensor=self.sensor,
            phase=self.phase or profile.phase,
        )

    @property
    def grid(self) -> Grid | None:
        """Return the source's grid."""
        return self.source.grid

    def read(self, window: Window, dtype: type[np.float32 | np.float64]) -> ImagePair:
        """Read a window and add what is known."""
        pair = self.source.read(window, dtype)
        return pair.replace(
            full_scale=self.full_scale, sensor=self.sensor, phase=self.phase or pair.phase
        )
