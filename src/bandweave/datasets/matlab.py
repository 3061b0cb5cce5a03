"""The MATLAB toolboxes' `.mat` files, v5 and v7.3: one pair in, one pair or one result out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import scipy
from numpy.typing import NDArray

from bandweave.datasets.base import Item
from bandweave.datasets.beside import written_beside
from bandweave.datasets.note import SetNote
from bandweave.datasets.roles import Role, assign_roles
from bandweave.datasets.scale import Float, Scale
from bandweave.degrade.record import DegradationRecord
from bandweave.degrade.wald import ReducedPair
from bandweave.errors import FileFormatError, OutputError
from bandweave.pair import ImagePair
from bandweave.radiometry import Image
from bandweave.sensors import Sensor

CONSISTENCY_KEY = "consistency_noise"
"""Key of λ in the `.mat` file of a result that was made consistent with its MS."""

_LARGEST_V5 = 2**31 - 1  # bytes of one variable in a v5 file


def read_matlab_pair(
    path: str | Path,
    *,
    ratio: int | None = None,
    full_scale: float | None = None,
    sensor: Sensor | None = None,
    phase: tuple[float, float] | None = None,
    dtype: Float = np.float64,
) -> Item:
    """Read a pair, and its reference where the file has one.

    Arrays are found by role (see `roles`), (H, W, C) becomes (C, H, W). Floating values within
    [0, 1] are taken as DN / full_scale and multiplied, see `Scale`.

    Args:
        path: `.mat` file, v5 or v7.3.
        ratio: Expected ratio; taken from the shapes without it.
        full_scale: DN that maps to 1; without it from the file's `full_scale` or `L` (bits), then
            from the sensor.
        sensor: Sensor model; without it the file's `sensor` where the table knows it.
        phase: Fine index of coarse sample 0; without it what the file notes of its simulation,
            then ratio / 2 as the toolboxes simulate.
        dtype: Type of the images.

    Returns:
        The pair in DN, and `gt` `(C, H, W)` in DN or None.

    Raises:
        FileFormatError: The file is no `.mat` file, or a role is missing.
        GridMismatchError: The images do not nest.
    """
    path = Path(path)
    entries = load_arrays(path)
    shapes = {key: value.shape for key, value in entries.items() if value.dtype.kind in "fui"}
    roles = assign_roles(shapes, path, ratio=ratio)
    note = _note(entries)
    sensor = sensor or note.sensor
    known = full_scale or note.full_scale or (None if sensor is None else sensor.full_scale)
    images = [
        None if role is None else _image(entries, role)
        for role in (roles.spatial, roles.spectral, roles.truth)
    ]
    scale = Scale.of(images, known)
    spatial, spectral, truth = (
        None if image is None else scale.physical(image, dtype) for image in images
    )
    assert spatial is not None
    assert spectral is not None
    pair = ImagePair(
        spatial,
        spectral,
        roles.ratio,
        phase or note.phase or (roles.ratio / 2, roles.ratio / 2),
        full_scale=scale.full_scale,
        sensor=sensor,
    )
    return pair, truth


def read_matlab_record(path: str | Path) -> DegradationRecord | None:
    """Return how the pair of a `.mat` file was simulated, where the file says so.

    Raises:
        FileFormatError: The file is no `.mat` file.
    """
    return _note(load_arrays(Path(path), only=("simulation",))).record


def write_matlab_pair(
    path: str | Path,
    reduced: ReducedPair,
    *,
    overwrite: bool = False,
) -> None:
    """Write the toolbox layout: `I_PAN`, `I_MS_LR`, `I_MS` (interpolated), `I_GT`, (H, W, C), DN.

    The record of the simulation is stored as JSON under `simulation`.

    Raises:
        OutputExistsError: The file exists and `overwrite` is False.
        OutputError: An array is too large for the format, or the system refused to write.
    """
    pair = reduced.pair
    content: dict[str, Any] = {
        "I_PAN": _channels_last(pair.spatial),
        "I_MS_LR": _channels_last(pair.spectral),
        "I_MS": _channels_last(reduced.ms_up),
        "I_GT": _channels_last(reduced.gt),
        "ratio": pair.ratio,
        "simulation": reduced.record.model_dump_json(),
    }
    if pair.sensor is not None:
        content["sensor"] = pair.sensor.toolbox_name or pair.sensor.id
    if pair.full_scale is not None:
        content["full_scale"] = pair.full_scale
    _save(Path(path), content, overwrite=overwrite)


def write_results_mat(
    path: str | Path,
    hrms: Image,
    *,
    consistency_noise: float | None = None,
    overwrite: bool = False,
) -> None:
    """Write a fused image `(C, H, W)` in DN as the toolbox's referee reads it: `sr`, (H, W, C).

    Args:
        path: `.mat` file.
        hrms: The image.
        consistency_noise: λ with which it was made consistent with its MS, to be noted; None where
            it was not.
        overwrite: Replace an existing file.

    Raises:
        OutputExistsError: The file exists and `overwrite` is False.
        OutputError: The array is too large for the format, or the system refused to write.
    """
    content: dict[str, Any] = {"sr": _channels_last(hrms)}
    if consistency_noise is not None:
        content[CONSISTENCY_KEY] = consistency_noise
    _save(Path(path), content, overwrite=overwrite)


def result_name(k: int) -> str:
    """Return the name the toolbox's referee expects for the result of image `k`, from 0."""
    return f"output_mulExm_{k}.mat"


