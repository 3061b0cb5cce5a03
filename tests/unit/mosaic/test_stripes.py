"""What is handed to workers: jobs that fit themselves again, stripes that make up the scene."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from bandweave.config import FuseConfig
from bandweave.errors import OutputError
from bandweave.methods.table import METHODS
from bandweave.mosaic import plan as plan_module
from bandweave.mosaic import stripes as module
from bandweave.mosaic.consistent import ConsistencyEffect
from bandweave.mosaic.georeferenced import RasterScene
from bandweave.mosaic.job import Job
from bandweave.mosaic.prepare import prepare_job
from bandweave.mosaic.runner import ArraySink, Sink
from bandweave.mosaic.stripes import StripeWork, cut, fuse_stripes
from bandweave.radiometry import Storage, to_storage
from bandweave.raster.stack import stacked
from bandweave.window import Window
from scenes import write_pair, write_tif, write_weights


@pytest.fixture
def prepared(tmp_path: Path) -> Callable[..., Job]:
    """Make jobs on a scene of 148 x 124 pixels."""
    pan, ms = write_pair(tmp_path, nodata=0)

    def make(**options) -> Job:
        config = FuseConfig(align="off", workers=1, **options)
        return prepare_job(RasterScene(pan, ms, config), config)

    return make


@pytest.mark.parametrize("method", [n for n, entry in METHODS.items() if not entry.is_learned])
def test_every_method_travels(method: str) -> None:
    entry = METHODS[method]
    for create in (entry.create, entry.create_toolbox):
        if create is not None:
            assert pickle.loads(pickle.dumps(create())).id == method


@pytest.mark.parametrize("method", ["gsa", "mtf_glp_hpm_r"])
def test_stripes_of_a_job_that_travelled_make_up_the_scene(
    prepared, tmp_path, monkeypatch, method
) -> None:
    monkeypatch.setattr(plan_module, "LOCAL_BLOCK", (32, 48))
    monkeypatch.setattr(plan_module, "ROW_BLOCK", (32, 48))
    job = prepared(method=method, sensor="wv2", mtf_gain=(0.3,), consistent=True)
    whole = ArraySink()
    effect = job.run(whole, quiet=True)
    stored = partial(to_storage, dtype=np.dtype("uint16"), largest=None)
    work = pickle.loads(pickle.dumps(StripeWork(job, stored, tmp_path, "0")))
    stripes = cut(job)
    assert len(stripes) == 5
    sums = ConsistencyEffect()
    for stripe in stripes:
        work(stripe)
        rows, valid, change = work.load(stripe)
        assert np.array_equal(rows, stored(whole.hrms)[:, stripe.row : stripe.row_stop])
        assert np.array_equal(
            np.ones(stripe.shape, bool) if valid is None else valid,
            whole.valid[stripe.row : stripe.row_stop],
        )
        sums = sums.merged(change)
    assert sums == effect
    assert not list(tmp_path.glob("*.partial"))


class LateCluster:
    """Computes here; after each stripe a worker ends the same one of an earlier run."""

    def __init__(self, late: Callable[[Window], None] = lambda _: None) -> None:
        self.late, self.work = late, late

    def in_order(self, work: Callable[[Window], None], tasks: list[Window]) -> Iterator[None]:
        self.work = work
        for task in tasks:
            work(task)
            self.late(task)
            yield None


def test_stripes_that_end_late_do_not_get_into_another_run(prepared, tmp_path) -> None:
    """After Ctrl-C workers finish what is under way, into the folder of what is run next."""
    given_up, alone = LateCluster(), ArraySink()

    def fused(cluster: LateCluster, sink: Sink, method: str) -> None:
        job = prepared(method=method)
        job = replace(job, limits=replace(job.limits, cluster=cluster))
        fuse_stripes(
            job, sink, stored=Storage(np.dtype("uint16"), None), folder=tmp_path / "rows",
            key={"method": method}, finishing=0, resume=False, quiet=True,
        )  # fmt: skip

    fused(given_up, ArraySink(), "exp")
    fused(LateCluster(), alone, "gsa")
    disturbed = ArraySink()
    fused(LateCluster(given_up.work), disturbed, "gsa")
    assert np.array_equal(disturbed.hrms, alone.hrms)


class Counting(ArraySink):
    """Counts the stripes on the disk whenever rows are written; may break down."""

    def __init__(self, folder: Path, last: int = 99) -> None:
        super().__init__()
        self.folder, self.last = folder, last
        self.found: list[int] = []

    def write_rows(self, rows, valid) -> None:
        if len(self.found) == self.last:
            raise OSError("The disk is gone.")
        self.found.append(len(list(self.folder.glob("rows-*.npz"))))
        super().write_rows(rows, valid)


@pytest.fixture
def long_run(prepared, tmp_path, monkeypatch):
    """Fuse three stripes of a network; returns what was computed, too."""
    monkeypatch.setattr(module, "_TILE_ROWS", 1)
    weights = write_weights(tmp_path / "tiny.safetensors")
    job = prepared(weights=str(weights), full_scale=2047.0, pan_sharpness="off")
    folder = tmp_path / "rows"

    def fused(sink: Sink, *, finishing: int = 0, resume: bool = False) -> list[Window]:
        computed: list[Window] = []
        cluster = LateCluster(computed.append)
        fuse_stripes(
            replace(job, limits=replace(job.limits, cluster=cluster)),
            sink, stored=Storage(np.dtype("uint16"), None), folder=folder,
            key={}, finishing=finishing, resume=resume, quiet=True,
        )  # fmt: skip
        return computed

    return fused, folder


def test_no_pixel_of_a_long_run_is_stored_twice(long_run) -> None:
    """All stripes are there before the file is begun; each goes as it gets into the file."""
    fused, folder = long_run
    sink = Counting(folder)
    assert len(fused(sink)) == 3
    assert sink.found == [3, 2, 1]
    assert not list(folder.glob("rows-*.npz"))


def test_a_long_run_that_breaks_down_while_writing_goes_on(long_run) -> None:
    fused, folder = long_run
    whole = Counting(folder)
    fused(whole)
    with pytest.raises(OSError, match="gone"):
        fused(Counting(folder, last=2))
    again = Counting(folder)
    assert len(fused(again, resume=True)) == 2
    assert np.array_equal(again.hrms, whole.hrms)


def test_a_full_disk_is_told_before_stripes_are_given_up(long_run, monkeypatch) -> None:
    fused, folder = long_run
    usage = SimpleNamespace(free=999_999_999)
    monkeypatch.setattr(module.shutil, "disk_usage", lambda _folder: usage)
    with pytest.raises(OutputError, match=r"need 1.0 GB more .* there are 1.0: .* --resume"):
        fused(Counting(folder), finishing=10**9)
    sink = Counting(folder)
    usage.free = 10**9
    assert fused(sink, finishing=10**9, resume=True) == []
    assert sink.found == [3, 2, 1]


def test_no_tile_is_computed_for_nothing(prepared, tmp_path) -> None:
    weights = write_weights(tmp_path / "tiny.safetensors")
    job = prepared(weights=str(weights), full_scale=2047.0, pan_sharpness="off")
    tall = replace(job.plan, scene=(1000, 124))
    stripes = cut(job)
    assert [(one.row, one.row_stop) for one in stripes] == [(0, 148)]
    # A stripe that begins below the pixels shared with the tile above does not touch that tile.
    below = stripes[0].__class__(8 * 48 + 8, 0, 392, 124)
    assert tall.tile_rows(below) == range(8, 17)


def test_a_stack_of_bands_can_be_a_file_for_others(tmp_path: Path) -> None:
    from bandweave.raster.opening import quiet_open
    from deliveries import FINE

    image = np.arange(12, dtype="uint16").reshape(1, 3, 4)
    files = [write_tif(tmp_path / f"b{k}.tif", image + k, FINE) for k in range(2)]
    with stacked(files, "town_ms", tmp_path) as path:
        assert Path(path).name == "town_ms.vrt"
        with quiet_open(path) as dataset:
            assert np.array_equal(dataset.read(), np.concatenate([image, image + 1]))
    assert sorted(one.name for one in tmp_path.iterdir()) == ["b0.tif", "b1.tif"]
