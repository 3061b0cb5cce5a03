"""Do two grids nest? Ratio, overlap and sub-pixel phase from the affine transforms alone.

PAN pixels never move. Whatever lies between the two grids, whole pixels or fractions of one, is
carried by where the scene starts in the PAN and by the phase of the MS samples on it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from affine import Affine

from bandweave.errors import GridMismatchError
from bandweave.grid import Grid
from bandweave.raster.warp_advice import is_same_crs, warp_call
from bandweave.window import Window

Extent = Literal["intersection", "pan"]

DRIFT_TOLERANCE = 0.05
"""PAN pixels by which the MS grid may run away from an exact multiple over the whole scene."""
RATIO_TOLERANCE = 0.05
"""Relative distance to a whole ratio up to which the MS is resampled rather than refused."""
_PLACES = 3
"""Decimals of a PAN pixel that are kept: below them lies the rounding of written transforms."""


@dataclass(frozen=True, slots=True)
class AxisMap:
    """Where the samples of a regular coarse grid lie on the MS: index origin + pitch * k."""

    origin: float
    """MS index (pixel centres at whole numbers) of coarse sample 0."""
    pitch: float
    """MS pixels per coarse pixel."""


@dataclass(frozen=True, slots=True)
class Nesting:
    """How a coarse grid lies on a fine one, and which part of both makes the scene.

    The scene is a fine grid whose sides are multiples of `ratio`; coarse pixel k stands over its
    fine pixels [ratio * k, ratio * (k + 1)), and its sample lies at fine index ratio * k + phase.
    """

    ratio: int
    """PAN pixels per MS pixel."""
    phase: tuple[float, float]
    """Fine index (row, column) of coarse sample 0, at most 0.5 away from (ratio - 1) / 2."""
    pan_window: Window
    """The scene in pixels of the PAN file; reaches beyond it only with extent `pan`."""
    ms_window: Window
    """The MS pixels under the scene, may reach beyond the file; empty if `resampling` is set."""
    output_window: Window
    """The part of the scene that is written, in pixels of the scene."""
    grid: Grid
    """Fine grid of the scene."""
    resampling: tuple[AxisMap, AxisMap] | None = None
    """Rows and columns of the coarse samples on the MS where the ratio is not quite whole."""
    drift: tuple[float, float] = (0.0, 0.0)
    """PAN pixels by which samples lie off their stated place at the edges of the MS."""
    remarks: tuple[str, ...] = ()
    """What a user has to know of how the grids were brought together, one sentence each."""

    @property
    def coarse_shape(self) -> tuple[int, int]:
        """Return rows and columns of the scene's coarse grid."""
        return self.pan_window.height // self.ratio, self.pan_window.width // self.ratio


@dataclass(frozen=True, slots=True)
class _Axis:
    """Rows or columns: MS pixel k covers the PAN from start + step * k, in corner coordinates."""

    start: float
    step: float
    pan_size: int
    ms_size: int


@dataclass(frozen=True, slots=True)
class _NestedAxis:
    """What nesting settles for one direction; pixels of PAN, MS and coarse grid."""

    pan_start: int
    coarse_size: int
    ms_start: int
    phase: float
    drift: float
    resampling: AxisMap | None


def nest(
    pan: Grid,
    ms: Grid,
    *,
    extent: Extent = "intersection",
    offset: tuple[float, float] = (0.0, 0.0),
    names: tuple[str, str] = ("PAN", "MS"),
) -> Nesting:
    """Find ratio, phase and common extent of a PAN and an MS grid.

    Without georeference on both, the grids share their upper left corner and the ratio is the
    quotient of the shapes. A ratio that drifts by less than `DRIFT_TOLERANCE` PAN pixels over the
    scene counts as whole; up to `RATIO_TOLERANCE` off, the MS is to be resampled (see
    `Nesting.resampling`).

    Args:
        pan: Grid of the spatial image.
        ms: Grid of the spectral image.
        extent: `intersection` keeps whole MS pixels inside the PAN, `pan` the PAN's whole extent.
        offset: Displacement (rows, columns) of the PAN's content against the MS in PAN pixels,
            beyond what the grids say: positive where it is found further down or right.
        names: How the two images are called in messages.

    Raises:
        GridMismatchError: CRS, orientation or ratio differ, there is no overlap, or the images are
            swapped; the message says what to do.

    Example:
        >>> pan = Grid((16, 16), Affine(1, 0, 0, 0, -1, 16), "EPSG:32633")
        >>> ms = Grid((4, 4), Affine(4, 0, 0, 0, -4, 16), "EPSG:32633")
        >>> nest(pan, ms, offset=(0.3, 0.0)).phase
        (1.8, 1.5)
    """
    axes, remarks = _axes(pan, ms, names)
    ratio = _whole_ratio(axes, pan, ms, names)
    is_whole = all(abs(_drift(axis, ratio)) < DRIFT_TOLERANCE for axis in axes)
    settle = _nest_whole if is_whole else _nest_resampled
    rows, cols = (
        settle(axis, ratio, extent, shift) for axis, shift in zip(axes, offset, strict=True)
    )
    if rows.coarse_size < 1 or cols.coarse_size < 1:
        raise GridMismatchError(_no_overlap(pan, ms, axes, names))
    pan_window = Window(
        rows.pan_start, cols.pan_start, ratio * rows.coarse_size, ratio * cols.coarse_size
    )
    whole_pan = Window.whole(pan.shape).relative_to(pan_window)
    resampling = None
    if rows.resampling is not None and cols.resampling is not None:
        resampling = (rows.resampling, cols.resampling)
        remarks += (_resampled(axes, ratio, names),)
    return Nesting(
        ratio=ratio,
        phase=(rows.phase, cols.phase),
        pan_window=pan_window,
        ms_window=Window(rows.ms_start, cols.ms_start, rows.coarse_size, cols.coarse_size),
        output_window=whole_pan if extent == "pan" else Window.whole(pan_window.shape),
        grid=pan.window(pan_window),
        resampling=resampling,
        drift=(rows.drift, cols.drift),
        remarks=remarks,
    )


