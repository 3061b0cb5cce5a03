"""Tiles cover the scene once, lie on multiples of the ratio, and belong to the scene."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bandweave.methods.base import FixedTile, Local, WholeScene
from bandweave.mosaic.blend import ramp, tile_weights
from bandweave.mosaic.plan import TilePlan
from bandweave.window import Window

sizes = st.integers(1, 60).map(lambda k: 4 * k)


@given(height=sizes, width=sizes, overlap=st.sampled_from([0, 8, 16]))
def test_weights_of_all_tiles_sum_to_one(height: int, width: int, overlap: int) -> None:
    plan = TilePlan.of(FixedTile(64, overlap), (height, width), 4)
    total = np.zeros((height, width))
    for row in range(plan.rows):
        for col in range(plan.cols):
            tile = plan[row, col]
            down = tile_weights(row, plan.rows, 64, overlap)
            along = tile_weights(col, plan.cols, 64, overlap)
            inside = tile.write.relative_to(tile.run).slices
            total[tile.write.slices] += np.outer(down, along)[inside]
    np.testing.assert_allclose(total, 1, rtol=0, atol=1e-14)


@given(height=sizes, width=sizes, apron=st.integers(0, 30))
def test_local_blocks_partition_the_scene_and_read_their_apron(height, width, apron) -> None:
    plan = TilePlan((height, width), 32, 32, 0, -(-apron // 4) * 4, crosses_edge=False)
    count = np.zeros((height, width), dtype=int)
    for row in range(plan.rows):
        for col in range(plan.cols):
            tile = plan[row, col]
            count[tile.write.slices] += 1
            assert tile.run == tile.write
            assert tile.read.coarse(4).fine(4) == tile.read
            assert tile.read == tile.run.padded(plan.apron).intersection(
                Window.whole((height, width))
            )
    assert (count == 1).all()


@given(
    start=st.integers(0, 199),
    length=st.integers(1, 100),
    overlap=st.sampled_from([0, 8, 16]),
)
def test_tiles_of_a_window_are_exactly_those_that_touch_it(start, length, overlap) -> None:
    plan = TilePlan.of(FixedTile(64, overlap), (300, 64), 4)
    window = Window(start, 0, length, 64)
    touching = [r for r in range(plan.rows) if not plan[r, 0].write.intersection(window).is_empty]
    assert list(plan.tile_rows(window)) == touching


def test_reach_decides_the_cut() -> None:
    assert TilePlan.of(Local(10), (2000, 100), 4).apron == 12
    assert TilePlan.of(Local(10), (2000, 100), 3).height % 3 == 0
    whole = TilePlan.of(WholeScene(8), (40, 24), 4)
    assert (whole.rows, whole.cols, whole[0, 0].read) == (1, 1, Window(0, 0, 40, 24))
    with pytest.raises(ValueError, match="multiples of the ratio 3"):
        TilePlan.of(FixedTile(64, 16), (300, 300), 3)
    with pytest.raises(IndexError):
        whole[1, 0]


def test_ramp_and_its_mirror_sum_to_one() -> None:
    np.testing.assert_allclose(ramp(16) + ramp(16)[::-1], 1, atol=1e-15)
    assert (np.diff(ramp(16)) > 0).all()
