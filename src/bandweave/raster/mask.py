"""Which pixels of a file are usable, and what stands in the others while methods run.

A pixel is usable when every band that is read is: no nodata value, not masked out, not
transparent, finite. Alpha bands are masks, never data.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import DTypeLike, NDArray
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.io import DatasetReader

from bandweave.pair import Mask

MaskMode = Literal["auto", "nodata", "internal", "alpha", "none"]
"""Which of a file's statements count: all it makes, one kind, or none."""

FILL_REACH = 64
"""Pixels over which a gap is filled from its rim. Values further inside stay 0: they lie beyond the
context of every local method, so that a window's result is that of the whole scene."""

# Row and column steps to the eight neighbours, straight ones first: the first filled one is copied.
_NEIGHBOURS = ((-1, 0), (0, -1), (0, 1), (1, 0), (-1, -1), (-1, 1), (1, -1), (1, 1))


@dataclass(frozen=True, slots=True)
class MaskRule:
    """What makes a pixel of one file invalid, besides NaN and infinity."""

    nodata: tuple[float | None, ...]
    """Nodata value of each band that is read, None where it has none that its type can hold."""
    internal: bool = False
    """Whether the file's mask band counts."""
    alpha: int | None = None
    """Index (from 1) of the alpha band that counts, or None."""

    @property
    def is_empty(self) -> bool:
        """Tell whether nothing in the file can make a pixel invalid."""
        return not self.internal and self.alpha is None and all(v is None for v in self.nodata)


def alpha_band(dataset: DatasetReader) -> int | None:
    """Return the index (from 1) of a file's alpha band, or None."""
    colours = list(dataset.colorinterp)
    return colours.index(ColorInterp.alpha) + 1 if ColorInterp.alpha in colours else None


def mask_rule(
    dataset: DatasetReader, indexes: Sequence[int], mode: MaskMode, nodata: float | None
) -> MaskRule:
    """Collect what the file says of its invalid pixels.

    Args:
        dataset: Open file.
        indexes: Bands that are read, from 1.
        mode: Which statements count.
        nodata: Value to take for every band instead of what the file declares, or None.
    """
    flags = dataset.mask_flag_enums[indexes[0] - 1]
    alpha = alpha_band(dataset) if mode in ("auto", "alpha") else None
    internal = MaskFlags.per_dataset in flags and MaskFlags.alpha not in flags
    declared = tuple(
        as_stored(dataset.nodatavals[i - 1] if nodata is None else nodata, dataset.dtypes[i - 1])
        for i in indexes
    )
    return MaskRule(
        nodata=declared if mode in ("auto", "nodata") else (None,) * len(indexes),
        internal=internal and mode in ("auto", "internal"),
        alpha=alpha,
    )


def finite_mask(values: NDArray[Any], nodata: Sequence[float | None]) -> Mask | None:
    """Return where all bands of `values` `(C, H, W)` hold data; None where nothing can be invalid.

    Args:
        values: Pixels as the file stores them.
        nodata: Nodata value of each band as its type holds it, or None.
    """
    valid: Mask | None = None
    if values.dtype.kind == "f":
        valid = np.isfinite(values).all(axis=0)
    for band, value in zip(values, nodata, strict=True):
        if value is None or math.isnan(value):
            continue
        differs = band != values.dtype.type(value)
        valid = differs if valid is None else valid & differs
    return valid


def as_stored(nodata: float | None, dtype: DTypeLike) -> float | None:
    """Return a nodata value as a band of `dtype` can hold it, or None where it cannot."""
    if nodata is None:
        return None
    target = np.dtype(dtype)
    if target.kind == "f":
        with np.errstate(over="ignore"):
            # Files declare float32 limits with the digits of float64.
            value = float(np.asarray(nodata).astype(target))
        return value if math.isfinite(value) == math.isfinite(nodata) else None
    limits = np.iinfo(target)
    fits = math.isfinite(nodata) and nodata == int(nodata)
    return nodata if fits and limits.min <= nodata <= limits.max else None


def fill_invalid(image: NDArray[Any], valid: Mask, *, reach: int = FILL_REACH) -> NDArray[Any]:
    """Give every invalid pixel the value of a nearest valid one, in steps to eight neighbours.

    The fill grows from the rim of each gap, one ring per step, so that a filled value depends on
    pixels at most `reach` away and not on how large the window around them is.

    Args:
        image: `(C, H, W)`, any type; left as it is.
        valid: `(H, W)`, True where `image` holds data.
        reach: Rings to fill; pixels further inside become 0.

    Returns:
        A copy of `image` without invalid values; zeros where no pixel is valid.
    """
    height, width = valid.shape
    # One ring of cells that count as filled but are never copied from keeps steps inside the array.
    source = np.full((height + 2, width + 2), -1, dtype=np.int64)
    source[1:-1, 1:-1] = np.where(valid, np.arange(valid.size).reshape(valid.shape), -1)
    open_cells = np.zeros(source.shape, dtype=bool)
    open_cells[1:-1, 1:-1] = ~valid
    _grow(source.reshape(-1), open_cells.reshape(-1), width + 2, reach)
    sources = source[1:-1, 1:-1]
    flat = image.reshape(image.shape[0], -1)
    filled = flat[:, np.maximum(sources, 0).reshape(-1)].reshape(image.shape)
    filled[:, sources < 0] = 0
    return filled


def _grow(
    source: NDArray[np.int64], open_cells: NDArray[np.bool_], stride: int, reach: int
) -> None:
    """Hand `source` on from filled to open cells, ring by ring; both are flat and changed."""
    steps = np.array([rows * stride + cols for rows, cols in _NEIGHBOURS])
    cells = np.flatnonzero(open_cells)
    for _ in range(reach):
        around = source[cells[:, None] + steps]
        has_filled = around >= 0
        is_rim = has_filled.any(axis=1)
        rim, first = cells[is_rim], has_filled[is_rim].argmax(axis=1)
        if rim.size == 0:
            return
        # Assigned at once: cells of one ring must not see each other.
        source[rim] = around[is_rim, first]
        open_cells[rim] = False
        beside = np.unique(rim[:, None] + steps)
        cells = beside[open_cells[beside]]
