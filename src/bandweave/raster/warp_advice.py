"""The gdalwarp call that brings an MS image onto a grid that nests with its PAN."""

from __future__ import annotations

import re
from math import floor, hypot, inf, isfinite
from pathlib import Path

from affine import Affine
from rasterio._err import CPLE_BaseError
from rasterio.crs import CRS
from rasterio.errors import CRSError
from rasterio.warp import transform as transform_points

from bandweave.grid import Grid


def is_same_crs(first: str, second: str) -> bool:
    """Tell whether two coordinate reference systems are the same, however they are written."""
    if first == second:
        return True
    return bool(CRS.from_user_input(first) == CRS.from_user_input(second))


def warp_call(pan: Grid, ms: Grid, names: tuple[str, str]) -> str:
    """Return the call that warps the MS onto the PAN's CRS, extent and a multiple of its pixels.

    The extent pins the MS pixels to the PAN's upper left corner, so that the grids nest exactly.
    """
    pan_name, ms_name = names
    target = "" if pan.crs is None else f"-t_srs {_quoted(pan.crs)} "
    if not _is_north_up(pan):
        return (
            f"`gdalwarp {target}{pan_name} {_warped(pan_name)}`, which makes it north-up, and "
            f"`gdalwarp {target}-r cubic {ms_name} {_warped(ms_name)}`, then give both."
        )
    assert pan.transform is not None
    ratio = _ratio_to_warp_to(pan, ms)
    x, y = abs(pan.transform.a), abs(pan.transform.e)
    rows, cols = (-(-size // ratio) * ratio for size in pan.shape)
    west, north = pan.transform * (0, 0)
    east, south = pan.transform * (cols, rows)
    bounds = (min(west, east), min(north, south), max(west, east), max(north, south))
    extent = " ".join(_number(value) for value in bounds)
    return (
        f"`gdalwarp {target}-tr {_number(x * ratio)} {_number(y * ratio)} -te {extent} -r cubic "
        f"{ms_name} {_warped(ms_name)}`, then give {_warped(ms_name)} as the MS."
    )


def _is_north_up(grid: Grid) -> bool:
    t = grid.transform
    return t is not None and t.b == 0 and t.d == 0 and t.a > 0 and t.e < 0


def _ratio_to_warp_to(pan: Grid, ms: Grid) -> int:
    """Return the whole ratio to warp to: the next lower one, as that loses no detail."""
    assert pan.transform is not None
    assert ms.transform is not None
    step = _ms_pixel(pan, ms) / abs(pan.transform.e)
    if not isfinite(step):
        return 4  # the MS lies outside what the PAN's CRS can express; 4 is the usual ratio
    whole = round(step)
    return max(whole if abs(step - whole) <= 0.05 * step else floor(step), 2)


def _ms_pixel(pan: Grid, ms: Grid) -> float:
    """Return the height of the middle MS pixel in ground units of the PAN, inf if it has none."""
    assert ms.transform is not None
    middle: Affine = ms.transform * Affine.translation(ms.shape[1] / 2, ms.shape[0] / 2)
    (x0, y0), (x1, y1) = middle * (0, 0), middle * (0, 1)
    if pan.crs is not None and ms.crs is not None:
        crs = CRS.from_user_input(ms.crs), CRS.from_user_input(pan.crs)
        try:
            (x0, x1), (y0, y1) = transform_points(*crs, [x0, x1], [y0, y1])
        except (CRSError, CPLE_BaseError):
            return inf
    return hypot(x1 - x0, y1 - y0)


def _warped(name: str) -> str:
    return f"{Path(name).stem}_warped.tif"


def _number(value: float) -> str:
    return f"{value:.12g}"


def _quoted(crs: str) -> str:
    return crs if re.fullmatch(r"[A-Z]+:\d+", crs) else f"'{crs}'"
