"""From scenes to training, validation and test sets in `.h5` files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from bandweave.datasets.reduced import ReducedScene
from bandweave.datasets.regions import SPLITS, Block, Split, plan_blocks
from bandweave.datasets.setwriter import PANCOLLECTION_KEYS, Origin, SetAppender, SetKeys, write_set
from bandweave.errors import NodataError


@dataclass(frozen=True, slots=True)
class Cutting:
    """How patches are cut and dealt."""

    patch: int = 64
    """Fine pixels per side."""
    stride: int = 64
    """Fine pixels between patches of one block; below `patch` they overlap, within their split."""
    shares: tuple[float, float, float] = (0.8, 0.1, 0.1)
    """Parts of the ground for training, validation and test; 0 leaves a split out."""
    seed: int = 0
    """Seed of the dealing."""


def write_split_sets(
    scenes: Sequence[tuple[str, ReducedScene]],
    path: Path,
    cutting: Cutting,
    *,
    keys: SetKeys = PANCOLLECTION_KEYS,
    overwrite: bool = False,
    report: Callable[[int], None] = lambda _: None,
) -> dict[Path, int]:
    """Cut scenes into patches and write one set per split.

    Every scene gives ground to every split. Patches with an invalid pixel are left out. Each set
    holds `origin` (N, 3): number of the scene in the attribute `scenes`, row and column of the
    patch in the reduced scene.

    Args:
        scenes: Names and reduced scenes, all of one number of bands and one sensor.
        path: `.h5` file; with several splits `_train`, `_valid`, `_test` are added to its name.
        cutting: Patch size, stride, shares and seed.
        keys: Names of the arrays.
        overwrite: Replace existing files.
        report: Called with the number of reduced pixels done.

    Returns:
        The files and the number of pairs in each.

    Raises:
        ShapeError: A scene is too small, or the scenes do not fit together.
        NodataError: A split has no patch without invalid pixels.
        OutputExistsError: A file exists and `overwrite` is False.
    """
    wanted = [split for split, share in zip(SPLITS, cutting.shares, strict=True) if share > 0]
    paths = {split: _path(path, split, single=len(wanted) == 1) for split in wanted}
    plans = [_plan(scene, cutting) for _, scene in scenes]
    names = tuple(name for name, _ in scenes)
    with ExitStack() as stack:
        sets = {
            split: stack.enter_context(
                write_set(paths[split], keys=keys, scenes=names, overwrite=overwrite)
            )
            for split in wanted
        }
        for number, (_, scene) in enumerate(scenes):
            for block in plans[number]:
                _cut_block(scene, block, sets[block.split], number)
                report(block.window.height * block.window.width)
        for split, appender in sets.items():
            if appender.count == 0:
                raise NodataError(
                    f"The {split} set would be empty: every patch has an invalid pixel, or its "
                    "blocks are too small; use smaller patches or another seed."
                )
    return {paths[split]: appender.count for split, appender in sets.items()}


def _path(path: Path, split: Split, *, single: bool) -> Path:
    return path if single else path.with_name(f"{path.stem}_{split}{path.suffix}")


def _plan(scene: ReducedScene, cutting: Cutting) -> list[Block]:
    return plan_blocks(
        scene.shape,
        ratio=scene.ratio,
        patch=cutting.patch,
        stride=cutting.stride,
        shares=dict(zip(SPLITS, cutting.shares, strict=True)),
        seed=cutting.seed,
    )


def _cut_block(scene: ReducedScene, block: Block, appender: SetAppender, number: int) -> None:
    if not block.patches:
        return
    made, up = scene.interpolated(block.window)
    for patch in block.patches:
        inside = patch.relative_to(block.window)
        reduced = made.crop(inside)
        if reduced.pair.valid is None or reduced.pair.valid.all():
            rows, cols = inside.slices
            appender.add(reduced, up[:, rows, cols], Origin(number, patch.row, patch.col))
