"""CAVE: 32 indoor scenes of 31 bands (F. Yasuma et al., 2010), and its published protocol.

The scenes are 512 x 512 pixels, 400 to 700 nm in steps of 10 nm, one PNG of 16 bits per band:
`<scene>_ms/<scene>_ms/<scene>_ms_01.png` to `_31.png`, as the archive unpacks.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage
from PIL import UnidentifiedImageError

from bandweave.datasets.scale import Float
from bandweave.degrade.operators import Degradation, gaussian_psf
from bandweave.degrade.psf import gaussian_spread
from bandweave.degrade.sampling import imresize
from bandweave.degrade.srf import SpectralResponse, nikon_d700
from bandweave.degrade.wald import ReducedPair, simulate_pair
from bandweave.errors import BandCountError, FileFormatError, UnknownNameError
from bandweave.instruments import HyperspectralModel
from bandweave.radiometry import Image

BANDS = 31
WAVELENGTHS = tuple(range(400, 701, 10))
"""Band centres in nanometres."""
FULL_SCALE = 65535.0
"""Stored value of reflectance 1: the largest of 16 bits, not the scene's own maximum."""

TRAIN_SCENES = (
    "beads",
    "thread_spools",
    "pompoms",
    "cloth",
    "real_and_fake_peppers",
    "fake_and_real_sushi",
    "glass_tiles",
    "fake_and_real_strawberries",
    "fake_and_real_lemons",
    "sponges",
    "real_and_fake_apples",
    "stuffed_toys",
    "face",
    "fake_and_real_peppers",
    "oil_painting",
    "egyptian_statue",
    "photo_and_face",
    "superballs",
    "fake_and_real_food",
    "paints",
)
"""The 20 training scenes of the published split, in its order."""
TEST_SCENES = (
    "balloons",
    "cd",
    "chart_and_stuffed_toy",
    "clay",
    "fake_and_real_beers",
    "fake_and_real_lemon_slices",
    "fake_and_real_tomatoes",
    "feathers",
    "flowers",
    "hairs",
    "jelly_beans",
)
"""The 11 test scenes. `watercolors`, whose files are 8-bit RGBA, is in neither list."""
LEFT_OUT = "watercolors"


def scene_names(folder: str | Path) -> tuple[str, ...]:
    """Return the scenes in a CAVE folder, sorted.

    Raises:
        FileFormatError: There is none.
    """
    names = sorted(path.name.removesuffix("_ms") for path in Path(folder).glob("*_ms"))
    if not names:
        raise FileFormatError(
            f"{folder} holds no CAVE scene: folders named `<scene>_ms` are expected, as the "
            "archive unpacks."
        )
    return tuple(names)


def read_scene(folder: str | Path, scene: str, *, dtype: Float = np.float64) -> Image:
    """Read one scene as reflectance `(31, 512, 512)` in [0, 1]: stored values / 65535.

    8-bit files (`watercolors`) are divided by 255; where they are RGBA the colour channels, which
    are equal, are averaged and the alpha is dropped.

    Args:
        folder: Folder with one `<scene>_ms` folder per scene.
        scene: Name without `_ms`, for example `flowers`.
        dtype: Type of the result.

    Raises:
        UnknownNameError: There is no such scene; the message lists those present.
        BandCountError: A scene does not have 31 bands.
        FileFormatError: A file could not be read, or the bands differ in size.
    """
    folder = Path(folder)
    outer = folder / f"{scene}_ms"
    if not outer.is_dir():
        present = ", ".join(scene_names(folder))
        raise UnknownNameError(f"There is no scene {scene!r} in {folder}; present are {present}.")
    inner = outer / f"{scene}_ms"
    files = sorted((inner if inner.is_dir() else outer).glob("*_ms_[0-9][0-9].png"))
    if len(files) != BANDS:
        raise BandCountError(
            f"The scene {scene} in {folder} must have {BANDS} band files, found {len(files)}."
        )
    bands = [_read_band(path) for path in files]
    if len({band.shape for band in bands}) > 1:
        raise FileFormatError(f"The bands of the scene {scene} in {folder} differ in size.")
    return np.stack(bands).astype(dtype)


def cave_pair(
    gt: Image,
    ratio: int,
    *,
    psf: Degradation | None = None,
    response: SpectralResponse | None = None,
) -> ReducedPair:
    """Simulate a pair from a scene `(31, H, W)` in [0, 1], the protocol's by default.

    Args:
        gt: The scene.
        ratio: Fine pixels per coarse pixel; samples lie at phase ratio / 2. No noise.
        psf: Makes `lrhsi`; a 3 x 3 Gaussian of σ 0.5 by default.
        response: Makes `msi`; the Nikon D700's (R, G, B) by default.
    """
    return simulate_pair(
        gt, response or nikon_d700(), psf or gaussian_psf(0.5, 3), ratio, full_scale=1.0
    )


def cave_model(ratio: int) -> HyperspectralModel:
    """Return the instruments of `cave_pair` as the methods take them."""
    phase = (ratio / 2, ratio / 2)
    response = tuple(tuple(float(weight) for weight in row) for row in nikon_d700().weights)
    return HyperspectralModel(gaussian_spread(0.5, 3, phase), phase, response)


def hsi_up(reduced: ReducedPair) -> Image:
    """Interpolate `lrhsi` as the protocol does: `imresize`, bicubic, aligned at the corners.

    The half pixel between this and samples taken at phase ratio / 2 is part of the protocol.
    """
    return imresize(reduced.pair.spectral, reduced.pair.ratio)


def _read_band(path: Path) -> NDArray[np.float64]:
    try:
        with PillowImage.open(path) as picture:
            stored = np.asarray(picture)
    except (OSError, UnidentifiedImageError, SyntaxError) as error:
        raise FileFormatError(f"{path} could not be read as a PNG: {error}.") from error
    largest = 255.0 if stored.dtype == np.uint8 else FULL_SCALE
    band = np.asarray(stored, dtype=np.float64)
    if band.ndim == 3:
        band = band[..., :3].mean(axis=2)
    return band / largest
