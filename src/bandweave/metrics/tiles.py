"""Score a scene tile by tile: which tiles, what context each needs, and in which order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import numpy as np

from bandweave.errors import ShapeError
from bandweave.machine import usable_threads
from bandweave.metrics.images import ImageSource, both_valid
from bandweave.metrics.inputs import Precision
from bandweave.pair import Mask
from bandweave.progress import Advance, unseen
from bandweave.radiometry import Image
from bandweave.threads import in_order as map_in_order
from bandweave.threads import run_all
from bandweave.window import Window

VALUES_PER_TILE = 2**20
"""Values per image and tile: 8 MiB in float64. Smaller tiles read more context, larger ones leave
the processor's cache (benchmarks/bench_metrics.py)."""

Item = TypeVar("Item")
Loaded = TypeVar("Loaded")
Result = TypeVar("Result")


def plan_tiles(region: Window, unit: int, bands: int) -> list[Window]:
    """Cut a region into tiles whose corners lie on multiples of `unit` from its first pixel.

    Tiles hold about 2²⁰ values. The last row and column of tiles take a rest below `unit` with
    them, so that no tile is smaller than `unit` unless the region is.
    """
    side = max(int((VALUES_PER_TILE / bands) ** 0.5) // unit, 1) * unit
    rows, cols = (_cuts(size, side, unit) for size in region.shape)
    return [
        Window(region.row + top, region.col + left, bottom - top, right - left)
        for top, bottom in rows
        for left, right in cols
    ]


def _cuts(size: int, side: int, unit: int) -> list[tuple[int, int]]:
    starts = list(range(0, size, side))
    if len(starts) > 1 and size - starts[-1] < unit:
        starts.pop()
    return list(zip(starts, [*starts[1:], size], strict=True))


@dataclass(frozen=True, slots=True, eq=False)
class Tile:
    """Two aligned images around a core, with the context that windows need."""

    estimate: Image
    """`(C, h, w)`."""
    reference: Image
    """The same shape."""
    valid: Mask | None
    """`(h, w)`, or None where all pixels are valid."""
    window: Window
    """Where the images lie."""
    core: Window
    """The pixels that this tile accounts for, inside `window`."""
    region: Window
    """All pixels that are scored; nothing beyond is read."""


def load_tile(
    estimate: ImageSource,
    reference: ImageSource,
    core: Window,
    *,
    region: Window,
    context: tuple[int, int] = (0, 0),
    precision: Precision = np.float64,
) -> Tile | None:
    """Read a tile with `context` pixels before and after its core; None where none is valid."""
    before, after = context
    reach = before + after
    window = Window(
        core.row - before, core.col - before, core.height + reach, core.width + reach
    ).intersection(region)
    pixels, valid = estimate.read(window, precision)
    truth, truth_valid = reference.read(window, precision)
    valid = both_valid(valid, truth_valid)
    if valid is not None and valid.all():
        valid = None
    if valid is not None and not valid.any():
        return None
    return Tile(pixels, truth, valid, window, core, region)


def in_batches(
    items: Sequence[Window],
    load: Callable[[Window], Loaded | None],
    jobs: Callable[[Loaded], list[Callable[[], Result]]],
    threads: int | None,
    advance: Advance = unseen,
) -> Iterator[Result]:
    """Load a few tiles at once, run their jobs, and give the results in a fixed order.

    As many tiles as there are threads lie in memory. The order, and so every sum of results, does
    not depend on the number of threads.
    """
    workers = threads or usable_threads()
    # Threads that read keep files open, so the same few do all batches; a single one is done sooner
    # with the caller's thread among them.
    is_one_batch = len(items) <= workers
    pool = None if is_one_batch else ThreadPoolExecutor(workers, thread_name_prefix="bandweave")
    with pool or nullcontext():

        def run(calls: list[Callable[[], Item]]) -> list[Item]:
            return run_all(calls, workers) if pool is None else [*pool.map(_call, calls)]

        for first in range(0, len(items), workers):
            batch = items[first : first + workers]
            loaded = run([partial(load, item) for item in batch])
            calls = [job for item in loaded if item is not None for job in jobs(item)]
            loaded.clear()
            results = run(calls)
            calls.clear()  # the tiles go before the next ones are read
            yield from results
            for item in batch:
                advance(item.height * item.width)


def _call(job: Callable[[], Item]) -> Item:
    return job()


def in_order(
    work: Callable[[Window], Result | None],
    items: Sequence[Window],
    threads: int | None,
    advance: Advance = unseen,
) -> Iterator[Result]:
    """Do independent work on tiles, a few at once, and give what it returns in their order."""
    workers = threads or usable_threads()
    for item, result in map_in_order(work, items, workers, ahead=workers):
        advance(item.height * item.width)
        if result is not None:
            yield result


def require_same_size(named: dict[str, tuple[int, ...]]) -> None:
    """Refuse images of different sizes.

    Raises:
        ShapeError: The shapes differ; the sentence names them all.
    """
    if len(set(named.values())) > 1:
        sizes = ", ".join(f"{name} {shape}" for name, shape in named.items())
        raise ShapeError(f"Images of one size are needed, got {sizes}; crop or resample first.")
