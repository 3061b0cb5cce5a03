"""From what a foreign file stores to DN."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bandweave.radiometry import Image

Float = type[np.float32 | np.float64]

# Networks' inputs in [0, 1] that went through a filter may overshoot a little.
_UNIT_RANGE = (-0.1, 1.1)


@dataclass(frozen=True, slots=True)
class Scale:
    """How the values of a file become physical ones."""

    factor: float
    """Multiplies the stored values."""
    full_scale: float | None
    """Physical value that maps to 1.0, or None where not known."""

    @classmethod
    def of(cls, images: Sequence[NDArray[Any] | None], full_scale: float | None) -> Scale:
        """Look at the images of one pair.

        Floating values within [0, 1] are DN / full_scale and are multiplied by it; where no full
        scale is known they are kept, as reflectance or unit values with full scale 1.
        """
        present = [image for image in images if image is not None and image.size]
        if all(_is_unit(image) for image in present):
            return cls(full_scale or 1.0, full_scale or 1.0)
        return cls(1.0, full_scale)

    def physical(self, image: NDArray[Any], dtype: Float) -> Image:
        """Return `image` in physical values; multiplied in float64, then rounded to `dtype`."""
        if self.factor == 1.0:
            return np.ascontiguousarray(image, dtype=dtype)
        return np.ascontiguousarray(image * np.float64(self.factor), dtype=dtype)


def _is_unit(image: NDArray[Any]) -> bool:
    low, high = _UNIT_RANGE
    return image.dtype.kind == "f" and bool(np.nanmin(image) >= low and np.nanmax(image) <= high)
