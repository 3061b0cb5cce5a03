"""Images that are read by windows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from bandweave.errors import ScaleError
from bandweave.metrics.inputs import require_mask, require_stack
from bandweave.pair import Mask
from bandweave.radiometry import Image, to_unit
from bandweave.window import Window

_UNIT_OVERSHOOT = 1.5  # filters overshoot [0, 1] a little; DN without a full scale exceed it by far


class ImageSource(Protocol):
    """An image that need not fit into memory; a `RasterImage` is one.

    `read` may be called from several threads at once.
    """

    @property
    def bands(self) -> int:
        """Return the number of bands."""
        ...

    @property
    def shape(self) -> tuple[int, int]:
        """Return rows and columns."""
        ...

    def read(
        self, window: Window, dtype: type[np.float32 | np.float64]
    ) -> tuple[Image, Mask | None]:
        """Read a window inside the image: pixels `(C, H, W)`, and where they are valid."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class ArrayImage:
    """An image in memory.

    Raises:
        ShapeError: It is not `(C, H, W)` with at least one pixel, or the mask does not fit.
    """

    image: Image
    """`(C, H, W)`, physical values."""
    valid: Mask | None = None
    """`(H, W)`, True where usable; None means everywhere."""

    def __post_init__(self) -> None:
        require_stack(self.image, "image")
        if self.valid is not None:
            require_mask(self.valid, self.image.shape[1:])

    @property
    def bands(self) -> int:
        """Return the number of bands."""
        return len(self.image)

    @property
    def shape(self) -> tuple[int, int]:
        """Return rows and columns."""
        return self.image.shape[1], self.image.shape[2]

    def read(
        self, window: Window, dtype: type[np.float32 | np.float64]
    ) -> tuple[Image, Mask | None]:
        """Cut out a window; a view where the type is right already."""
        rows, cols = window.slices
        pixels: Image = self.image[:, rows, cols].astype(dtype, copy=False)
        return pixels, None if self.valid is None else self.valid[rows, cols]


@dataclass(frozen=True, slots=True, eq=False)
class Masked:
    """An image that is valid only where another mask says so, too."""

    source: ImageSource
    mask: Mask
    """`(H, W)`, True where usable."""

    @property
    def bands(self) -> int:
        """Return the number of bands."""
        return self.source.bands

    @property
    def shape(self) -> tuple[int, int]:
        """Return rows and columns."""
        return self.source.shape

    def read(
        self, window: Window, dtype: type[np.float32 | np.float64]
    ) -> tuple[Image, Mask | None]:
        """Read a window."""
        pixels, valid = self.source.read(window, dtype)
        return pixels, both_valid(valid, self.mask[window.slices])


@dataclass(frozen=True, slots=True, eq=False)
class Cropped:
    """A part of an image."""

    source: ImageSource
    part: Window

    @property
    def bands(self) -> int:
        """Return the number of bands."""
        return self.source.bands

    @property
    def shape(self) -> tuple[int, int]:
        """Return rows and columns."""
        return self.part.shape

    def read(
        self, window: Window, dtype: type[np.float32 | np.float64]
    ) -> tuple[Image, Mask | None]:
        """Read a window, counted from the part's first pixel."""
        return self.source.read(window.shifted(self.part.row, self.part.col), dtype)


@dataclass(frozen=True, slots=True, eq=False)
class UnitRange:
    """An image divided by its full scale, so that DN in [0, full_scale] become [0, 1]."""

    source: ImageSource
    full_scale: float
    is_clipped: bool = False
    """Whether values outside [0, 1] are clipped."""
    is_refused_outside: bool = False
    """Whether an image that exceeds 1 by far is refused: its full scale is not known."""

    @property
    def bands(self) -> int:
        """Return the number of bands."""
        return self.source.bands

    @property
    def shape(self) -> tuple[int, int]:
        """Return rows and columns."""
        return self.source.shape

    def read(
        self, window: Window, dtype: type[np.float32 | np.float64]
    ) -> tuple[Image, Mask | None]:
        """Read a window.

        Raises:
            ScaleError: The image exceeds its full scale by far, and may not.
        """
        pixels, valid = self.source.read(window, dtype)
        unit = to_unit(pixels, self.full_scale)
        if self.is_clipped:
            return np.clip(unit, 0.0, 1.0), valid
        if not self.is_refused_outside:
            return unit, valid
        largest = float(np.max(unit, where=True if valid is None else valid, initial=0.0))
        if largest > _UNIT_OVERSHOOT:
            raise ScaleError(
                f"The reference has to lie in [0, 1] after division by its full scale, but "
                f"reaches {largest:g} after division by {self.full_scale:g}; give the full scale."
            )
        return unit, valid


def both_valid(first: Mask | None, second: Mask | None) -> Mask | None:
    """Return where both masks are True; None stands for everywhere."""
    if first is None or second is None:
        return second if first is None else first
    return first & second
