"""One raster file, read by windows from any thread, with its mask."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from rasterio.enums import ColorInterp
from rasterio.errors import RasterioError
from rasterio.io import DatasetReader
from rasterio.rpc import RPC
from rasterio.windows import Window as RasterioWindow

from bandweave.errors import BandCountError, FileFormatError
from bandweave.grid import Grid
from bandweave.pair import Mask
from bandweave.radiometry import Image
from bandweave.raster.mask import (
    FILL_REACH,
    MaskMode,
    alpha_band,
    fill_invalid,
    finite_mask,
    mask_rule,
)
from bandweave.raster.opening import quiet_open
from bandweave.raster.spectral import spectral_tags
from bandweave.window import Window

RasterPath = str | os.PathLike[str]


@dataclass(frozen=True, slots=True)
class RasterFacts:
    """What a file says of itself and of the bands that are read."""

    grid: Grid
    dtype: np.dtype[Any]
    """Type that holds every band that is read."""
    indexes: tuple[int, ...]
    """Bands that are read, from 1."""
    available: int
    """Bands of the file, alpha left out."""
    nodata: float | None
    """Declared nodata value of the first band that is read."""
    descriptions: tuple[str | None, ...]
    colours: tuple[ColorInterp, ...]
    scales: tuple[float, ...]
    offsets: tuple[float, ...]
    units: tuple[str | None, ...]
    band_tags: tuple[dict[str, str], ...]
    tags: dict[str, str]
    rpcs: RPC | None
    """Rational polynomial camera model, or None."""
    has_gcps: bool
    """Whether the file is placed by ground control points."""
    bits: int | None
    """Significant bits of an integer sample where the file states them (NBITS)."""
    sensor_tags: dict[str, str]
    """Vendor metadata of the acquisition (GDAL's IMAGERY domain)."""


class RasterImage:
    """A raster file read by windows; `read` may be called from several threads at once.

    Use it as a context manager, or call `close`.

    Raises:
        FileFormatError: The file is missing, no raster, or damaged.
        BandCountError: A band that was asked for does not exist, or is the alpha band.

    Example:
        >>> with open_image("fused.tif") as image:  # doctest: +SKIP
        ...     pixels, valid = image.read(Window(0, 0, 256, 256), np.float32)
    """

    def __init__(
        self,
        path: RasterPath,
        *,
        mask: MaskMode = "auto",
        nodata: float | None = None,
        bands: Sequence[int] | None = None,
        names: Sequence[str] | None = None,
    ) -> None:
        self.path = os.fspath(path)
        self._local = threading.local()
        self._handles: list[DatasetReader] = []
        self._is_closed = False
        dataset = self._handle()
        try:
            indexes = _data_bands(dataset, self.name, bands)
            self.facts = _facts(dataset, indexes, self.name, names)
            self._rule = mask_rule(dataset, indexes, mask, nodata)
            self._require_complete()
        except BaseException:
            self.close()
            raise

    @property
    def name(self) -> str:
        """Return the file's name without its folder, for messages."""
        return Path(self.path).name

    @property
    def grid(self) -> Grid:
        """Return the file's grid."""
        return self.facts.grid

    @property
    def shape(self) -> tuple[int, int]:
        """Return rows and columns."""
        return self.facts.grid.shape

    @property
    def bands(self) -> int:
        """Return the number of bands that are read."""
        return len(self.facts.indexes)

    @property
    def has_mask(self) -> bool:
        """Tell whether nodata values, a mask band or an alpha band count for this file."""
        return not self._rule.is_empty

    @property
    def is_maskable(self) -> bool:
        """Tell whether a pixel inside the file can be invalid."""
        return self.facts.dtype.kind == "f" or self.has_mask

    def read(
        self, window: Window, dtype: type[np.float32 | np.float64]
    ) -> tuple[Image, Mask | None]:
        """Read a window, which may reach beyond the file.

        Invalid pixels are filled from valid ones up to `FILL_REACH` away, inside the window or
        not: a pixel is the same whatever window it is read with.

        Returns:
            Pixels `(C, H, W)` in the file's values, all finite, and the mask `(H, W)` of valid
            ones, or None where all are.
        """
        values, valid = self._read_stored(window)
        if valid is None or valid.all():
            return values.astype(dtype, copy=False), None
        if not valid.any():
            return np.zeros(values.shape, dtype), valid
        around = window.padded(FILL_REACH)
        filled = fill_invalid(*self._read_known(around))
        rows, cols = window.relative_to(around).slices
        return filled[:, rows, cols].astype(dtype), valid

    def read_valid(self, window: Window) -> Mask | None:
        """Read the mask of a window alone; None where all pixels are valid."""
        if not self.is_maskable and Window.whole(self.shape).contains(window):
            return None
        return self._read_stored(window)[1]

    def close(self) -> None:
        """Close the file in all threads."""
        self._is_closed = True
        for handle in self._handles:
            handle.close()
        self._handles.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _read_known(self, window: Window) -> tuple[NDArray[Any], Mask]:
        values, valid = self._read_stored(window)
        return values, np.ones(window.shape, bool) if valid is None else valid

    def _read_stored(self, window: Window) -> tuple[NDArray[Any], Mask | None]:
        """Read pixels as stored; those beyond the file are 0 and invalid."""
        inside = window.intersection(Window.whole(self.shape))
        if inside == window:
            return self._read_inside(window)
        values = np.zeros((self.bands, *window.shape), self.facts.dtype)
        valid = np.zeros(window.shape, dtype=bool)
        if not inside.is_empty:
            part, part_valid = self._read_inside(inside)
            rows, cols = inside.relative_to(window).slices
            values[:, rows, cols] = part
            valid[rows, cols] = True if part_valid is None else part_valid
        return values, valid

    def _read_inside(self, window: Window) -> tuple[NDArray[Any], Mask | None]:
        dataset = self._handle()
        place = RasterioWindow(window.col, window.row, window.width, window.height)
        try:
            values = dataset.read(self.facts.indexes, window=place, out_dtype=self.facts.dtype.name)
            valid = finite_mask(values, self._rule.nodata)
            others = []
            if self._rule.internal:
                others.append(dataset.read_masks(self.facts.indexes[0], window=place))
            if self._rule.alpha is not None:
                others.append(dataset.read(self._rule.alpha, window=place))
        except RasterioError as error:
            raise FileFormatError(
                f"{self.name} could not be read at rows {window.row} to {window.row_stop} and "
                f"columns {window.col} to {window.col_stop}: the file is truncated or damaged; "
                "fetch it again."
            ) from error
        for other in others:
            valid = other > 0 if valid is None else valid & (other > 0)
        return values, valid

    def _require_complete(self) -> None:
        """Read the last pixel: where a file was cut off, its last block is what misses."""
        height, width = self.shape
        self._read_inside(Window(height - 1, width - 1, 1, 1))

    def _handle(self) -> DatasetReader:
        """Return this thread's own handle: GDAL's are not to be shared."""
        if self._is_closed:
            raise ValueError(f"{self.name} is closed.")
        handle: DatasetReader | None = getattr(self._local, "handle", None)
        if handle is None:
            handle = _open(self.path)
            self._local.handle = handle
            self._handles.append(handle)
        return handle


def open_image(
    path: RasterPath,
    *,
    mask: MaskMode = "auto",
    nodata: float | None = None,
    bands: Sequence[int] | None = None,
    names: Sequence[str] | None = None,
) -> RasterImage:
    """Open one raster file for reading by windows.

    Args:
        path: Anything rasterio opens.
        mask: Which of the file's statements make a pixel invalid.
        nodata: Value that is nodata in every band, whatever the file declares.
        bands: Bands to read, from 1; all but alpha by default.
        names: Names of all the file's bands but alpha, over what the file calls them.

    Raises:
        FileFormatError: The file is missing, no raster, or damaged.
        BandCountError: A band that was asked for does not exist, or is the alpha band, or the file
            has another number of bands than there are names.
    """
    return RasterImage(path, mask=mask, nodata=nodata, bands=bands, names=names)


def _open(path: str) -> DatasetReader:
    try:
        dataset: DatasetReader = quiet_open(path)
    except RasterioError as error:
        raise FileFormatError(_why_not_opened(path)) from error
    return dataset


def _why_not_opened(path: str) -> str:
    is_local = "://" not in path and not path.startswith("/vsi")
    if is_local and not Path(path).exists():
        return f"A raster file is needed, but there is no file {path}; check the name."
    if is_local and Path(path).is_dir():
        return f"A raster file is needed, but {path} is a folder; name the file in it."
    if is_local and not os.access(path, os.R_OK):
        return f"{path} may not be read; check its permissions."
    return (
        f"A raster file is needed, but GDAL cannot open {path}: it is no raster, of a format this "
        "GDAL lacks, or damaged."
    )


def _data_bands(dataset: DatasetReader, name: str, wanted: Sequence[int] | None) -> tuple[int, ...]:
    """Return the indexes of the bands to read, without alpha."""
    if dataset.count == 0:
        parts = ", ".join(dataset.subdatasets[:6]) or "none"
        raise FileFormatError(
            f"{name} holds no bands of its own; give one of its parts instead ({parts})."
        )
    alpha = alpha_band(dataset)
    data = tuple(i for i in dataset.indexes if i != alpha)
    if not data:
        raise BandCountError(f"{name} has an alpha band and no data.")
    if wanted is None:
        return data
    if not wanted or any(i not in dataset.indexes for i in wanted):
        raise BandCountError(
            f"Bands {', '.join(map(str, wanted)) or 'none'} were asked for, but {name} has bands 1 "
            f"to {dataset.count}."
        )
    if alpha in wanted:
        raise BandCountError(
            f"Band {alpha} of {name} was asked for, but the file calls it alpha (a mask); if it "
            f"holds data, first run `gdal_translate -colorinterp_{alpha} undefined`."
        )
    return tuple(wanted)


def _facts(
    dataset: DatasetReader, indexes: tuple[int, ...], name: str, names: Sequence[str] | None
) -> RasterFacts:
    def chosen(values: Sequence[Any]) -> tuple[Any, ...]:
        return tuple(values[i - 1] for i in indexes)

    dtype = np.result_type(*chosen(dataset.dtypes))
    if dtype.kind not in "iuf":
        raise FileFormatError(f"Real numbers are needed, but {name} holds {dtype} values.")
    has_transform = not dataset.transform.is_identity
    bits = dataset.tags(indexes[0], ns="IMAGE_STRUCTURE").get("NBITS")
    return RasterFacts(
        grid=Grid(
            dataset.shape,
            dataset.transform if has_transform else None,
            dataset.crs.to_string() if has_transform and dataset.crs else None,
        ),
        dtype=dtype,
        indexes=indexes,
        available=len(_data_bands(dataset, name, None)),
        nodata=chosen(dataset.nodatavals)[0],
        descriptions=_descriptions(dataset, indexes, name, names),
        colours=chosen(dataset.colorinterp),
        scales=chosen(dataset.scales),
        offsets=chosen(dataset.offsets),
        units=chosen(dataset.units),
        band_tags=tuple(
            spectral_tags(dataset.tags(i), dataset.tags(i, ns="IMAGERY")) for i in indexes
        ),
        tags=dataset.tags(),
        rpcs=dataset.rpcs,
        has_gcps=bool(dataset.gcps[0]),
        bits=None if bits is None else int(bits),
        sensor_tags=dataset.tags(ns="IMAGERY"),
    )


def _descriptions(
    dataset: DatasetReader, indexes: tuple[int, ...], name: str, names: Sequence[str] | None
) -> tuple[str | None, ...]:
    """Return the names of the bands that are read, the given ones before the file's."""
    if names is None:
        return tuple(dataset.descriptions[i - 1] for i in indexes)
    data = _data_bands(dataset, name, None)
    if len(names) != len(data):
        raise BandCountError(
            f"The metadata of {name} state {len(names)} bands ({', '.join(names)}), but it has "
            f"{len(data)}; fetch the delivery again, or give PAN and MS as plain rasters."
        )
    named = dict(zip(data, names, strict=True))
    return tuple(named[i] for i in indexes)
