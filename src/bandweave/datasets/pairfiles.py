"""Write simulated pairs as GeoTIFF: spatial image, spectral image and reference, one file each."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from affine import Affine

from bandweave.datasets.base import Item
from bandweave.datasets.reduced import ReducedScene, strips
from bandweave.grid import Grid
from bandweave.pair import ImagePair
from bandweave.radiometry import Image
from bandweave.raster.layout import OutputLayout
from bandweave.raster.writer import SceneWriter
from bandweave.window import Window


def write_scene_files(
    scene: ReducedScene,
    stem: Path,
    *,
    overwrite: bool = False,
    report: Callable[[int], None] = lambda _: None,
) -> list[Path]:
    """Write a reduced scene strip by strip as float32, values as simulated.

    The files are `<stem>_pan.tif`, `_ms.tif` and `_gt.tif` (`_msi`, `_hsi` where the spatial image
    has several bands). Their transforms say where the coarse samples lie, so that reading them as
    a pair gives the simulation's phase. Invalid pixels are NaN.

    Args:
        scene: What to write.
        stem: Beginning of the files' names.
        overwrite: Replace existing files.
        report: Called with the number of reduced pixels done.

    Raises:
        OutputExistsError: A file exists and `overwrite` is False.
        OutputError: A file cannot be written.
    """
    with ExitStack() as stack:
        writers: dict[str, SceneWriter] = {}
        for window in strips(scene.shape, scene.ratio):
            reduced = scene.reduced(window)
            if not writers:
                tags = {"simulation": reduced.record.model_dump_json()}
                layouts = _layouts(reduced.pair, _whole_grid(reduced.pair, scene.shape))
                writers = _open(stack, stem, layouts, tags, overwrite=overwrite)
            _append(writers, reduced.pair, reduced.gt)
            report(window.height * window.width)
        return _commit(writers)


def write_item_files(
    item: Item, stem: Path, *, record: str | None, overwrite: bool = False
) -> list[Path]:
    """Write one pair of a `.mat` or `.h5` file, and its reference where it has one.

    Args:
        item: Pair and reference.
        stem: Beginning of the files' names.
        record: How the pair was made, as JSON, or None where the file does not say.
        overwrite: Replace existing files.

    Raises:
        OutputExistsError: A file exists and `overwrite` is False.
        OutputError: A file cannot be written.
    """
    pair, truth = item
    layouts = _layouts(pair, _whole_grid(pair, pair.shape))
    if truth is None:
        del layouts["gt"]
    tags = {} if record is None else {"simulation": record}
    with ExitStack() as stack:
        writers = _open(stack, stem, layouts, tags, overwrite=overwrite)
        _append(writers, pair, truth)
        return _commit(writers)


def _layouts(pair: ImagePair, grid: Grid) -> dict[str, OutputLayout]:
    """Describe the three files by what their names end in; the spatial one comes first."""
    is_pan = pair.spatial.shape[0] == 1
    bands = pair.spectral.shape[0]
    names = None if pair.sensor is None else pair.sensor.band_names
    names = names if names is not None and len(names) == bands else None
    coarse = _coarse_grid(grid, pair.ratio, pair.phase)
    return {
        "pan" if is_pan else "msi": _layout(grid, pair.spatial.shape[0], None),
        "ms" if is_pan else "hsi": _layout(coarse, bands, names),
        "gt": _layout(grid, bands, names),
    }


def _layout(grid: Grid, bands: int, names: tuple[str, ...] | None) -> OutputLayout:
    return OutputLayout(grid, bands, np.dtype(np.float32), nodata=float("nan"), descriptions=names)


def _open(
    stack: ExitStack,
    stem: Path,
    layouts: dict[str, OutputLayout],
    tags: dict[str, str],
    *,
    overwrite: bool,
) -> dict[str, SceneWriter]:
    stem.parent.mkdir(parents=True, exist_ok=True)
    return {
        name: stack.enter_context(
            SceneWriter(
                stem.with_name(f"{stem.name}_{name}.tif"),
                layout,
                provenance=tags,
                overwrite=overwrite,
            )
        )
        for name, layout in layouts.items()
    }


def _append(writers: dict[str, SceneWriter], pair: ImagePair, truth: Image | None) -> None:
    spatial, spectral, *reference = writers.values()
    spatial.write_rows(pair.spatial, pair.valid)
    spectral.write_rows(pair.spectral, pair.coarse_valid)
    for writer in reference:
        assert truth is not None
        writer.write_rows(truth, pair.valid)


def _commit(writers: dict[str, SceneWriter]) -> list[Path]:
    for writer in writers.values():
        writer.commit()
    return [writer.path for writer in writers.values()]


def _whole_grid(first: ImagePair, shape: tuple[int, int]) -> Grid:
    """Return the grid of the whole scene from that of its first strip.

    Without georeference the pixels are numbered from the top left, rows downwards as in every
    raster file: the transform then carries the phase, which would be lost without one.
    """
    if first.grid is not None and first.grid.is_georeferenced:
        return first.grid.window(Window(0, 0, *shape))
    return Grid(shape, Affine(1.0, 0.0, 0.0, 0.0, -1.0, float(shape[0])))


def _coarse_grid(fine: Grid, ratio: int, phase: tuple[float, float]) -> Grid:
    """Return the grid whose pixel k has its centre at fine index ratio·k + phase."""
    moved = tuple(p - (ratio - 1) / 2 for p in phase)
    assert fine.transform is not None
    transform = fine.transform * Affine.translation(moved[1], moved[0]) * Affine.scale(ratio)
    return Grid((fine.shape[0] // ratio, fine.shape[1] // ratio), transform, fine.crs)
