"""The consistency step behind methods of every reach: blocks, windows, masks, interruptions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from bandweave.degrade.observe import observe
from bandweave.methods.base import FixedTile, WholeScene
from bandweave.methods.consistency import Consistency
from bandweave.methods.interpolation import Interpolation
from bandweave.methods.substitution.gram_schmidt import GramSchmidtAdaptive
from bandweave.mosaic import plan as plan_module
from bandweave.mosaic.consistent import ConsistencyEffect, ConsistentRows
from bandweave.mosaic.resume import RowStore
from bandweave.mosaic.runner import ArraySink, RunLimits, fit_method, run_scene
from bandweave.pair import ImagePair
from bandweave.radiometry import Image
from bandweave.source import ArraySource
from bandweave.window import Window
from scenes import smooth_truth

STEP = Consistency((0.30, 0.45), 1e-3)
BLOCK = (44, 60)


@dataclass
class TileMean:
    """A method whose pixels depend on the whole tile, so that every mistake of tiling shows."""

    reach: FixedTile
    base: None = None

    def prepare(self, pair: ImagePair, start: None = None) -> ImagePair:
        return pair

    def fuse_batch(self, tiles: Sequence[ImagePair]) -> list[Image]:
        return [self.fuse(tile) for tile in tiles]

    def fuse(self, pair: ImagePair) -> Image:
        repeated = pair.spectral.repeat(pair.ratio, 1).repeat(pair.ratio, 2)
        return repeated + pair.spatial - pair.spatial.mean()


@dataclass
class AtOnce:
    reach: WholeScene

    def fuse(self, pair: ImagePair) -> Image:
        repeated = pair.spectral.repeat(pair.ratio, 1).repeat(pair.ratio, 2)
        return repeated + pair.spatial - pair.spatial.mean()


TILES = TileMean(FixedTile(size=32, overlap=8, batch=3))


def make_pair(ratio: int = 4, phase: float = 1.5, shape=(85, 71), valid=None) -> ImagePair:
    truth = smooth_truth(2, shape[0] * ratio, shape[1] * ratio)
    lrms = observe(truth, STEP.blur, ratio, (phase, phase))
    pan = truth.mean(axis=0, keepdims=True)
    return ImagePair(pan, lrms, ratio, (phase, phase), valid=valid)


def run(fitted, pair, window=None, *, step=STEP, workers=1, sink=None, **options):
    """Return the sink, and the consistent rows that fed it."""
    source = ArraySource(pair)
    window = window or Window.whole(pair.shape)
    sink = sink or ArraySink()
    rows = ConsistentRows(
        step, source, sink, window, precision=np.float64, workers=workers
    )  # fmt: skip
    run_scene(fitted, source, rows, precision=np.float64, window=rows.needed, **options)
    return sink, rows


def fitted_for(name: str, pair: ImagePair):
    if name == "tiles":
        return TILES
    if name == "whole":
        return AtOnce(WholeScene(1))
    method = {"exp": Interpolation(), "gsa": GramSchmidtAdaptive()}[name]
    return fit_method(method, ArraySource(pair), RunLimits())


@pytest.fixture
def small_blocks(monkeypatch) -> None:
    monkeypatch.setattr(plan_module, "LOCAL_BLOCK", BLOCK)
    monkeypatch.setattr(plan_module, "ROW_BLOCK", BLOCK)


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("name", ["exp", "gsa", "tiles", "whole"])
def test_blocks_equal_the_step_on_the_whole_result(name) -> None:
    pair = make_pair()
    fitted = fitted_for(name, pair)
    plain = ArraySink()
    run_scene(fitted, ArraySource(pair), plain, precision=np.float64)
    expected = STEP.apply(plain.hrms, pair)
    sink, _ = run(fitted, pair)
    np.testing.assert_allclose(sink.hrms, expected, atol=1e-9 * 900)
    assert np.abs(expected - plain.hrms).mean() > 1


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize(("ratio", "phase"), [(4, 2.0), (2, 0.5), (3, 1.2)])
@pytest.mark.parametrize("name", ["exp", "tiles"])
def test_other_ratios_and_phases_in_blocks(name, ratio, phase) -> None:
    pair = make_pair(ratio, phase)
    fitted = TileMean(FixedTile(48, 24, batch=2)) if name == "tiles" else fitted_for(name, pair)
    plain = ArraySink()
    run_scene(fitted, ArraySource(pair), plain, precision=np.float64)
    sink, _ = run(fitted, pair)
    np.testing.assert_allclose(sink.hrms, STEP.apply(plain.hrms, pair), atol=1e-9 * 900)


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("name", ["gsa", "tiles", "whole"])
def test_a_window_has_the_very_pixels_of_the_full_run(name) -> None:
    pair = make_pair()
    fitted = fitted_for(name, pair)
    full = run(fitted, pair)[0].hrms
    for window in (
        Window(0, 0, 340, 284),
        Window(131, 77, 50, 61),
        Window(339, 283, 1, 1),
        Window(44, 60, 44, 60),
    ):
        sink, _ = run(fitted, pair, window, workers=3)
        assert np.array_equal(sink.hrms, full[(slice(None), *window.slices)])


@pytest.mark.usefixtures("small_blocks")
def test_no_more_than_the_context_of_the_window_is_fused() -> None:
    pair = make_pair(shape=(200, 200))
    _, rows = run(TILES, pair, Window(400, 380, 3, 3))
    apron = STEP.apron(4, pair.phase)
    assert rows.needed == Window(396 - apron, 360 - apron, 44 + 2 * apron, 60 + 2 * apron)


@pytest.mark.usefixtures("small_blocks")
def test_only_the_rows_of_the_context_are_held() -> None:
    pair = make_pair(shape=(300, 20))
    held: list[int] = []

    class Watching(ArraySink):
        def write_rows(self, rows, valid) -> None:
            super().write_rows(rows, valid)
            held.append(sum(strip.shape[1] for _, strip in consistent._strips))

    sink = Watching()
    source = ArraySource(pair)
    whole = Window.whole(pair.shape)
    consistent = ConsistentRows(STEP, source, sink, whole, precision=np.float64)
    run_scene(TILES, source, consistent, precision=np.float64)
    assert sink.hrms.shape == (2, 1200, 80)
    # A row of blocks, its context, and the tile row that completed it.
    assert max(held) <= BLOCK[0] + 2 * STEP.apron(4, pair.phase) + 2 * 32


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("name", ["gsa", "tiles"])
def test_masked_pixels_are_zero_and_the_mask_is_kept(name) -> None:
    valid = np.ones((340, 284), bool)
    valid[150, 160] = False
    valid[200:, :150] = False
    pair = make_pair(valid=valid)
    fitted = fitted_for(name, pair)
    plain = ArraySink()
    run_scene(fitted, ArraySource(pair), plain, precision=np.float64)
    sink, _ = run(fitted, pair)
    assert np.array_equal(sink.valid, valid)
    assert (sink.hrms[:, ~valid] == 0).all()
    expected = STEP.apply(plain.hrms, pair)
    np.testing.assert_allclose(sink.hrms[:, valid], expected[:, valid], atol=1e-6)


def test_all_masked_is_written_as_such() -> None:
    pair = make_pair(valid=np.zeros((340, 284), bool))
    sink, rows = run(fitted_for("exp", pair), pair)
    assert not sink.valid.any()
    assert (sink.hrms == 0).all()
    assert rows.effect == ConsistencyEffect()
    assert "no valid pixel" in rows.effect.sentence


class KilledError(Exception):
    """Stands for a kill at any moment."""


class KillAfter(ArraySink):
    def __init__(self, times: int) -> None:
        super().__init__()
        self.left = times

    def write_rows(self, rows, valid) -> None:
        if self.left == 0:
            raise KilledError
        self.left -= 1
        super().write_rows(rows, valid)


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("survived", [0, 3])
def test_a_killed_run_goes_on_to_the_same_pixels(tmp_path: Path, survived: int) -> None:
    pair = make_pair()
    full = run(TILES, pair)[0].hrms

    def store(resume: bool) -> RowStore:
        return RowStore(tmp_path / "rows", {"job": "1"}, resume=resume)

    with pytest.raises(KilledError):
        run(TILES, pair, sink=KillAfter(survived), store=store(resume=False))
    again, _ = run(TILES, pair, store=store(resume=True))
    assert np.array_equal(again.hrms, full)


def test_the_effect_is_measured_on_the_result() -> None:
    pair = make_pair(shape=(61, 71))  # one block: all of it is compared
    fitted = fitted_for("exp", pair)
    before = fitted.fuse(pair)
    sink, rows = run(fitted, pair, step=Consistency(STEP.blur, 0.0))
    effect = rows.effect
    assert effect.moved == pytest.approx(np.abs(sink.hrms - before).mean())
    inside = (slice(None), slice(6, -6), slice(6, -6))
    for image, misfit in ((before, effect.before), (sink.hrms, effect.after)):
        seen = observe(image, STEP.blur, 4, pair.phase)
        assert misfit == pytest.approx(np.abs(seen - pair.spectral)[inside].mean(), rel=1e-6)
    assert effect.before is not None
    assert effect.after is not None
    assert effect.after < 1e-3 * effect.before
    doubled = effect.merged(effect)
    assert doubled.moved == effect.moved
    assert doubled.pixels == 2 * effect.pixels
    assert f"{effect.after:.2g} instead of {effect.before:.2g}" in effect.sentence


def test_an_image_too_small_to_be_seen_again_says_so() -> None:
    pair = make_pair(shape=(5, 7))
    _, rows = run(fitted_for("exp", pair), pair)
    assert rows.effect.before is None
    assert "too small" in rows.effect.sentence
