"""The instruments of a scene: as given, or found from a few windows of it."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from bandweave.config import FuseConfig
from bandweave.degrade.identify import InstrumentEstimate, identify_instruments
from bandweave.degrade.psf import gaussian_spread, gaussian_support
from bandweave.degrade.srf import read_response
from bandweave.errors import AssumptionWarning, BandCountError
from bandweave.instruments import PointSpread, ResponseMatrix
from bandweave.pair import PairProfile
from bandweave.sensors import Sensor
from bandweave.source import InformedSource, PairSource
from bandweave.window import Window

_WHOLE_BELOW = 25_600
"""Coarse pixels up to which a scene is looked at whole."""
_SIDE = 64
"""Coarse pixels per side of the windows of a larger scene."""
_UNCERTAIN = 0.2
"""Confidence below which an estimate is warned of."""


def with_instruments(
    source: PairSource, config: FuseConfig, note: Callable[[str], None]
) -> tuple[PairSource, InstrumentEstimate | None]:
    """Return the source with point spread and response as given or found, for every later step.

    Args:
        source: The scene.
        config: `psf` and `srf`; what is not given is found from the scene.
        note: Receives what was found as a sentence.

    Raises:
        BandCountError: The given response is for other bands.
        FileFormatError: The file of the response cannot be read.
        NodataError: There are too few valid pixels to find anything.

    Warns:
        AssumptionWarning: The estimate is uncertain.
    """
    profile = source.profile
    psf = given_point_spread(config.psf, profile.phase)
    response = None if config.srf in (None, "auto") else given_response(config.srf, profile)
    if psf is not None and response is not None:
        note(f"Sensor model: {psf.name}, response of {config.srf}, as given.")
        return _informed(source, psf, profile.phase, response), None
    found = find_instruments(source, psf, response)
    note(f"Sensor model: {in_words(found)}.")
    if found.confidence < _UNCERTAIN:
        warnings.warn(
            f"The point spread was found with a confidence of {found.confidence:.2f} only: the "
            "images hardly tell one place from another; give --psf if you know it.",
            AssumptionWarning,
            stacklevel=2,
        )
    model = found.model
    kept = response or (model.response if any(found.explained) else None)
    return _informed(source, model.psf, model.phase, kept), found


def find_instruments(
    source: PairSource, psf: PointSpread | None = None, response: ResponseMatrix | None = None
) -> InstrumentEstimate:
    """Find the instruments from the whole of a small scene, or four windows of a large one.

    Raises:
        NodataError: There are too few valid pixels.
    """
    profile = source.profile
    windows = [source.read(window, np.float64) for window in _windows(profile)]
    return identify_instruments(windows, psf=psf, response=response)


def given_point_spread(psf: float | str | None, phase: tuple[float, float]) -> PointSpread | None:
    """Return the Gaussian of a given width at the pair's phase, None where it is to be found."""
    if not isinstance(psf, float):
        return None
    return gaussian_spread(psf, gaussian_support(psf), phase)


def given_response(path: str | Path | None, profile: PairProfile) -> ResponseMatrix:
    """Return the response in a file, one row per sharp band.

    Raises:
        BandCountError: It is for other bands.
        FileFormatError: The file cannot be read.
    """
    assert path is not None
    weights = read_response(path).weights
    if weights.shape != (profile.spatial_bands, profile.bands):
        raise BandCountError(
            f"The response {path} makes {weights.shape[0]} bands of {weights.shape[1]}, the pair "
            f"has {profile.spatial_bands} sharp and {profile.bands} spectral bands; give one row "
            "per sharp band, or --srf auto."
        )
    return tuple(tuple(float(weight) for weight in row) for row in weights)


def in_words(found: InstrumentEstimate) -> str:
    """Say what was found."""
    phase = ", ".join(f"{p:.4g}" for p in found.model.phase)
    shares = ", ".join(f"{db:.0f}" for db in found.predicted_db)
    text = (
        f"{found.model.psf.name} at phase {phase}, confidence {found.confidence:.2f}; the sharp "
        f"bands are predicted to {shares} dB"
    )
    left_out = [str(k + 1) for k, is_made in enumerate(found.explained) if not is_made]
    if left_out:
        text += f" (band {', '.join(left_out)}: not made of the spectral bands)"
    return text


def _informed(
    source: PairSource,
    psf: PointSpread,
    phase: tuple[float, float],
    response: ResponseMatrix | None,
) -> PairSource:
    profile = source.profile
    sensor = profile.sensor or Sensor("found", "the instruments of this pair", ())
    sensor = replace(sensor, psf=psf, response=response)
    return InformedSource(source, profile.full_scale, sensor, phase)


def _windows(profile: PairProfile) -> list[Window]:
    """Return the whole of a small scene, else its four windows nearest to the quarters' middles."""
    height, width = (size // profile.ratio for size in profile.shape)
    if height * width <= _WHOLE_BELOW:
        return [Window.whole(profile.shape)]
    rows, cols = (
        [max((2 * k + 1) * size // 4 - _SIDE // 2, 0) for k in (0, 1)] for size in (height, width)
    )
    scene = Window(0, 0, height, width)
    places = [Window(row, col, _SIDE, _SIDE).intersection(scene) for row in rows for col in cols]
    return [window.fine(profile.ratio) for window in places]
