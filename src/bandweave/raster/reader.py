"""A pair of raster files as a `PairSource`: any window of it, from any thread."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from types import TracebackType
from typing import Any, Self

import numpy as np

from bandweave.errors import AlignmentWarning, NodataError
from bandweave.grid import Grid
from bandweave.pair import ImagePair, Mask, PairProfile
from bandweave.radiometry import Image
from bandweave.raster.image import RasterImage, RasterPath, open_image
from bandweave.raster.mask import MaskMode
from bandweave.raster.metadata import given_sensor, stated_full_scale, stated_sensor
from bandweave.raster.nesting import AxisMap, Extent, Nesting, nest
from bandweave.raster.resampling import interpolate_rows, nearest_index, tap_range
from bandweave.sensors import Sensor
from bandweave.window import Window

__all__ = ["RasterImage", "RasterPair", "open_image", "open_pair"]

_SEARCH_STEP = 1024
"""Fine pixels per side of the windows in which a usable pixel is looked for, about."""


class RasterPair:
    """A spatial and a spectral raster file seen as one scene; a `PairSource`.

    Use it as a context manager, or call `close`. `pan` and `ms` are the two files, `nesting` how
    their grids lie on each other.
    """

    def __init__(
        self,
        pan: RasterImage,
        ms: RasterImage,
        nesting: Nesting,
        *,
        sensor: Sensor | None = None,
        full_scale: float | None = None,
        reopen: Callable[[], RasterPair] | None = None,
    ) -> None:
        self._reopen = reopen
        self.pan = pan
        self.ms = ms
        self.nesting = nesting
        names = tuple(name or "" for name in ms.facts.descriptions)
        self._profile = PairProfile(
            shape=nesting.grid.shape,
            spatial_bands=pan.bands,
            bands=ms.bands,
            ratio=nesting.ratio,
            phase=nesting.phase,
            full_scale=full_scale,
            sensor=sensor,
            band_names=names if any(names) else None,
        )

    @property
    def profile(self) -> PairProfile:
        """Return shapes, ratio, phase, scale and sensor of the whole scene."""
        return self._profile

    @property
    def grid(self) -> Grid | None:
        """Return the fine grid of the whole scene, or None without georeference."""
        return self.nesting.grid if self.nesting.grid.is_georeferenced else None

    @property
    def output_window(self) -> Window:
        """Return the part of the scene that is to be written."""
        return self.nesting.output_window

    def read(self, window: Window, dtype: type[np.float32 | np.float64]) -> ImagePair:
        """Read a fine window inside the scene whose edges are multiples of the ratio.

        Invalid pixels hold values of valid ones nearby and are False in the pair's `valid`.
        """
        origin = self.nesting.pan_window
        spatial, spatial_valid = self.pan.read(window.shifted(origin.row, origin.col), dtype)
        coarse = window.coarse(self.nesting.ratio)
        spectral, spectral_valid = self._read_spectral(coarse, dtype)
        grid = self.grid
        return ImagePair(
            spatial=spatial,
            spectral=spectral,
            ratio=self.nesting.ratio,
            phase=self.nesting.phase,
            full_scale=self._profile.full_scale,
            valid=_both_valid(spatial_valid, spectral_valid, self.nesting.ratio),
            sensor=self._profile.sensor,
            grid=None if grid is None else grid.window(window),
        )

    def read_valid(self, window: Window) -> Mask | None:
        """Read the mask `(H, W)` of a window alone; None where every pixel is usable."""
        origin = self.nesting.pan_window
        coarse = window.coarse(self.nesting.ratio)
        if self.nesting.resampling is None:
            start = self.nesting.ms_window
            coarse_valid = self.ms.read_valid(coarse.shifted(start.row, start.col))
        else:
            coarse_valid = self._read_resampled(coarse, np.float32, self.nesting.resampling)[1]
        fine_valid = self.pan.read_valid(window.shifted(origin.row, origin.col))
        return _both_valid(fine_valid, coarse_valid, self.nesting.ratio)

    def __reduce__(self) -> tuple[Any, ...]:
        """Let another process open the files again."""
        assert self._reopen is not None, "opened by `open_pair`"
        return _reopened, (self._reopen,)

    def close(self) -> None:
        """Close both files in all threads."""
        self.pan.close()
        self.ms.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _read_spectral(
        self, coarse: Window, dtype: type[np.float32 | np.float64]
    ) -> tuple[Image, Mask | None]:
        if self.nesting.resampling is not None:
            return self._read_resampled(coarse, dtype, self.nesting.resampling)
        start = self.nesting.ms_window
        return self.ms.read(coarse.shifted(start.row, start.col), dtype)

    def _read_resampled(
        self,
        coarse: Window,
        dtype: type[np.float32 | np.float64],
        axes: tuple[AxisMap, AxisMap],
    ) -> tuple[Image, Mask | None]:
        """Sample the MS on the nesting coarse grid; a sample is valid as its nearest pixel is."""
        rows, cols = axes
        top, bottom = tap_range(rows, coarse.row, coarse.row_stop)
        left, right = tap_range(cols, coarse.col, coarse.col_stop)
        stored, valid = self.ms.read(Window(top, left, bottom - top, right - left), dtype)
        sampled = interpolate_rows(stored, rows, coarse.row, coarse.row_stop, top)
        turned = sampled.transpose(0, 2, 1)
        sampled = interpolate_rows(turned, cols, coarse.col, coarse.col_stop, left)
        spectral = np.ascontiguousarray(sampled.transpose(0, 2, 1))
        if valid is None:
            return spectral, None
        near_rows = nearest_index(rows, coarse.row, coarse.row_stop) - top
        near_cols = nearest_index(cols, coarse.col, coarse.col_stop) - left
        sampled_valid = valid[np.ix_(near_rows, near_cols)]
        return spectral, None if sampled_valid.all() else sampled_valid


def open_pair(
    pan_path: RasterPath,
    ms_path: RasterPath,
    *,
    extent: Extent = "intersection",
    offset: tuple[float, float] = (0.0, 0.0),
    sensor: Sensor | None = None,
    full_scale: float | None = None,
    mask: MaskMode = "auto",
    nodata: float | None = None,
    bands: Sequence[int] | None = None,
    band_names: Sequence[str] | None = None,
) -> RasterPair:
    """Open a spatial and a spectral raster file as one scene.

    The sensor and the scale are taken from the files' metadata where they state them and the
    arguments do not. Alpha bands are masks and never data.

    Args:
        pan_path: Spatial image (PAN, RGB or MSI): anything rasterio opens.
        ms_path: Spectral image (MS or HS).
        extent: `intersection` keeps whole MS pixels inside the PAN, `pan` the PAN's whole extent.
        offset: Displacement (rows, columns) of the PAN's content against the MS in PAN pixels,
            beyond what the grids say: positive where it is found further down or right.
        sensor: Sensor model.
        full_scale: Value that maps to 1.0.
        mask: Which of the files' statements make a pixel invalid; NaN and infinity always do.
        nodata: Value that is nodata in every band of both files, whatever they declare.
        bands: Bands of the spectral image to read, from 1; all but alpha by default.
        band_names: Names of all bands of the spectral image, over what its file calls them.

    Raises:
        FileFormatError: A file is missing, no raster, or damaged.
        GridMismatchError: The grids cannot be brought together.
        BandCountError: A band that was asked for does not exist, or is the alpha band.
        NodataError: No pixel is usable, or a mask was asked for that neither file has.

    Warns:
        AlignmentWarning: The grids were brought together by more than their transforms.
    """
    pan = open_image(pan_path, mask=mask, nodata=nodata)
    try:
        ms = open_image(ms_path, mask=mask, nodata=nodata, bands=bands, names=band_names)
    except BaseException:
        pan.close()
        raise
    try:
        nesting = nest(pan.grid, ms.grid, extent=extent, offset=offset, names=(pan.name, ms.name))
        _require_mask(pan, ms, mask)
        known_sensor = stated_sensor(ms.facts) if sensor is None else given_sensor(sensor, ms.facts)
        pair = RasterPair(
            pan,
            ms,
            nesting,
            sensor=known_sensor,
            full_scale=full_scale or stated_full_scale(pan.facts, ms.facts, known_sensor),
            reopen=partial(
                open_pair,
                _lasting(pan_path),
                _lasting(ms_path),
                extent=extent,
                offset=offset,
                sensor=sensor,
                full_scale=full_scale,
                mask=mask,
                nodata=nodata,
                bands=bands,
                band_names=band_names,
            ),
        )
        _require_usable_pixel(pair)
    except BaseException:
        pan.close()
        ms.close()
        raise
    for remark in (*nesting.remarks, *_placement_remarks(pan, ms)):
        warnings.warn(remark, AlignmentWarning, stacklevel=2)
    return pair


def _lasting(path: RasterPath) -> str:
    """Return a path that holds in another folder too; what is no file here is left as it is."""
    return os.path.abspath(path) if os.path.exists(path) else os.fspath(path)  # noqa: PTH100, PTH110  # /vsi paths


def _reopened(reopen: Callable[[], RasterPair]) -> RasterPair:
    """Open a pair again; the first opening has said what there is to say."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AlignmentWarning)
        return reopen()


