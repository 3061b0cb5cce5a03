"""Where a fused image differs from its reference."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np

from bandweave.metrics.images import ImageSource
from bandweave.metrics.inputs import Array
from bandweave.metrics.tiles import in_order, load_tile, plan_tiles
from bandweave.window import Window


@dataclass(frozen=True, slots=True, eq=False)
class ErrorMap:
    """The mean absolute error over the bands, averaged over cells of pixels."""

    values: Array
    """`(rows, columns)` in the unit of the images; nan where a cell has no valid pixel."""
    cell: int
    """Pixels per side of a cell."""


def mean_error(
    estimate: ImageSource, reference: ImageSource, most: int, threads: int | None = None
) -> ErrorMap:
    """Map |F − G|, averaged over bands and cells, with at most `most` cells per side."""
    height, width = reference.shape
    cell = max(-(-height // most), -(-width // most), 1)
    values = np.full((-(-height // cell), -(-width // cell)), np.nan)
    whole = Window.whole(reference.shape)
    tiles = plan_tiles(whole, cell, reference.bands)
    for place, part in in_order(partial(_cells, estimate, reference, whole, cell), tiles, threads):
        values[place.slices] = part
    return ErrorMap(values, cell)


def _cells(
    estimate: ImageSource, reference: ImageSource, whole: Window, cell: int, core: Window
) -> tuple[Window, Array] | None:
    tile = load_tile(estimate, reference, core, region=whole)
    if tile is None:
        return None
    error = np.abs(tile.estimate - tile.reference).mean(axis=0)
    valid = np.ones(error.shape) if tile.valid is None else tile.valid.astype(np.float64)
    total, count = _summed(np.where(valid > 0, error, 0.0), cell), _summed(valid, cell)
    means = np.full(total.shape, np.nan)
    np.divide(total, count, out=means, where=count > 0)
    rows, cols = total.shape
    return Window(core.row // cell, core.col // cell, rows, cols), means


def _summed(plane: Array, cell: int) -> Array:
    """Sum over cells; those at the bottom and right may be smaller."""
    rows, cols = (np.arange(0, size, cell) for size in plane.shape)
    sums: Array = np.add.reduceat(np.add.reduceat(plane, rows, axis=0), cols, axis=1)
    return sums
