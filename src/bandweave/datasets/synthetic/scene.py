"""A scene as a WorldView-3 would deliver it, together with the truth it could not see."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray
from scipy import ndimage

from bandweave.datasets.synthetic.layout import Layout, painted_place
from bandweave.datasets.synthetic.spectra import BANDS, NATURAL, Light, drawn_reflectances
from bandweave.degrade.observe import observe
from bandweave.degrade.sampling import blur_gaussian
from bandweave.errors import ShapeError
from bandweave.grid import Grid
from bandweave.pair import ImagePair
from bandweave.radiometry import Image, to_storage
from bandweave.sensors import find_sensor
from bandweave.window import Window

RATIO = 4
FULL_SCALE = 2047.0
PAN_GSD = 0.3  # metres
_SUPERSAMPLING = 3  # plan pixels per PAN pixel and direction: edges become mixed pixels
# Share of each band in the PAN, which sees 450 to 800 nm.
_PAN_WEIGHTS = np.array([0.03, 0.16, 0.22, 0.19, 0.20, 0.15, 0.05, 0.0])
# Blur of the optics at PAN resolution, in PAN pixels; the truth is what the MS would see there.
_OPTICS = 0.45
_STRIP = 96  # PAN rows rendered at a time
_CRS = "EPSG:32651"
_CORNER = (353_400.0, 3_456_800.0)


@dataclass(frozen=True, slots=True)
class Instrument:
    """How a scene is observed."""

    phase: tuple[float, float] = (1.5, 1.5)
    """Fine index of coarse sample 0; 1.5 is registered on corner-based grids."""
    mtf_gains: tuple[float, ...] | None = None
    """MTF of the bands at the coarse Nyquist frequency; None for WorldView-3's."""
    pan_blur: float = 0.5
    """Blur of the PAN, in PAN pixels."""
    pan_noise: float = 3.0
    """Standard deviation of the PAN's noise in DN at DN 500; it grows with the root of the DN."""
    spectral_noise: float = 2.0
    """The same for the bands."""
    displacement: tuple[float, float] = (0.0, 0.0)
    """PAN pixels (rows, columns) by which the content of the MS is found further down and right in
    the PAN than `phase` and the grids say; the truth stays on the PAN's grid."""


@dataclass(frozen=True, slots=True, eq=False)
class SyntheticScene:
    """Truth and observation."""

    gt: Image
    """`(8, H, W)`, DN in [0, 2047], float32: the bands at PAN resolution, without noise."""
    pair: ImagePair
    """PAN and `lrms`, DN, float32, rounded to whole numbers as delivered; 0 where not valid."""

    def write_geotiff_pair(self, folder: Path) -> tuple[Path, Path, Path]:
        """Write `pan.tif`, `ms.tif` and `truth.tif` (uint16, georeferenced); return the paths.

        Where the scene has pixels without data, 0 is declared as nodata.
        """
        grid = self.pair.grid
        assert grid is not None
        sensor = self.pair.sensor
        assert sensor is not None
        folder.mkdir(parents=True, exist_ok=True)
        names = sensor.band_names or ()
        coarse = grid.coarsened(RATIO)
        paths = (folder / "pan.tif", folder / "ms.tif", folder / "truth.tif")
        nodata = None if self.pair.valid is None else 0
        _write(paths[0], self.pair.spatial, grid, ("pan",), nodata)
        _write(paths[1], self.pair.spectral, coarse, names, nodata)
        _write(paths[2], self.gt, grid, names, nodata)
        return paths


def synthetic_scene(
    seed: int,
    shape: tuple[int, int] = (512, 512),
    *,
    instrument: Instrument | None = None,
    nodata: Window | None = None,
) -> SyntheticScene:
    """Make up a place and observe it.

    Fields, woods, water, streets, houses with gabled roofs, trees and cars, with cast shadows, in
    eight WorldView-3 bands; the PAN is their weighted sum. The same seed gives the same scene.

    Args:
        seed: Decides place, season and light.
        shape: PAN rows and columns, multiples of 4.
        instrument: How it is observed.
        nodata: A part without data in PAN, MS and truth, in PAN pixels; its edges are multiples
            of 4, so that it holds whole MS pixels.

    Raises:
        ShapeError: Rows, columns or an edge of `nodata` are no multiples of 4.

    Example:
        >>> scene = synthetic_scene(1, (48, 64))
        >>> scene.gt.shape, scene.pair.spectral.shape
        ((8, 48, 64), (8, 12, 16))
    """
    if any(side % RATIO or side < RATIO for side in shape):
        raise ShapeError(f"A scene has multiples of {RATIO} PAN pixels per side, got {shape}.")
    instrument = instrument or Instrument()
    rng = np.random.default_rng([seed, 2023])
    sensor = find_sensor("wv3")
    gains = instrument.mtf_gains or sensor.mtf_gains(BANDS)
    assert gains is not None
    scale = _SUPERSAMPLING
    layout = painted_place(shape[0] * scale, shape[1] * scale, scale / PAN_GSD, rng)
    sharp = _rendered(layout, rng)
    gt = blur_gaussian(sharp, _OPTICS)
    weights = _PAN_WEIGHTS * rng.uniform(0.85, 1.15, BANDS)
    weights /= weights.sum()
    pan = np.tensordot(weights.astype(np.float32), sharp, axes=1)[None]
    pan = blur_gaussian(pan, instrument.pan_blur)
    row, col = (p + d for p, d in zip(instrument.phase, instrument.displacement, strict=True))
    lrms = observe(gt, gains, RATIO, (row, col))
    scene = SyntheticScene(
        gt=np.clip(gt, 0, FULL_SCALE),
        pair=ImagePair(
            spatial=_measured(pan, instrument.pan_noise, rng),
            spectral=_measured(lrms, instrument.spectral_noise, rng),
            ratio=RATIO,
            phase=instrument.phase,
            full_scale=FULL_SCALE,
            sensor=sensor,
            grid=_grid(shape),
        ),
    )
    return scene if nodata is None else _with_nodata(scene, nodata)


