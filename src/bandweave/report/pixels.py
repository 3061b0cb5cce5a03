"""Which part and which pixels of an image are worth looking at; the same every time."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter

from bandweave.radiometry import Image
from bandweave.window import Window

_AREA = 5  # pixels per side over which a picked pixel's surroundings are alike
_DARK = 0.4  # share of the pixels that are too dark for a clear spectrum
_BUSY = 0.6  # share of the others whose surroundings vary too much
_GRID = 64  # candidates per side at most: as good as all, and quick


def liveliest(image: Image, side: int, *, step: int) -> Window:
    """Return the square of `side` pixels, less where the image is smaller, that varies most.

    Args:
        image: `(C, H, W)`.
        side: Rows and columns.
        step: Its corner lies on a multiple of this.
    """
    height, width = (min(side, size) for size in image.shape[1:])
    windows = [
        Window(row, col, height, width)
        for row in range(0, image.shape[1] - height + 1, step)
        for col in range(0, image.shape[2] - width + 1, step)
    ]
    return max(windows, key=lambda one: _variation(image[(slice(None), *one.slices)]))


def typical_pixels(image: Image, count: int = 3) -> list[tuple[int, int]]:
    """Return pixels of different materials: bright enough, in even surroundings, spectra far apart.

    The first is the one at the largest spectral angle from the mean spectrum, each further one the
    one at the largest angle from those before.

    Args:
        image: `(C, H, W)`, physical values.
        count: Pixels wanted; fewer where the image is too small.
    """
    rows, cols = (_places(size) for size in image.shape[1:])
    bright = image.mean(axis=0)
    even = uniform_filter(bright, _AREA)
    spread = np.sqrt(np.maximum(uniform_filter(bright**2, _AREA) - even**2, 0)) / (
        np.abs(even) + np.finfo(np.float32).tiny
    )
    places = [(int(row), int(col)) for row in rows for col in cols]
    level = np.array([bright[place] for place in places])
    variation = np.array([spread[place] for place in places])
    is_bright = level >= np.quantile(level, _DARK)
    is_fit = is_bright & (variation <= np.quantile(variation[is_bright], _BUSY))
    fit = [place for place, fits in zip(places, is_fit, strict=True) if fits]
    spectra = np.stack([image[:, row, col] for row, col in fit]).astype(np.float64)
    spectra /= np.linalg.norm(spectra, axis=1, keepdims=True) + np.finfo(np.float64).tiny
    mean = spectra.mean(axis=0) / np.linalg.norm(spectra.mean(axis=0))
    chosen: list[int] = []
    nearest = spectra @ mean
    for _ in range(min(count, len(fit))):
        chosen.append(int(nearest.argmin()))
        own = spectra @ spectra[chosen[-1]]
        nearest = own if len(chosen) == 1 else np.maximum(nearest, own)
    return [fit[k] for k in chosen]


def _places(size: int) -> NDArray[np.int_]:
    """Return indices along an axis, evenly, not at the edge."""
    first = min(_AREA, size // 2)
    return np.unique(np.linspace(first, size - 1 - first, min(_GRID, size)).astype(int))


def _variation(image: Image) -> float:
    return float(np.nanstd(image, axis=(1, 2)).sum())
