"""Fuse a scene of any size: read, fuse, blend, write, with bounded memory.

Reading and preparing run in threads ahead of the method, writing in a thread behind it. Results
do not depend on the number of threads: tiles are anchored to the scene and summed in one order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, cast

import numpy as np
from numpy.typing import DTypeLike, NDArray

from bandweave.errors import NodataError, ResourceError
from bandweave.methods.base import (
    Fitted,
    FittedRows,
    FittedTiles,
    FixedTile,
    Local,
    Method,
    NetworkTile,
    WholeScene,
    fuse_part,
)
from bandweave.methods.statistics import SceneStatistics
from bandweave.mosaic.blend import Band, FusedTile, RowBlender
from bandweave.mosaic.plan import Tile, TilePlan
from bandweave.mosaic.tile_rows import TileRows, reflected, reflected_pair
from bandweave.pair import ImagePair, Mask
from bandweave.radiometry import Image, Storage
from bandweave.source import PairSource
from bandweave.threads import in_order
from bandweave.window import Window

if TYPE_CHECKING:
    from bandweave.mosaic.resume import RowStore
    from bandweave.parallel.cluster import Cluster

Advance = Callable[[int], None]
_Stored = Callable[[Image], Image]
_Place = Callable[[Tile, DTypeLike], Image | None]
"""Returns where the pixels of a block go, or None where they are copied later."""

_STRIP_ROWS = 128
"""Rows of a block that are fused together where that costs nothing: few enough for the cache, and
so many that what neighbouring strips both interpolate is little (benchmarks/bench_classical.py)."""

_Batch = list[tuple[Tile, NetworkTile | None, Mask | None]]


class Sink(Protocol):
    """Takes finished rows, top to bottom."""

    def write_rows(self, rows: Image, valid: Mask | None) -> None:
        """Take `(C, n, W)` physical values and their mask `(n, W)`."""
        ...


class ArraySink:
    """Collect the rows in memory."""

    def __init__(self, height: int | None = None) -> None:
        """Begin without rows.

        Args:
            height: Rows that will come. They go into one array as they come, and the memory they
                came in is used again; None joins them when they are asked for.
        """
        self._height = height
        self._next_row = 0
        self._rows: list[Image] = []
        self._valid: list[Mask] = []

    def write_rows(self, rows: Image, valid: Mask | None) -> None:
        """Keep the rows."""
        valid = np.ones(rows.shape[1:], dtype=bool) if valid is None else valid
        if self._height is None:
            self._rows.append(rows)
            self._valid.append(valid)
            return
        if not self._rows:
            shape = (self._height, rows.shape[2])
            self._rows = [np.empty((len(rows), *shape), rows.dtype)]
            self._valid = [np.zeros(shape, dtype=bool)]
        # Rows without a valid pixel are zeros of a type of their own.
        kind = np.result_type(self._rows[0], rows)
        self._rows[0] = self._rows[0].astype(kind, copy=False)
        place = slice(self._next_row, self._next_row + rows.shape[1])
        self._rows[0][:, place] = rows
        self._valid[0][place] = valid
        self._next_row = place.stop

    @property
    def hrms(self) -> Image:
        """Return `(C, H, W)`; invalid pixels hold 0."""
        return _joined(self._rows, axis=1)

    @property
    def valid(self) -> Mask:
        """Return the mask `(H, W)`."""
        return _joined(self._valid, axis=0)


def _joined(parts: list[NDArray[Any]], axis: int) -> NDArray[Any]:
    return parts[0] if len(parts) == 1 else np.concatenate(parts, axis)


@dataclass(frozen=True, slots=True)
class RunLimits:
    """What a run may use."""

    workers: int = 1
    """Threads that read, prepare and (local methods) fuse."""
    max_memory: int | None = None
    """Bytes of working memory for a method that needs the whole scene, or None for no check."""
    cluster: Cluster | None = None
    """Workers on other machines, or None."""


def fit_method(
    method: Method, source: PairSource, limits: RunLimits, advance: Advance = lambda _: None
) -> Fitted:
    """Gather what the method needs of the whole scene, and fit it.

    Raises:
        NodataError: The scene holds no valid pixel.
    """
    return method.fit(source.profile, measure_scene(method, source, limits, advance))


def measure_scene(
    method: Method,
    source: PairSource,
    limits: RunLimits,
    advance: Advance = lambda _: None,
    *,
    precision: type[np.float32 | np.float64] = np.float64,
) -> SceneStatistics | None:
    """Gather what the method needs of the whole scene, or None where that is nothing.

    In single precision sums come out to 1e-6 or better, in half the time.

    Raises:
        NodataError: The scene holds no valid pixel.
    """
    if method.measurement(source.profile) is None:
        return None
    from bandweave.mosaic.statistics import gather_statistics  # noqa: PLC0415  # not all need it

    statistics = gather_statistics(
        method,
        source,
        precision=precision,
        workers=limits.workers,
        cluster=limits.cluster,
        advance=advance,
    )
    if max(statistics.fine.count, statistics.coarse.count) == 0:
        raise NodataError(
            f"{method.id} needs statistics of the scene, but no pixel is valid in both images; "
            "check the nodata values with `bandweave check`."
        )
    return statistics


def run_scene(
    fitted: Fitted,
    source: PairSource,
    sink: Sink,
    *,
    precision: type[np.float32 | np.float64],
    window: Window | None = None,
    limits: RunLimits | None = None,
    store: RowStore | None = None,
    stored: Storage | None = None,
    advance: Advance = lambda _: None,
) -> None:
    """Fuse a scene, or a window of it, into a sink.

    Args:
        fitted: A fitted method; its reach decides how the scene is cut.
        source: The scene.
        sink: Receives the rows of the window, top to bottom.
        precision: Type in which pairs are handed to the method.
        window: Part of the scene; its pixels equal those of the full run. Default: all.
        limits: Threads and memory.
        store: Finished tile rows of an earlier, interrupted run of the same job.
        stored: Type of the rows that the sink takes, to which blocks of local methods are brought
            in the threads that fuse, and rows of tiles where they are blended on a device; tiles
            that are blended here are handed on as they are.
        advance: Called with the number of output pixels that were finished.

    Raises:
        ResourceError: A whole-scene method does not fit `limits.max_memory`.
    """
    limits = limits or RunLimits()
    profile = source.profile
    window = window or Window.whole(profile.shape)
    plan = TilePlan.of(fitted.reach, profile.shape, profile.ratio)
    _check_memory(fitted, plan, limits)
    blender = RowBlender(plan, window, profile.bands)
    rows = list(plan.tile_rows(window))

    finished = store.finished(rows) if store is not None else []
    for row in finished:
        assert store is not None
        band = store.band(row)
        sink.write_rows(band.rows, band.valid)
        advance(band.valid.size)
    if finished:
        assert store is not None
        blender.start_after(finished[-1], store.tail(finished[-1]))

    def write(item: tuple[int, Band, Image]) -> None:
        row, band, tail = item
        if store is not None:
            store.keep(row, band, tail)
        sink.write_rows(band.rows, band.valid)

    left = rows[len(finished) :]
    if isinstance(fitted, FittedRows) and fitted.rows_at_once:
        joined = TileRows(fitted, source, plan, window, precision)
        bands = joined.finished(left, blender, limits.workers, stored)
    else:
        tiles = [plan[r, c] for r in left for c in plan.tile_cols(window)]
        fused = _fused_tiles(
            fitted, source, tiles, precision, limits, stored=stored, place=blender.place
        )
        bands = _finished_rows(fused, blender)
    for (_, band, _), _ in in_order(write, bands, 1, ahead=1):
        advance(band.valid.size)
        del band  # its memory is used again


def _finished_rows(
    fused: Iterator[FusedTile], blender: RowBlender
) -> Iterator[tuple[int, Band, Image]]:
    for tile in fused:
        band = blender.add(tile)
        if band is not None:
            assert blender.tail is not None
            yield tile.tile.row, band, blender.tail


def _fused_tiles(
    fitted: Fitted,
    source: PairSource,
    tiles: list[Tile],
    precision: type[np.float32 | np.float64],
    limits: RunLimits,
    *,
    stored: Storage | None,
    place: _Place,
) -> Iterator[FusedTile]:
    match fitted.reach:
        case FixedTile(batch=batch):
            own = cast("FittedTiles", fitted)
            prepare = _preparation(own, source, precision)
            prepared = _in_batches(prepare, tiles, batch, limits.workers)
            # Two at a time: while tiles of one are still computed, those of the next begin.
            for _, fused_batch in in_order(partial(_fuse_batch, own), prepared, 2, ahead=2):
                yield from fused_batch
        case Local() | WholeScene():

            def work(tile: Tile) -> FusedTile:
                bring = stored or _as_it_is
                return _fuse_block(fitted, source, tile, precision, bring, place=place)

            for _, fused in in_order(work, tiles, limits.workers):
                yield fused


def _as_it_is(image: Image) -> Image:
    return image


def _fuse_block(
    fitted: Fitted,
    source: PairSource,
    tile: Tile,
    precision: type[np.float32 | np.float64],
    stored: _Stored,
    *,
    place: _Place,
) -> FusedTile:
    """Fuse a block with its apron and cut the apron off."""
    pair = source.read(tile.read, precision)
    core = tile.run.relative_to(tile.read)
    valid = None if pair.valid is None else pair.valid[core.slices]
    if valid is not None and not valid.any():
        return FusedTile(tile, None, None)
    hrms: Image | None = None
    is_placed = False
    for part, fused in _fused_parts(fitted, pair, core):
        rows = stored(fused)
        if hrms is None:
            hrms = place(tile, rows.dtype)
            is_placed = hrms is not None
        if hrms is None and part == core:
            hrms = rows
            break
        if hrms is None:
            hrms = np.empty((len(rows), *core.shape), rows.dtype)
        part.relative_to(core).cut(hrms)[:] = rows
    return FusedTile(tile, hrms, valid, is_placed)


def _fused_parts(fitted: Fitted, pair: ImagePair, core: Window) -> Iterator[tuple[Window, Image]]:
    """Yield the parts of a block as they are fused: strips where that costs nothing."""
    reach = fitted.reach
    is_rowwise = isinstance(reach, Local) and reach.is_rowwise
    for part in _strips(core, pair.ratio) if is_rowwise else [core]:
        yield part, fuse_part(fitted, pair, part)


def _strips(core: Window, ratio: int) -> Iterator[Window]:
    """Cut a block into strips of rows, whose edges are multiples of the ratio."""
    step = max(_STRIP_ROWS // ratio, 1) * ratio
    for row in range(core.row, core.row_stop, step):
        yield Window(row, core.col, min(step, core.row_stop - row), core.width)


def _preparation(
    fitted: FittedTiles, source: PairSource, precision: type[np.float32 | np.float64]
) -> Callable[[Tile], tuple[NetworkTile | None, Mask | None]]:
    """Return what reads and prepares a tile, for any thread; None where no pixel is valid."""
    from bandweave.mosaic.base_blocks import BaseBlocks  # noqa: PLC0415  # networks only

    starts = None if fitted.base is None else BaseBlocks(fitted.base, source, precision)

    def prepare(tile: Tile) -> tuple[NetworkTile | None, Mask | None]:
        inside = tile.read.intersection(Window.whole(source.profile.shape))
        pair = source.read(inside, precision)
        rows, cols = tile.write.relative_to(inside).slices
        valid = None if pair.valid is None else pair.valid[rows, cols]
        if valid is not None and not valid.any():
            return None, None
        start = None if starts is None else reflected(starts.read(inside), inside, tile.read)
        return fitted.prepare(reflected_pair(pair, inside, tile.read), start), valid

    return prepare


def _in_batches(
    prepare: Callable[[Tile], tuple[NetworkTile | None, Mask | None]],
    tiles: list[Tile],
    batch: int,
    workers: int,
) -> Iterator[_Batch]:
    """Prepare tiles in threads; give them back in order, `batch` to be fused at a time."""
    waiting: _Batch = []
    for tile, (prepared, valid) in in_order(prepare, tiles, workers, ahead=2 * batch):
        waiting.append((tile, prepared, valid))
        if sum(p is not None for _, p, _ in waiting) == batch:
            yield waiting
            waiting = []
    yield waiting


def _fuse_batch(fitted: FittedTiles, waiting: _Batch) -> list[FusedTile]:
    prepared = [own for _, own, _ in waiting if own is not None]
    results = iter(fitted.fuse_batch(prepared) if prepared else [])
    return [
        FusedTile(tile, None if own is None else next(results), valid)
        for tile, own, valid in waiting
    ]


def _check_memory(fitted: Fitted, plan: TilePlan, limits: RunLimits) -> None:
    if not isinstance(fitted.reach, WholeScene) or limits.max_memory is None:
        return
    needed = fitted.reach.bytes_per_pixel * plan.scene[0] * plan.scene[1]
    if needed > limits.max_memory:
        raise ResourceError(
            f"This method works on the whole scene at once and needs about "
            f"{needed / 2**30:.1f} GiB for {plan.scene[0]} x {plan.scene[1]} pixels, but "
            f"{limits.max_memory / 2**30:.1f} GiB are there or allowed; choose a method that works "
            "in tiles, cut the images to a part, or raise --max-memory."
        )
