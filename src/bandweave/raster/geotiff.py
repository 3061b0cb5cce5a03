"""GeoTIFF files as GDAL writes them: creation options, metadata, overviews, the COG copy."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import rasterio.shutil
from numpy.typing import NDArray
from rasterio._err import CPLE_BaseError
from rasterio.enums import Interleaving, Resampling
from rasterio.errors import RasterioError
from rasterio.io import DatasetWriter
from rasterio.windows import Window as RasterioWindow

from bandweave.errors import FusionError, OutputError
from bandweave.pair import Mask
from bandweave.raster.layout import OutputLayout
from bandweave.raster.opening import quiet_open

PROVENANCE = "BANDWEAVE"
"""Metadata namespace of what made the file."""

_BLOCK = 256
"""Pixels per side of a tile: two megabytes or less for eight 32-bit bands."""
_BLOCK_ROW_BYTES = 256 * 2**20
"""Memory for one row of tiles above which tiles are made smaller."""
_SMALLEST_BLOCK = 64
"""Pixels per side below which tiles are not made smaller for the sake of memory."""
_SMALLEST_COG_BLOCK = 128
"""Smallest tile side that GDAL's COG driver makes."""
_TILE_STEP = 16
"""The TIFF specification asks for tile sides that are multiples of 16."""
_ZSTD_LEVEL = "1"
"""The fastest level: at GDAL's own, 9, compression would be the slowest step of cheap methods."""
_FULL_DISK = 2**20
"""Free bytes below which a failed write is put down to a full disk."""


