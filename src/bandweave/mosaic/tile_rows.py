"""Fuse a scene by whole rows of tiles, for methods that blend where they compute."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bandweave.methods.base import FittedRows, NetworkTile
from bandweave.mosaic.blend import Band, RowBlender, tile_weights
from bandweave.mosaic.plan import TilePlan
from bandweave.pair import ImagePair, Mask
from bandweave.radiometry import Image
from bandweave.source import PairSource
from bandweave.threads import in_order
from bandweave.window import Window

_Prepared = tuple[NetworkTile | None, Mask]


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
        self, rows: list[int], blender: RowBlender, workers: int
    ) -> Iterator[tuple[int, Band, Image]]:
        """Yield each row's number, finished pixels and unfinished ones.

        Rows are read and prepared in threads, and two are under way on the device: while one is
        computed, the other travels.
        """
        prepared = in_order(self._prepare, rows, workers)
        for (row, (_, valid)), blended in in_order(self._blended, prepared, 2, ahead=2):
            band = blender.add_row(row, blended, valid)
            assert blender.tail is not None
            yield row, band, blender.tail

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
        return self._fitted.prepare(reflected_pair(pair, inside, read), start), valid

    def _blended(self, prepared: tuple[int, _Prepared]) -> Image | None:
        row, (images, _) = prepared
        if images is None:
            return None
        plan = self._plan
        _, run, part = self._spans(row)
        down = tile_weights(row, plan.rows, plan.height, plan.overlap)
        along = [tile_weights(col, plan.cols, plan.width, plan.overlap) for col in self._cols]
        blended = self._fitted.fuse_row(images, down, np.stack(along))
        return blended[(slice(None), *part.relative_to(run).slices)]


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
