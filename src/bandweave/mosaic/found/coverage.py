"""Bands that lie too far from the PAN's wavelengths to take its detail."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from bandweave.errors import SensorModelError
from bandweave.methods.base import Method
from bandweave.methods.covered_bands import CoveredBands
from bandweave.methods.interpolation import Bicubic, Interpolation
from bandweave.pair import PairProfile
from bandweave.sensors import FAR_FROM_PAN, Band


@dataclass(frozen=True, slots=True)
class Coverage:
    """Which bands of a pair the PAN covers or comes near to."""

    bands: tuple[Band, ...]
    """The image's bands in order."""
    covered: tuple[int, ...]
    """Those that take its detail, from 0."""

    @property
    def uncovered(self) -> tuple[str, ...]:
        """Return the names of the others."""
        return tuple(b.name for k, b in enumerate(self.bands) if k not in self.covered)


def coverage_of(profile: PairProfile) -> Coverage | None:
    """Return what the sensor table says of PAN and bands; None where it does not know them all."""
    sensor = profile.sensor
    if sensor is None or profile.spatial_bands != 1:
        return None
    bands = sensor.bands_named(profile.bands, profile.band_names)
    gaps = [sensor.gap_to_pan(band) for band in bands or ()]
    known = [gap for gap in gaps if gap is not None]
    if bands is None or len(known) != len(bands):
        return None
    covered = tuple(k for k, gap in enumerate(known) if gap <= FAR_FROM_PAN)
    return Coverage(bands, covered)


def for_covered_bands(
    method: Method,
    profile: PairProfile,
    uncovered: Literal["pass", "fuse", "refuse"],
    note: Callable[[str], None],
) -> tuple[Method, tuple[str, ...]]:
    """Restrict a classical method to the bands that the PAN covers.

    Args:
        method: The method.
        profile: The pair.
        uncovered: `pass` interpolates the other bands, `fuse` treats all alike, `refuse` stops.
        note: Receives what was done with which bands, as a sentence.

    Returns:
        The method to run, and the names of the bands that it passes through.

    Raises:
        SensorModelError: There are such bands and they are refused, or there are no others.
    """
    coverage = coverage_of(profile)
    takes_nothing = isinstance(method, Interpolation | Bicubic)  # of the PAN
    if coverage is None or not coverage.uncovered or takes_nothing:
        return method, ()
    sensor = profile.sensor
    assert sensor is not None
    names = ", ".join(coverage.uncovered)
    low, high = sensor.pan_limits or (0.0, 0.0)
    where = (
        f"more than {FAR_FROM_PAN:g} nm outside the PAN of {sensor.name} ({low:g} to {high:g} nm)"
    )
    if uncovered == "refuse":
        raise SensorModelError(
            f"Every band must lie near the PAN, but {names}: {where}; leave them out with --bidx, "
            "or give --uncovered pass."
        )
    if uncovered == "fuse":
        note(f"Uncovered bands: {names} are fused as asked for, though {where}.")
        return method, ()
    if not coverage.covered:
        raise SensorModelError(
            f"{method.id} needs a band near the PAN, but all lie {where}; use exp, or --uncovered "
            "fuse."
        )
    note(
        f"Uncovered bands: {names} are interpolated and not sharpened, since they lie {where} and "
        "its detail is not theirs; --uncovered fuse sharpens them all the same."
    )
    return CoveredBands(method, coverage.covered), coverage.uncovered
