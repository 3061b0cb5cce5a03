"""Write sets of simulated pairs into one `.h5` file, image by image."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import DTypeLike, NDArray

from bandweave.datasets.beside import written_beside
from bandweave.degrade.record import DegradationRecord
from bandweave.degrade.wald import ReducedPair
from bandweave.errors import SensorModelError, ShapeError
from bandweave.radiometry import Image


@dataclass(frozen=True, slots=True)
class SetKeys:
    """Names of the arrays, each (N, C, H, W)."""

    spatial: str
    spectral: str
    interpolated: str
    truth: str


PANCOLLECTION_KEYS = SetKeys(spatial="pan", spectral="ms", interpolated="lms", truth="gt")
"""Pansharpening, values in DN."""
HYPERSPECTRAL_KEYS = SetKeys(spatial="RGB", spectral="LRHSI", interpolated="HSI_up", truth="GT")
"""The hyperspectral literature's container, values in [0, 1]."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a pair was cut from."""

    scene: int
    """Place in the set's list of scenes."""
    row: int
    """First row in the reduced scene."""
    col: int
    """First column."""


class SetAppender:
    """An `.h5` set being written; images are stored as float32."""

    def __init__(self, file: h5py.File, keys: SetKeys) -> None:
        self._file = file
        self._keys = keys
        self._record: DegradationRecord | None = None
        self.count = 0

    def add(
        self,
        reduced: ReducedPair,
        interpolated: Image | None = None,
        origin: Origin | None = None,
    ) -> None:
        """Append one pair.

        Args:
            reduced: Pair with reference.
            interpolated: `(C, H, W)`, the spectral image on the fine grid; the 23-tap
                interpolation without it.
            origin: Where it was cut from; all pairs of a set have one, or none has.

        Raises:
            ShapeError: The images differ in size from those already in the set.
            SensorModelError: It was simulated otherwise than those already in the set.
        """
        if self._record is None:
            self._describe(reduced)
        elif _simulation(reduced.record) != _simulation(self._record):
            raise SensorModelError(
                "All pairs of a set must be simulated alike, with one sensor, ratio and phase; "
                f"image {self.count} was not. Write one set per sensor."
            )
        keys = self._keys
        self._append(keys.spatial, reduced.pair.spatial)
        self._append(keys.spectral, reduced.pair.spectral)
        self._append(keys.interpolated, reduced.ms_up if interpolated is None else interpolated)
        self._append(keys.truth, reduced.gt)
        if origin is not None:
            self._append("origin", np.array([origin.scene, origin.row, origin.col]), np.int32)
        self.count += 1

    def _append(self, key: str, image: NDArray[Any], dtype: DTypeLike = np.float32) -> None:
        if key not in self._file:
            self._file.create_dataset(
                key,
                shape=(0, *image.shape),
                maxshape=(None, *image.shape),
                chunks=(1, *image.shape),
                dtype=dtype,
            )
        data = self._file[key]
        if data.shape[1:] != image.shape:
            raise ShapeError(
                f"All images of a set must have one shape: `{key}` holds {data.shape[1:]}, "
                f"image {self.count} has {image.shape}."
            )
        data.resize(self.count + 1, axis=0)
        data[self.count] = image

    def _describe(self, reduced: ReducedPair) -> None:
        self._record = reduced.record
        attributes = self._file.attrs
        attributes["simulation"] = reduced.record.model_dump_json()
        if reduced.pair.full_scale is not None:
            attributes["full_scale"] = reduced.pair.full_scale
        if reduced.pair.sensor is not None:
            attributes["sensor"] = reduced.pair.sensor.id


def _simulation(record: DegradationRecord) -> DegradationRecord:
    """Return what has to agree within a set: all but the noise, whose level follows the scene."""
    return record.model_copy(update={"noise_spatial": None, "noise_spectral": None})


@contextmanager
def write_set(
    path: str | Path,
    *,
    keys: SetKeys = PANCOLLECTION_KEYS,
    scenes: Sequence[str] = (),
    overwrite: bool = False,
) -> Iterator[SetAppender]:
    """Open a new set; it gets its final name when the `with` block ends without an error.

    Args:
        path: `.h5` file.
        keys: Names of the arrays.
        scenes: Names of the scenes that the pairs' origins count.
        overwrite: Replace an existing file.

    Raises:
        OutputExistsError: The file exists and `overwrite` is False.
        OutputError: The system refused to write.
    """
    with written_beside(Path(path), overwrite=overwrite) as beside, h5py.File(beside, "w") as file:
        if scenes:
            file.attrs["scenes"] = list(scenes)
        yield SetAppender(file, keys)
