"""Small GeoTIFF pairs and weight files, written when a test needs them."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from affine import Affine
from rasterio.errors import NotGeoreferencedWarning

from bandweave.degrade.observe import observe
from bandweave.grid import Grid

CRS = "EPSG:32633"


def smooth_truth(bands: int, height: int, width: int, *, seed: int = 0) -> np.ndarray:
    """Return `(bands, height, width)` in [100, 900] with structure at all scales."""
    rng = np.random.default_rng(seed)
    rows, cols = np.mgrid[0:height, 0:width]
    image = np.zeros((height, width))
    for scale in (3, 7, 15, 40):
        angle = rng.uniform(0, np.pi)
        image += np.sin((rows * np.cos(angle) + cols * np.sin(angle)) / scale + rng.uniform(0, 6))
    image = (
        np.kron(rng.random((height // 8 + 1, width // 8 + 1)), np.ones((8, 8)))[:height, :width] * 2
        + image / 2
    )
    shares = rng.uniform(0.5, 1.5, bands)
    tints = rng.uniform(-0.4, 0.4, bands)
    spectra = shares[:, None, None] * image + tints[:, None, None] * np.sin(image * 2)
    low, high = spectra.min(), spectra.max()
    return 100 + 800 * (spectra - low) / (high - low)


def write_tif(path: Path, image: np.ndarray, transform: Affine | None, **profile: Any) -> Path:
    """Write `(C, H, W)` as GeoTIFF."""
    options: dict[str, Any] = {"crs": CRS if transform is not None else None, **profile}
    with (
        warnings.catch_warnings(action="ignore", category=NotGeoreferencedWarning),
        rasterio.open(
            path,
            "w",
            driver="GTiff",
            count=image.shape[0],
            height=image.shape[1],
            width=image.shape[2],
            dtype=image.dtype,
            transform=transform,
            **options,
        ) as file,
    ):
        file.write(image)
    return path


def write_pair(
    folder: Path,
    *,
    bands: int = 4,
    coarse: tuple[int, int] = (37, 31),
    ratio: int = 4,
    dtype: str = "uint16",
    shift: tuple[float, float] = (0.0, 0.0),
    **profile: Any,
) -> tuple[Path, Path]:
    """Write a registered PAN and MS pair; `shift` displaces the PAN's content, in PAN pixels."""
    height, width = coarse[0] * ratio, coarse[1] * ratio
    truth = smooth_truth(bands, height, width)
    phase = ((ratio - 1) / 2 + shift[0], (ratio - 1) / 2 + shift[1])
    lrms = observe(truth, [0.3], ratio, phase)
    pan = truth.mean(axis=0, keepdims=True)
    fine = Affine(0.5, 0, 400_000, 0, -0.5, 5_000_000)
    grid = Grid((height, width), fine, CRS).coarsened(ratio)
    if np.dtype(dtype).kind in "ui":
        pan, lrms = np.rint(pan), np.rint(lrms)
    return (
        write_tif(folder / "pan.tif", pan.astype(dtype), fine, **profile),
        write_tif(folder / "ms.tif", lrms.astype(dtype), grid.transform, **profile),
    )


def write_weights(path: Path, *, bands: int = 4, seed: int = 0) -> Path:
    """Write a tiny U2Net of random weights."""
    import torch

    from bandweave.methods.nets.checkpoint import save_weights
    from bandweave.methods.nets.u2net import U2Net
    from bandweave.methods.nets.u2net_config import U2NetConfig
    from cards import untrained_card

    torch.manual_seed(seed)
    config = U2NetConfig(bands=bands, width=4, head_width=2)
    card = untrained_card(config, name="tiny", full_scale=2047, tile=64)
    save_weights(path, U2Net(config), card)
    return path
