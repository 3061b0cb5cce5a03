"""Splits by region: no ground in two splits, all patches inside."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bandweave.datasets.regions import plan_blocks
from bandweave.errors import ShapeError
from bandweave.window import Window


def is_near(a: Window, b: Window, pixels: int) -> bool:
    return not a.padded(pixels).intersection(b).is_empty


@given(
    rows=st.integers(40, 150),
    cols=st.integers(40, 150),
    ratio=st.sampled_from([2, 3, 4]),
    seed=st.integers(0, 9),
)
@settings(max_examples=40, deadline=None)
def test_patches_of_different_splits_keep_their_distance(rows, cols, ratio, seed):
    shape = (rows * ratio, cols * ratio)
    blocks = plan_blocks(
        shape,
        ratio=ratio,
        patch=8 * ratio,
        stride=4 * ratio,
        shares={"train": 0.8, "valid": 0.1, "test": 0.1},
        seed=seed,
    )
    scene = Window.whole(shape)
    patches = [(patch, block.split) for block in blocks for patch in block.patches]
    assert {split for _, split in patches} == {"train", "valid", "test"}
    for block in blocks:
        assert all(scene.contains(p) and block.window.contains(p) for p in block.patches)
        assert all(p == p.snapped(ratio) for p in block.patches)
    held = [p for p, split in patches if split != "train"]
    train = [p for p, split in patches if split == "train"]
    assert not any(is_near(p, q, 4 * ratio - 1) for p in held for q in train)


def test_blocks_cover_the_scene_once():
    blocks = plan_blocks(
        (400, 300), ratio=4, patch=32, stride=32, shares={"train": 0.5, "test": 0.5}, seed=1
    )
    assert sum(b.window.height * b.window.width for b in blocks) == 400 * 300
    assert {b.split for b in blocks} == {"train", "test"}


def test_shares_are_kept_roughly():
    blocks = plan_blocks(
        (1000, 1000),
        ratio=4,
        patch=32,
        stride=32,
        shares={"train": 0.8, "valid": 0.1, "test": 0.1},
        seed=0,
    )
    counts = [sum(b.split == split for b in blocks) for split in ("train", "valid", "test")]
    assert counts[1] == counts[2] == pytest.approx(len(blocks) / 10, abs=0.5)


def test_one_split_uses_all_ground_to_the_edge():
    blocks = plan_blocks((64, 64), ratio=4, patch=64, stride=64, shares={"test": 1.0}, seed=0)
    assert blocks[0].patches == (Window(0, 0, 64, 64),)


def test_seed_decides():
    def plan(seed):
        return plan_blocks(
            (600, 600), ratio=4, patch=32, stride=32, shares={"train": 0.8, "test": 0.2}, seed=seed
        )

    assert plan(1) == plan(1)
    assert plan(1) != plan(2)


@pytest.mark.parametrize(
    ("shape", "patch", "stride", "message"),
    [
        ((100, 100), 30, 32, "multiples of the ratio 4, got 30 and 32"),
        ((100, 100), 32, 0, "multiples of the ratio 4"),
        ((60, 60), 32, 32, "room for 1 blocks"),
        ((20, 400), 32, 32, "room for 0 blocks"),
    ],
)
def test_impossible_plans_are_refused(shape, patch, stride, message):
    with pytest.raises(ShapeError, match=message):
        plan_blocks(
            shape,
            ratio=4,
            patch=patch,
            stride=stride,
            shares={"train": 0.5, "valid": 0.25, "test": 0.25},
            seed=0,
        )