class GeoTiffFile:
    """A tiled GeoTIFF being written, one row of blocks per call."""

    def __init__(
        self,
        path: Path,
        layout: OutputLayout,
        provenance: Mapping[str, str],
        options: Mapping[str, str],
        final: Path,
    ) -> None:
        self._path = path
        self._final = final
        self._layout = layout
        self._masks: list[_MaskRows] = []
        grid = layout.grid
        with reported(final):
            self._dataset: DatasetWriter = quiet_open(
                path,
                "w",
                driver="GTiff",
                height=grid.shape[0],
                width=grid.shape[1],
                count=layout.bands,
                dtype=layout.dtype.name,
                nodata=layout.nodata,
                crs=grid.crs,
                transform=grid.transform,
                **_creation_options(layout, options),
            )
            _describe(self._dataset, layout, provenance)

    @property
    def rows_at_once(self) -> int:
        """Return the number of rows to hand to `write`: whole blocks, and not too few."""
        height = int(self._dataset.block_shapes[0][0])
        return height * max(1, _SMALLEST_BLOCK // height)

    def write(self, pixels: NDArray[Any], valid: Mask, row: int) -> None:
        """Write whole blocks of pixels `(C, n, W)` and keep their mask `(n, W)`."""
        place = RasterioWindow(0, row, pixels.shape[2], pixels.shape[1])
        with reported(self._final):
            self._dataset.write(pixels, window=place)
        if self._layout.nodata is None:
            packed = None if valid.all() else np.packbits(valid, axis=1)
            self._masks.append(_MaskRows(row, valid.shape[0], packed))

    def close(self) -> None:
        """Write the mask if a pixel is invalid, and see that all of the file reached the disk."""
        has_mask = any(rows.packed is not None for rows in self._masks)
        with reported(self._final), rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
            if has_mask:
                # After all pixels: in between, the order of blocks in the file would depend on the
                # size of GDAL's cache.
                for rows in self._masks:
                    valid = rows.unpacked(self._layout.grid.shape[1])
                    self._dataset.write_mask(valid, window=rows.place(valid.shape[1]))
            self._dataset.close()
        require_complete(self._path, self._final)
        if has_mask:
            self._require_mask()

    def abandon(self) -> None:
        """Close the file, whatever comes of it."""
        with suppress(RasterioError, CPLE_BaseError, OSError):
            self._dataset.close()

    def _require_mask(self) -> None:
        """Compare the mask with what was written: a lost one would make all pixels valid."""
        with reported(self._final), quiet_open(self._path) as dataset:
            for rows in self._masks:
                valid = rows.unpacked(self._layout.grid.shape[1])
                found = dataset.read_masks(1, window=rows.place(valid.shape[1])) > 0
                if not np.array_equal(found, valid):
                    raise OSError("the mask is incomplete")


@dataclass(frozen=True, slots=True)
class _MaskRows:
    """Mask of some rows, eight pixels a byte; None where all are valid."""

    row: int
    count: int
    packed: NDArray[np.uint8] | None

    def unpacked(self, width: int) -> Mask:
        """Return the mask `(count, width)`."""
        if self.packed is None:
            return np.ones((self.count, width), dtype=bool)
        return np.unpackbits(self.packed, axis=1, count=width).astype(bool)

    def place(self, width: int) -> RasterioWindow:
        """Return where the rows lie in the file."""
        return RasterioWindow(0, self.row, width, self.count)


def build_overviews(path: Path, options: Mapping[str, str], final: Path) -> None:
    """Add averaged overviews, each half as large as the last, until one fits a default block.

    Args:
        path: Complete GeoTIFF.
        options: The creation options it was made with.
        final: Name of the output in messages.

    Raises:
        OutputError: The disk is full.
    """
    # Overviews inherit the codec and its predictor, but not the level.
    level = _upper(options).get("ZSTD_LEVEL", _ZSTD_LEVEL)
    with (
        reported(final),
        rasterio.Env(ZSTD_LEVEL_OVERVIEW=level),
        quiet_open(path, "r+") as dataset,
    ):
        factors: list[int] = []
        while max(dataset.shape) > _BLOCK * 2 ** len(factors):
            factors.append(2 ** (len(factors) + 1))
        if factors:
            dataset.build_overviews(factors, Resampling.average)
    require_complete(path, final, overviews=len(factors))


def copy_as_cog(
    source: Path, target: Path, options: Mapping[str, str], final: Path, *, overviews: bool
) -> None:
    """Copy a GeoTIFF into a Cloud Optimized one, with averaged overviews.

    Provenance keeps its namespace, unless bands have tags: then it is found in the default
    namespace, with keys `BANDWEAVE_...`.

    Args:
        source: Complete GeoTIFF.
        target: Name of the copy.
        options: Creation options of GDAL's COG driver that go before the defaults.
        final: Name of the output in messages.
        overviews: Whether the copy gets overviews.

    Raises:
        OutputError: The disk is full, or the copy is not laid out as a COG.
    """
    with reported(final), quiet_open(source, "r+") as dataset:
        side = max(_block_side(max(dataset.shape)), _SMALLEST_COG_BLOCK)
        has_band_tags = any(dataset.tags(band) for band in dataset.indexes)
        if has_band_tags:
            # GDAL 3.10 copies either further namespaces or the tags of bands.
            provenance = dataset.tags(ns=PROVENANCE)
            dataset.update_tags(**{f"{PROVENANCE}_{key}": v for key, v in provenance.items()})
    settings = {
        "COMPRESS": "ZSTD",
        "PREDICTOR": "YES",
        "BLOCKSIZE": str(side),
        "COPY_SRC_MDD": "AUTO" if has_band_tags else "YES",
        "OVERVIEW_RESAMPLING": "AVERAGE",
        "OVERVIEWS": "IGNORE_EXISTING" if overviews else "NONE",
        "BIGTIFF": "IF_SAFER",
        **_upper(options),
        "SPARSE_OK": "NO",
    }
    if settings["COMPRESS"].upper() == "ZSTD":
        settings.setdefault("LEVEL", _ZSTD_LEVEL)
    with reported(final), rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
        rasterio.shutil.copy(source, target, driver="COG", **settings)
    with reported(final), quiet_open(target) as dataset:
        levels = len(dataset.overviews(1))
        if dataset.tags(ns="IMAGE_STRUCTURE").get("LAYOUT") != "COG":
            raise OutputError(
                f"GDAL did not lay out {final} as a Cloud Optimized GeoTIFF; check the creation "
                "options."
            )
    require_complete(target, final, overviews=levels)


def require_complete(path: Path, final: Path, *, overviews: int = 0) -> None:
    """Make sure that all of a closed file is on the disk: closing it does not report a full one.

    Args:
        path: Closed GeoTIFF.
        final: Name of the output in messages.
        overviews: Number of overviews it must have.

    Raises:
        OutputError: The directory, a block or an overview is missing.
    """
    with reported(final):
        _require_blocks(path, {})
        for level in range(overviews):
            _require_blocks(path, {"overview_level": level})


def _require_blocks(path: Path, options: dict[str, Any]) -> None:
    with quiet_open(path, **options) as dataset:
        height, width = dataset.shape
        block_height, block_width = dataset.block_shapes[0]
        is_pixel = dataset.interleaving == Interleaving.pixel
        for band in (1,) if is_pixel else dataset.indexes:
            for row in range(-(-height // block_height)):
                for col in range(-(-width // block_width)):
                    dataset.block_size(band, row, col)  # raises where a block was never written
        last = RasterioWindow(width - 1, height - 1, 1, 1)
        dataset.read(window=last)
        dataset.read_masks(1, window=last)


@contextmanager
def reported(final: Path) -> Iterator[None]:
    """Turn what GDAL and the system say while writing into one sentence about `final`."""
    try:
        yield
    except (RasterioError, CPLE_BaseError, OSError) as error:
        if isinstance(error, FusionError):
            raise
        raise OutputError(_why_not_written(final, error)) from error


def _why_not_written(final: Path, error: Exception) -> str:
    free = shutil.disk_usage(final.parent).free
    if free < _FULL_DISK:
        return (
            f"{final} could not be written, as the disk is full ({free} bytes are free in "
            f"{final.parent}); free some space or write elsewhere."
        )
    reason = str(error.__cause__ or error).rstrip(".")
    return f"{final} could not be written ({reason}); check the folder and the creation options."


def _creation_options(layout: OutputLayout, options: Mapping[str, str]) -> dict[str, str]:
    """Return the defaults with the caller's options before them."""
    given = _upper(options)
    height, width = layout.grid.shape
    side = _block_side(max(height, width))
    row_bytes = layout.bands * layout.dtype.itemsize * width
    while side > _SMALLEST_BLOCK and side * row_bytes > _BLOCK_ROW_BYTES:
        side //= 2
    merged = {
        "TILED": "YES",
        "COMPRESS": "ZSTD",
        "BIGTIFF": "IF_SAFER",
        "INTERLEAVE": "PIXEL",
        **given,
        "SPARSE_OK": "NO",  # a missing block has to mean a full disk
    }
    if merged["TILED"].upper() in ("YES", "TRUE", "ON", "1"):
        for key, extent in (("BLOCKXSIZE", width), ("BLOCKYSIZE", height)):
            merged[key] = str(min(int(given.get(key, side)), _tile_multiple(extent)))
    codec = merged["COMPRESS"].upper()
    if codec in ("ZSTD", "DEFLATE", "LZW") and "NBITS" not in given:
        merged.setdefault("PREDICTOR", "3" if layout.dtype.kind == "f" else "2")
    if codec == "ZSTD":
        merged.setdefault("ZSTD_LEVEL", _ZSTD_LEVEL)
    return merged


def _describe(dataset: DatasetWriter, layout: OutputLayout, provenance: Mapping[str, str]) -> None:
    """Write all metadata, before the first pixel: later GDAL would put it into a side file."""
    bands = range(1, layout.bands + 1)
    if layout.colours is not None:
        dataset.colorinterp = layout.colours
    for band, name in zip(bands, layout.descriptions or (), strict=False):
        if name:
            dataset.set_band_description(band, name)
    for band, unit in zip(bands, layout.units or (), strict=False):
        if unit:
            dataset.set_band_unit(band, unit)
    if layout.scales is not None and set(layout.scales) != {1.0}:
        dataset.scales = layout.scales
    if layout.offsets is not None and set(layout.offsets) != {0.0}:
        dataset.offsets = layout.offsets
    for band, tags in zip(bands, layout.band_tags or (), strict=False):
        dataset.update_tags(band, **tags)
    if layout.rpcs is not None:
        dataset.rpcs = layout.rpcs
    dataset.update_tags(**layout.tags)
    dataset.update_tags(ns=PROVENANCE, **provenance)


def _block_side(extent: int) -> int:
    return min(_BLOCK, _tile_multiple(extent))


def _tile_multiple(extent: int) -> int:
    """Return the smallest tile side that covers `extent`."""
    return -(-extent // _TILE_STEP) * _TILE_STEP


def _upper(options: Mapping[str, str]) -> dict[str, str]:
    return {key.upper(): value for key, value in options.items()}
