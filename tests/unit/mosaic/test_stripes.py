"""What is handed to workers: jobs that fit themselves again, stripes that make up the scene."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from bandweave.config import FuseConfig
from bandweave.methods.table import METHODS
from bandweave.mosaic import plan as plan_module
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
            key={"method": method}, resume=False, quiet=True,
        )  # fmt: skip

    fused(given_up, ArraySink(), "exp")
    fused(LateCluster(), alone, "gsa")
    disturbed = ArraySink()
    fused(LateCluster(given_up.work), disturbed, "gsa")
    assert np.array_equal(disturbed.hrms, alone.hrms)


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
