"""Join fused tiles to finished rows, with weights that sum to one."""

from __future__ import annotations

import threading
from dataclasses import dataclass

import numpy as np
from numpy.typing import DTypeLike, NDArray

from bandweave.mosaic.plan import Tile, TilePlan
from bandweave.mosaic.row_memory import ReusedMemory
from bandweave.pair import Mask
from bandweave.radiometry import Image
from bandweave.window import Window


def ramp(overlap: int) -> NDArray[np.float64]:
    """Return the rising raised cosine over an overlap: w_i = (1 − cos(π (i + ½) / n)) / 2.

    It and its mirror image sum to one, so two overlapping tiles need no normalisation.
    """
    steps = (np.arange(overlap) + 0.5) / max(overlap, 1)
    return 0.5 - 0.5 * np.cos(np.pi * steps)


def tile_weights(index: int, count: int, size: int, overlap: int) -> NDArray[np.float64]:
    """Return the weights along one direction of tile `index` of `count`.

    The outer sides of the first and last tile keep weight one: there is no neighbour.
    """
    weights = np.ones(size)
    if overlap and index > 0:
        weights[:overlap] = ramp(overlap)
    if overlap and index < count - 1:
        weights[size - overlap :] = ramp(overlap)[::-1]
    return weights


@dataclass(frozen=True, slots=True, eq=False)
class FusedTile:
    """What became of a tile: its pixels on `tile.run`, or None where nothing was valid."""

    tile: Tile
    hrms: Image | None
    """`(C, h, w)` on `tile.run`."""
    valid: Mask | None
    """Mask on `tile.write`; None means that all of it is valid. Unused where `hrms` is None."""
    is_placed: bool = False
    """Whether `hrms` lies in what `RowBlender.place` gave out."""


@dataclass(frozen=True, slots=True, eq=False)
class Band:
    """Finished rows of the output window, top to bottom."""

    rows: Image
    """`(C, n, W)`, physical values, or these in the type of the file; invalid pixels hold 0."""
    valid: Mask
    """`(n, W)`."""


class RowBlender:
    """Take the tiles of one tile row after the other and give out rows as they get complete.

    The sums are made in a fixed order (columns, then rows), so that a pixel has the same bits
    whichever window is asked for and whoever computed the tiles.
    """

    def __init__(self, plan: TilePlan, window: Window, bands: int) -> None:
        self._plan = plan
        self._window = window
        self._bands = bands
        self._tail: Image | None = None
        self._next_row = window.row
        self._sums: dict[int, Image] = {}
        self._opening = threading.Lock()
        self._memory = ReusedMemory()
        self._valid: Mask | None = None

    @property
    def tail(self) -> Image | None:
        """Return the unfinished rows that the next tile row still adds to."""
        return self._tail

    def start_after(self, tile_row: int, tail: Image | None) -> None:
        """Go on behind a tile row that an earlier run has finished."""
        self._tail = tail
        self._next_row = self.final_until(tile_row)

    def add(self, fused: FusedTile) -> Band | None:
        """Add a tile; return the finished rows when it was the last of its tile row."""
        tile = fused.tile
        rows = self.rows_of(tile.row)
        if self._valid is None:
            self._valid = np.zeros((rows.height, self._window.width), dtype=bool)
        if fused.hrms is not None:
            self._accumulate(fused)
        if tile.col == self._plan.tile_cols(self._window)[-1]:
            return self._finish(tile.row, rows)
        return None

    def add_row(self, tile_row: int, finished: Image, tail: Image, valid: Mask) -> Band:
        """Take a row of tiles that is joined to the one above already.

        Args:
            tile_row: Its number.
            finished: `(C, n, W)`: its finished rows.
            tail: `(C, m, W)`: those that the next tile row still adds to.
            valid: `(n + m, W)`.
        """
        self._tail = tail
        self._next_row = self.final_until(tile_row)
        return _band(finished, valid[: finished.shape[1]])

    def place(self, tile: Tile, dtype: DTypeLike) -> Image | None:
        """Return where the pixels of a tile go, `(C, h, w)` for all of `tile.run`.

        None where tiles overlap or the window cuts this one: its pixels are copied then. May be
        called from any thread.
        """
        if self._plan.overlap or not self._window.contains(tile.run):
            return None
        total = self._opened(tile.row, dtype)
        place: Image = total[(slice(None), *self._target(tile.row, tile.run))]
        return place

    def rows_of(self, tile_row: int) -> Window:
        """Return the part of the window that a tile row contributes to."""
        return self._plan[tile_row, 0].write.intersection(
            Window(self._window.row, 0, self._window.height, self._plan.scene[1])
        )

    def final_until(self, tile_row: int) -> int:
        """Return the first row that tile rows after this one still contribute to."""
        following = self._plan.tile_rows(self._window)
        if tile_row == following[-1]:
            return self._window.row_stop
        return max(self._plan[tile_row + 1, 0].write.row, self._window.row)

    def _accumulate(self, fused: FusedTile) -> None:
        tile = fused.tile
        assert fused.hrms is not None
        part = tile.write.intersection(self._window)
        if part.is_empty:
            return
        if not fused.is_placed:
            self._add_pixels(fused.hrms, tile, part)
        assert self._valid is not None
        target = self._target(tile.row, part)
        if fused.valid is None:
            self._valid[target] = True
        else:
            # Overlapping tiles read the same mask; a tile without valid pixels says nothing.
            self._valid[target] |= fused.valid[part.relative_to(tile.write).slices]

    def _add_pixels(self, hrms: Image, tile: Tile, part: Window) -> None:
        plan = self._plan
        inside = part.relative_to(tile.run).slices
        contribution = hrms[(slice(None), *inside)]
        total = self._opened(tile.row, hrms.dtype)[(slice(None), *self._target(tile.row, part))]
        if not plan.overlap:
            total[:] = contribution
            return
        down = tile_weights(tile.row, plan.rows, plan.height, plan.overlap)[inside[0]]
        along = tile_weights(tile.col, plan.cols, plan.width, plan.overlap)[inside[1]]
        total += contribution * (down[:, None] * along[None, :]).astype(hrms.dtype)

    def _opened(self, tile_row: int, dtype: DTypeLike) -> Image:
        """Return what the tiles of a row are put into."""
        with self._opening:
            if tile_row not in self._sums:
                shape = (self._bands, self.rows_of(tile_row).height, self._window.width)
                self._sums[tile_row] = self._memory.empty(shape, dtype)
                if self._plan.overlap:
                    self._sums[tile_row][:] = 0
            return self._sums[tile_row]

    def _target(self, tile_row: int, part: Window) -> tuple[slice, slice]:
        """Return where a part of the window lies in the sum of a tile row."""
        return part.relative_to(Window(self.rows_of(tile_row).row, self._window.col, 0, 0)).slices

    def _finish(self, tile_row: int, rows: Window) -> Band:
        assert self._valid is not None
        total = self._sums.pop(tile_row, None)
        if total is None:
            total = np.zeros((self._bands, rows.height, self._window.width), dtype=np.float32)
        if self._tail is not None and self._tail.shape[1]:
            total = total.astype(np.result_type(total, self._tail), copy=False)
            total[:, : self._tail.shape[1]] += self._tail
        stop = self.final_until(tile_row)
        done = slice(self._next_row - rows.row, stop - rows.row)
        band = _band(total[:, done], self._valid[done])
        self._tail = total[:, stop - rows.row :].copy()
        self._next_row = stop
        self._valid = None
        return band


def _band(rows: Image, valid: Mask) -> Band:
    if not valid.all():
        rows[:, ~valid] = 0
    return Band(rows, valid)