def _axes(
    pan: Grid, ms: Grid, names: tuple[str, str]
) -> tuple[tuple[_Axis, _Axis], tuple[str, ...]]:
    """Express the MS grid in corner coordinates of the PAN, rows first."""
    if pan.transform is None or ms.transform is None:
        return _axes_from_shapes(pan, ms, names)
    if pan.crs is not None and ms.crs is not None and not is_same_crs(pan.crs, ms.crs):
        raise GridMismatchError(
            f"Both images must share a coordinate reference system, but {names[0]} has "
            f"{_short(pan.crs)} and {names[1]} has {_short(ms.crs)}; first run "
            f"{warp_call(pan, ms, names)}"
        )
    onto_pan: Affine = ~pan.transform * ms.transform
    _require_parallel(onto_pan, pan, ms, names)
    remarks: tuple[str, ...] = ()
    if (pan.crs is None) != (ms.crs is None):
        bare = names[0] if pan.crs is None else names[1]
        remark = (
            f"{bare} has a transform but no coordinate reference system: that of the other image "
            "was taken for both."
        )
        remarks = (remark,)
    rows = _Axis(onto_pan.f, onto_pan.e, pan.shape[0], ms.shape[0])
    cols = _Axis(onto_pan.c, onto_pan.a, pan.shape[1], ms.shape[1])
    return (rows, cols), remarks


def _axes_from_shapes(
    pan: Grid, ms: Grid, names: tuple[str, str]
) -> tuple[tuple[_Axis, _Axis], tuple[str, ...]]:
    rows, cols = (
        _Axis(0.0, fine / coarse, fine, coarse)
        for fine, coarse in zip(pan.shape, ms.shape, strict=True)
    )
    bare = [name for name, grid in zip(names, (pan, ms), strict=True) if grid.transform is None]
    is_swapped = rows.step < 1 and cols.step < 1
    if not is_swapped and (rows.step != cols.step or rows.step != round(rows.step)):
        raise GridMismatchError(
            f"Without georeference the PAN must be a whole multiple of the MS in size, but "
            f"{names[0]} has {_size(pan)} and {names[1]} {_size(ms)} pixels; crop the PAN, or give "
            "files with georeference."
        )
    verb = "has" if len(bare) == 1 else "have"
    remark = (
        f"{' and '.join(bare)} {verb} no georeference: the images are taken to share their upper "
        "left corner, with the quotient of their shapes as ratio."
    )
    return (rows, cols), (remark,)


def _require_parallel(onto_pan: Affine, pan: Grid, ms: Grid, names: tuple[str, str]) -> None:
    """Refuse grids that are turned, sheared or mirrored against each other."""
    # How far the MS's far corners leave the PAN's rows and columns, in PAN pixels.
    wander = max(abs(onto_pan.b) * ms.shape[0], abs(onto_pan.d) * ms.shape[1])
    if wander >= DRIFT_TOLERANCE or onto_pan.a <= 0 or onto_pan.e <= 0:
        raise GridMismatchError(
            f"The rows and columns of both images must run in the same directions, but those of "
            f"{names[1]} are turned, sheared or mirrored against {names[0]}; first run "
            f"{warp_call(pan, ms, names)}"
        )


