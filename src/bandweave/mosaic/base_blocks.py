"""What the tiles of a network start from, computed block by block of the scene."""

from __future__ import annotations

import threading
from concurrent.futures import Future

import numpy as np

from bandweave.methods.base import Fitted, fuse_part
from bandweave.mosaic.plan import TilePlan
from bandweave.radiometry import Image
from bandweave.source import PairSource
from bandweave.window import Window


class BaseBlocks:
    """The result of a local method on any window of a scene, for windows that come row by row.

    A tile of 64 pixels needs twice as many around it for some closed forms. Computed once per block
    and kept while tiles touch it, that context costs little. Blocks are anchored to the scene, so a
    window gives the very pixels of the full run. Threads may share it.
    """

    def __init__(
        self, base: Fitted, source: PairSource, precision: type[np.float32 | np.float64]
    ) -> None:
        """Plan the blocks.

        Args:
            base: A fitted local method.
            source: The scene.
            precision: Type in which pairs are handed to the method.
        """
        profile = source.profile
        self._base, self._source, self._precision = base, source, precision
        self._plan = TilePlan.of(base.reach, profile.shape, profile.ratio)
        self._blocks: dict[tuple[int, int], Future[Image]] = {}
        self._first_rows: list[int] = []  # of the windows that are being read
        self._lock = threading.Lock()

    def read(self, window: Window) -> Image:
        """Return the result `(M C, height, width)` on a window inside the scene."""
        rows = self._plan.tile_rows(window)
        with self._lock:
            self._first_rows.append(rows.start)
            # Windows come from top to bottom: what lies above is not needed again.
            first = min(self._first_rows)
            self._blocks = {at: block for at, block in self._blocks.items() if at[0] >= first}
        try:
            return self._joined(window, rows)
        finally:
            with self._lock:
                self._first_rows.remove(rows.start)

    def _joined(self, window: Window, rows: range) -> Image:
        image: Image | None = None
        for row in rows:
            for col in self._plan.tile_cols(window):
                run = self._plan[row, col].run
                common = run.intersection(window)
                part = self._block(row, col)[(slice(None), *common.relative_to(run).slices)]
                if image is None:  # as many bands as the base makes
                    image = np.empty((len(part), *window.shape), np.float32)
                image[(slice(None), *common.relative_to(window).slices)] = part
        assert image is not None
        return image

    def _block(self, row: int, col: int) -> Image:
        with self._lock:
            known = self._blocks.get((row, col))
            block = self._blocks[row, col] = known or Future()
        if known is None:
            try:
                block.set_result(self._computed(row, col))
            except BaseException as error:
                block.set_exception(error)  # other threads may wait for it
                raise
        return block.result()

    def _computed(self, row: int, col: int) -> Image:
        tile = self._plan[row, col]
        pair = self._source.read(tile.read, self._precision)
        # A copy, so that the context is not kept.
        return fuse_part(self._base, pair, tile.run.relative_to(tile.read)).copy()
