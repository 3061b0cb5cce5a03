"""One streaming pass over a scene for what a method needs to know of the whole of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bandweave.methods.base import Local, Method
from bandweave.methods.statistics import Measurement, SceneStatistics
from bandweave.mosaic.plan import Tile, TilePlan
from bandweave.source import PairSource
from bandweave.threads import in_order

if TYPE_CHECKING:
    from bandweave.parallel.cluster import Cluster


def gather_statistics(
    method: Method,
    source: PairSource,
    *,
    precision: type[np.float32 | np.float64] = np.float64,
    workers: int = 1,
    cluster: Cluster | None = None,
    advance: Callable[[int], None] = lambda _: None,
) -> SceneStatistics:
    """Sum a method's features over all valid pixels of the scene.

    Blocks are anchored to the scene and merged in one order, so the sums do not depend on the
    number of workers or on who measures.

    Args:
        method: One that has a measurement.
        source: The scene.
        precision: Type in which features are computed; their sums are always double.
        workers: Threads that read and measure.
        cluster: Measures the rows of blocks, or None for this process.
        advance: Called with the number of fine pixels done.
    """
    blocks = BlockSums(method, source, precision, workers)
    total: SceneStatistics | None = None
    for tile, part in blocks.here() if cluster is None else blocks.on(cluster):
        total = part if total is None else total.merged(part)
        advance(tile.run.height * tile.run.width)
    assert total is not None
    return total


@dataclass(frozen=True, slots=True, eq=False)
class BlockSums:
    """The sums over each block of a scene; itself the task that a worker is given with a row."""

    method: Method
    source: PairSource
    precision: type[np.float32 | np.float64]
    workers: int

    def here(self) -> Iterator[tuple[Tile, SceneStatistics]]:
        """Yield every block with its sums."""
        plan = self._plan
        tiles = [plan[row, col] for row in range(plan.rows) for col in range(plan.cols)]
        return in_order(self._measure, tiles, self.workers)

    def on(self, cluster: Cluster) -> Iterator[tuple[Tile, SceneStatistics]]:
        """Yield the same in the same order, computed on a cluster."""
        plan = self._plan
        for row, parts in cluster.in_order(self, range(plan.rows)):
            for col, part in enumerate(parts):
                yield plan[row, col], part

    def __call__(self, row: int) -> list[SceneStatistics]:
        """Return the sums of the blocks of one row."""
        plan = self._plan
        tiles = [plan[row, col] for col in range(plan.cols)]
        return [part for _, part in in_order(self._measure, tiles, self.workers)]

    @property
    def _measurement(self) -> Measurement:
        measurement = self.method.measurement(self.source.profile)
        assert measurement is not None
        return measurement

    @property
    def _plan(self) -> TilePlan:
        profile = self.source.profile
        return TilePlan.of(Local(self._measurement.apron), profile.shape, profile.ratio)

    def _measure(self, tile: Tile) -> SceneStatistics:
        pair = self.source.read(tile.read, self.precision)
        core = tile.run.relative_to(tile.read)
        return SceneStatistics.of(self._measurement.features(pair, core), pair.crop(core))
