"""The published CAVE sets: training and validation patches, whole test scenes."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from bandweave.datasets.cave import (
    TEST_SCENES,
    TRAIN_SCENES,
    cave_pair,
    hsi_up,
    read_scene,
    scene_names,
)
from bandweave.datasets.setwriter import HYPERSPECTRAL_KEYS, Origin, SetAppender, write_set
from bandweave.degrade.operators import Degradation
from bandweave.degrade.srf import SpectralResponse
from bandweave.degrade.wald import ReducedPair
from bandweave.errors import BandweaveWarning, FileFormatError
from bandweave.window import Window

PATCH = 64
"""Fine pixels per side of a training patch."""
_PATCHES_PER_AXIS = 14  # 14 x 14 x 20 scenes = 3,920 patches, the published number
_VALIDATION_SCENES = 4  # 80 % and 20 % of the patches, but by scene: overlapping patches leak


def write_cave_sets(
    folder: str | Path,
    out: str | Path,
    ratio: int,
    *,
    psf: Degradation | None = None,
    response: SpectralResponse | None = None,
    overwrite: bool = False,
    report: Callable[[int], None] = lambda _: None,
) -> dict[Path, int]:
    """Simulate the sets of the published split from the original PNG folders.

    `train.h5` and `valid.h5` hold 64-pixel patches, 14 x 14 a scene, cut at multiples of the ratio
    from whole simulated scenes; `valid.h5` those of the last four of the 20 training scenes.
    `test.h5` holds the 11 test scenes whole. Keys and values are those of the hyperspectral
    literature: `GT`, `RGB`, `LRHSI`, `HSI_up`, (N, C, H, W), in [0, 1].

    Args:
        folder: Folder with one `<scene>_ms` folder per scene.
        out: Folder for the sets.
        ratio: Fine pixels per coarse pixel; must divide 64.
        psf: Makes the coarse images; the protocol's by default. The sets record it.
        response: Makes the sharp images; the protocol's by default. The sets record it.
        overwrite: Replace existing files.
        report: Called once per scene with its number of pixels.

    Returns:
        The files and the number of pairs in each. A set of which no scene is there is not written.

    Raises:
        FileFormatError: No scene of the split is there, or a file is damaged.
        OutputExistsError: A set exists and `overwrite` is False.

    Warns:
        BandweaveWarning: Scenes of the split are missing; the sets are then not the published ones.
    """
    if ratio < 2 or PATCH % ratio:
        raise ValueError(f"The ratio must divide the patch of {PATCH} pixels, got {ratio}.")
    present = set(scene_names(folder))
    sets = {
        "train": TRAIN_SCENES[:-_VALIDATION_SCENES],
        "valid": TRAIN_SCENES[-_VALIDATION_SCENES:],
        "test": TEST_SCENES,
    }
    _tell_missing(sorted({*TRAIN_SCENES, *TEST_SCENES} - present), folder)
    written: dict[Path, int] = {}
    with ExitStack() as stack:
        for split, listed in sets.items():
            scenes = tuple(scene for scene in listed if scene in present)
            if not scenes:
                continue
            path = Path(out) / f"{split}.h5"
            appender = stack.enter_context(
                write_set(path, keys=HYPERSPECTRAL_KEYS, scenes=scenes, overwrite=overwrite)
            )
            for number, scene in enumerate(scenes):
                made = cave_pair(read_scene(folder, scene), ratio, psf=psf, response=response)
                _add_scene(appender, made, number, is_cut=split != "test")
                report(512 * 512)
            written[path] = appender.count
    return written


def _tell_missing(missing: list[str], folder: str | Path) -> None:
    if len(missing) == len(TRAIN_SCENES) + len(TEST_SCENES):
        raise FileFormatError(
            f"{folder} holds none of the 31 scenes of the published split, for example "
            f"{TEST_SCENES[0]}_ms."
        )
    if missing:
        warnings.warn(
            f"{len(missing)} of the 31 scenes of the published split are not in {folder}, so the "
            f"sets are not the published ones: {', '.join(missing)}.",
            BandweaveWarning,
            stacklevel=3,
        )


def _add_scene(appender: SetAppender, reduced: ReducedPair, number: int, *, is_cut: bool) -> None:
    up, ratio = hsi_up(reduced), reduced.pair.ratio
    if not is_cut:
        appender.add(reduced, up, Origin(number, 0, 0))
        return
    height, width = reduced.pair.shape
    for row in _starts(height, ratio):
        for col in _starts(width, ratio):
            window = Window(row, col, PATCH, PATCH)
            rows, cols = window.slices
            appender.add(reduced.crop(window), up[:, rows, cols], Origin(number, row, col))


def _starts(size: int, ratio: int) -> list[int]:
    """Return 14 positions from edge to edge on multiples of the ratio."""
    last = (size - PATCH) // ratio
    return [round(last * k / (_PATCHES_PER_AXIS - 1)) * ratio for k in range(_PATCHES_PER_AXIS)]
