"""Natural colour: what red, green and blue of a picture are made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bandweave.degrade.srf import SpectralResponse, nikon_d700
from bandweave.radiometry import Image
from bandweave.report.kept import KeptScene
from bandweave.report.quicklook import natural_colour

_RGB = (660.0, 550.0, 470.0)
"""Nanometres nearest to which a band is shown as red, green and blue."""
_NARROW = 16
"""Bands above which each is too narrow for a colour: a camera sees a mixture of them."""
_CAMERA = np.arange(400.0, 701.0, 10.0)
"""Wavelengths of the camera's weights in nanometres."""


@dataclass(frozen=True, slots=True, eq=False)
class Colours:
    """Mixtures of an image's bands that are shown as red, green and blue."""

    weights: NDArray[np.float64]
    """`(3, C)`, rows that sum to 1."""
    names: tuple[str, str, str]
    """What captions call them."""

    @classmethod
    def of_scene(cls, scene: KeptScene) -> Colours:
        """Take a camera's response for narrow bands, else single bands.

        These are found by wavelength, else by their number.
        """
        if scene.wavelengths is not None and len(scene.bands) > _NARROW:
            response = _camera(scene.wavelengths)
            if response is not None:
                return cls(response.weights, ("Nikon D700's red", "green", "blue"))
        red, green, blue = _single_bands(scene)
        names = scene.bands[red], scene.bands[green], scene.bands[blue]
        return cls(np.eye(len(scene.bands))[[red, green, blue]], names)

    def of(self, image: Image) -> Image:
        """Return the mixtures `(3, H, W)` of an image `(C, H, W)`; unused bands may be NaN."""
        mixed = []
        for row in self.weights:
            used = np.flatnonzero(row)
            mixed.append(np.tensordot(row[used].astype(image.dtype), image[used], axes=1))
        return np.stack(mixed)


def _camera(wavelengths: Sequence[float]) -> SpectralResponse | None:
    """Return the CAVE protocol's camera at these bands, None where it does not see a colour."""
    camera = nikon_d700()
    weights = np.array(
        [np.interp(wavelengths, _CAMERA, row, left=0, right=0) for row in camera.weights]
    )
    if not weights.any(axis=1).all():
        return None
    return SpectralResponse(camera.name, camera.band_names, weights)


def _single_bands(scene: KeptScene) -> tuple[int, int, int]:
    if scene.wavelengths is None:
        return natural_colour(len(scene.bands))
    centres = np.array(scene.wavelengths)
    red, green, blue = (int(np.abs(centres - one).argmin()) for one in _RGB)
    return red, green, blue
