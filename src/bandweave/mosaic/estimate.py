"""How long will it take? Measured on a piece of the scene itself, not guessed."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import numpy as np

from bandweave.methods.base import Fitted, FixedTile
from bandweave.mosaic.plan import TilePlan
from bandweave.mosaic.runner import ArraySink, RunLimits, run_scene
from bandweave.source import PairSource
from bandweave.window import Window


def count_tiles(plan: TilePlan, window: Window) -> int:
    """Return the number of tiles that a window touches."""
    return len(plan.tile_rows(window)) * len(plan.tile_cols(window))


def estimate_seconds(
    fitted: Fitted,
    source: PairSource,
    *,
    precision: type[np.float32 | np.float64],
    window: Window | None = None,
    limits: RunLimits | None = None,
) -> float:
    """Time one batch of tiles (or one block) in the middle of the scene and scale it up.

    The first, unmeasured run warms caches and kernels up. Statistics and writing are not counted:
    both take about as long as reading.
    """
    profile = source.profile
    plan = TilePlan.of(fitted.reach, profile.shape, profile.ratio)
    window = window or Window.whole(profile.shape)
    batch = fitted.reach.batch if isinstance(fitted.reach, FixedTile) else 1
    trial = _one_batch(plan, batch)

    def run() -> None:
        run_scene(fitted, source, ArraySink(), precision=precision, window=trial)

    seconds = _timed(run)
    batches = math.ceil(count_tiles(plan, window) / batch)
    side_by_side = 1 if isinstance(fitted.reach, FixedTile) else (limits or RunLimits()).workers
    return seconds * batches / side_by_side


def _one_batch(plan: TilePlan, batch: int) -> Window:
    """Return a window in the middle of the scene that touches `batch` tiles of one tile row."""
    row = plan.rows // 2
    cols = min(batch, plan.cols)
    first = (plan.cols - cols) // 2
    half = plan.overlap // 2
    top, left = row * plan.stride[0] + half, first * plan.stride[1] + half
    right = (first + cols) * plan.stride[1] - half
    window = Window(top, left, max(plan.stride[0] - 2 * half, 1), right - left)
    return window.intersection(Window.whole(plan.scene))


def _timed(run: Callable[[], None]) -> float:
    run()
    start = time.perf_counter()
    run()
    return time.perf_counter() - start
