"""What is known of each sensor: bands, wavelengths, GSD, bit depth, MTF gains.

The numbers stand in `sensors.toml`, each with its source; an unknown value is absent there and
None here, never guessed.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from bandweave.errors import UnknownSensorError
from bandweave.instruments import PointSpread, ResponseMatrix

FAR_FROM_PAN = 100.0
"""Nanometres beyond the PAN's limits from which a band's detail is not the PAN's any more.

Measured: docs/decisions/0009 (WorldView's NIR2, 60 nm beyond, gains; thermal bands lose).
"""


@dataclass(frozen=True, slots=True)
class Band:
    """One spectral band."""

    name: str
    """Name, lower case, for example `red edge`."""
    wavelength: float | None = None
    """Centre wavelength in nanometres, or None where not known."""
    limits: tuple[float, float] | None = None
    """Shortest and longest wavelength in nanometres as the operator states them, or None."""
    mtf_gain: float | None = None
    """MTF at the Nyquist frequency of the band's own grid, in (0, 1), or None where not known."""


@dataclass(frozen=True, slots=True)
class SpectralRange:
    """The bands of one spectrometer, whose centres differ by product and stand in it."""

    name: str
    """Name, lower case, for example `vnir`."""
    limits: tuple[float, float]
    """Shortest and longest wavelength in nanometres."""
    bands: int
    """Bands of a delivered cube."""


@dataclass(frozen=True, slots=True)
class Sensor:
    """A pair of instruments: a sharp one with few bands and a coarse one with many.

    The sharp one is a PAN, or the `spatial_bands` where it has several.
    """

    id: str
    """Key in the table, for example `wv3`."""
    name: str
    """Display name, for example `WorldView-3`."""
    bands: tuple[Band, ...]
    """Spectral bands in the order of delivery; empty where any number is meant."""
    aliases: tuple[str, ...] = ()
    """Further names, without regard to case."""
    toolbox_name: str | None = None
    """Name in the MATLAB toolboxes' files, or None where they do not know the sensor."""
    spatial_bands: tuple[Band, ...] = ()
    """Bands of the sharp image where it is not a PAN."""
    ranges: tuple[SpectralRange, ...] = ()
    """Spectrometers of a hyperspectral sensor, whose `bands` are empty."""
    ratio: int | None = None
    """GSD of the spectral image divided by that of the spatial one."""
    pan_gsd: float | None = None
    """Ground sampling distance of the spatial image in metres, at nadir or as delivered."""
    gsd: float | None = None
    """Ground sampling distance of the spectral image in metres, at nadir or as delivered."""
    pan_limits: tuple[float, float] | None = None
    """Shortest and longest wavelength of the PAN in nanometres."""
    bit_depth: int | None = None
    """Significant bits of the DN as delivered."""
    full_scale: float | None = None
    """DN that maps to 1.0 in learned methods."""
    pan_mtf_gain: float | None = None
    """MTF of the PAN at the Nyquist frequency of its own grid, in (0, 1).

    Reducing a scene by its ratio moves every grid by that ratio, so that this is also the gain of a
    kernel with the pair's ratio which degrades the PAN.
    """
    default_mtf_gain: float | None = None
    """Gain that stands for every band without a measured one: a convention, see `assumptions`."""
    psf: PointSpread | None = None
    """What a spectral pixel is a mean of; goes before the MTF gains where both are known."""
    response: ResponseMatrix | None = None
    """How the sharp image's bands are made of the spectral bands, or None where they are not."""
    sources: tuple[str, ...] = ()
    """Where the numbers come from, each as `field, field: source`."""
    assumptions: tuple[str, ...] = ()
    """Values that are a protocol's convention and not a measurement; printed when used."""
    notes: tuple[str, ...] = ()
    """What else a user should know."""

    @property
    def band_names(self) -> tuple[str, ...] | None:
        """Return the band names, or None where the sensor stands for any bands."""
        return tuple(band.name for band in self.bands) or None

    @property
    def covered_bands(self) -> tuple[str, ...] | None:
        """Return the names of the bands that share wavelengths with the PAN, None where unknown.

        A PAN says nothing direct about the others: Landsat's, for example, ends before the near
        infrared.
        """
        if self.pan_limits is None or any(band.limits is None for band in self.bands):
            return None
        low, high = self.pan_limits
        return tuple(
            band.name
            for band in self.bands
            if band.limits is not None and band.limits[0] < high and band.limits[1] > low
        )

    def gap_to_pan(self, band: Band) -> float | None:
        """Return the nanometres between a band and the PAN, 0 where they meet, None if unknown."""
        if self.pan_limits is None or band.limits is None:
            return None
        return max(self.pan_limits[0] - band.limits[1], band.limits[0] - self.pan_limits[1], 0.0)

    def bands_named(self, count: int, names: tuple[str, ...] | None) -> tuple[Band, ...] | None:
        """Return what is known of an image's bands: by their number, else by name, else None.

        Args:
            count: Bands of the image.
            names: Their names in its file, or None.
        """
        if len(self.bands) == count:
            return self.bands
        known = {band.name: band for band in self.bands}
        found = [known.get(name.strip().lower()) for name in names or ()]
        named = tuple(band for band in found if band is not None)
        return named if len(named) == count else None

    def mtf_gains(self, bands: int) -> tuple[float, ...] | None:
        """Return one MTF gain per band for an image of `bands` bands, or None where unknown."""
        if self.bands and len(self.bands) == bands:
            gains = [band.mtf_gain or self.default_mtf_gain for band in self.bands]
            known = tuple(gain for gain in gains if gain is not None)
            return known if len(known) == bands else None
        if not self.bands and self.default_mtf_gain is not None:
            return (self.default_mtf_gain,) * bands
        return None


@cache
def sensor_table() -> dict[str, Sensor]:
    """Return every known sensor by its id."""
    raw = tomllib.loads(files("bandweave").joinpath("sensors.toml").read_text(encoding="utf-8"))
    return {key: _sensor(key, entry) for key, entry in raw.items()}


def find_sensor(name: str) -> Sensor:
    """Return a sensor by id, display name or alias, whatever the case.

    Raises:
        UnknownSensorError: No such sensor; the message lists the valid names.
    """
    table = sensor_table()
    wanted = name.strip().lower()
    for sensor in table.values():
        names = (sensor.id, sensor.name, sensor.toolbox_name or sensor.id, *sensor.aliases)
        if wanted in (known.lower() for known in names):
            return sensor
    raise UnknownSensorError(
        f"There is no sensor {name!r}; known sensors are {', '.join(table)}. "
        "Give one of these, or `none` for the protocol's neutral values."
    )


def _sensor(key: str, entry: dict[str, Any]) -> Sensor:
    fields = dict(entry)
    for bands in ("bands", "spatial_bands"):
        fields[bands] = tuple(_band(band) for band in fields.get(bands, []))
    for listed in ("aliases", "sources", "assumptions", "notes"):
        fields[listed] = tuple(fields.get(listed, ()))
    fields["ranges"] = tuple(
        SpectralRange(part["name"], tuple(part["limits"]), part["bands"])
        for part in fields.get("ranges", [])
    )
    if "pan_limits" in fields:
        fields["pan_limits"] = tuple(fields["pan_limits"])
    return Sensor(id=key, **fields)


def _band(entry: dict[str, Any]) -> Band:
    """Read a band; without a stated centre wavelength it is the middle of the limits."""
    fields = dict(entry)
    if "limits" in fields:
        low, high = fields["limits"]
        fields["limits"] = (low, high)
        fields.setdefault("wavelength", (low + high) / 2)
    return Band(**fields)
