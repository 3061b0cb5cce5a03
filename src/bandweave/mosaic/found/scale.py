"""Which value maps to 1.0 in a learned method: given, known, or shown to fit; never guessed."""

from __future__ import annotations

import numpy as np

from bandweave.errors import ScaleError
from bandweave.pair import PairProfile
from bandweave.source import PairSource
from bandweave.window import Window

# Windows per direction in which the values are looked at, and their side in fine pixels.
_LOOKS = 4
_SIDE = 512


def decide_full_scale(
    source: PairSource, given: float | None, card_scale: float, weights: str
) -> tuple[float, str]:
    """Return the full scale and a sentence that says where it comes from.

    In this order: the option; what sensor or metadata say; the weight file's own, where the data
    fit it (whole numbers up to that value).

    Raises:
        ScaleError: None of these is known; the message asks for the option.
    """
    profile = source.profile
    if given is not None:
        return given, f"Full scale {given:g} as given."
    if profile.full_scale is not None:
        sensor = f" of {profile.sensor.name}" if profile.sensor else ""
        return profile.full_scale, f"Full scale {profile.full_scale:g}{sensor}."
    largest, is_whole = _values(source, profile)
    if is_whole and largest <= card_scale:
        return card_scale, (
            f"Full scale {card_scale:g} taken from the weights {weights}: the values are whole "
            f"numbers up to {largest:g}."
        )
    kind = "whole numbers" if is_whole else "fractional"
    raise ScaleError(
        f"A learned method has to know which value means full scale, but neither sensor nor files "
        f"say so, and the values ({kind}, up to {largest:g}) do not fit the {card_scale:g} of the "
        f"weights {weights}; give --full-scale (2047 for 11-bit WorldView, 10000 for reflectance "
        "stored as integers), or --sensor."
    )


def _values(source: PairSource, profile: PairProfile) -> tuple[float, bool]:
    """Return the largest value in some windows of the scene, and whether all are whole."""
    height, width = profile.shape
    side = max(_SIDE // profile.ratio, 1) * profile.ratio
    largest, is_whole = 0.0, True
    for row in _starts(height, side, profile.ratio):
        for col in _starts(width, side, profile.ratio):
            window = Window(row, col, side, side).intersection(Window.whole(profile.shape))
            pair = source.read(window, np.float64)
            for image in (pair.spatial, pair.spectral):
                largest = max(largest, float(image.max(initial=0)))
                is_whole = is_whole and bool((image == np.rint(image)).all())
    return largest, is_whole


def _starts(size: int, side: int, ratio: int) -> list[int]:
    last = max(size - side, 0)
    return sorted({int(last * k / (_LOOKS - 1)) // ratio * ratio for k in range(_LOOKS)})
