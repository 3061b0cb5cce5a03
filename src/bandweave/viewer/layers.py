"""What can be shown, and the usual case of it: a raster file."""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import Any, Protocol

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.enums import Resampling
from rasterio.errors import RasterioError
from rasterio.vrt import WarpedVRT
from rasterio.windows import Window as RasterioWindow

from bandweave.errors import FileFormatError
from bandweave.grid import Grid
from bandweave.pair import Mask
from bandweave.raster.image import open_image
from bandweave.raster.mask import finite_mask, mask_rule
from bandweave.raster.opening import quiet_open
from bandweave.raster.warp_advice import is_same_crs
from bandweave.viewer.bands import BandLabel, band_labels, default_bands
from bandweave.viewer.plane import Plane, project, require_same_datum
from bandweave.viewer.pyramid import Pyramid
from bandweave.window import Window

Pixels = NDArray[Any]


class Layer(Protocol):
    """What tiles, limits and the page need of a layer. Bands count from 1."""

    key: str
    """Short name in addresses."""
    name: str
    """Name on the page."""
    pyramid: Pyramid
    placement: Affine
    """Map from (column, row) of level 0 to the plane."""
    labels: tuple[BandLabel, ...]

    @property
    def bands(self) -> range:
        """Return the bands there are."""
        ...

    @property
    def default_bands(self) -> tuple[int, ...]:
        """Return the bands shown first: three for red, green and blue, or one."""
        ...

    @property
    def coarsest_overview(self) -> int:
        """Return the last level that is read without reading the whole image."""
        ...

    @property
    def is_slow(self) -> bool:
        """Tell whether coarse views need the whole of a large file."""
        ...

    def read(self, bands: tuple[int, ...], level: int, window: Window) -> tuple[Pixels, Mask]:
        """Read a window of a level: values `(n, H, W)` and where they hold data `(H, W)`."""
        ...


