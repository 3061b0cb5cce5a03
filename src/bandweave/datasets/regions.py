"""Cut a scene into training, validation and test patches that share no ground.

Overlapping patches that are split at random leak: a network is then tested on what it was trained
on. Here the scene is first cut into blocks, whole blocks are dealt to the splits, and patches are
cut inside a block, a margin away from its edge.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from math import sqrt
from typing import Literal

import numpy as np

from bandweave.errors import ShapeError
from bandweave.window import Window

Split = Literal["train", "valid", "test"]
SPLITS: tuple[Split, ...] = ("train", "valid", "test")

# Enough blocks for shares of a tenth, few enough that margins cost little ground.
_WANTED_BLOCKS = 20
_LARGEST_BLOCK = 512  # pixels per side, which bounds the memory of a simulated block


@dataclass(frozen=True, slots=True)
class Block:
    """A part of the scene that belongs to one split, and the patches cut from it."""

    window: Window
    split: Split
    patches: tuple[Window, ...]


def plan_blocks(
    shape: tuple[int, int],
    *,
    ratio: int,
    patch: int,
    stride: int,
    shares: dict[Split, float],
    seed: int,
) -> list[Block]:
    """Deal the blocks of a scene to the splits.

    Patches stay 2 coarse pixels away from their block's edge, so that those of two splits are at
    least 4 apart, which is 8 σ of the MTF kernel of a gain of 0.3.

    Args:
        shape: Rows and columns of the reduced scene's fine grid.
        ratio: Fine pixels per coarse pixel; windows lie on its multiples.
        patch: Fine pixels per side of a patch, a multiple of the ratio.
        stride: Fine pixels between patches of one block, a multiple of the ratio.
        shares: Part of the ground that each split gets; a split without share gets none.
        seed: Seed of the dealing.

    Raises:
        ShapeError: Patch or stride do not fit the ratio, or the scene is too small for the splits.
    """
    if patch % ratio or stride % ratio or patch <= 0 or stride <= 0:
        raise ShapeError(
            f"Patch and stride must be multiples of the ratio {ratio}, got {patch} and {stride}."
        )
    wanted = [split for split in SPLITS if shares.get(split, 0) > 0]
    margin = 2 * ratio if len(wanted) > 1 else 0
    rows, cols = _edges(shape, ratio, patch + 2 * margin)
    windows = [
        Window(top, left, bottom - top, right - left)
        for top, bottom in pairwise(rows)
        for left, right in pairwise(cols)
    ]
    if len(windows) < len(wanted):
        raise ShapeError(
            f"A scene of {shape[0]} x {shape[1]} reduced pixels has room for {len(windows)} blocks "
            f"of one {patch}-pixel patch, and {len(wanted)} splits need as many; use smaller "
            "patches, fewer splits or a larger scene."
        )
    dealt = _deal(len(windows), wanted, shares, seed)
    return [
        Block(window, split, _patches(window, margin, patch, stride))
        for window, split in zip(windows, dealt, strict=True)
    ]


def _edges(shape: tuple[int, int], ratio: int, least: int) -> list[list[int]]:
    """Return the row and the column edges of blocks of about equal size, `least` or larger."""
    side = sqrt(shape[0] * shape[1] / _WANTED_BLOCKS)
    side = max(min(side, _LARGEST_BLOCK), least)
    edges = []
    for size in shape:
        cells = size // ratio
        count = max(int(cells // -(-side // ratio)), 1) if cells * ratio >= least else 0
        edges.append([round(cells * k / count) * ratio for k in range(count + 1)] if count else [])
    return edges


def _deal(count: int, wanted: list[Split], shares: dict[Split, float], seed: int) -> list[Split]:
    """Give every split its share of `count` blocks, at least one; the first takes the rest."""
    total = sum(shares[split] for split in wanted)
    names: list[Split] = []
    for split in wanted[1:]:
        names += [split] * max(round(count * shares[split] / total), 1)
    names = names[: count - 1] if wanted[1:] else names
    names += [wanted[0]] * (count - len(names))
    order = np.random.default_rng(seed).permutation(count)
    return [names[k] for k in order]


def _patches(block: Window, margin: int, patch: int, stride: int) -> tuple[Window, ...]:
    rows = range(block.row + margin, block.row_stop - margin - patch + 1, stride)
    cols = range(block.col + margin, block.col_stop - margin - patch + 1, stride)
    return tuple(Window(row, col, patch, patch) for row in rows for col in cols)