def _with_nodata(scene: SyntheticScene, part: Window) -> SyntheticScene:
    """Blank a part of all images."""
    if part != part.snapped(RATIO):
        raise ShapeError(f"The part without data needs edges on multiples of {RATIO}, got {part}.")
    part = part.intersection(Window.whole(scene.pair.shape))
    valid = np.ones(scene.pair.shape, dtype=bool)
    valid[part.slices] = False
    coarse = valid[::RATIO, ::RATIO]
    pair = scene.pair.replace(
        spatial=scene.pair.spatial * valid, spectral=scene.pair.spectral * coarse, valid=valid
    )
    return SyntheticScene(gt=scene.gt * valid, pair=pair)


def _rendered(layout: Layout, rng: np.random.Generator) -> Image:
    """Turn a plan into DN `(8, H, W)` at PAN resolution: light, texture, mixed pixels."""
    reflectances = drawn_reflectances(rng).astype(np.float32)
    light = Light.drawn(rng)
    height, width = (side // _SUPERSAMPLING for side in layout.surface.shape)
    texture = _texture(layout.surface.shape, rng)
    # Each material carries texture of its own strength, partly as a change of colour; what is
    # built is smoother than what grows.
    strength = rng.uniform(0.02, 0.07, len(reflectances)).astype(np.float32)
    strength[list(NATURAL)] = rng.uniform(0.08, 0.2, len(NATURAL))
    tint = rng.normal(0, 0.2, (len(reflectances), BANDS)).astype(np.float32)
    result = np.empty((BANDS, height, width), np.float32)
    for first in range(0, height, _STRIP):
        rows = slice(first, min(first + _STRIP, height))
        fine = slice(rows.start * _SUPERSAMPLING, rows.stop * _SUPERSAMPLING)
        surface = layout.surface[fine]
        grain = texture[fine] * strength[surface]
        sun = 1 - layout.shadow[fine]
        for band in range(BANDS):
            reflectance = reflectances[surface, band] * layout.brightness[fine]
            reflectance *= 1 + grain * (1 + tint[surface, band])
            lit = sun + (1 - sun) * np.float32(light.skylight[band])
            dn = light.haze[band] + light.gain[band] * np.maximum(reflectance, 0) * lit
            result[band, rows] = _box_mean(dn)
    return result


def _texture(shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.float32]:
    """Return noise of unit variance with as much at coarse as at fine scales."""
    total = np.zeros(shape, np.float32)
    for size in (1, 3, 9, 27):
        coarse = rng.standard_normal(tuple(side // size + 2 for side in shape)).astype(np.float32)
        grown = ndimage.zoom(coarse, size, order=1) if size > 1 else coarse
        total += grown[: shape[0], : shape[1]]
    return total / np.float32(total.std())


def _box_mean(image: NDArray[np.floating]) -> NDArray[np.floating]:
    s = _SUPERSAMPLING
    mean: NDArray[np.floating] = image.reshape(image.shape[0] // s, s, image.shape[1] // s, s).mean(
        axis=(1, 3)
    )
    return mean


def _measured(image: Image, noise: float, rng: np.random.Generator) -> Image:
    """Add shot noise and round to the 11 bits of the sensor."""
    sigma = noise * np.sqrt(np.maximum(image, 20.0) / 500.0)
    noisy = image + rng.standard_normal(image.shape).astype(image.dtype) * sigma
    return to_storage(noisy, np.uint16, largest=FULL_SCALE).astype(np.float32)


def _grid(shape: tuple[int, int]) -> Grid:
    west, north = _CORNER
    return Grid(shape, Affine(PAN_GSD, 0, west, 0, -PAN_GSD, north), _CRS)


def _write(
    path: Path, image: Image, grid: Grid, names: tuple[str, ...], nodata: int | None
) -> None:
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        height=grid.shape[0],
        width=grid.shape[1],
        count=len(image),
        dtype="uint16",
        crs=grid.crs,
        transform=grid.transform,
        nodata=nodata,
        compress="DEFLATE",
        predictor=2,
        tiled=True,
        blockxsize=256,
        blockysize=256,
    ) as file:
        file.write(to_storage(image, np.uint16))
        file.descriptions = names
        file.update_tags(SYNTHETIC="made by bandweave; shows no place on Earth")