class FileLayer:
    """A raster file on the plane; `read` and `spectrum` may be called from several threads.

    A file in another CRS is warped to the plane's for display, nearest pixel, by GDAL. Levels come
    from the file's overviews; those it lacks are averaged from the next finer one as it is read.

    Raises:
        FileFormatError: The file is missing, no raster, or damaged.
        GridMismatchError: The file cannot be laid over the first one.
    """

    def __init__(self, key: str, path: str, name: str, plane: Plane | None = None) -> None:
        """Open a file; without `plane` it is the first, and makes the plane."""
        self.key, self.name, self.path = key, name, path
        self.image = open_image(path)
        self._local = threading.local()
        self._handles: list[Any] = []
        self.plane = plane or Plane(self.image.grid)
        self._crs = self._crs_to_warp_to()
        dataset = self._handle()
        indexes = self.image.facts.indexes
        rule = mask_rule(dataset, indexes, "auto", None)
        self._nodata = dict(zip(indexes, rule.nodata, strict=True))
        self._has_mask, self._alpha = rule.internal, rule.alpha
        self.overviews = tuple(dataset.overviews(indexes[0]))
        self.grid = self.image.grid if self._crs is None else _grid_of(dataset)
        self.pyramid = Pyramid(self.grid.shape)
        self.placement = self.plane.placement(self.grid, name)
        self.labels = band_labels(self.image.facts)

    @property
    def bands(self) -> range:
        """Return the bands of the file but alpha, counted from 1."""
        return range(1, self.image.bands + 1)

    @property
    def default_bands(self) -> tuple[int, ...]:
        """Return the bands shown first."""
        return default_bands(self.image.facts)

    @property
    def is_warped(self) -> bool:
        """Tell whether the file is in another CRS than the plane."""
        return self._crs is not None

    @property
    def coarsest_overview(self) -> int:
        """Return the level that the file's smallest overview makes."""
        return max((factor.bit_length() - 1 for factor in self.overviews), default=0)

    @property
    def is_slow(self) -> bool:
        """Tell whether coarse views need the whole of a large file."""
        return self.pyramid.levels - 1 - self.coarsest_overview > _UNNOTICED_LEVELS

    def read(self, bands: tuple[int, ...], level: int, window: Window) -> tuple[Pixels, Mask]:
        """Read a window of a level as the file stores it."""
        dataset = self._handle()
        indexes = [self.image.facts.indexes[band - 1] for band in bands]
        row, col, height, width = self.pyramid.on_image(level, window)
        place = RasterioWindow(col, row, width, height)
        how = Resampling.nearest if level == 0 else Resampling.average
        try:
            values: Pixels = dataset.read(
                indexes,
                window=place,
                out_shape=(len(indexes), *window.shape),
                out_dtype=self.image.facts.dtype.name,
                resampling=how,
            )
            valid = finite_mask(values, [self._nodata[index] for index in indexes])
            others = []
            if self._has_mask:
                others.append(dataset.read_masks(1, window=place, out_shape=window.shape))
            if self._alpha is not None:
                others.append(dataset.read(self._alpha, window=place, out_shape=window.shape))
        except RasterioError as error:
            raise FileFormatError(
                f"{self.name} could not be read at rows {row:.0f} to {row + height:.0f} and "
                f"columns {col:.0f} to {col + width:.0f}: the file is truncated or damaged."
            ) from error
        for other in others:
            valid = other > 0 if valid is None else valid & (other > 0)
        return values, np.ones(window.shape, bool) if valid is None else valid

    def pixel(self, x: float, y: float) -> tuple[int, int] | None:
        """Return row and column of the file's own pixel at a place on the plane, if there is one.

        By the file's own transform: what is warped for display is not warped here.
        """
        transform = self.image.grid.transform
        ground = self.plane.ground(x, y)
        if ground is None or transform is None:
            col, row = ~self.placement * (x, y)
        else:
            if self._crs is not None:
                assert self.plane.grid.crs is not None
                assert self.image.grid.crs is not None
                ground = project(ground, self.plane.grid.crs, self.image.grid.crs)
            if ground is None:
                return None
            col, row = ~transform * ground
        place = int(np.floor(row)), int(np.floor(col))
        is_inside = all(0 <= at < size for at, size in zip(place, self.image.shape, strict=True))
        return place if is_inside else None

    def spectrum(self, row: int, col: int) -> list[float] | None:
        """Return the values of one pixel of the file, or None where it holds no data."""
        values, valid = self.image.read(Window(row, col, 1, 1), np.float64)
        if valid is not None and not valid.all():
            return None
        return [float(value) for value in values[:, 0, 0]]

    def close(self) -> None:
        """Close the file in all threads."""
        for handle in self._handles:
            with suppress(RasterioError):
                handle.close()
        self._handles.clear()
        self.image.close()

    def _crs_to_warp_to(self) -> str | None:
        own, base = self.image.grid.crs, self.plane.grid.crs
        if own is None or base is None or is_same_crs(own, base):
            return None
        require_same_datum(own, base, self.name)
        return base

    def _handle(self) -> Any:
        """Return this thread's own handle: GDAL's are not to be shared."""
        handle = getattr(self._local, "handle", None)
        if handle is None:
            handle = quiet_open(self.path)
            if self._crs is not None:
                # Beyond the turned image an alpha band tells, where no nodata value does.
                add_alpha = handle.nodata is None
                handle = WarpedVRT(handle, crs=CRS.from_user_input(self._crs), add_alpha=add_alpha)
            self._local.handle = handle
            self._handles.append(handle)
        return handle


# Levels beyond the last overview that GDAL averages in no time worth a word: 2048 x 2048 pixels.
_UNNOTICED_LEVELS = 3


def _grid_of(dataset: Any) -> Grid:
    return Grid(dataset.shape, dataset.transform, dataset.crs.to_string())
