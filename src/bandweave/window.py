"""Integer pixel rectangles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Pixels = TypeVar("Pixels", bound=np.generic[Any])


@dataclass(frozen=True, slots=True)
class Window:
    """A rectangle of whole pixels on some grid, half-open, counted from 0.

    Example:
        >>> Window(0, 0, 8, 12).padded(4).intersection(Window(0, 0, 10, 10))
        Window(row=0, col=0, height=10, width=10)
    """

    row: int
    """First row."""
    col: int
    """First column."""
    height: int
    """Number of rows, zero or more."""
    width: int
    """Number of columns, zero or more."""

    def __post_init__(self) -> None:
        if self.height < 0 or self.width < 0:
            raise ValueError(
                f"Window height and width must not be negative, got {self.height} x {self.width}."
            )

    @classmethod
    def whole(cls, shape: tuple[int, int]) -> Window:
        """Cover an image of `shape` (rows, columns)."""
        return cls(0, 0, shape[0], shape[1])

    @property
    def row_stop(self) -> int:
        """Return the row after the last one."""
        return self.row + self.height

    @property
    def col_stop(self) -> int:
        """Return the column after the last one."""
        return self.col + self.width

    @property
    def shape(self) -> tuple[int, int]:
        """Return (height, width)."""
        return self.height, self.width

    @property
    def is_empty(self) -> bool:
        """Tell whether the window holds no pixel."""
        return self.height == 0 or self.width == 0

    @property
    def slices(self) -> tuple[slice, slice]:
        """Return row and column slices; the window must not start before pixel 0."""
        if self.row < 0 or self.col < 0:
            raise ValueError(f"{self} starts before the image; clip it before slicing.")
        return slice(self.row, self.row_stop), slice(self.col, self.col_stop)

    def cut(self, image: NDArray[Pixels]) -> NDArray[Pixels]:
        """Return the view of an image `(..., rows, columns)` that the window shows."""
        return image[(..., *self.slices)]

    def padded(self, rows: int, cols: int | None = None) -> Window:
        """Grow by `rows` above and below and `cols` (default: as many) left and right."""
        c = rows if cols is None else cols
        return Window(self.row - rows, self.col - c, self.height + 2 * rows, self.width + 2 * c)

    def shifted(self, rows: int, cols: int) -> Window:
        """Move by whole pixels."""
        return Window(self.row + rows, self.col + cols, self.height, self.width)

    def relative_to(self, other: Window) -> Window:
        """Express this window in the pixel coordinates of `other`'s first pixel."""
        return self.shifted(-other.row, -other.col)

    def intersection(self, other: Window) -> Window:
        """Return the common part; empty (zero height or width) where there is none."""
        row, col = max(self.row, other.row), max(self.col, other.col)
        height = max(min(self.row_stop, other.row_stop) - row, 0)
        width = max(min(self.col_stop, other.col_stop) - col, 0)
        return Window(row, col, height, width)

    def contains(self, other: Window) -> bool:
        """Tell whether `other` lies wholly inside."""
        return self.intersection(other) == other

    def snapped(self, ratio: int) -> Window:
        """Grow to the smallest window whose edges are multiples of `ratio`."""
        row, col = self.row // ratio * ratio, self.col // ratio * ratio
        row_stop, col_stop = -(-self.row_stop // ratio) * ratio, -(-self.col_stop // ratio) * ratio
        return Window(row, col, row_stop - row, col_stop - col)

    def coarse(self, ratio: int) -> Window:
        """Express a window whose edges are multiples of `ratio` on the coarse grid.

        Raises:
            ValueError: An edge is no multiple of `ratio`; use `snapped` first.
        """
        if any(v % ratio for v in (self.row, self.col, self.height, self.width)):
            raise ValueError(f"{self} does not lie on multiples of the ratio {ratio}.")
        return Window(
            self.row // ratio, self.col // ratio, self.height // ratio, self.width // ratio
        )

    def fine(self, ratio: int) -> Window:
        """Express a coarse window on the fine grid; the inverse of `coarse`."""
        return Window(self.row * ratio, self.col * ratio, self.height * ratio, self.width * ratio)
