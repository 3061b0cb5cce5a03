"""What a layer's bands are called, where they lie in the spectrum, and which are shown first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rasterio.enums import ColorInterp

from bandweave.raster.bandorder import plain_name
from bandweave.raster.image import RasterFacts
from bandweave.raster.metadata import stated_sensor
from bandweave.raster.spectral import centre_wavelength

_COLOURS = (ColorInterp.red, ColorInterp.green, ColorInterp.blue)
_NAMES = ("red", "green", "blue")
_WAVELENGTHS = (660.0, 550.0, 470.0)  # nanometres: the middles of red, green and blue
_FAR = 60.0
"""Nanometres from the middle of a colour beyond which a band is not that colour."""
# Red, green and blue by the number of bands, where the file says nothing: coastal to NIR2 of eight
# bands, blue to NIR of four.
_BY_COUNT = {3: (1, 2, 3), 4: (3, 2, 1), 8: (5, 3, 2)}


@dataclass(frozen=True, slots=True)
class BandLabel:
    """A band's name, and its centre wavelength in nanometres where it is known."""

    name: str
    wavelength: float | None = None


def band_labels(facts: RasterFacts) -> tuple[BandLabel, ...]:
    """Return names and wavelengths from the bands' own metadata, else from the stated sensor."""
    sensor = stated_sensor(facts)
    known = sensor.bands if sensor is not None and len(sensor.bands) == len(facts.indexes) else None
    labels = []
    for place, (index, name) in enumerate(zip(facts.indexes, facts.descriptions, strict=True)):
        band = None if known is None else known[place]
        stated = centre_wavelength(facts.band_tags[place])
        wavelength = stated if stated is not None or band is None else band.wavelength
        labels.append(BandLabel(name or (band.name if band else f"band {index}"), wavelength))
    return tuple(labels)


def default_bands(facts: RasterFacts) -> tuple[int, ...]:
    """Return the bands (from 1) shown as red, green and blue, or the first one.

    By the bands' names, else their wavelengths, else how many there are. The colours that a file
    states count where it has three or four bands: of more, writers call the first three red, green
    and blue whatever they are.
    """
    count = len(facts.indexes)
    if count < len(_COLOURS):
        return (1,)
    labels = band_labels(facts)
    names = [plain_name(label.name) for label in labels]
    return (
        _places(names, _NAMES)
        or _by_wavelength([label.wavelength for label in labels])
        or (_places(facts.colours, _COLOURS) if count <= len(_COLOURS) + 1 else None)
        or _BY_COUNT.get(count)
        or tuple(1 + round(k * (count - 1) / 2) for k in (2, 1, 0))
    )


def _places(known: Sequence[object], wanted: Sequence[object]) -> tuple[int, ...] | None:
    """Return where `wanted` stand in `known`, from 1; None unless all do."""
    if any(one not in known for one in wanted):
        return None
    return tuple(known.index(one) + 1 for one in wanted)


def _by_wavelength(wavelengths: Sequence[float | None]) -> tuple[int, ...] | None:
    if any(one is None for one in wavelengths):
        return None
    known = [one for one in wavelengths if one is not None]
    found = tuple(min(range(len(known)), key=lambda k: abs(known[k] - w)) for w in _WAVELENGTHS)
    is_near = all(abs(known[k] - w) < _FAR for k, w in zip(found, _WAVELENGTHS, strict=True))
    return tuple(k + 1 for k in found) if is_near else None
