"""One scene on many machines: workers fuse stripes of rows, this process writes the file.

A stripe is a window of the scene, and a window has the very pixels of the full run: stripes end
where tiles or blocks do, whoever computes them. A worker leaves its rows, in the type of the file,
beside the output; they are written from top to bottom as in a local run, by the same writer, and
each is removed once it is in the file, so that no pixel is stored twice. Methods with fixed tiles,
which compute for hours, keep their stripes until all are there, so that a broken run goes on, and
only then write the file.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import rasterio

from bandweave.errors import OutputError
from bandweave.methods.base import FixedTile, Local
from bandweave.mosaic.consistent import ConsistencyEffect, block_plan
from bandweave.mosaic.job import Job
from bandweave.mosaic.plan import TilePlan
from bandweave.mosaic.resume import open_rows_folder
from bandweave.mosaic.runner import Sink
from bandweave.pair import Mask
from bandweave.parallel.cluster import Cluster
from bandweave.progress import progress
from bandweave.radiometry import Image, Storage
from bandweave.threads import in_order
from bandweave.window import Window

CACHE_MIB = 64
"""GDAL's cache: it would keep 5 % of the machine's memory, and every block is used once."""

_TILE_ROWS = 8
"""Rows of fixed tiles per stripe: a stripe computes one more, which its neighbour has too."""

_VISIBLE = 60.0
"""Seconds within which a network file system shows here what a worker has moved into place."""


def fuse_stripes(
    job: Job,
    sink: Sink,
    *,
    stored: Storage,
    folder: Path,
    key: Mapping[str, object],
    finishing: int,
    resume: bool,
    quiet: bool,
) -> ConsistencyEffect | None:
    """Fuse the window of a job into a sink, stripe by stripe on the workers of a cluster.

    Args:
        job: Decided and fitted; its cluster's workers fit it again from the same statistics.
        sink: Receives the rows of the window, top to bottom.
        stored: Brings fused pixels to the type of the file.
        folder: Where workers leave their stripes; removed when all is done.
        key: Everything the pixels depend on: stripes left by another job are not used.
        finishing: Bytes that the file may need besides its pixels (overviews, a copy); where there
            is no room for them, stripes that took hours are not given up.
        resume: Use the stripes that an interrupted run has left.
        quiet: Show no progress on stderr.

    Returns:
        What the consistency step changed, or None where there is none.

    Raises:
        FusionError: A stripe failed; what is done is kept where the method keeps it.
        OutputError: The disk is too full to finish the file.
    """
    cluster = job.limits.cluster
    assert cluster is not None
    is_kept = isinstance(job.fitted.reach, FixedTile)
    open_rows_folder(folder, key, resume=resume)
    work = StripeWork(job, stored, folder.resolve(), _digest(key))
    stripes = cut(job)
    effect = ConsistencyEffect()

    def write(stripe: Window) -> ConsistencyEffect:
        rows, valid, change = work.load(stripe)
        sink.write_rows(rows, valid)
        work.path(stripe).unlink()
        return change

    try:
        with progress("Fusing", job.window.height * job.window.width, quiet=quiet) as advance:
            ready = _told(_finished(work, stripes, cluster), advance)
            if is_kept:
                ready = iter([*ready])
                _require_room(folder, finishing)
            # Writing goes on beside the waiting for the next stripe.
            for _, change in in_order(write, ready, 1, ahead=1):
                effect = effect.merged(change)
    except BaseException:
        if not is_kept:
            shutil.rmtree(folder, ignore_errors=True)
        raise
    return None if job.consistency is None else effect


def cut(job: Job) -> list[Window]:
    """Cut the window of a job into stripes, independent of the number of workers."""
    window, profile = job.window, job.source.profile
    step, plan = 1, TilePlan.of(job.fitted.reach, profile.shape, profile.ratio)
    if job.consistency is not None:
        plan = block_plan(job.consistency, profile)
    elif isinstance(job.fitted.reach, FixedTile):
        step = _TILE_ROWS
    elif isinstance(job.fitted.reach, Local) and job.fitted.reach.is_rowwise:
        # Flat blocks are for the cache; a file of rows may be as high as blocks are elsewhere.
        step = max(TilePlan.of(Local(0), profile.shape, profile.ratio).height // plan.height, 1)
    # Below the rows that a tile shares with the one above: that one is not computed again.
    starts = [row * plan.stride[0] + plan.overlap // 2 for row in range(step, plan.rows, step)]
    inside = [row for row in starts if window.row < row < window.row_stop]
    ends = [window.row, *inside, window.row_stop]
    return [Window(top, window.col, bottom - top, window.width) for top, bottom in pairwise(ends)]


@dataclass(frozen=True, slots=True, eq=False)
class StripeWork:
    """The task of a worker: fuse a stripe as `Job.run` does, and leave its rows in the folder."""

    job: Job
    stored: Storage
    folder: Path
    mark: str
    """Tells these stripes from those that workers finish late, of a job that was given up."""

    def __call__(self, stripe: Window) -> None:
        """Fuse a stripe.

        Raises:
            OutputError: The stripe could not be written.
        """
        sink = _Stripe(stripe, self.stored)
        with rasterio.Env(GDAL_CACHEMAX=CACHE_MIB):
            effect = replace(self.job, window=stripe).run(sink, stored=self.stored, quiet=True)
        assert sink.rows is not None
        mask = {} if sink.valid.all() else {"valid": np.packbits(sink.valid, axis=1)}
        change = (effect or ConsistencyEffect()).as_sums()
        beside = self.folder / f"{uuid.uuid4().hex}.partial"
        try:
            with beside.open("wb") as stream:
                np.savez(stream, allow_pickle=False, rows=sink.rows, change=change, **mask)
            beside.replace(self.path(stripe))
        except OSError as error:
            beside.unlink(missing_ok=True)
            raise OutputError(
                f"Finished rows could not be kept in {self.folder}: {error.strerror}; free some "
                "space and run again."
            ) from error

    def path(self, stripe: Window) -> Path:
        """Return the file of a stripe."""
        return self.folder / f"rows-{stripe.row:08d}-{stripe.row_stop:08d}-{self.mark}.npz"

    def load(self, stripe: Window) -> tuple[Image, Mask | None, ConsistencyEffect]:
        """Return the rows of a stripe, their mask, and what the consistency step changed."""
        path = self.path(stripe)
        deadline = time.monotonic() + _VISIBLE
        while not path.exists() and time.monotonic() < deadline:
            os.scandir(self.folder).close()  # lets a network file system look again
            time.sleep(0.05)
        try:
            with np.load(path, allow_pickle=False) as stored:
                rows, change = stored["rows"], stored["change"]
                packed = stored.get("valid")
        except OSError as error:
            raise OutputError(
                f"A worker has written {path}, but it is not seen here ({error.strerror}): the "
                "folder of the output has to be on storage that all machines share."
            ) from error
        valid = None
        if packed is not None:
            valid = np.unpackbits(packed, axis=1, count=stripe.width).astype(bool)
        return rows, valid, ConsistencyEffect.of_sums(change)


def _digest(key: Mapping[str, object]) -> str:
    text = json.dumps(dict(key), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _finished(work: StripeWork, stripes: list[Window], cluster: Cluster) -> Iterator[Window]:
    """Yield the stripes from top to bottom, each when its file is there."""
    missing = [stripe for stripe in stripes if not work.path(stripe).exists()]
    computed = cluster.in_order(work, missing)
    absent = set(missing)
    try:
        for stripe in stripes:
            if stripe in absent:
                next(computed)
            yield stripe
    finally:
        computed.close()


def _told(stripes: Iterator[Window], advance: Callable[[int], None]) -> Iterator[Window]:
    for stripe in stripes:
        advance(stripe.height * stripe.width)
        yield stripe


def _require_room(folder: Path, finishing: int) -> None:
    """Refuse to begin with a file that could not be finished.

    A stripe is removed for what it adds to the file, which therefore needs no room of its own.
    """
    free = shutil.disk_usage(folder).free
    if free < finishing:
        raise OutputError(
            f"All stripes are fused, but the file may need {finishing / 1e9:.1f} GB more to be "
            f"finished and there are {free / 1e9:.1f}: free some space, or leave out overviews "
            "(--no-overviews), and run again with --resume; nothing is computed twice."
        )


class _Stripe:
    """A sink that keeps its rows in the type of the file."""

    def __init__(self, stripe: Window, stored: Storage) -> None:
        self.rows: Image | None = None
        self.valid: Mask = np.ones(stripe.shape, dtype=bool)
        self._shape, self._stored, self._next = stripe.shape, stored, 0

    def write_rows(self, rows: Image, valid: Mask | None) -> None:
        """Take rows, top to bottom."""
        kept = self._stored(rows) if rows.dtype.kind == "f" else rows
        if self.rows is None:
            self.rows = np.empty((len(kept), *self._shape), kept.dtype)
        place = slice(self._next, self._next + kept.shape[1])
        self.rows[:, place] = kept
        if valid is not None:
            self.valid[place] = valid
        self._next = place.stop
