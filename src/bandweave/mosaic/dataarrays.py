"""Fuse xarray DataArrays: their coordinates place them, and the result has coordinates again."""

from __future__ import annotations

import sys
from collections.abc import Hashable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeGuard

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.errors import CRSError
from rasterio.io import MemoryFile

from bandweave.config import FuseConfig
from bandweave.errors import ConfigError, GridMismatchError, ShapeError
from bandweave.mosaic.georeferenced import RasterScene
from bandweave.mosaic.job import Tell
from bandweave.mosaic.prepare import prepare_job
from bandweave.mosaic.runner import ArraySink
from bandweave.radiometry import to_storage
from bandweave.raster.layout import output_layout
from bandweave.raster.opening import quiet_open
from bandweave.raster.writer import with_nodata

if TYPE_CHECKING:
    from xarray import DataArray

_ROWS = ("y", "lat", "latitude", "northing")
_COLUMNS = ("x", "lon", "longitude", "easting")
# Pixels by which a coordinate may miss the place that its neighbours give it.
_IRREGULAR = 1e-2
# What describes the old pixels only: their place, or how they lay in a file.
_STALE_ATTRS = frozenset({"transform", "res", "is_tiled", "nodatavals", "AREA_OR_POINT"})
_STALE_ENCODING = frozenset(
    {"chunksizes", "preferred_chunks", "original_shape", "source", "contiguous", "chunks", "shards"}
)


def is_dataarray(value: object) -> TypeGuard[DataArray]:
    """Tell whether a value is a DataArray, without importing xarray for it."""
    xarray = sys.modules.get("xarray")
    return xarray is not None and isinstance(value, xarray.DataArray)


def fuse_dataarrays(
    spatial: DataArray, spectral: DataArray, config: FuseConfig, tell: Tell | None
) -> DataArray:
    """Fuse two DataArrays as if they were two files.

    Args:
        spatial: `(y, x)` or `(band, y, x)`, any order of dimensions. Coordinates are centres of
            pixels; the CRS is read from the variable that `grid_mapping` names (`spatial_ref`).
        spectral: `(band, y, x)`.
        config: Options; those that concern output files have no meaning here.
        tell: Receives each decision as one sentence; also turns the progress on stderr on.

    Returns:
        `(band, y, x)` on pixels of `spatial`, in the type of `spectral`, whose name, attributes,
        encoding and band coordinates it keeps. Invalid pixels are NaN, or the nodata value.

    Raises:
        FusionError: One sentence: what was required, what was found, what to do.
    """
    if config.cog or config.creation_options:
        raise ConfigError("DataArrays are fused in memory: cog and creation_options are for files.")
    with (
        _as_raster(spatial, "spatial") as pan,
        _as_raster(spectral, "spectral") as lrms,
        closing(RasterScene(pan, lrms, config)) as scene,
    ):
        job = prepare_job(scene, config, tell=tell)
        sink = ArraySink(job.window.height)
        effect = job.run(sink, quiet=tell is None)
        if effect is not None and tell is not None:
            tell(effect.sentence)
        assert scene.pair is not None
        layout = output_layout(
            scene.pair, window=job.window, dtype=config.dtype, nodata=config.nodata
        )
        origin = scene.pair.nesting.pan_window
        place = job.window.shifted(origin.row, origin.col)
        values = to_storage(sink.hrms, layout.dtype)
        values = with_nodata(values, sink.valid, layout.nodata)
        bands = [index - 1 for index in scene.pair.ms.facts.indexes]
    return _result(values, spatial, spectral, place.slices, bands)


@contextmanager
def _as_raster(array: DataArray, role: str) -> Iterator[Path]:
    """Put an array into a GeoTIFF in memory."""
    rows, columns, band = _dimensions(array, role)
    order = (rows, columns) if band is None else (band, rows, columns)
    pixels = np.asarray(array.transpose(*order).data)
    pixels = pixels[None] if pixels.ndim == 2 else pixels
    if pixels.dtype.kind not in "iuf":
        raise ShapeError(f"The {role} array must hold real numbers, it holds {pixels.dtype}.")
    if pixels.dtype == np.float16:
        pixels = pixels.astype(np.float32)
    transform = _transform(array, rows, columns)
    with ExitStack() as stack:
        memory = stack.enter_context(MemoryFile(filename=f"{array.name or role}.tif"))
        with quiet_open(
            memory.name,
            "w",
            driver="GTiff",
            count=pixels.shape[0],
            height=pixels.shape[1],
            width=pixels.shape[2],
            dtype=pixels.dtype,
            crs=_crs(array, role),
            transform=transform,
            nodata=_nodata(array, pixels.dtype),
            BIGTIFF="IF_SAFER",
        ) as file:
            file.write(pixels)
            for index, name in enumerate(_band_names(array, band), start=1):
                file.set_band_description(index, name)
        yield Path(memory.name)


def _dimensions(array: DataArray, role: str) -> tuple[Hashable, Hashable, Hashable | None]:
    """Return the names of rows, columns and bands."""
    rows = [name for name in array.dims if str(name).lower() in _ROWS]
    columns = [name for name in array.dims if str(name).lower() in _COLUMNS]
    others = [name for name in array.dims if name not in (*rows, *columns)]
    is_fitting = len(others) == 1 or (role == "spatial" and not others)
    if len(rows) != 1 or len(columns) != 1 or not is_fitting:
        wanted = "(band, y, x)" if role == "spectral" else "(y, x) or (band, y, x)"
        raise ShapeError(
            f"The {role} DataArray needs the dimensions {wanted}, it has "
            f"({', '.join(map(str, array.dims))}); select or rename them."
        )
    return rows[0], columns[0], others[0] if others else None


