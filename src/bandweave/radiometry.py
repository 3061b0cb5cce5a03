"""Between digital numbers, the unit range of the networks, and integer files.

Scaling uses a fixed `full_scale`, never the image's own minimum or maximum: a pixel's value must
not depend on what else is in the picture.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

Image = NDArray[np.floating[Any]]

_AT_ONCE = 2**17  # values: few enough to stay in the cache for all that is done with them


def to_unit(image: Image, full_scale: float) -> Image:
    """Divide physical values by `full_scale`, so that DN in [0, full_scale] become [0, 1]."""
    return image / image.dtype.type(full_scale)


def from_unit(image: Image, full_scale: float) -> Image:
    """Multiply values of the unit range by `full_scale`: the inverse of `to_unit`."""
    return image * image.dtype.type(full_scale)


def to_storage(
    image: Image,
    dtype: DTypeLike,
    *,
    largest: float | None = None,
    smallest: float | None = None,
) -> NDArray[Any]:
    """Round half to even and clip to the range of an integer type; cast to a floating type.

    Args:
        image: Physical values, any shape; NaN becomes 0 in integer types.
        dtype: Type of the file.
        largest: Clip above this value too, for example the sensor's full scale.
        smallest: Clip below this value too.
    """
    target = np.dtype(dtype)
    if target.kind == "f":
        return image.astype(target, copy=False)
    low, high = _limits(target, smallest, largest)
    # float32 holds every 8- and 16-bit integer; larger ones need float64, or would wrap around.
    exact = image.dtype if target.itemsize <= 2 else np.dtype(np.float64)
    rounded = np.empty(image.shape, target)
    source, result = image.reshape(-1), rounded.reshape(-1)
    for start in range(0, source.size, _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        whole = np.rint(source[part].astype(exact, copy=False))
        # To look is cheaper than to clip, and most images lie within; with a NaN none of it holds.
        if not (whole.min() >= low and whole.max() <= high):
            np.clip(whole, low, high, out=whole)
            np.nan_to_num(whole, copy=False, nan=0.0)
        result[part] = whole
    return rounded


@dataclass(frozen=True, slots=True)
class Storage:
    """The type in which fused pixels are kept, and what else it takes to bring them there."""

    dtype: np.dtype[Any]
    largest: float | None = None
    """Clip above this value too, or None."""

    def __call__(self, image: Image) -> NDArray[Any]:
        """Bring physical values to the type, see `to_storage`."""
        return to_storage(image, self.dtype, largest=self.largest)

    @property
    def range(self) -> tuple[float, float]:
        """Return the least and the greatest value of an integer type."""
        return _limits(self.dtype, None, self.largest)

    @property
    def is_narrow_integer(self) -> bool:
        """Return whether single precision holds every value of the type."""
        return self.dtype.kind != "f" and self.dtype.itemsize <= 2


def _limits(
    target: np.dtype[Any], smallest: float | None, largest: float | None
) -> tuple[float, float]:
    limits = np.iinfo(target)
    low = limits.min if smallest is None else max(smallest, limits.min)
    high = limits.max if largest is None else min(largest, limits.max)
    return low, high
