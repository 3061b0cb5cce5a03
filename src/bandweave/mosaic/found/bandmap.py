"""Which bands of a pair are those that weights expect: by name and centre wavelength."""

from __future__ import annotations

from dataclasses import dataclass

from bandweave.errors import BandCountError
from bandweave.methods.nets.card import WeightCard
from bandweave.pair import PairProfile
from bandweave.raster.bandorder import plain_name
from bandweave.sensors import Band

# Nanometres by which the centres of bands of one name may differ: nir2 of WorldView-2 and -3 differ
# by 35, nir of Landsat and of WorldView by 41.
_SAME_NAME = 60.0
# The same for other names: half of what lies between neighbouring bands of WorldView-3.
_OTHER_NAME = 30.0
# Sensors with one near infrared call it nir, those with two call the one like it nir1.
_SYNONYMS = {"nir": "nir1"}


@dataclass(frozen=True, slots=True)
class BandChoice:
    """The bands to take, in the order of the weights."""

    places: tuple[int, ...]
    """Places among the pair's bands, from 0."""
    names: tuple[str, ...]
    """What the pair calls them."""


def choose_bands(card: WeightCard, profile: PairProfile) -> BandChoice | None:
    """Find the bands that weights expect.

    A band is the expected one if it has its name and, where both wavelengths are known, lies within
    60 nm of it; else the nearest within 30 nm. Names come from the sensor in the order of the file,
    or from the file alone.

    Returns:
        The choice, or None where nothing is known that could be compared.

    Raises:
        BandCountError: A band is missing; the message names it and its wavelength.
    """
    offered = _offered(profile)
    if offered is None:
        return None
    expected = _expected(card)
    places: list[int] = []
    missing: list[Band] = []
    for band in expected:
        place = _find(band, offered, taken=places)
        if place is None:
            missing.append(band)
        else:
            places.append(place)
    if missing and not places and not _has_wavelengths(expected, offered):
        return None
    if missing:
        raise BandCountError(
            f"The weights {card.name} expect a band {_in_words(missing[0])}, but the spectral "
            f"image has only {', '.join(map(_in_words, offered))}; use other weights, or a "
            "classical method."
        )
    return BandChoice(tuple(places), tuple(offered[place].name for place in places))


def _offered(profile: PairProfile) -> tuple[Band, ...] | None:
    sensor, names = profile.sensor, profile.band_names
    if sensor is not None and len(sensor.bands) == profile.bands:
        return sensor.bands
    if names is not None and len(names) == profile.bands and all(names):
        return tuple(Band(name) for name in names)
    return None


def _expected(card: WeightCard) -> tuple[Band, ...]:
    wavelengths = card.wavelengths or (None,) * len(card.band_names)
    return tuple(
        Band(name, wavelength)
        for name, wavelength in zip(card.band_names, wavelengths, strict=True)
    )


def _find(band: Band, offered: tuple[Band, ...], *, taken: list[int]) -> int | None:
    """Return the place of a band among those that are left: by name, else by wavelength."""
    left = [place for place in range(len(offered)) if place not in taken]
    named = [
        place
        for place in left
        if _key(offered[place]) == _key(band) and _distance(offered[place], band) <= _SAME_NAME
    ]
    if named:
        return named[0]
    if band.wavelength is None:
        return None
    near = [
        (distance, place)
        for place in left
        if offered[place].wavelength is not None
        and (distance := _distance(offered[place], band)) <= _OTHER_NAME
    ]
    return min(near)[1] if near else None


def _key(band: Band) -> str:
    name = plain_name(band.name)
    return _SYNONYMS.get(name, name)


def _distance(one: Band, other: Band) -> float:
    """Return the nanometres between two centres, 0 where one is not known."""
    if one.wavelength is None or other.wavelength is None:
        return 0.0
    return abs(one.wavelength - other.wavelength)


def _has_wavelengths(expected: tuple[Band, ...], offered: tuple[Band, ...]) -> bool:
    return all(any(band.wavelength is not None for band in bands) for bands in (expected, offered))


def _in_words(band: Band) -> str:
    return band.name if band.wavelength is None else f"{band.name} at {band.wavelength:g} nm"