def _whole_ratio(axes: tuple[_Axis, _Axis], pan: Grid, ms: Grid, names: tuple[str, str]) -> int:
    """Return the ratio as a whole number, the same in both directions."""
    steps = tuple(axis.step for axis in axes)
    if all(step < 1 - RATIO_TOLERANCE for step in steps):
        raise GridMismatchError(
            f"The spatial image comes first and must have the smaller pixels, but those of "
            f"{names[0]} ({_size(pan)}) are {1 / steps[0]:.4g} times larger than those of "
            f"{names[1]} ({_size(ms)}): are the two swapped?"
        )
    ratio = round(steps[0])
    is_close = all(abs(step - ratio) <= RATIO_TOLERANCE * ratio for step in steps)
    if ratio == 1 and is_close:
        raise GridMismatchError(
            f"The pixels of the spectral image must be larger than those of the spatial one, but "
            f"{names[0]} and {names[1]} have the same pixel size: there is nothing to sharpen."
        )
    if not is_close:
        raise GridMismatchError(
            f"The pixel sizes must have a whole ratio, but a pixel of {names[1]} covers "
            f"{steps[0]:.4g} x {steps[1]:.4g} pixels (rows x columns) of {names[0]}; first run "
            f"{warp_call(pan, ms, names)}"
        )
    return ratio


def _drift(axis: _Axis, ratio: int) -> float:
    return (axis.step - ratio) * axis.ms_size


def _nest_whole(axis: _Axis, ratio: int, extent: Extent, offset: float) -> _NestedAxis:
    """Nest where the step is the ratio: MS pixels stay, the PAN starts at a whole pixel."""
    # Half the drift moves the exact place to the middle of the MS and halves the error at its ends.
    drift = _drift(axis, ratio) / 2
    start = round(axis.start + drift + offset, _PLACES)
    # A tie goes up: files simulated at phase ratio / 2 then keep all their pixels.
    origin = math.ceil(start - 0.5)
    if extent == "pan":
        first, stop = -origin // ratio, -((origin - axis.pan_size) // ratio)
        overlap = min(stop, axis.ms_size) - max(first, 0)
    else:
        first = max(0, -(origin // ratio))
        stop = min(axis.ms_size, (axis.pan_size - origin) // ratio)
        overlap = stop - first
    return _NestedAxis(
        pan_start=origin + ratio * first,
        coarse_size=stop - first if overlap > 0 else 0,
        ms_start=first,
        phase=round((ratio - 1) / 2 + start - origin, _PLACES),
        drift=abs(drift),
        resampling=None,
    )


def _nest_resampled(axis: _Axis, ratio: int, extent: Extent, offset: float) -> _NestedAxis:
    """Nest where the step is only near the ratio: a coarse grid on PAN pixels, sampled anew."""
    start = round(axis.start + offset, _PLACES)
    stop = round(axis.start + offset + axis.step * axis.ms_size, _PLACES)
    if extent == "pan":
        origin, size = 0, -(-axis.pan_size // ratio)
        if stop <= 0 or start >= axis.pan_size:
            size = 0
    else:
        origin = max(0, math.ceil(start))
        size = max(0, math.floor((min(axis.pan_size, stop) - origin) / ratio))
    centre = origin + ratio / 2
    return _NestedAxis(
        pan_start=origin,
        coarse_size=size,
        ms_start=0,
        phase=(ratio - 1) / 2,
        drift=0.0,
        resampling=AxisMap((centre - axis.start - offset) / axis.step - 0.5, ratio / axis.step),
    )


def _resampled(axes: tuple[_Axis, _Axis], ratio: int, names: tuple[str, str]) -> str:
    worst = max(abs(_drift(axis, ratio)) for axis in axes)
    return (
        f"A pixel of {names[1]} covers {axes[0].step:.6g} x {axes[1].step:.6g} pixels of "
        f"{names[0]}, which runs away from {ratio} by {worst:.2g} PAN pixels over the scene: the "
        "MS was resampled (cubic) onto a grid that nests."
    )


def _no_overlap(pan: Grid, ms: Grid, axes: tuple[_Axis, _Axis], names: tuple[str, str]) -> str:
    rows, cols = axes
    return (
        f"{names[0]} and {names[1]} must share at least one whole MS pixel, but the MS covers rows "
        f"{rows.start:.1f} to {rows.start + rows.step * rows.ms_size:.1f} and columns "
        f"{cols.start:.1f} to {cols.start + cols.step * cols.ms_size:.1f} of a PAN of "
        f"{_size(pan)} pixels; check that both files show the same place "
        f"({_place(pan)} and {_place(ms)})."
    )


def _place(grid: Grid) -> str:
    if grid.transform is None:
        return "no georeference"
    west, north = grid.transform * (0, 0)
    east, south = grid.transform * (grid.shape[1], grid.shape[0])
    return f"x {west:.8g} to {east:.8g}, y {south:.8g} to {north:.8g}"


def _size(grid: Grid) -> str:
    return f"{grid.shape[0]} x {grid.shape[1]}"


def _short(crs: str) -> str:
    """Return an authority code as it is, and the name out of a WKT."""
    return crs.split('"')[1] if '"' in crs else crs
