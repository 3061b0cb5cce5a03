"""Fuse a scene by whole rows of tiles, for methods that blend where they compute."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bandweave.methods.base import FittedRows, NetworkTile, RowJoin
from bandweave.mosaic.blend import Band, RowBlender, tile_weights
from bandweave.mosaic.plan import TilePlan
from bandweave.pair import ImagePair, Mask
from bandweave.radiometry import Image, Storage
from bandweave.source import PairSource
from bandweave.threads import in_order
from bandweave.window import Window

_Prepared = tuple[NetworkTile | None, Mask]


@dataclass(frozen=True, slots=True, eq=False)
class _Linked:
    """A prepared row of tiles between its neighbours."""

    row: int
    images: NetworkTile | None
    """None where no pixel is valid."""
    valid: Mask
    above: Future[Image | None]
    """What the row above leaves unfinished."""
    below: Future[Image | None]
    """What this one leaves."""


class TileRows:
    """The rows of tiles that a window of a scene needs.

    Tiles without a valid pixel are computed with the others: on a device they cost less than to
    sort them out.
    """

    def __init__(
        self,
        fitted: FittedRows,
        source: PairSource,
        plan: TilePlan,
        window: Window,
        precision: type[np.float32 | np.float64],
    ) -> None:
        from bandweave.mosaic.base_blocks import BaseBlocks  # noqa: PLC0415  # networks only

        self._fitted, self._source, self._plan = fitted, source, plan
        self._window, self._precision = window, precision
        self._cols = plan.tile_cols(window)
        self._starts = None if fitted.base is None else BaseBlocks(fitted.base, source, precision)

    def finished(
        self, rows: list[int], blender: RowBlender, workers: int, storage: Storage | None
    ) -> Iterator[tuple[int, Band, Image]]:
        """Yield each row's number, finished pixels and unfinished ones.

        Rows are read and prepared in threads, and several are under way on the devices: while one
        is computed, another travels. Each takes what the row above has left, wherever that was.

        Args:
            rows: Numbers of the tile rows, from top to bottom.
            blender: Knows which rows are finished when.
            workers: Threads that read and prepare.
            storage: Type of the finished pixels, or None for physical values.
        """
        at_once = self._fitted.rows_at_once
        linked = self._linked(in_order(self._prepare, rows, workers), blender.tail)

        def fuse(work: _Linked) -> tuple[NDArray[Any], Image]:
            return self._fused(work, blender, storage)

        for work, (finished, tail) in in_order(fuse, linked, at_once, ahead=at_once):
            yield work.row, blender.add_row(work.row, finished, tail, work.valid), tail

    def _linked(
        self, prepared: Iterable[tuple[int, _Prepared]], tail: Image | None
    ) -> Iterator[_Linked]:
        """Link each row to what the one above will leave."""
        above: Future[Image | None] = Future()
        above.set_result(tail)
        for row, (images, valid) in prepared:
            below: Future[Image | None] = Future()
            yield _Linked(row, images, valid, above, below)
            above = below

    def _spans(self, row: int) -> tuple[Window, Window, Window]:
        """Return what is read, what is computed, and what of that lies in the window."""
        first, last = self._plan[row, self._cols[0]], self._plan[row, self._cols[-1]]
        read, run = (
            Window(a.row, a.col, a.height, b.col_stop - a.col)
            for a, b in ((first.read, last.read), (first.run, last.run))
        )
        inside = run.intersection(self._window)
        return read, run, inside

    def _prepare(self, row: int) -> _Prepared:
        read, _, part = self._spans(row)
        inside = read.intersection(Window.whole(self._source.profile.shape))
        pair = self._source.read(inside, self._precision)
        if pair.valid is None:
            valid = np.ones(part.shape, dtype=bool)
        else:
            valid = pair.valid[part.relative_to(inside).slices].copy()
            if not pair.valid.any():
                return None, valid
        start = None
        if self._starts is not None:
            start = reflected(self._starts.read(inside), inside, read)
        tile = self._fitted.prepare(reflected_pair(pair, inside, read), start)
        return replace(tile, spatial=narrow(tile.spatial), spectral=narrow(tile.spectral)), valid

    def _fused(
        self, work: _Linked, blender: RowBlender, storage: Storage | None
    ) -> tuple[NDArray[Any], Image]:
        row, plan = work.row, self._plan
        _, run, part = self._spans(row)
        down = tile_weights(row, plan.rows, plan.height, plan.overlap)
        along = [tile_weights(col, plan.cols, plan.width, plan.overlap) for col in self._cols]
        join = RowJoin(
            down.astype(np.float32),
            np.stack(along).astype(np.float32),
            part.relative_to(run),
            blender.final_until(row) - part.row,
            storage,
        )
        try:
            finished, tail = self._fitted.fuse_row(work.images, join, work.above.result)
        except BaseException as error:
            work.below.set_exception(error)  # the row below waits for it
            raise
        work.below.set_result(tail)
        return finished, tail


def reflected_pair(pair: ImagePair, inside: Window, wanted: Window) -> ImagePair:
    """Fill a tile that crosses the scene's edge by reflection (edge pixels repeated)."""
    if inside == wanted:
        return pair
    return pair.replace(
        spatial=reflected(pair.spatial, inside, wanted),
        spectral=reflected(pair.spectral, inside.coarse(pair.ratio), wanted.coarse(pair.ratio)),
        valid=None if pair.valid is None else reflected(pair.valid[None], inside, wanted)[0],
        grid=None,
    )


def reflected(image: NDArray[Any], inside: Window, wanted: Window) -> NDArray[Any]:
    """Fill an image `(C, H, W)` of `inside` up to `wanted` by reflection."""
    rows = (inside.row - wanted.row, wanted.row_stop - inside.row_stop)
    cols = (inside.col - wanted.col, wanted.col_stop - inside.col_stop)
    return np.pad(image, [(0, 0), rows, cols], mode="symmetric")


def narrow(image: Image) -> NDArray[Any]:
    """Return an image of whole numbers in 16 bits, any other one as it is, in float32.

    Half the bytes travel to the device, where both become float32 again.
    """
    if image.min() >= 0 and image.max() <= np.iinfo(np.uint16).max:  # with a NaN neither holds
        whole = image.astype(np.uint16)
        if np.array_equal(whole, image):
            return whole
    return image.astype(np.float32, copy=False)
