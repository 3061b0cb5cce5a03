"""Open any file that holds both images of its pairs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bandweave.datasets.base import Item, PairSet
from bandweave.datasets.matlab import read_matlab_pair, read_matlab_record
from bandweave.datasets.pancollection import open_pancollection
from bandweave.datasets.scale import Float
from bandweave.degrade.record import DegradationRecord
from bandweave.sensors import Sensor

_SET_SUFFIXES = (".h5", ".hdf5", ".he5")
PAIR_SUFFIXES = (".mat", *_SET_SUFFIXES)
"""File names that end so hold both images; everything else is a raster of one image."""


@dataclass(frozen=True, slots=True, eq=False)
class SinglePair:
    """One pair, seen as a set."""

    content: Item
    record: DegradationRecord | None = None
    """How the pair was simulated, where its file says so."""

    def __len__(self) -> int:
        """Return 1."""
        return 1

    def item(self, k: int) -> Item:
        """Return the pair."""
        if k != 0:
            raise IndexError(f"The file holds one pair, there is no {k}.")
        return self.content


def is_pair_file(path: str | Path) -> bool:
    """Tell by its name whether a file holds both images: `.mat`, `.h5`."""
    return Path(path).suffix.lower() in PAIR_SUFFIXES


@contextmanager
def open_pairs(
    path: str | Path,
    *,
    ratio: int | None = None,
    full_scale: float | None = None,
    sensor: Sensor | None = None,
    phase: tuple[float, float] | None = None,
    dtype: Float = np.float64,
) -> Iterator[PairSet]:
    """Open a `.mat` pair or an `.h5` set; see `read_matlab_pair` and `open_pancollection`.

    Raises:
        FileFormatError: The file cannot be read, or holds no pair.
        GridMismatchError: The images do not nest.
    """
    if Path(path).suffix.lower() in _SET_SUFFIXES:
        with open_pancollection(
            path, ratio=ratio, full_scale=full_scale, sensor=sensor, phase=phase, dtype=dtype
        ) as pairs:
            yield pairs
    else:
        pair = read_matlab_pair(
            path, ratio=ratio, full_scale=full_scale, sensor=sensor, phase=phase, dtype=dtype
        )
        yield SinglePair(pair, read_matlab_record(path))
