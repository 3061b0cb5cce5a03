"""From many narrow bands to few broad ones by a spectral response."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bandweave.errors import BandCountError, FileFormatError, SensorModelError
from bandweave.radiometry import Image

# Nikon D700 at 400, 410, ... 700 nm, rows R, G, B, as the CAVE literature tabulates it.
_NIKON_D700 = (
    "2 1 1 1 1 1 0 0 0 0 0 0 0 0 0 0 2 6 11 17 21 22 21 20 20 19 19 18 18 17 17",
    "1 1 1 1 1 1 2 4 6 8 11 16 19 21 20 18 16 14 11 7 5 3 2 2 1 1 2 2 2 2 2",
    "7 10 15 19 25 29 30 29 27 22 16 9 2 0 0 0 0 0 0 0 1 1 1 1 1 1 1 1 1 1 1",
)


@dataclass(frozen=True, slots=True, eq=False)
class SpectralResponse:
    """How strongly each broad band sees each narrow one.

    Raises:
        SensorModelError: A row has no weight, or a weight is negative or not finite.
    """

    name: str
    """What the record calls it, for example `nikon-d700`."""
    band_names: tuple[str, ...]
    """Names of the c broad bands."""
    weights: NDArray[np.float64]
    """`(c, C)`, each row divided by its sum on construction."""

    def __post_init__(self) -> None:
        weights = np.asarray(self.weights, dtype=np.float64)
        sums = weights.sum(axis=1, keepdims=True)
        if not np.all(np.isfinite(weights)) or np.any(weights < 0) or np.any(sums <= 0):
            raise SensorModelError(
                f"Every band of the spectral response {self.name} needs finite weights of 0 or "
                "more, and at least one above 0."
            )
        object.__setattr__(self, "weights", weights / sums)

    def integrate(self, cube: Image) -> Image:
        """Return the broad bands `(c, H, W)` of `cube` `(C, H, W)`: weighted means over bands.

        Raises:
            BandCountError: The cube has another number of bands than the response.
        """
        if cube.shape[0] != self.weights.shape[1]:
            raise BandCountError(
                f"The spectral response {self.name} is for {self.weights.shape[1]} bands, the "
                f"image has {cube.shape[0]}."
            )
        broad: Image = np.tensordot(self.weights.astype(cube.dtype), cube, axes=1)
        return broad

    def adjoint(self, broad: Image) -> Image:
        """Apply the transpose of `integrate`: from `(c, H, W)` to `(C, H, W)`."""
        spread: Image = np.tensordot(self.weights.T.astype(broad.dtype), broad, axes=1)
        return spread


def nikon_d700() -> SpectralResponse:
    """Return the camera response of the CAVE protocol, 31 bands of 400 to 700 nm to R, G, B."""
    rows = np.array([[float(value) for value in row.split()] for row in _NIKON_D700])
    return SpectralResponse("nikon-d700", ("red", "green", "blue"), rows)


def box_response(
    limits: Mapping[str, tuple[float, float]], wavelengths: Sequence[float], *, name: str
) -> SpectralResponse:
    """Return the mean over the narrow bands whose centres lie within each broad band's limits.

    Args:
        limits: Shortest and longest wavelength of each broad band in nanometres.
        wavelengths: Centres of the narrow bands in nanometres.
        name: What the record calls it.

    Raises:
        SensorModelError: A broad band holds no narrow one.
    """
    centres = np.asarray(wavelengths, dtype=np.float64)
    rows = []
    for band, (low, high) in limits.items():
        inside = (centres >= low) & (centres <= high)
        if not inside.any():
            raise SensorModelError(
                f"The band {band} of {low:g} to {high:g} nm holds none of the image's "
                f"{len(centres)} bands of {centres.min():g} to {centres.max():g} nm; leave it out."
            )
        rows.append(inside.astype(np.float64))
    return SpectralResponse(name, tuple(limits), np.array(rows))


def read_response(path: str | Path) -> SpectralResponse:
    """Read a response from a CSV file: one row per broad band, its name and then its weights.

    A first row whose first field is not a band but a heading, such as `band_nm,400,410`, is the
    wavelengths and is passed over.

    Raises:
        FileFormatError: The file cannot be read as such a table.
        SensorModelError: A band has no weight.
    """
    path = Path(path)
    try:
        with path.open(newline="", encoding="utf-8") as file:
            lines = [row for row in csv.reader(file) if row]
        heading = bool(lines) and lines[0][0].strip().lower() in ("band_nm", "band", "wavelength")
        lines = lines[1:] if heading else lines
        names = tuple(row[0].strip().lower() for row in lines)
        weights = np.array([[float(value) for value in row[1:]] for row in lines])
    except (OSError, ValueError) as error:
        raise FileFormatError(
            f"{path} could not be read as a spectral response ({error}); it needs one row per "
            "broad band: its name, then one weight per narrow band."
        ) from error
    if weights.ndim != 2 or weights.size == 0:
        raise FileFormatError(
            f"{path} holds no spectral response: it needs one row per broad band, its name and "
            "then one weight per narrow band."
        )
    return SpectralResponse(path.stem, names, weights)
