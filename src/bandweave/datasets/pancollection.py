"""Sets of pairs in one `.h5` file: the PanCollection layout and its hyperspectral relatives.

Arrays are (N, C, H, W): `gt`, `lms` (interpolated), `ms`, `pan`; `GT`, `HSI_up`, `LRHSI`, `RGB` in
the hyperspectral literature. Full-resolution sets lack the reference.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import h5py
import numpy as np
from numpy.typing import NDArray

from bandweave.datasets.base import Item
from bandweave.datasets.note import SetNote
from bandweave.datasets.roles import Role, Roles, assign_roles
from bandweave.datasets.scale import Float, Scale
from bandweave.degrade.record import DegradationRecord
from bandweave.errors import FileFormatError
from bandweave.pair import ImagePair
from bandweave.radiometry import Image
from bandweave.sensors import Sensor


@dataclass(frozen=True, slots=True, eq=False)
class PanCollectionSet:
    """An open set; pairs are read one at a time. Close it, or use it in a `with` statement."""

    file: h5py.File
    roles: Roles
    phase: tuple[float, float]
    """Fine index of coarse sample 0."""
    scale: Scale
    sensor: Sensor | None
    dtype: Float
    record: DegradationRecord | None
    """How the pairs were simulated, where the file says so."""
    is_single: bool
    """The arrays have no leading axis: the file holds one pair."""

    def __len__(self) -> int:
        """Return the number of pairs."""
        return 1 if self.is_single else int(self.file[self.roles.spatial.key].shape[0])

    def item(self, k: int) -> Item:
        """Read pair `k`, counted from 0; `gt` is None in full-resolution sets.

        Raises:
            FileFormatError: The file is damaged there.
        """
        if not 0 <= k < len(self):
            raise IndexError(f"{self.file.filename} holds {len(self)} pairs, there is no {k}.")
        pair = ImagePair(
            self._physical(self.roles.spatial, k),
            self._physical(self.roles.spectral, k),
            self.roles.ratio,
            self.phase,
            full_scale=self.scale.full_scale,
            sensor=self.sensor,
        )
        truth = self.roles.truth
        return pair, None if truth is None else self._physical(truth, k)

    def _physical(self, role: Role, k: int) -> Image:
        return self.scale.physical(_stored(self.file, role, k, self.is_single), self.dtype)

    def close(self) -> None:
        """Close the file."""
        self.file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def open_pancollection(
    path: str | Path,
    *,
    ratio: int | None = None,
    full_scale: float | None = None,
    sensor: Sensor | None = None,
    phase: tuple[float, float] | None = None,
    dtype: Float = np.float64,
) -> PanCollectionSet:
    """Open a set in PanCollection's layout.

    Whether values are DN or within [0, 1] is decided once, on the first pair, see `Scale`. What a
    file written here notes of itself (full scale, sensor, phase) is used where the caller says
    nothing.

    Args:
        path: `.h5` file.
        ratio: Expected ratio; taken from the shapes without it.
        full_scale: DN that maps to 1; without it the file's note, then the sensor's.
        sensor: Sensor model of all pairs; without it the file's note.
        phase: Fine index of coarse sample 0; without it the file's note, then ratio / 2 as the
            toolboxes simulate.
        dtype: Type of the images.

    Raises:
        FileFormatError: The file is no HDF5 file, a role is missing, or lengths differ.
        GridMismatchError: The images do not nest.
    """
    path = Path(path)
    if not path.is_file():
        raise FileFormatError(f"{path} does not exist.")
    try:
        file = h5py.File(path)
    except OSError as error:
        raise FileFormatError(
            f"{path} could not be read as an HDF5 file: {error}; fetch it again."
        ) from error
    try:
        roles, is_single = _roles(file, path, ratio)
        note = SetNote.of(dict(file.attrs))
        sensor = sensor or note.sensor
        known = full_scale or note.full_scale or (None if sensor is None else sensor.full_scale)
        used = (roles.spatial, roles.spectral, roles.truth)
        scale = Scale.of([_stored(file, role, 0, is_single) for role in used if role], known)
    except Exception:
        file.close()
        raise
    known_phase = phase or note.phase or (roles.ratio / 2, roles.ratio / 2)
    return PanCollectionSet(file, roles, known_phase, scale, sensor, dtype, note.record, is_single)


def _stored(file: h5py.File, role: Role, k: int, is_single: bool) -> NDArray[Any]:
    data = file[role.key]
    try:
        return role.image(np.asarray(data[()] if is_single else data[k]))
    except OSError as error:
        raise FileFormatError(
            f"{file.filename} could not be read at {role.key}, pair {k}: the file is damaged; "
            "fetch it again."
        ) from error


def _roles(file: h5py.File, path: Path, ratio: int | None) -> tuple[Roles, bool]:
    arrays = {
        key: item.shape
        for key, item in file.items()
        if isinstance(item, h5py.Dataset) and item.dtype.kind in "fui"
    }
    is_single = all(len(shape) < 4 for shape in arrays.values())
    one = arrays if is_single else {k: s[1:] for k, s in arrays.items() if len(s) > 2}
    roles = assign_roles(one, path, ratio=ratio, preferred="chw")
    used = [role.key for role in (roles.spatial, roles.spectral, roles.truth) if role is not None]
    if not is_single and len({arrays[key][0] for key in used}) > 1:
        counts = ", ".join(f"{key} {arrays[key][0]}" for key in used)
        raise FileFormatError(f"{path}: the arrays hold different numbers of images: {counts}.")
    if not is_single and arrays[used[0]][0] == 0:
        raise FileFormatError(f"{path} holds no image.")
    return roles, is_single
