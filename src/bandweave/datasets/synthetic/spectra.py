"""What surfaces look like in the eight WorldView bands: reflectance, sunlight, haze.

Reflectances are rounded from what spectral libraries agree on for these materials at the band
centres (427 to 949 nm); they are plausible, not measured, and meant for simulation only.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

BANDS = 8


class Surface(IntEnum):
    """Materials; the values are the labels that are painted."""

    SOIL = 0
    GRASS = 1
    CROP = 2
    STUBBLE = 3
    ASPHALT = 4
    CONCRETE = 5
    PAINT = 6
    TREE = 7
    WATER = 8
    RED_TILE = 9
    DARK_ROOF = 10
    METAL = 11
    BLUE_ROOF = 12
    CAR = 13
    GRAVEL = 14
    ORANGE_TILE = 15


NATURAL = (
    Surface.SOIL,
    Surface.GRASS,
    Surface.CROP,
    Surface.STUBBLE,
    Surface.TREE,
    Surface.GRAVEL,
)

_REFLECTANCE = {
    Surface.SOIL: (0.09, 0.11, 0.15, 0.19, 0.22, 0.25, 0.29, 0.31),
    Surface.GRASS: (0.03, 0.04, 0.09, 0.07, 0.06, 0.22, 0.42, 0.44),
    Surface.CROP: (0.03, 0.04, 0.07, 0.05, 0.04, 0.20, 0.47, 0.50),
    Surface.STUBBLE: (0.08, 0.10, 0.15, 0.20, 0.24, 0.28, 0.34, 0.37),
    Surface.ASPHALT: (0.09, 0.10, 0.11, 0.12, 0.12, 0.13, 0.14, 0.14),
    Surface.CONCRETE: (0.21, 0.24, 0.28, 0.30, 0.31, 0.32, 0.33, 0.33),
    Surface.PAINT: (0.45, 0.50, 0.53, 0.54, 0.54, 0.54, 0.54, 0.53),
    Surface.TREE: (0.02, 0.025, 0.05, 0.04, 0.03, 0.17, 0.36, 0.38),
    Surface.WATER: (0.06, 0.06, 0.055, 0.035, 0.025, 0.018, 0.010, 0.008),
    Surface.RED_TILE: (0.07, 0.08, 0.10, 0.17, 0.27, 0.31, 0.35, 0.36),
    Surface.DARK_ROOF: (0.06, 0.065, 0.07, 0.07, 0.075, 0.08, 0.085, 0.09),
    Surface.METAL: (0.38, 0.42, 0.45, 0.46, 0.46, 0.45, 0.44, 0.43),
    Surface.BLUE_ROOF: (0.24, 0.31, 0.22, 0.13, 0.10, 0.12, 0.19, 0.22),
    Surface.CAR: (0.20, 0.20, 0.20, 0.20, 0.20, 0.20, 0.20, 0.20),
    Surface.GRAVEL: (0.14, 0.16, 0.19, 0.22, 0.23, 0.24, 0.26, 0.27),
    Surface.ORANGE_TILE: (0.07, 0.08, 0.13, 0.25, 0.33, 0.36, 0.39, 0.40),
}

# DN per unit reflectance, falling towards the infrared as sunlight and detectors do, and the DN
# that air scatters into the path, strongest in the blue.
_GAIN = np.array([2500.0, 2700.0, 2900.0, 2900.0, 2800.0, 2600.0, 2300.0, 1700.0])
_HAZE = np.array([230.0, 170.0, 110.0, 75.0, 55.0, 42.0, 30.0, 18.0])
# Share of the light that skylight brings into a shadow.
_SKYLIGHT = np.array([0.42, 0.37, 0.30, 0.26, 0.24, 0.21, 0.19, 0.18])


@dataclass(frozen=True, slots=True, eq=False)
class Light:
    """Illumination and atmosphere of one scene; each array `(8,)`."""

    gain: NDArray[np.float64]
    """DN per unit reflectance in the sun."""
    haze: NDArray[np.float64]
    """DN of the path."""
    skylight: NDArray[np.float64]
    """Share of `gain` that is left in the shadow."""

    @classmethod
    def drawn(cls, rng: np.random.Generator) -> Light:
        """Draw a season and an atmosphere."""
        tilt = 1 + rng.uniform(-0.08, 0.08) * np.linspace(1, -1, BANDS)
        return cls(
            gain=_GAIN * rng.uniform(0.75, 1.05) * tilt,
            haze=_HAZE * rng.uniform(0.7, 1.4),
            skylight=_SKYLIGHT * rng.uniform(0.8, 1.2),
        )


def drawn_reflectances(rng: np.random.Generator) -> NDArray[np.float64]:
    """Return `(surfaces, 8)` reflectances, each material a little different from scene to scene."""
    table = np.array([_REFLECTANCE[surface] for surface in Surface])
    brightness = rng.uniform(0.85, 1.15, (len(table), 1))
    tint = 1 + rng.normal(0, 0.04, (len(table), 1)) * np.linspace(-1, 1, BANDS)
    return table * brightness * tint
