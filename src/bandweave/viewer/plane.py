"""The plane that all layers lie on: pixels of the first file, and where they are on the ground."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

from affine import Affine
from rasterio._err import CPLE_BaseError
from rasterio.crs import CRS
from rasterio.errors import CRSError
from rasterio.warp import transform as transform_points

from bandweave.errors import GridMismatchError
from bandweave.grid import Grid
from bandweave.raster.warp_advice import is_same_crs

Point = tuple[float, float]

_GEOGRAPHIC = "EPSG:4326"
# WGS 84: equatorial radius in metres, and squared eccentricity.
_RADIUS, _ECCENTRICITY2 = 6378137.0, 0.00669437999014


@dataclass(frozen=True, slots=True)
class Plane:
    """Coordinates (x, y) that count columns and rows of `grid` from its upper left corner."""

    grid: Grid
    """Grid of the first file."""

    def placement(self, grid: Grid, name: str) -> Affine:
        """Return the map from (column, row) of an image on `grid` to the plane.

        Without georeference the images share their corner, and the quotient of their shapes is
        their ratio, as everywhere in bandweave.

        Args:
            grid: The image's grid, in the plane's CRS.
            name: What messages call the image.

        Raises:
            GridMismatchError: Only one of the two has georeference, or the shapes have no ratio.
        """
        if self.grid.transform is None and grid.transform is None:
            return Affine.scale(_pixel_size(self.grid.shape, grid.shape, name))
        if self.grid.transform is None or grid.transform is None:
            raise GridMismatchError(
                f"Layers are laid over one another by their georeference, but {name} and the first "
                "file do not both have one; view them apart, or georeference both."
            )
        placed: Affine = ~self.grid.transform * grid.transform
        return placed

    def ground(self, x: float, y: float) -> Point | None:
        """Return a place in the coordinates of the CRS; None without georeference."""
        if self.grid.transform is None:
            return None
        east, north = self.grid.transform * (x, y)
        return east, north

    def geographic(self, x: float, y: float) -> Point | None:
        """Return longitude and latitude (WGS 84, degrees) of a place; None where not known."""
        place = self.ground(x, y)
        if place is None or self.grid.crs is None:
            return None
        return project(place, self.grid.crs, _GEOGRAPHIC)

    @property
    def metres_per_pixel(self) -> float | None:
        """Return the width of the middle pixel on the ellipsoid, or None where it is not known."""
        height, width = self.grid.shape
        west = self.geographic(width / 2 - 0.5, height / 2)
        east = self.geographic(width / 2 + 0.5, height / 2)
        return None if west is None or east is None else _distance(west, east)


def project(place: Point, source: str, target: str) -> Point | None:
    """Return a place in the coordinates of another CRS; None where it has none there."""
    if is_same_crs(source, target):
        return place
    crs = CRS.from_user_input(source), CRS.from_user_input(target)
    try:
        (x, *_), (y, *_) = transform_points(*crs, [place[0]], [place[1]])
    except (CRSError, CPLE_BaseError):
        return None
    return (x, y) if math.isfinite(x) and math.isfinite(y) else None


def require_same_datum(crs: str, base: str, name: str) -> None:
    """Refuse to lay layers of different datums over one another: they may lie metres apart.

    Raises:
        GridMismatchError: The datums have different names.
    """
    own, other = (_datum(CRS.from_user_input(text)) for text in (crs, base))
    if own != other:
        raise GridMismatchError(
            f"Layers must have the same datum, but {name} is on {own} and the first file on "
            f"{other}; warp one of them with gdalwarp, or view them apart."
        )


def _datum(crs: Any) -> str:
    found = re.search(r'DATUM\["([^"]+)"', crs.to_wkt(version="WKT1_GDAL"))
    return "an unknown datum" if found is None else found[1]


def _pixel_size(base: tuple[int, int], shape: tuple[int, int], name: str) -> float:
    """Return the side of a pixel of an image of `shape` in pixels of one of shape `base`."""
    quotient = base[1] / shape[1]
    size = float(round(quotient)) if quotient >= 1 else 1 / round(1 / quotient)
    # What is missing to a whole coarse pixel was cut off; more is another scene.
    tolerance = max(size, 1.0)
    if any(abs(whole - own * size) >= tolerance for whole, own in zip(base, shape, strict=True)):
        raise GridMismatchError(
            "Without georeference the shapes must have a whole ratio, but "
            f"{name} has {shape[0]} x {shape[1]} pixels and the first file {base[0]} x {base[1]}; "
            "view them apart."
        )
    return size


def _distance(start: Point, end: Point) -> float:
    """Return metres between two near places (longitude, latitude in degrees)."""
    latitude = math.radians((start[1] + end[1]) / 2)
    curve = 1 - _ECCENTRICITY2 * math.sin(latitude) ** 2
    east = math.radians(end[0] - start[0]) * _RADIUS / math.sqrt(curve) * math.cos(latitude)
    north = math.radians(end[1] - start[1]) * _RADIUS * (1 - _ECCENTRICITY2) / curve**1.5
    return math.hypot(east, north)
