"""Tiles are cut so that every symmetry keeps the phase: what a mirrored scene would be."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest

from bandweave.degrade.instrument import Instrument
from bandweave.errors import ShapeError
from bandweave.train.scene import Symmetry, TrainingScene

EVERY = [Symmetry(*flags) for flags in itertools.product((False, True), repeat=3)]


def made_scene(phase: tuple[float, float], rng: np.random.Generator) -> TrainingScene:
    gt = rng.uniform(0.2, 0.8, (3, 88, 104))
    spectral = Instrument((0.3,), 4, phase).observe(gt)
    images = (gt[:1], spectral, gt, 4, phase, gt * 0.5)
    return TrainingScene(*(np.float32(i) if isinstance(i, np.ndarray) else i for i in images))


@pytest.mark.parametrize("phase", [(2.0, 2.0), (1.5, 1.5), (1.0, 1.0)])
@pytest.mark.parametrize("symmetry", EVERY)
def test_a_turned_tile_is_a_tile_of_the_turned_scene(
    phase: tuple[float, float], symmetry: Symmetry, rng: np.random.Generator
) -> None:
    """Degrade the turned tile's own reference: its inside is the tile's spectral image."""
    scene = made_scene(phase, rng)
    sample = scene._cut((3, 5), 64, symmetry, scene._shifts(symmetry)).sample()
    observed = Instrument((0.3,), 4, phase).observe(sample.gt.astype(np.float64))
    inside = (slice(None), slice(6, -6), slice(6, -6))
    # The kernel's far tails, which the tile's edge cuts, weigh less than this.
    assert np.abs(observed - sample.spectral)[inside].max() < 2e-5
    assert sample.start is not None
    assert np.array_equal(sample.start, sample.gt * np.float32(0.5))
    assert np.array_equal(sample.spatial[0], sample.gt[0])


def test_drawn_tiles_stay_inside_and_reach_the_edges(rng: np.random.Generator) -> None:
    scene = made_scene((2.0, 2.0), rng)
    generator = np.random.default_rng(0)
    tops = set()
    for _ in range(300):
        sample = scene.draw(generator, 64, symmetries=True)
        assert sample.gt.shape == (3, 64, 64)
        assert sample.spectral.shape == (3, 16, 16)
        tops.add(int(sample.origin.split("row ")[1].split(",")[0]))
    assert {0, 24} <= tops


def test_phases_that_no_mirrored_tile_keeps_are_refused(rng: np.random.Generator) -> None:
    scene = made_scene((1.3, 1.5), rng)
    with pytest.raises(ShapeError, match="without symmetries"):
        scene._shifts(Symmetry(mirrors_rows=True))
    with pytest.raises(ShapeError, match="no room"):
        made_scene((2.0, 2.0), rng).draw(np.random.default_rng(0), 96, symmetries=False)


def test_masked_scenes_are_drawn_from_where_they_are_valid(rng: np.random.Generator) -> None:
    scene = made_scene((2.0, 2.0), rng)
    valid = np.ones(scene.size, dtype=bool)
    valid[:, 90:] = valid[:12, :20] = False
    gt = np.where(valid, scene.gt, np.float32(-1))
    masked = replace(scene, gt=gt, valid=valid)
    generator = np.random.default_rng(0)
    drawn = [masked.draw(generator, 64, symmetries=True) for _ in range(300)]
    assert min(sample.gt.min() for sample in drawn) > 0
    # Every corner that is free without symmetries, found one by one, and no other.
    plain = {masked.draw(generator, 64, symmetries=False).origin for _ in range(400)}
    free = {
        (top, left)
        for top in range(0, 25, 4)
        for left in range(0, 41, 4)
        if valid[top : top + 64, left : left + 64].all()
    }
    assert plain == {f" at row {top}, column {left}" for top, left in free}
    valid[40] = False
    with pytest.raises(ShapeError, match="without nodata"):
        replace(scene, valid=valid).draw(generator, 64, symmetries=False)
