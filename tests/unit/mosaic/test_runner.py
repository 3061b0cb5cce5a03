"""Whatever window, batch, thread or interruption: the same pixels."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from bandweave.errors import NodataError, ResourceError
from bandweave.methods.base import FixedTile, Local, Reach, WholeScene
from bandweave.methods.interpolation import Interpolation
from bandweave.methods.substitution.brovey import Brovey
from bandweave.methods.substitution.gram_schmidt import GramSchmidtAdaptive
from bandweave.mosaic import plan as plan_module
from bandweave.mosaic.base_blocks import BaseBlocks
from bandweave.mosaic.resume import RowStore
from bandweave.mosaic.runner import ArraySink, RunLimits, fit_method, run_scene
from bandweave.pair import ImagePair
from bandweave.radiometry import Image
from bandweave.source import ArraySource
from bandweave.threads import in_order, run_all
from bandweave.window import Window


def make_pair(rng, shape=(37, 31), ratio=4, bands=3, phase=1.5, valid=None) -> ImagePair:
    h, w = shape
    return ImagePair(
        spatial=rng.uniform(100, 900, (1, h * ratio, w * ratio)),
        spectral=rng.uniform(100, 900, (bands, h, w)),
        ratio=ratio,
        phase=(phase, phase),
        valid=valid,
    )


@dataclass
class TileMean:
    """A method whose pixels depend on the whole tile, so that every mistake of tiling shows."""

    reach: FixedTile
    base: None = None

    def prepare(self, pair: ImagePair, start: None = None) -> ImagePair:
        apron = self.reach.apron
        height, width = pair.shape
        return pair.crop(Window(apron, apron, height - 2 * apron, width - 2 * apron))

    def fuse_batch(self, tiles: Sequence[ImagePair]) -> list[Image]:
        return [self.fuse(tile) for tile in tiles]

    def fuse(self, pair: ImagePair) -> Image:
        assert pair.shape == (self.reach.size, self.reach.size)
        repeated = pair.spectral.repeat(pair.ratio, 1).repeat(pair.ratio, 2)
        return repeated + pair.spatial - pair.spatial.mean()


def run(fitted, pair, **options) -> ArraySink:
    sink = ArraySink()
    run_scene(fitted, ArraySource(pair), sink, precision=np.float64, **options)
    return sink


TILES = TileMean(FixedTile(size=32, overlap=8, apron=4, batch=3))


def test_a_window_has_the_very_pixels_of_the_full_run(rng) -> None:
    pair = make_pair(rng)
    full = run(TILES, pair).hrms
    for window in (
        Window(0, 0, 148, 124),
        Window(13, 7, 50, 61),
        Window(147, 123, 1, 1),
        Window(20, 0, 8, 124),
    ):
        part = run(TILES, pair, window=window).hrms
        assert np.array_equal(part, full[(slice(None), *window.slices)])


def test_tiles_prepared_in_threads_have_the_same_pixels(rng) -> None:
    pair = make_pair(rng)
    alone = run(TILES, pair).hrms
    assert np.array_equal(run(TILES, pair, limits=RunLimits(workers=5)).hrms, alone)


@dataclass
class SlowBase:
    """A local method that counts how often it is run on a block."""

    reach: Local
    runs: list[tuple[int, int]]

    def fuse(self, pair: ImagePair) -> Image:
        self.runs.append(pair.shape)
        time.sleep(0.002)
        return np.repeat(np.repeat(pair.spectral, 4, axis=1), 4, axis=2) + pair.spatial


def test_threads_share_the_blocks_of_a_base(rng) -> None:
    pair = make_pair(rng)
    base = SlowBase(Local(apron=8, block=(32, 64)), [])
    blocks = BaseBlocks(base, ArraySource(pair), np.float64)
    windows = [Window(row, col, 24, 28) for row in range(0, 120, 24) for col in range(0, 96, 28)]
    expected = base.fuse(pair).astype(np.float32)
    base.runs.clear()
    for window, part in in_order(blocks.read, windows, 6):
        np.testing.assert_array_equal(part, expected[(slice(None), *window.slices)])
    assert len(base.runs) == 4 * 2  # each block once


def test_a_base_that_fails_says_so_in_every_thread(rng) -> None:
    class Failing(SlowBase):
        def fuse(self, pair: ImagePair) -> Image:
            super().fuse(pair)
            raise ResourceError("No such luck.")

    blocks = BaseBlocks(
        Failing(Local(apron=8, block=(32, 64)), []), ArraySource(make_pair(rng)), np.float64
    )
    calls = [partial(blocks.read, Window(0, 0, 8, 8)) for _ in range(3)]
    for _ in range(3):
        with pytest.raises(ResourceError, match="No such luck"):
            run_all(calls, 3)


def test_a_scene_smaller_than_a_tile_is_filled_by_reflection(rng) -> None:
    pair = make_pair(rng, shape=(3, 5))
    hrms = run(TILES, pair).hrms
    assert hrms.shape == (3, 12, 20)
    padded = np.pad(pair.spatial, [(0, 0), (4, 16), (4, 8)], mode="symmetric")
    expected = pair.spectral.repeat(4, 1).repeat(4, 2) + pair.spatial - padded.mean()
    np.testing.assert_allclose(hrms, expected, atol=1e-9)


def test_overlapping_tiles_are_blended_by_their_weights(rng) -> None:
    pair = make_pair(rng, shape=(8, 13))
    hrms = run(TILES, pair).hrms
    # Along row 12 only columns 20..27 are shared by the first two tiles (runs -4..27, 20..51).
    means = []
    padded = np.pad(pair.spatial[0], [(4, 4), (4, 60)], mode="symmetric")
    for col in (0, 24):
        means.append(padded[0:32, col : col + 32].mean())
    nearest = pair.spectral.repeat(4, 1).repeat(4, 2) + pair.spatial
    column = np.arange(20, 28)
    weight = 0.5 - 0.5 * np.cos(np.pi * (column - 20 + 0.5) / 8)
    expected = nearest[:, 12, column] - (1 - weight) * means[0] - weight * means[1]
    np.testing.assert_allclose(hrms[:, 12, column], expected, atol=1e-9)


def test_masked_pixels_are_zero_and_spoil_nobody_else(rng) -> None:
    valid = np.ones((148, 124), dtype=bool)
    valid[50, 60] = False
    valid[80:, :70] = False
    pair = make_pair(rng, valid=valid)
    sink = run(TILES, pair)
    assert np.array_equal(sink.valid, valid)
    assert (sink.hrms[:, ~valid] == 0).all()
    untouched = run(TILES, pair.replace(valid=None)).hrms
    assert np.array_equal(sink.hrms[:, valid], untouched[:, valid])


class KilledError(Exception):
    """Stands for a kill at any moment."""


class KillAfter(ArraySink):
    def __init__(self, bands: int) -> None:
        super().__init__()
        self.left = bands

    def write_rows(self, rows, valid) -> None:
        if self.left == 0:
            raise KilledError
        self.left -= 1
        super().write_rows(rows, valid)


@pytest.mark.parametrize("survived", [0, 1, 4])
def test_a_killed_run_goes_on_to_the_same_pixels(rng, tmp_path: Path, survived: int) -> None:
    pair = make_pair(rng)
    window = Window(5, 3, 140, 100)
    full = run(TILES, pair, window=window)
    job: dict[str, object] = {"window": "5 3"}

    def store(resume: bool) -> RowStore:
        return RowStore(tmp_path / "rows", job, resume=resume)

    with pytest.raises(KilledError):
        run_scene(
            TILES,
            ArraySource(pair),
            KillAfter(survived),
            precision=np.float64,
            window=window,
            store=store(resume=False),
        )
    computed: list[int] = []

    class Counting(TileMean):
        def fuse(self, pair: ImagePair) -> Image:
            computed.append(1)
            return super().fuse(pair)

    again = run(Counting(TILES.reach), pair, window=window, store=store(resume=True))
    assert np.array_equal(again.hrms, full.hrms)
    assert np.array_equal(again.valid, full.valid)
    plan = plan_module.TilePlan.of(TILES.reach, pair.shape, 4)
    everything = len(plan.tile_rows(window)) * len(plan.tile_cols(window))
    assert len(computed) <= everything - survived * len(plan.tile_cols(window))


def test_rows_of_another_job_are_not_taken(rng, tmp_path: Path) -> None:
    first = RowStore(tmp_path / "rows", {"weights": "a"}, resume=True)
    run(TILES, make_pair(rng), store=first)
    assert first.finished(list(range(7))) == list(range(7))
    assert RowStore(tmp_path / "rows", {"weights": "b"}, resume=True).finished([0]) == []


@pytest.mark.parametrize("method", [Interpolation(), Brovey(), GramSchmidtAdaptive()])
@pytest.mark.parametrize(("ratio", "phase"), [(4, 1.5), (4, 2.0), (2, 0.5), (3, 1.2)])
def test_local_methods_in_blocks_equal_the_whole(rng, monkeypatch, method, ratio, phase) -> None:
    pair = make_pair(rng, ratio=ratio, phase=phase)
    source = ArraySource(pair)
    monkeypatch.setattr(plan_module, "LOCAL_BLOCK", (10**6, 10**6))
    monkeypatch.setattr(plan_module, "ROW_BLOCK", (10**6, 10**6))
    whole = run(fit_method(method, source, RunLimits()), pair).hrms
    monkeypatch.setattr(plan_module, "LOCAL_BLOCK", (40, 56))
    monkeypatch.setattr(plan_module, "ROW_BLOCK", (40, 56))
    fitted = fit_method(method, source, RunLimits(workers=3))
    tiled = run(fitted, pair, limits=RunLimits(workers=3)).hrms
    assert np.abs(tiled - whole).max() <= 1e-9 * 900
    window = Window(11, 17, 55, 33)
    part = run(fitted, pair, window=window).hrms
    assert np.array_equal(part, tiled[(slice(None), *window.slices)])


def test_an_all_masked_scene_is_refused_where_statistics_are_needed(rng) -> None:
    pair = make_pair(rng, valid=np.zeros((148, 124), dtype=bool))
    with pytest.raises(NodataError, match="no pixel is valid"):
        fit_method(GramSchmidtAdaptive(), ArraySource(pair), RunLimits())


@dataclass
class Whole:
    reach: Reach

    def fuse(self, pair: ImagePair) -> Image:
        return pair.spectral.repeat(pair.ratio, 1).repeat(pair.ratio, 2)


def test_whole_scene_methods_are_checked_against_the_memory(rng) -> None:
    pair = make_pair(rng)
    fitted = Whole(WholeScene(bytes_per_pixel=100))
    assert run(fitted, pair, limits=RunLimits(max_memory=2_000_000)).hrms.shape == (3, 148, 124)
    with pytest.raises(ResourceError, match="whole scene at once"):
        run(fitted, pair, limits=RunLimits(max_memory=1_000_000))


def test_progress_counts_every_pixel_once(rng) -> None:
    done: list[int] = []
    run(TILES, make_pair(rng), window=Window(3, 5, 90, 77), advance=done.append)
    assert sum(done) == 90 * 77


def test_local_reach_is_read_with_its_apron_only(rng) -> None:
    pair = make_pair(rng)
    seen: list[tuple[int, int]] = []

    class Spy(Whole):
        def fuse(self, pair: ImagePair) -> Image:
            seen.append(pair.shape)
            return super().fuse(pair)

    run(Spy(Local(apron=5)), pair)
    assert seen == [(148, 124)]


@pytest.mark.parametrize("types", [("f4", "f8", "u2"), ("u2", "f4", "u2"), ("u2", "u2", "u2")])
def test_rows_go_into_one_array_as_they_would_be_joined(rng, types) -> None:
    """Rows without a valid pixel are zeros in float32, whatever comes before and behind."""
    masks = (None, rng.random((4, 5)) < 0.5, None)
    bands = [
        (rng.uniform(0, 1000, (3, height, 5)).astype(kind), valid)
        for height, kind, valid in zip((2, 4, 1), types, masks, strict=True)
    ]
    at_once, joined = ArraySink(7), ArraySink()
    for rows, valid in bands:
        own = rows.copy()
        at_once.write_rows(own, valid)
        own[:] = 0  # its memory is used again
        joined.write_rows(rows, valid)
    assert at_once.hrms.dtype == joined.hrms.dtype
    np.testing.assert_array_equal(at_once.hrms, joined.hrms)
    np.testing.assert_array_equal(at_once.valid, joined.valid)
    assert at_once.hrms is at_once.hrms
