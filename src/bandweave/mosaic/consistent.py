"""The consistency step on a scene: behind the method, on its finished rows.

It needs the fused image around a pixel, whatever tiles that came from, so it is no part of the
method: it takes the rows that the method finishes, holds as many as its context asks for, and hands
on corrected blocks. These are anchored to the scene as those of local methods are, so that a window
has the very pixels of the full run.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from bandweave.methods.base import Local
from bandweave.methods.consistency import Consistency
from bandweave.mosaic.plan import Tile, TilePlan, held_block
from bandweave.mosaic.runner import ArraySink, Sink
from bandweave.pair import ImagePair, Mask, PairProfile
from bandweave.radiometry import Image
from bandweave.source import PairSource
from bandweave.threads import in_order
from bandweave.window import Window


@dataclass(frozen=True, slots=True)
class ConsistencyEffect:
    """What the step changed, as sums over blocks that can be added."""

    pixels: int = 0
    """Valid fine pixels times bands."""
    moved_sum: float = 0.0
    """Σ |x − x₀| over them."""
    samples: int = 0
    """Coarse pixels times bands that were seen again, away from masks and block edges."""
    before_sum: float = 0.0
    """Σ |A x₀ − y| over them."""
    after_sum: float = 0.0
    """Σ |A x − y| over them."""

    def merged(self, other: ConsistencyEffect) -> ConsistencyEffect:
        """Add the sums of another part."""
        names = self.__dataclass_fields__
        return ConsistencyEffect(**{n: getattr(self, n) + getattr(other, n) for n in names})

    def as_sums(self) -> tuple[float, ...]:
        """Return the sums as numbers, for a file."""
        return tuple(float(getattr(self, name)) for name in self.__dataclass_fields__)

    @classmethod
    def of_sums(cls, sums: Iterable[float]) -> ConsistencyEffect:
        """Return what `as_sums` was made of."""
        pixels, moved, samples, before, after = map(float, sums)
        return cls(int(pixels), moved, int(samples), before, after)

    @property
    def moved(self) -> float | None:
        """Return the mean change of a pixel in physical values."""
        return self.moved_sum / self.pixels if self.pixels else None

    @property
    def before(self) -> float | None:
        """Return the mean |A x₀ − y|: how far the method's own result was from the MS."""
        return self.before_sum / self.samples if self.samples else None

    @property
    def after(self) -> float | None:
        """Return the mean |A x − y| of the consistent result."""
        return self.after_sum / self.samples if self.samples else None

    def as_dict(self) -> dict[str, Any]:
        """Return the means for JSON."""
        return {"moved": self.moved, "before": self.before, "after": self.after}

    @property
    def sentence(self) -> str:
        """Say it in words."""
        if self.moved is None:
            return "Consistency: no valid pixel was changed."
        text = f"Consistency: pixels moved by {self.moved:.3g} on average"
        if self.before is None or self.after is None:
            return f"{text}; the image is too small to tell how well it gives back the MS."
        return (
            f"{text}; seen again by the MS instrument they differ from the MS by "
            f"{self.after:.2g} instead of {self.before:.2g}."
        )


def block_plan(step: Consistency, profile: PairProfile) -> TilePlan:
    """Return the blocks in which a scene is corrected."""
    apron = step.apron(profile.ratio, profile.phase)
    block = held_block(profile.shape[1], profile.ratio)
    return TilePlan.of(Local(apron, block), profile.shape, profile.ratio)


