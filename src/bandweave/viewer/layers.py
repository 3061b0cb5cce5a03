"""What can be shown: a file, or the absolute difference of two files on the same grid."""

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

from bandweave.errors import FileFormatError, GridMismatchError
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

MEAN = 0
"""Band of a difference that is the mean over all its bands."""


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
# Levels by which a difference is taken before it is averaged, and bands read for it at a time.
_FINER_LEVELS, _BANDS_AT_ONCE = 2, 8
_MOST_BANDS_FINER = 16


class DifferenceLayer:
    """|A − B| of two files on one grid, per band, and as the mean over the bands (band 0).

    A coarse pixel shows the mean of the absolute differences, not the difference of means, which
    would vanish: level z is averaged from the differences at level z - `finer`. Up to `finer` it is
    exact; beyond, the files' own overviews have averaged before.

    Raises:
        GridMismatchError: The files differ in grid or bands.
    """

    def __init__(self, first: FileLayer, second: FileLayer) -> None:
        if not is_comparable(first, second):
            raise GridMismatchError(
                "An error map needs two files of the same grid and number of bands, but "
                f"{first.name} has {_in_words(first)} and {second.name} {_in_words(second)}; give "
                "the result and a reference on its grid."
            )
        self.first, self.second = first, second
        self.key = f"{first.key}-{second.key}"
        self.name = f"|{first.name} − {second.name}|"
        self.pyramid, self.placement = first.pyramid, first.placement
        self.labels = (BandLabel("mean of all bands"), *first.labels)

    @property
    def bands(self) -> range:
        """Return 0, the mean, and the bands of the files."""
        return range(len(self.labels))

    @property
    def default_bands(self) -> tuple[int, ...]:
        """Return the mean."""
        return (MEAN,)

    @property
    def finer(self) -> int:
        """Return the levels by which differences are taken before they are averaged."""
        return _FINER_LEVELS if len(self.labels) <= _MOST_BANDS_FINER else 0

    @property
    def coarsest_overview(self) -> int:
        """Return the level up to which both files have overviews."""
        return min(self.first.coarsest_overview, self.second.coarsest_overview)

    @property
    def is_slow(self) -> bool:
        """Tell whether coarse views need the whole of a large file."""
        return self.first.is_slow or self.second.is_slow

    def read(self, bands: tuple[int, ...], level: int, window: Window) -> tuple[Pixels, Mask]:
        """Read a window of a level; float32 `(n, H, W)`, in DN."""
        steps = min(level, self.finer)
        inside = Window.whole(self.pyramid.level_shape(level - steps))
        place = window.fine(2**steps).intersection(inside)
        means, valids = zip(*(self._band(b, level - steps, place) for b in bands), strict=True)
        valid = np.logical_and.reduce(valids)
        return _block_means(np.stack(means), valid, 2**steps, window.shape)

    def _band(self, band: int, level: int, window: Window) -> tuple[Pixels, Mask]:
        """Return one band of the difference, unaveraged."""
        if band != MEAN:
            values, valid = self._difference((band,), level, window)
            return values[0], valid
        count = self.first.image.bands
        total = np.zeros(window.shape, np.float32)
        all_valid = np.ones(window.shape, bool)
        for start in range(1, count + 1, _BANDS_AT_ONCE):
            group = tuple(range(start, min(start + _BANDS_AT_ONCE, count + 1)))
            values, valid = self._difference(group, level, window)
            total += values.sum(axis=0)
            all_valid &= valid
        return total / np.float32(count), all_valid

    def _difference(
        self, bands: tuple[int, ...], level: int, window: Window
    ) -> tuple[Pixels, Mask]:
        a, valid = self.first.read(bands, level, window)
        b, also_valid = self.second.read(bands, level, window)
        with np.errstate(invalid="ignore", over="ignore"):
            values = np.abs(a.astype(np.float64) - b).astype(np.float32)
        return values, valid & also_valid


def is_comparable(first: FileLayer, second: FileLayer) -> bool:
    """Tell whether two files have the same grid and number of bands."""
    if first.image.bands != second.image.bands or first.grid.shape != second.grid.shape:
        return False
    if first.is_warped or second.is_warped:
        return False
    return bool(first.placement.almost_equals(second.placement, precision=_SAME_PLACE))


# Pixels of the plane by which equal grids may differ in their written transforms.
_SAME_PLACE = 1e-3


def _block_means(
    values: Pixels, valid: Mask, factor: int, shape: tuple[int, int]
) -> tuple[Pixels, Mask]:
    """Average the valid pixels of blocks of `factor` pixels per side; edge blocks are smaller."""
    if factor == 1:
        return values, valid
    missing = [size * factor - have for size, have in zip(shape, valid.shape, strict=True)]
    edges = ((0, missing[0]), (0, missing[1]))
    weights = np.pad(valid, edges).astype(np.float32)
    filled = np.pad(np.where(valid, values, 0), ((0, 0), *edges))
    blocks = (shape[0], factor, shape[1], factor)
    counts = weights.reshape(blocks).sum(axis=(1, 3))
    sums = filled.reshape(len(values), *blocks).sum(axis=(2, 4))
    return sums / np.maximum(counts, 1), counts > 0


def _grid_of(dataset: Any) -> Grid:
    return Grid(dataset.shape, dataset.transform, dataset.crs.to_string())


def _in_words(layer: FileLayer) -> str:
    height, width = layer.grid.shape
    count = layer.image.bands
    return f"{height} x {width} pixels and {count} band{'s' if count > 1 else ''}"
