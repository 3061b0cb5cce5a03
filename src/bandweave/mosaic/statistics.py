"""One streaming pass over a scene for what a method needs to know of the whole of it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from bandweave.methods.base import Local
from bandweave.methods.statistics import Features, Measurement, SceneStatistics
from bandweave.mosaic.plan import Tile, TilePlan
from bandweave.source import PairSource
from bandweave.threads import in_order


def gather_statistics(
    source: PairSource,
    measurement: Measurement,
    *,
    precision: type[np.float32 | np.float64] = np.float64,
    workers: int = 1,
    advance: Callable[[int], None] = lambda _: None,
) -> SceneStatistics:
    """Sum a method's features over all valid pixels of the scene.

    Blocks are anchored to the scene and merged in one order, so the sums do not depend on the
    number of workers.

    Args:
        source: The scene.
        measurement: The method's features and the context they need.
        precision: Type in which features are computed; their sums are always double.
        workers: Threads that read and measure.
        advance: Called with the number of fine pixels done.
    """
    profile = source.profile
    plan = TilePlan.of(Local(measurement.apron), profile.shape, profile.ratio)

    def measure(tile: Tile) -> SceneStatistics:
        pair = source.read(tile.read, precision)
        features = measurement.features(pair)
        core = tile.run.relative_to(tile.read)
        fine, coarse = core.slices, core.coarse(profile.ratio).slices
        cut = Features(
            features.fine[(slice(None), *fine)],
            features.coarse[(slice(None), *coarse)],
            features.ranked,
            features.ranked_coarse,
        )
        return SceneStatistics.of(cut, pair.crop(core))

    total: SceneStatistics | None = None
    tiles = [plan[row, col] for row in range(plan.rows) for col in range(plan.cols)]
    for tile, part in in_order(measure, tiles, workers):
        total = part if total is None else total.merged(part)
        advance(tile.run.height * tile.run.width)
    assert total is not None
    return total
