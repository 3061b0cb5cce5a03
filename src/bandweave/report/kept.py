"""Images that a run keeps for pictures: 16-bit GeoTIFFs in `RUN/images`, never half-written.

    images/<data>/<image>/scene.json      what the image is
                          reference.tif   where there is one
                          spatial.tif, spectral.tif
                          <method>.tif    one per row of the table

Values are stored as levels 1 to 65535 between the image's own least and largest value, level 0 for
what has no value, with GDAL's scale and offset beside them: rounding is at most 1/131068 of the
image's range. Files without georeference lie on pixel coordinates, so that a viewer lays the coarse
image and the fine ones over each other.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from affine import Affine
from rasterio.errors import RasterioError

from bandweave.errors import FileFormatError, OutputError
from bandweave.grid import Grid
from bandweave.pair import ImagePair
from bandweave.radiometry import Image
from bandweave.window import Window

LARGEST = 2**23
"""Values of an image (pixels times bands) kept at most, 16 MiB before compression: a whole scene of
CAVE fits. Of larger images the middle is kept."""
_LEVELS = 65535
_TAGS = "BANDWEAVE"
_SAFE = re.compile(r"[^A-Za-z0-9_.]+")


@dataclass(frozen=True, slots=True)
class KeptScene:
    """What is known of an image whose results are kept."""

    data: str
    """Id of the data in its suite."""
    image: str
    shape: tuple[int, int]
    """Rows and columns of the whole image."""
    window: Window
    """Part of it that is kept."""
    ratio: int
    phase: tuple[float, float]
    bands: tuple[str, ...]
    """Name of each spectral band."""
    wavelengths: tuple[float, ...] | None
    """Centres in nanometres, or None where not known."""
    unit: str
    """Of the values: `DN` or `reflectance`."""
    has_reference: bool


class KeptImages:
    """The folder of kept images.

    Example:
        >>> kept = KeptImages(Path("run/images"))  # doctest: +SKIP
        >>> kept.read("rr", "synthetic 90", "bt_h").shape  # doctest: +SKIP
        (8, 128, 128)
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def keep_scene(
        self,
        data: str,
        image: str,
        pair: ImagePair,
        gt: Image | None,
        *,
        wavelengths: tuple[float, ...] | None = None,
    ) -> KeptScene:
        """Write what was fused and the reference.

        Args:
            data: Id of the data in its suite.
            image: Name of the image.
            pair: Spatial and spectral image.
            gt: Reference `(C, H, W)`, or None.
            wavelengths: Of the bands in nanometres, where the sensor does not say.

        Raises:
            OutputError: A file cannot be written.
        """
        bands = len(pair.spectral)
        known = None if pair.sensor is None else pair.sensor.bands_named(bands, None)
        scene = KeptScene(
            data=data,
            image=image,
            shape=pair.shape,
            window=kept_window(pair.shape, bands, pair.ratio),
            ratio=pair.ratio,
            phase=pair.phase,
            bands=_band_names(pair, wavelengths),
            wavelengths=wavelengths or _centres(known),
            unit="reflectance" if pair.full_scale == 1 else "DN",
            has_reference=gt is not None,
        )
        part = pair.crop(scene.window)
        grid = _fine_grid(part)
        self._write(scene, "spatial", part.spatial, grid)
        self._write(scene, "spectral", part.spectral, _coarse_grid(grid, part))
        if gt is not None:
            self._write(scene, "reference", gt[(slice(None), *scene.window.slices)], grid)
        _replace(self.folder(data, image) / "scene.json", json.dumps(asdict(scene), indent=1))
        return scene

    def keep_fused(
        self, scene: KeptScene, row: str, hrms: Image, digest: str, grid: Grid | None = None
    ) -> None:
        """Write the result of a row.

        Args:
            scene: As `keep_scene` returned it.
            row: Id of the row.
            hrms: Whole fused image `(C, H, W)`.
            digest: Of the record that it belongs to.
            grid: Of the whole image, or None.

        Raises:
            OutputError: The file cannot be written.
        """
        part = hrms[(slice(None), *scene.window.slices)]
        own = None if grid is None else grid.window(scene.window)
        self._write(scene, file_name(row), part, _placed(own, part.shape[1:]), digest=digest)

    def has(self, data: str, image: str, row: str, digest: str) -> bool:
        """Tell whether the result of a record is there."""
        path = self.folder(data, image) / f"{file_name(row)}.tif"
        if not path.is_file() or not (path.parent / "scene.json").is_file():
            return False
        try:
            with rasterio.open(path) as file:
                return bool(file.tags(ns=_TAGS).get("DIGEST") == digest)
        except RasterioError:
            return False

    def scenes(self) -> list[KeptScene]:
        """Return what is kept, sorted by folder."""
        return [_scene_of(path) for path in sorted(self.root.glob("*/*/scene.json"))]

    def read(self, data: str, image: str, name: str) -> Image:
        """Return an image `(bands, rows, columns)`, float32; nan where there is no value.

        Args:
            data: Id of the data in its suite.
            image: Name of the image.
            name: `reference`, `spatial`, `spectral`, or the id of a row.

        Raises:
            FileFormatError: The file is missing or damaged.
        """
        path = self.folder(data, image) / f"{file_name(name)}.tif"
        try:
            with rasterio.open(path) as file:
                levels = file.read()
                scale, offset = np.float32(file.scales[0]), np.float32(file.offsets[0])
        except RasterioError as error:
            raise FileFormatError(
                f"{path} cannot be read: {error}. Run the benchmark again: what is missing is made."
            ) from error
        return np.where(levels == 0, np.float32("nan"), levels * scale + offset)

    def folder(self, data: str, image: str) -> Path:
        """Return the folder of an image."""
        return self.root / file_name(data) / file_name(image)

    def _write(
        self, scene: KeptScene, name: str, image: Image, grid: Grid, digest: str | None = None
    ) -> None:
        levels, scale, offset = _levelled(image)
        path = self.folder(scene.data, scene.image) / f"{name}.tif"
        # Several processes may write the same scene: each beside, the last one's move stays.
        beside = path.with_name(f".{os.getpid()}.{path.name}.partial")
        layout: dict[str, Any] = {
            "driver": "GTiff",
            "count": len(image),
            "height": image.shape[1],
            "width": image.shape[2],
            "dtype": "uint16",
            "nodata": 0,
            "transform": grid.transform,
            "crs": grid.crs,
            "tiled": True,
            "compress": "zstd",
            "zstd_level": 1,
            "predictor": 2,
        }
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with rasterio.open(beside, "w", **layout) as file:
                file.write(levels)
                file.scales, file.offsets = (scale,) * len(image), (offset,) * len(image)
                if len(image) == len(scene.bands):
                    file.descriptions = scene.bands
                if digest is not None:
                    file.update_tags(ns=_TAGS, DIGEST=digest)
            _synced(beside)
            beside.replace(path)
        except (OSError, RasterioError) as error:
            beside.unlink(missing_ok=True)
            raise OutputError(f"The image {path} could not be written: {error}.") from error


