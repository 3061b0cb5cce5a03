"""Fused images as networks and toolboxes leave them: `.mat` with `sr`, or `.h5` of (N, C, H, W)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from bandweave.datasets.matlab import CONSISTENCY_KEY, load_arrays
from bandweave.datasets.scale import Scale
from bandweave.errors import FileFormatError
from bandweave.radiometry import Image

RESULT_KEYS = ("sr", "hrms", "fused", "output", "i_f", "i_fused")
"""Names of a fused image, in order of trust, in any case."""

_SET_SUFFIXES = (".h5", ".hdf5")


@dataclass(frozen=True, slots=True)
class ResultFile:
    """One fused image in a file."""

    path: Path
    index: int | None = None
    """Number of the image within a `.h5` set, or None for a file of one image."""

    @property
    def name(self) -> str:
        """Return the file's name, with the image's number in a set."""
        return self.path.name if self.index is None else f"{self.path.name}[{self.index}]"

    def read(self, shape: tuple[int, int, int], full_scale: float | None) -> Image:
        """Read the image as `(C, H, W)` in DN.

        Values within [0, 1] are taken as DN / full_scale, as in the files of the pairs.

        Args:
            shape: Bands, rows and columns that it has to have; they decide how its axes lie.
            full_scale: Value that maps to 1.0, or None where not known.

        Raises:
            FileFormatError: No array in the file has this shape.
        """
        arrays = self._arrays()
        named = [array for key in RESULT_KEYS for name, array in arrays.items() if name == key]
        for array in named or arrays.values():
            for image in _readings(array):
                if image.shape == shape:
                    scale = Scale.of([image], full_scale)
                    return scale.physical(image, np.float64)
        found = ", ".join(f"{name} {array.shape}" for name, array in arrays.items()) or "no arrays"
        raise FileFormatError(
            f"{self.name} should hold a fused image of {shape[0]} bands, {shape[1]} x {shape[2]} "
            f"pixels, under one of the names {', '.join(RESULT_KEYS)}; found {found}."
        )

    @property
    def consistency_noise(self) -> float | None:
        """Return the λ with which the image was made consistent with its MS, None without."""
        if self.index is not None:
            return None
        noted = load_arrays(self.path, only=(CONSISTENCY_KEY,)).get(CONSISTENCY_KEY)
        return None if noted is None else float(noted.ravel()[0])

    def _arrays(self) -> dict[str, NDArray[Any]]:
        if self.index is None:
            arrays = load_arrays(self.path)
        else:
            with h5py.File(self.path) as file:
                arrays = {key: file[key][self.index] for key in _set_keys(file)}
        return {key.lower(): array for key, array in arrays.items() if array.dtype.kind in "fui"}


def find_results(path: str | Path) -> list[ResultFile]:
    """Return the fused images of a `.mat` file, a `.h5` set, or a folder of `.mat` files.

    A folder's files are taken in the order of the numbers at the end of their names, as in
    `output_mulExm_<k>.mat`.

    Raises:
        FileFormatError: There is no such file or folder, or it holds no fused image.
    """
    path = Path(path)
    if path.is_dir():
        files = sorted(path.glob("*.mat"), key=_number)
        if not files:
            raise FileFormatError(f"{path} holds no .mat file with a fused image.")
        return [ResultFile(file) for file in files]
    if not path.is_file():
        raise FileFormatError(f"{path} does not exist.")
    if path.suffix.lower() not in _SET_SUFFIXES:
        return [ResultFile(path)]
    try:
        with h5py.File(path) as file:
            keys = _set_keys(file)
            counts = {file[key].shape[0] for key in keys}
    except OSError as error:
        raise FileFormatError(f"{path} could not be read as an HDF5 file: {error}.") from error
    if len(counts) != 1:
        raise FileFormatError(
            f"{path} should hold fused images (N, C, H, W) under one of the names "
            f"{', '.join(RESULT_KEYS)}."
        )
    return [ResultFile(path, k) for k in range(counts.pop())]


def _set_keys(file: h5py.File) -> list[str]:
    return [
        key
        for key, item in file.items()
        if key.lower() in RESULT_KEYS and isinstance(item, h5py.Dataset) and item.ndim == 4
    ]


def _readings(array: NDArray[Any]) -> list[NDArray[Any]]:
    """Return the ways to read an array as `(C, H, W)`: MATLAB's order of axes first."""
    if array.ndim == 2:
        return [array[None]]
    return [np.moveaxis(array, 2, 0), array] if array.ndim == 3 else []


def _number(path: Path) -> tuple[int, str]:
    digits = re.search(r"(\d+)$", path.stem)
    return (int(digits[1]) if digits else -1, path.name)