def load_arrays(path: Path, only: tuple[str, ...] | None = None) -> dict[str, NDArray[Any]]:
    """Read every array, or `only` some, of a v5 or v7.3 file in MATLAB's order of axes.

    Raises:
        FileFormatError: The file does not exist or is no `.mat` file.
    """
    if not path.is_file():
        raise FileFormatError(f"{path} does not exist.")
    try:
        if h5py.is_hdf5(path):
            with h5py.File(path) as file:
                return {
                    key: _hdf5_array(item)
                    for key, item in file.items()
                    if isinstance(item, h5py.Dataset) and (only is None or key in only)
                }
        content = scipy.io.loadmat(path, variable_names=only)
    except (
        OSError,
        ValueError,
        scipy.io.matlab.MatReadError,
        NotImplementedError,
        TypeError,
    ) as error:
        raise FileFormatError(f"{path} could not be read as a .mat file: {error}.") from error
    return {key: value for key, value in content.items() if isinstance(value, np.ndarray)}


def _hdf5_array(item: h5py.Dataset) -> NDArray[Any]:
    array: NDArray[Any] = item[()]
    kind = item.attrs.get("MATLAB_class")
    if kind is None:  # written by another program than MATLAB, axes as they are
        return np.asarray(array)
    array = np.asarray(array).T  # HDF5 holds MATLAB's column-major arrays backwards
    if kind in (b"char", "char"):
        return np.array(["".join(chr(int(code)) for code in array.ravel())])
    return array


def _image(entries: Mapping[str, NDArray[Any]], role: Role) -> NDArray[Any]:
    return role.image(entries[role.key])


def _note(entries: Mapping[str, NDArray[Any]]) -> SetNote:
    """Return what the file says of itself; `L` is the number of bits."""
    said = {
        key: entries[key].ravel()[0]
        for key in ("sensor", "full_scale", "simulation")
        if key in entries and entries[key].size
    }
    if "L" in entries and "full_scale" not in said:
        said["full_scale"] = 2 ** int(entries["L"].ravel()[0]) - 1
    return SetNote.of(said)


def _channels_last(image: Image) -> Image:
    return image[0] if image.shape[0] == 1 else np.moveaxis(image, 0, 2)


def _save(path: Path, content: dict[str, Any], *, overwrite: bool) -> None:
    for key, value in content.items():
        if isinstance(value, np.ndarray) and value.nbytes > _LARGEST_V5:
            raise OutputError(
                f"{path}: `{key}` has {value.nbytes / 2**30:.1f} GiB and a .mat file holds 2 GiB "
                "per array; write GeoTIFF or .h5 instead."
            )
    with written_beside(path, overwrite=overwrite) as beside:
        scipy.io.savemat(beside, content, do_compression=True, appendmat=False)
