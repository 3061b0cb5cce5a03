"""Levels and tiles of an image: each level halves the one before, the last is a single tile."""

from __future__ import annotations

from dataclasses import dataclass

from bandweave.window import Window

TILE = 256
"""Pixels per side of a tile."""


@dataclass(frozen=True, slots=True)
class Pyramid:
    """The levels of an image of `shape` (rows, columns); level 0 is the image itself.

    Every level covers the whole image, as GDAL's overviews do: a level of n columns has pixels of
    exactly W/n columns of the image, which is 2^level but for the rounding up of n.

    Example:
        >>> Pyramid((1000, 700)).level_shape(1), Pyramid((1000, 700)).levels
        ((500, 350), 3)
    """

    shape: tuple[int, int]

    @property
    def levels(self) -> int:
        """Return the number of levels."""
        return max((max(self.shape) - 1) // TILE, 0).bit_length() + 1

    def level_shape(self, level: int) -> tuple[int, int]:
        """Return rows and columns of a level."""
        height, width = (-(-extent >> level) if extent else 0 for extent in self.shape)
        return height, width

    def tile(self, level: int, row: int, col: int) -> Window | None:
        """Return a tile in pixels of its level, None where there is no such tile."""
        if not 0 <= level < self.levels or row < 0 or col < 0:
            return None
        window = Window(row * TILE, col * TILE, TILE, TILE)
        inside = window.intersection(Window.whole(self.level_shape(level)))
        return None if inside.is_empty else inside

    def on_image(self, level: int, window: Window) -> tuple[float, float, float, float]:
        """Return row, column, height and width on the image of a window of a level."""
        rows, cols = (
            whole / reduced
            for whole, reduced in zip(self.shape, self.level_shape(level), strict=True)
        )
        return window.row * rows, window.col * cols, window.height * rows, window.width * cols
