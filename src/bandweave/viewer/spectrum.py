"""The values of all files at one place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bandweave.viewer.layers import FileLayer


@dataclass(frozen=True, slots=True)
class PixelSpectrum:
    """What one file holds at a place."""

    layer: str
    """Key of the layer."""
    row: int | None
    """Row of the file's pixel, from 0; None where the place lies beside the file."""
    col: int | None
    values: list[float] | None
    """DN of every band, as the file stores them; None beside the file and where it has no data."""


def spectra(files: Sequence[FileLayer], x: float, y: float) -> list[PixelSpectrum]:
    """Return the pixel of each file that a place on the plane lies in.

    Each file is asked by its own transform (and CRS), so pixels may differ in size.
    """
    found = []
    for layer in files:
        place = layer.pixel(x, y)
        row, col = place or (None, None)
        values = None if place is None else layer.spectrum(*place)
        found.append(PixelSpectrum(layer.key, row, col, values))
    return found