def _both_valid(fine: Mask | None, coarse: Mask | None, ratio: int) -> Mask | None:
    """Combine a fine and a coarse mask on the fine grid; None means valid everywhere."""
    if coarse is None:
        return fine
    spread = coarse.repeat(ratio, axis=0).repeat(ratio, axis=1)
    return spread if fine is None else fine & spread


def _placement_remarks(pan: RasterImage, ms: RasterImage) -> list[str]:
    """Say which files are placed by something other than an affine transform."""
    remarks = []
    for image in (pan, ms):
        carried = [
            what
            for what, has in (
                ("RPCs", image.facts.rpcs is not None),
                ("ground control points", image.facts.has_gcps),
            )
            if has
        ]
        if carried and not image.grid.is_georeferenced:
            remarks.append(
                f"{image.name} carries {' and '.join(carried)} but no affine transform: it was "
                "treated as not georeferenced."
            )
    return remarks


def _require_mask(pan: RasterImage, ms: RasterImage, mode: MaskMode) -> None:
    if mode not in ("auto", "none") and not (pan.has_mask or ms.has_mask):
        raise NodataError(
            f"The mask was to come from `{mode}`, but neither {pan.name} nor {ms.name} has any; "
            "use `auto`."
        )


def _require_usable_pixel(pair: RasterPair) -> None:
    """Look for one valid pixel, from the middle outwards; the first window nearly always has one.

    Raises:
        NodataError: The whole scene is nodata.
    """
    height, width = pair.profile.shape
    ratio = pair.nesting.ratio
    step = max(_SEARCH_STEP // ratio, 1) * ratio
    corners = [(row, col) for row in range(0, height, step) for col in range(0, width, step)]
    corners.sort(key=lambda at: abs(at[0] + step / 2 - height / 2) + abs(at[1] - width / 2))
    scene = Window.whole((height, width))
    for row, col in corners:
        valid = pair.read_valid(Window(row, col, step, step).intersection(scene))
        if valid is None or valid.any():
            return
    raise NodataError(
        f"At least one usable pixel is needed, but every pixel of {pair.pan.name} and "
        f"{pair.ms.name} is nodata, masked or NaN in one of the two; check `nodata` and `mask`."
    )
