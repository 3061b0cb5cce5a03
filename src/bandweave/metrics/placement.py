"""Where raster files that are to be compared lie on each other."""

from __future__ import annotations

import json
import os
import warnings
from dataclasses import dataclass

import numpy as np
import rasterio
from rasterio.errors import NotGeoreferencedWarning

from bandweave.errors import GridMismatchError
from bandweave.grid import Grid
from bandweave.metrics.images import ImageSource
from bandweave.pair import Mask
from bandweave.radiometry import Image
from bandweave.raster.reader import RasterPair
from bandweave.raster.warp_advice import is_same_crs
from bandweave.window import Window

# Pixels by which two grids may differ and still be called the same.
_TOLERANCE = 0.01


def recorded_displacement(path: str | os.PathLike[str]) -> tuple[float, float] | None:
    """Return the displacement (rows, columns) of PAN against MS that `fuse` corrected, if noted.

    In PAN pixels; None where the file says nothing.
    """
    text = _recorded(path, "DISPLACEMENT")
    if text is None or (noted := json.loads(text)) is None:
        return None
    return float(noted[0]), float(noted[1])


def recorded_consistency(path: str | os.PathLike[str]) -> float | None:
    """Return the λ with which `fuse` made a raster consistent with its MS; None if it did not."""
    text = _recorded(path, "CONSISTENCY_NOISE")
    return None if text is None else float(text)


def _recorded(path: str | os.PathLike[str], key: str) -> str | None:
    """Return what `fuse` noted in a raster's tags."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(path) as dataset:
            text: str | None = dataset.tags(ns="BANDWEAVE").get(key)
    return text


def common_window(first: Grid, second: Grid, names: tuple[str, str]) -> tuple[Window, Window]:
    """Return the pixels two images share, counted on the first grid and on the second.

    Images of which one has no georeference are taken to share their first pixel, and have to be of
    one size.

    Raises:
        GridMismatchError: The grids differ in CRS, pixel size or by a part of a pixel, or do not
            overlap.
    """
    row, col = _offset(first, second, names)
    placed = Window(row, col, *first.shape)
    shared = placed.intersection(Window.whole(second.shape))
    if shared.is_empty:
        raise GridMismatchError(f"{names[0]} and {names[1]} do not overlap; give matching images.")
    return shared.relative_to(placed), shared


def fine_part(fused: Grid, pair: RasterPair, names: tuple[str, str]) -> tuple[Window, Window]:
    """Return what a fused image and a pair share: on the pair's fine grid, and on the image's.

    The edges lie on whole coarse pixels.

    Raises:
        GridMismatchError: The grids do not match, or share no whole coarse pixel.
    """
    own, shared = common_window(fused, pair.nesting.grid, names)
    ratio = pair.profile.ratio
    # Shrink to whole coarse pixels.
    row, col = -(-shared.row // ratio) * ratio, -(-shared.col // ratio) * ratio
    height = shared.row_stop // ratio * ratio - row
    width = shared.col_stop // ratio * ratio - col
    if height < ratio or width < ratio:
        raise GridMismatchError(f"{names[0]} and {names[1]} share no whole pixel of the MS image.")
    part = Window(row, col, height, width)
    return part, part.shifted(own.row - shared.row, own.col - shared.col)


def spatial_of(pair: RasterPair) -> ImageSource:
    """Return the spatial image of a pair on the pair's fine grid."""
    return _Spatial(pair)


def spectral_of(pair: RasterPair) -> ImageSource:
    """Return the spectral image of a pair on the pair's coarse grid."""
    return _Spectral(pair)


@dataclass(frozen=True, slots=True, eq=False)
class _Spatial:
    pair: RasterPair

    @property
    def bands(self) -> int:
        return self.pair.profile.spatial_bands

    @property
    def shape(self) -> tuple[int, int]:
        return self.pair.profile.shape

    def read(
        self, window: Window, dtype: type[np.float32 | np.float64]
    ) -> tuple[Image, Mask | None]:
        wide = window.snapped(self.pair.profile.ratio)
        part = self.pair.read(wide, dtype)
        rows, cols = window.relative_to(wide).slices
        return part.spatial[:, rows, cols], None if part.valid is None else part.valid[rows, cols]


@dataclass(frozen=True, slots=True, eq=False)
class _Spectral:
    pair: RasterPair

    @property
    def bands(self) -> int:
        return self.pair.profile.bands

    @property
    def shape(self) -> tuple[int, int]:
        return self.pair.nesting.coarse_shape

    def read(
        self, window: Window, dtype: type[np.float32 | np.float64]
    ) -> tuple[Image, Mask | None]:
        ratio = self.pair.profile.ratio
        part = self.pair.read(window.fine(ratio), dtype)
        if part.valid is None:
            return part.spectral, None
        cells = part.valid.reshape(window.height, ratio, window.width, ratio)
        return part.spectral, np.all(cells, axis=(1, 3))


def _offset(first: Grid, second: Grid, names: tuple[str, str]) -> tuple[int, int]:
    """Return where the first image's first pixel lies on the second grid: row, column."""
    if first.transform is None or second.transform is None:
        if first.shape != second.shape:
            raise GridMismatchError(
                f"Without georeference both images must be of one size, but {names[0]} has "
                f"{first.shape[0]} x {first.shape[1]} pixels and {names[1]} {second.shape[0]} x "
                f"{second.shape[1]}; crop one of them."
            )
        return 0, 0
    if first.crs and second.crs and not is_same_crs(first.crs, second.crs):
        raise GridMismatchError(
            f"{names[0]} and {names[1]} have different CRS; warp one of them to the other's grid."
        )
    onto = ~second.transform @ first.transform
    size = max(first.shape)
    drift = max(abs(onto.a - 1), abs(onto.e - 1), abs(onto.b), abs(onto.d)) * size
    row, col = round(onto.f), round(onto.c)
    if drift > _TOLERANCE or max(abs(onto.f - row), abs(onto.c - col)) > _TOLERANCE:
        raise GridMismatchError(
            f"{names[0]} and {names[1]} do not lie on one pixel grid: a pixel of the first is "
            f"{onto.a:.6g} x {onto.e:.6g} of the second's, its corner at {onto.c:.3f}, "
            f"{onto.f:.3f}; warp one of them to the other's grid."
        )
    return row, col
