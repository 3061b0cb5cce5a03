"""Where an image lies on the ground: CRS, corner-based affine transform, shape."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from affine import Affine

from bandweave.errors import GridMismatchError
from bandweave.window import Window

# Pixels by which written coordinates may miss a pixel's edge.
_ROUNDING = 1e-3


@dataclass(frozen=True, slots=True)
class Grid:
    """The pixel grid of an image.

    `transform` maps (column, row) of pixel *corners* to ground coordinates, as GDAL has it:
    pixel (0, 0) covers [0, 1) x [0, 1). Both `crs` and `transform` are None for images without
    georeference, for example toolbox `.mat` files.

    Example:
        >>> g = Grid((8, 8), Affine(2.0, 0, 100.0, 0, -2.0, 50.0), "EPSG:32633")
        >>> g.window(Window(2, 1, 4, 4)).transform.f
        46.0
    """

    shape: tuple[int, int]
    """Rows, columns."""
    transform: Affine | None = None
    """Corner-based affine transform, or None."""
    crs: str | None = None
    """Coordinate reference system as WKT or authority code, or None."""

    @property
    def is_georeferenced(self) -> bool:
        """Tell whether the grid has a transform."""
        return self.transform is not None

    @property
    def gsd(self) -> tuple[float, float] | None:
        """Return the pixel size (rows, columns) in ground units, or None without georeference."""
        if self.transform is None:
            return None
        t = self.transform
        return (t.b**2 + t.e**2) ** 0.5, (t.a**2 + t.d**2) ** 0.5

    def window(self, window: Window) -> Grid:
        """Return the grid of a part of this image."""
        if self.transform is None:
            return replace(self, shape=window.shape)
        t = self.transform
        corner = (
            t.a * window.col + t.b * window.row + t.c,
            t.d * window.col + t.e * window.row + t.f,
        )
        moved = Affine(t.a, t.b, corner[0], t.d, t.e, corner[1])
        return replace(self, shape=window.shape, transform=moved)

    def covering(self, bounds: tuple[float, float, float, float]) -> Window:
        """Return the smallest window that covers ground coordinates (left, bottom, right, top).

        Raises:
            GridMismatchError: The grid has no georeference.
        """
        if self.transform is None:
            raise GridMismatchError(
                "Ground coordinates need an image with georeference, and this one has none; "
                "give a window in pixels."
            )
        left, bottom, right, top = bounds
        t = ~self.transform
        corners = [
            (t.a * x + t.b * y + t.c, t.d * x + t.e * y + t.f)
            for x in (left, right)
            for y in (bottom, top)
        ]
        col, row = (math.floor(min(values) + _ROUNDING) for values in zip(*corners, strict=True))
        col_stop, row_stop = (
            math.ceil(max(values) - _ROUNDING) for values in zip(*corners, strict=True)
        )
        return Window(row, col, max(row_stop - row, 0), max(col_stop - col, 0))

    def coarsened(self, ratio: int) -> Grid:
        """Return the grid whose pixels cover `ratio` x `ratio` pixels of this one."""
        shape = (self.shape[0] // ratio, self.shape[1] // ratio)
        if self.transform is None:
            return replace(self, shape=shape)
        t = self.transform
        scaled = Affine(t.a * ratio, t.b * ratio, t.c, t.d * ratio, t.e * ratio, t.f)
        return replace(self, shape=shape, transform=scaled)