class ConsistentRows:
    """A sink that makes the rows it takes consistent and hands them on to another.

    Fuse `needed`, the window with the context of its blocks, into it.
    """

    def __init__(
        self,
        step: Consistency,
        source: PairSource,
        sink: Sink,
        window: Window,
        *,
        precision: type[np.float32 | np.float64],
        workers: int = 1,
    ) -> None:
        """Plan the blocks.

        Args:
            step: The sensor model.
            source: The scene; its spectral image is read again.
            sink: Receives the rows of `window`, top to bottom.
            window: The part of the scene that is wanted.
            precision: Type in which the step is computed.
            workers: Threads.
        """
        profile = source.profile
        self._step, self._source, self._sink = step, source, sink
        self._window, self._precision, self._workers = window, precision, workers
        self._plan = block_plan(step, profile)
        self._waiting = list(self._plan.tile_rows(window))
        first = self._tiles(self._waiting[0])[0].read
        last = self._tiles(self._waiting[-1])[-1].read
        self.needed = Window(
            first.row, first.col, last.row_stop - first.row, last.col_stop - first.col
        )
        """Part of the scene to fuse into this sink."""
        self.effect = ConsistencyEffect()
        """What was changed so far."""
        self._strips: deque[tuple[int, Image]] = deque()
        self._next_row = self.needed.row

    @property
    def blocks(self) -> int:
        """Return the number of blocks not yet done."""
        return len(self._waiting) * len(self._plan.tile_cols(self._window))

    def write_rows(self, rows: Image, valid: Mask | None) -> None:
        """Take rows of `needed`; hand on those that have all their context."""
        del valid  # the source is asked for it with the spectral image
        self._strips.append((self._next_row, rows.astype(self._precision, copy=False)))
        self._next_row += rows.shape[1]
        while self._waiting:
            tiles = self._tiles(self._waiting[0])
            if tiles[0].read.row_stop > self._next_row:
                break
            self._drop_rows_above(tiles[0].read.row)
            self._hand_on(tiles)
            del self._waiting[0]

    def _tiles(self, row: int) -> list[Tile]:
        return [self._plan[row, col] for col in self._plan.tile_cols(self._window)]

    def _hand_on(self, tiles: list[Tile]) -> None:
        """Correct one row of blocks and give its part of the window to the sink."""
        window = self._window
        row = max(tiles[0].write.row, window.row)
        height = min(tiles[0].write.row_stop, window.row_stop) - row
        rows = np.empty((self._source.profile.bands, height, window.width), self._precision)
        known = np.empty((height, window.width), dtype=bool)
        corner = Window(row, window.col, 0, 0)
        change = ConsistencyEffect()
        for tile, (block, valid, effect) in in_order(self._corrected, tiles, self._workers):
            common = tile.write.intersection(window)
            inside = common.relative_to(tile.run).slices
            target = common.relative_to(corner).slices
            rows[(slice(None), *target)] = block[(slice(None), *inside)]
            known[target] = valid[inside]
            change = change.merged(effect)
        # Row by row of blocks, so that the sums are the same where rows are fused apart.
        self.effect = self.effect.merged(change)
        rows[:, ~known] = 0
        self._sink.write_rows(rows, known)

    def _corrected(self, tile: Tile) -> tuple[Image, Mask, ConsistencyEffect]:
        """Return a block on `tile.run`, its mask, and what was changed."""
        pair = self._source.read(tile.read, self._precision)
        core = tile.run.relative_to(tile.read)
        before = self._held(tile.read)
        valid = np.ones(core.shape, dtype=bool) if pair.valid is None else pair.valid[core.slices]
        if not valid.any():
            return before[(slice(None), *core.slices)], valid, ConsistencyEffect()
        after = self._step.apply(before, pair)
        effect = self._effect(before, after, pair, core)
        return after[(slice(None), *core.slices)], valid, effect

    def _effect(
        self, before: Image, after: Image, pair: ImagePair, core: Window
    ) -> ConsistencyEffect:
        """Compare a block before and after, over what A sees of its core alone."""
        fine, part = (slice(None), *core.slices), pair.crop(core)
        x0, x = before[fine], after[fine]
        moved = np.abs(x - x0) if part.valid is None else np.abs(x - x0)[:, part.valid]
        comparable = self._step.comparable(part)
        misfits = [np.abs(self._step.residual(image, part))[comparable] for image in (x0, x)]
        sums = [float(values.sum(dtype=np.float64)) for values in (moved, *misfits)]
        return ConsistencyEffect(moved.size, sums[0], misfits[0].size, sums[1], sums[2])

    def _held(self, window: Window) -> Image:
        """Return the method's own pixels of a window that is held."""
        cols = slice(window.col - self.needed.col, window.col_stop - self.needed.col)
        parts = []
        for top, strip in self._strips:
            start, stop = max(window.row - top, 0), min(window.row_stop - top, strip.shape[1])
            if start < stop:
                parts.append(strip[:, start:stop, cols])
        return np.concatenate(parts, axis=1)

    def _drop_rows_above(self, row: int) -> None:
        while self._strips[0][0] + self._strips[0][1].shape[1] <= row:
            self._strips.popleft()


def estimate_step_seconds(
    step: Consistency,
    source: PairSource,
    *,
    precision: type[np.float32 | np.float64],
    window: Window,
    workers: int,
) -> float:
    """Time the step on the first block of a window, and scale it up to all of them."""
    whole = ConsistentRows(step, source, ArraySink(), window, precision=precision)
    corner = Window(window.row, window.col, 1, 1)
    one = ConsistentRows(step, source, ArraySink(), corner, precision=precision)
    rows = np.zeros((source.profile.bands, *one.needed.shape), precision)
    start = time.perf_counter()
    one.write_rows(rows, None)
    return (time.perf_counter() - start) * whole.blocks / workers