def kept_window(shape: tuple[int, int], bands: int, ratio: int) -> Window:
    """Return the part of an image that is kept: all of it, or the middle of one that is too large.

    Example:
        >>> kept_window((512, 512), 31, 4)
        Window(row=0, col=0, height=512, width=512)
        >>> kept_window((4000, 6000), 8, 4)
        Window(row=1488, col=2488, height=1024, width=1024)
    """
    if shape[0] * shape[1] * bands <= LARGEST:
        return Window.whole(shape)
    side = int((LARGEST / bands) ** 0.5) // ratio * ratio
    # A narrow image may be longer than the square.
    height = min(side, shape[0])
    width = min(LARGEST // bands // height // ratio * ratio, shape[1])
    height = min(LARGEST // bands // width // ratio * ratio, shape[0])
    row, col = (
        (s - part) // 2 // ratio * ratio for s, part in ((shape[0], height), (shape[1], width))
    )
    return Window(row, col, height, width)


def file_name(text: str) -> str:
    """Return a name for files: letters, digits, dots and underscores; no two texts share one.

    Example:
        >>> file_name("bt_h"), file_name("gsa consistent")
        ('bt_h', 'gsa-consistent-18291b')
    """
    safe = _SAFE.sub("-", text).strip("-.")
    if safe == text:
        return text
    return f"{safe[:80]}-{hashlib.sha256(text.encode()).hexdigest()[:6]}"


def _levelled(image: Image) -> tuple[np.ndarray, float, float]:
    """Return levels, and what they have to be multiplied by and added to."""
    finite = np.isfinite(image)
    values = image[finite]
    low, high = (float(values.min()), float(values.max())) if values.size else (0.0, 0.0)
    scale = (high - low) / (_LEVELS - 1) or 1.0
    offset = low - scale  # level 1 is the least value
    levels = np.zeros(image.shape, np.uint16)
    levels[finite] = np.rint((values.astype(np.float64) - offset) / scale)
    return levels, scale, offset


def _band_names(pair: ImagePair, wavelengths: tuple[float, ...] | None) -> tuple[str, ...]:
    bands = len(pair.spectral)
    known = None if pair.sensor is None else pair.sensor.bands_named(bands, None)
    if known:
        return tuple(band.name for band in known)
    if wavelengths is not None:
        return tuple(f"{one:g} nm" for one in wavelengths)
    return tuple(f"band {k}" for k in range(1, bands + 1))


def _centres(bands: tuple[Any, ...] | None) -> tuple[float, ...] | None:
    centres = [band.wavelength for band in bands or ()]
    return None if not centres or None in centres else tuple(centres)


def _fine_grid(pair: ImagePair) -> Grid:
    return _placed(pair.grid, pair.shape)


def _placed(grid: Grid | None, shape: tuple[int, int]) -> Grid:
    """Return the grid, pixel coordinates where it has none: rows count downwards from the top."""
    if grid is not None and grid.is_georeferenced:
        return grid
    return Grid(shape, Affine(1.0, 0.0, 0.0, 0.0, -1.0, float(shape[0])))


def _coarse_grid(fine: Grid, pair: ImagePair) -> Grid:
    """Return the grid of the coarse image; sample 0 has its centre at the pair's phase."""
    assert fine.transform is not None
    ratio = pair.ratio
    # Corners of coarse pixel 0 in fine pixels: its centre lies at index phase, which is + 0.5.
    row, col = (phase + 0.5 - ratio / 2 for phase in pair.phase)
    shape: tuple[int, int] = pair.spectral.shape[1:]
    t = fine.transform
    corner = t.a * col + t.b * row + t.c, t.d * col + t.e * row + t.f
    moved = Affine(t.a * ratio, t.b * ratio, corner[0], t.d * ratio, t.e * ratio, corner[1])
    return Grid(shape, moved, fine.crs)


def _scene_of(path: Path) -> KeptScene:
    try:
        content: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        centres = content["wavelengths"]
        return KeptScene(
            **{
                **content,
                "shape": tuple(content["shape"]),
                "window": Window(**content["window"]),
                "phase": tuple(content["phase"]),
                "bands": tuple(content["bands"]),
                "wavelengths": None if centres is None else tuple(centres),
            }
        )
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise FileFormatError(
            f"{path} is no description of a kept image ({error}); delete its folder and run the "
            "benchmark again."
        ) from error


def _replace(path: Path, text: str) -> None:
    beside = path.with_name(f".{os.getpid()}.{path.name}.partial")
    try:
        beside.write_text(text, encoding="utf-8")
        _synced(beside)
        beside.replace(path)
    except OSError as error:
        raise OutputError(f"{path} could not be written: {error.strerror}.") from error


def _synced(path: Path) -> None:
    """Bring a file's content onto the disk before it gets its name."""
    with path.open("rb+") as stream:
        os.fsync(stream.fileno())