def _transform(array: DataArray, rows: Hashable, columns: Hashable) -> Affine | None:
    """Return the corner-based transform: of the coordinates, or as the grid mapping states it.

    Coordinates go before the statement, which slicing leaves as it was.
    """
    if rows in array.coords and columns in array.coords:
        y, x = (np.asarray(array.coords[name], dtype=np.float64) for name in (rows, columns))
        if y.size > 1 and x.size > 1:
            dy, dx = _step(y, rows), _step(x, columns)
            return Affine(dx, 0, x[0] - dx / 2, 0, dy, y[0] - dy / 2)
    stated = _grid_mapping(array).get("GeoTransform")
    if stated is None:
        return None
    return Affine.from_gdal(*(float(number) for number in str(stated).split()))


def _step(centres: NDArray[np.float64], name: Hashable) -> float:
    step = float(centres[-1] - centres[0]) / (centres.size - 1)
    expected = centres[0] + step * np.arange(centres.size)
    if step == 0 or np.abs(centres - expected).max() > _IRREGULAR * abs(step):
        raise GridMismatchError(
            f"The coordinates {name} must be evenly spaced centres of pixels, but they are not; "
            "interpolate the array to a regular grid."
        )
    return step


def _grid_mapping(array: DataArray) -> dict[str, Any]:
    """Return what the variable with the CRS states; empty where there is none."""
    name = _grid_mapping_name(array)
    return dict(array.coords[name].attrs) if name in array.coords else {}


def _grid_mapping_name(array: DataArray) -> str:
    return str(array.encoding.get("grid_mapping") or array.attrs.get("grid_mapping", "spatial_ref"))


def _crs(array: DataArray, role: str) -> CRS | None:
    mapping = _grid_mapping(array)
    stated = mapping.get("crs_wkt") or mapping.get("spatial_ref") or array.attrs.get("crs")
    if stated is None:
        return None
    try:
        return CRS.from_user_input(stated)
    except CRSError as error:
        raise GridMismatchError(
            f"The {role} DataArray states a coordinate reference system that GDAL cannot read "
            f"({str(stated)[:60]!r}); set crs_wkt of its {_grid_mapping_name(array)}."
        ) from error


def _nodata(array: DataArray, dtype: np.dtype[Any]) -> float | None:
    """Return the nodata value of the pixels; decoded arrays have NaN instead of the encoding's."""
    stated = array.attrs.get("_FillValue", array.attrs.get("nodata"))
    if stated is None and dtype.kind != "f":
        stated = array.encoding.get("_FillValue")
    if stated is None:
        return float("nan") if dtype.kind == "f" else None
    return float(stated)


def _band_names(array: DataArray, band: Hashable | None) -> list[str]:
    if band is None:
        return []
    if band in array.coords and array.coords[band].dtype.kind in "UOT":
        return [str(name) for name in array.coords[band].values]
    long_name = array.attrs.get("long_name")
    if isinstance(long_name, tuple | list) and len(long_name) == array.sizes[band]:
        return [str(name) for name in long_name]
    return []


def _result(
    values: NDArray[Any],
    spatial: DataArray,
    spectral: DataArray,
    place: tuple[slice, slice],
    bands: list[int],
) -> DataArray:
    """Give the fused pixels the place of the spatial array and the rest of the spectral one."""
    rows, columns, _ = _dimensions(spatial, "spatial")
    band = _dimensions(spectral, "spectral")[2]
    assert band is not None
    chosen = spectral.isel({band: bands})
    part = spatial.isel({rows: place[0], columns: place[1]})
    coords: dict[Hashable, Any] = {
        name: coord.copy() for name, coord in chosen.coords.items() if set(coord.dims) <= {band}
    }
    coords |= {
        name: coord.copy()
        for name, coord in part.coords.items()
        if coord.dims and set(coord.dims) <= {rows, columns}
    }
    mapping = _grid_mapping_name(spatial)
    if mapping in spatial.coords:
        coords[mapping] = _moved(spatial.coords[mapping].copy(), part, rows, columns)
    fused = chosen.__class__(
        values,
        dims=(band, rows, columns),
        coords=coords,
        name=spectral.name,
        attrs={key: value for key, value in spectral.attrs.items() if key not in _STALE_ATTRS},
    )
    fused.encoding = {
        key: value for key, value in spectral.encoding.items() if key not in _STALE_ENCODING
    }
    return fused


def _moved(mapping: DataArray, part: DataArray, rows: Hashable, columns: Hashable) -> DataArray:
    """Restate the place of a part in the variable with the CRS, where it states one."""
    if "GeoTransform" not in mapping.attrs:
        return mapping
    transform = _transform(part, rows, columns)
    attrs = dict(mapping.attrs)
    del attrs["GeoTransform"]
    if transform is not None and rows in part.coords:
        attrs["GeoTransform"] = " ".join(repr(float(number)) for number in transform.to_gdal())
    mapping.attrs = attrs
    return mapping
