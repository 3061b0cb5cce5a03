"""A training run small enough for tests: made-up patches, a narrow U2Net."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
from scipy import ndimage

from bandweave.train.config import CardConfig, TrainConfig

FULL_SCALE = 2047.0
BAND_NAMES = ("blue", "green", "red", "nir", "nir2", "yellow", "coastal", "red edge")


def write_patches(path: Path, count: int = 12, tile: int = 32, bands: int = 4) -> Path:
    """Write a set in PanCollection's layout: smooth images, decimated, and their mean as PAN."""
    rng = np.random.default_rng(5)
    noise = rng.standard_normal((count, bands, tile, tile))
    gt = ndimage.gaussian_filter(noise, (0, 0, 1.5, 1.5)) * 900 + 800
    gt = gt.clip(0, FULL_SCALE)
    ms = ndimage.gaussian_filter(gt, (0, 0, 1.7, 1.7))[:, :, 2::4, 2::4]
    with h5py.File(path, "w") as file:
        for key, images in (
            ("gt", gt),
            ("ms", ms),
            ("pan", gt.mean(axis=1, keepdims=True)),
            ("lms", ms.repeat(4, axis=2).repeat(4, axis=3)),
        ):
            file[key] = images.astype(np.float32)
    return path


def small_config(root: Path, **changes: Any) -> TrainConfig:
    """Return a run of a few quick steps on `write_patches`."""
    settings: dict[str, Any] = {
        "name": "small",
        "about": "a test",
        "network": {"config": {"bands": 4, "width": 4, "head_width": 2}},
        "data": {
            "root": str(root),
            "training": [{"kind": "patches", "path": "train.h5", "full_scale": FULL_SCALE}],
        },
        "tile": 32,
        "batch": 4,
        "steps": 8,
        "log_every": 1,
        "validate_every": 4,
        "checkpoint_every": 2,
        "ema": 0.9,
        "optimiser": {"kind": "adamw", "learning_rate": 1e-3, "clip_norm": 1.0},
        "card": CardConfig(
            band_names=BAND_NAMES,
            full_scale=FULL_SCALE,
            sensor="made up",
            pan_degradation="mean of the bands",
            spectral_degradation="Gaussian",
            training_data="made up",
            training_terms="none",
            licence="CC0-1.0",
        ),
    }
    merged = {**settings, **changes}
    bands = merged["network"]["config"]["bands"]
    merged["card"] = merged["card"].model_copy(update={"band_names": BAND_NAMES[:bands]})
    return TrainConfig.model_validate(merged)
