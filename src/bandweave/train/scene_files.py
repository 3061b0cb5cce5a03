"""Pairs as they lie in files: read, brought together, cut to the bands and part in use."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from bandweave.datasets.files import is_pair_file, open_pairs
from bandweave.datasets.folders import find_pairs
from bandweave.errors import BandCountError, GridMismatchError, ShapeError
from bandweave.pair import ImagePair, Mask
from bandweave.radiometry import Image
from bandweave.raster.reader import open_image, open_pair
from bandweave.sensors import Sensor, find_sensor
from bandweave.train.config import FolderSource, SceneSource
from bandweave.window import Window


def scene_pair(root: Path, source: SceneSource) -> tuple[ImagePair, bool]:
    """Return a scene in DN, and whether its spectral image is a reference on the PAN's grid.

    Raises:
        FusionError: A file is missing or unreadable, or does not fit what the source says.
    """
    pair, is_reduced = _read(root, source)
    # Cut so that both levels of the reduction stay on whole pixels.
    step = 4 * pair.ratio if is_reduced else pair.ratio**2
    return _cut(pair, step, source, source.spectral or source.spatial), is_reduced


def folder_pairs(root: Path, source: FolderSource) -> Iterator[tuple[str, ImagePair]]:
    """Yield the name and the pixels, in DN, of every pair of a folder.

    Raises:
        FusionError: There is no pair, or one is unreadable or does not fit what the source says.
    """
    sensor = find_sensor(source.sensor)
    for paths in find_pairs(root / source.path):
        with open_pair(paths.pan, paths.ms, sensor=sensor, full_scale=source.full_scale) as opened:
            pair = opened.read(Window.whole(opened.profile.shape), np.float64)
        yield paths.pan.name, _cut(pair, pair.ratio**2, source, paths.ms.name)


def _read(root: Path, source: SceneSource) -> tuple[ImagePair, bool]:
    """Return the pair in DN, and whether its spectral image is a reference on the PAN's grid."""
    sensor = find_sensor(source.sensor)
    path = root / source.spatial
    if is_pair_file(path):
        with open_pairs(path, full_scale=source.full_scale, sensor=sensor) as pairs:
            pair, gt = pairs.item(0)
        if gt is None:
            return pair, False
        return _reference_pair(pair.spatial, gt, pair.full_scale, sensor), True
    spatial, valid = _whole(path)
    scale = source.full_scale or sensor.full_scale
    if source.gt is not None:
        gt, gt_valid = _whole(root / source.gt)
        return _reference_pair(spatial, gt, scale, sensor, valid & gt_valid), True
    if source.spectral is None:
        raise ShapeError(f"The source {source.spatial} names neither a spectral image nor a gt.")
    spectral, coarse_valid = _whole(root / source.spectral)
    row, column = source.skip
    spatial, valid = spatial[:, row:, column:], valid[row:, column:]
    ratio = _ratio(spatial, spectral, source)
    rows, columns = (
        min(fine // ratio, coarse)
        for fine, coarse in zip(spatial.shape[1:], spectral.shape[1:], strict=True)
    )
    at = (ratio - 1) / 2 if source.phase is None else source.phase
    fine = (slice(rows * ratio), slice(columns * ratio))
    valid = valid[fine] & coarse_valid.repeat(ratio, axis=0).repeat(ratio, axis=1)[fine]
    pair = ImagePair(
        spatial[:, *fine], spectral[:, :rows, :columns], ratio, (at, at), scale,
        sensor=sensor, valid=None if valid.all() else valid,
    )  # fmt: skip
    return pair, False


def _ratio(spatial: Image, spectral: Image, source: SceneSource) -> int:
    """Return the ratio of the images' sizes.

    Raises:
        GridMismatchError: They are no PAN and MS of one scene.
    """
    sizes = [image.shape[1:] for image in (spatial, spectral)]
    found = [round(fine / coarse) for fine, coarse in zip(*sizes, strict=True)]
    if found[0] != found[1] or found[0] < 2:
        (rows, columns), (h, w) = sizes
        raise GridMismatchError(
            f"{source.spatial} of {rows} x {columns} pixels has to be a whole number of times as "
            f"fine as {source.spectral}, which has {h} x {w}; name the PAN as `spatial`, the MS of "
            "the same ground as `spectral`."
        )
    return int(found[0])


def _reference_pair(
    spatial: np.ndarray,
    gt: np.ndarray,
    scale: float | None,
    sensor: Sensor,
    valid: Mask | None = None,
) -> ImagePair:
    height, width = (side // 4 * 4 for side in gt.shape[1:])
    pan, reference = (image[:, :height, :width] for image in (spatial, gt))
    kept = None if valid is None or valid.all() else valid[:height, :width]
    return ImagePair(pan, reference, 1, (0.0, 0.0), scale, sensor=sensor, valid=kept)


def with_bands(pair: ImagePair, taken: list[int]) -> ImagePair:
    """Return some of a pair's bands, counted from 0, and what its sensor knows of them."""
    sensor = pair.sensor
    if sensor is not None and len(sensor.bands) == len(pair.spectral):
        sensor = replace(sensor, bands=tuple(sensor.bands[k] for k in taken))
    return pair.replace(spectral=pair.spectral[taken], sensor=sensor)


def _whole(path: Path) -> tuple[Image, Mask]:
    with open_image(str(path)) as image:
        pixels, valid = image.read(Window.whole(image.shape), np.float64)
    return pixels, np.ones(pixels.shape[1:], dtype=bool) if valid is None else valid


def _cut(
    pair: ImagePair, step: int, source: SceneSource | FolderSource, spectral: str
) -> ImagePair:
    """Take the configured bands and part of a scene, on whole steps of fine pixels."""
    if source.bands is not None:
        if max(source.bands) > pair.spectral.shape[0]:
            raise BandCountError(
                f"Band {max(source.bands)} of {spectral} is asked for, it has "
                f"{pair.spectral.shape[0]}."
            )
        pair = with_bands(pair, [band - 1 for band in source.bands])
    height, width = pair.shape
    top, bottom = (int(height * part) // step * step for part in source.rows)
    left, right = (int(width * part) // step * step for part in source.columns)
    return pair.crop(Window(top, left, bottom - top, right - left))
