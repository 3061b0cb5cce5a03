"""Which part and which pixels of an image are worth looking at; the same every time."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter

from bandweave.radiometry import Image
from bandweave.window import Window

_STRONG = 0.9  # quantile of the detail above which all counts alike
_APART = 0.15  # of the image's side: distance of picked pixels at least
_AREA = 5  # pixels per side over which a picked pixel's surroundings are alike
_DARK = 0.05  # of the image's bright end: below it a spectrum is mostly noise
_BRIGHT = 0.99  # quantile of the pixels' means that is the bright end
_BUSY = 0.6  # share of the others whose surroundings vary too much
_GRID = 64  # candidates per side at most: as good as all, and quick


def busiest(image: Image, side: int, *, step: int = 1) -> Window:
    """Return the square of `side` pixels, less where the image is smaller, with the most detail.

    Detail is the distance of a pixel from the mean around it, summed over the bands; a single
    strong edge counts no more than a fine texture.

    Args:
        image: `(C, H, W)`.
        side: Rows and columns.
        step: Its corner lies on a multiple of this.
    """
    filled = np.nan_to_num(image)
    detail = np.abs(filled - uniform_filter(filled, (1, _AREA, _AREA))).sum(axis=0)
    detail = np.minimum(detail, np.quantile(detail, _STRONG))
    height, width = (min(side, size) for size in detail.shape)
    sums = np.pad(detail, ((1, 0), (1, 0))).cumsum(axis=0).cumsum(axis=1)
    inside = (
        sums[height:, width:]
        - sums[:-height, width:]
        - sums[height:, :-width]
        + sums[:-height, :-width]
    )[::step, ::step]
    row, col = np.unravel_index(int(inside.argmax()), inside.shape)
    return Window(int(row) * step, int(col) * step, height, width)


def typical_pixels(image: Image, count: int = 3) -> list[tuple[int, int]]:
    """Return pixels of different materials: bright enough, in even surroundings, spectra far apart.

    The first is the one at the largest spectral angle from the mean spectrum, each further one the
    one at the largest angle from those before, and not close to any of them.

    Args:
        image: `(C, H, W)`, physical values.
        count: Pixels wanted; fewer where the image is too small.
    """
    rows, cols = (_places(size) for size in image.shape[1:])
    places = [(int(row), int(col)) for row in rows for col in cols]
    level = np.array([image[:, row, col].mean() for row, col in places])
    spread = _unevenness(image)
    variation = np.array([spread[place] for place in places])
    is_bright = level >= _DARK * np.nanquantile(level, _BRIGHT)
    is_fit = is_bright & (variation <= np.quantile(variation[is_bright], _BUSY))
    fit = [place for place, fits in zip(places, is_fit, strict=True) if fits]
    spectra = np.stack([image[:, row, col] for row, col in fit]).astype(np.float64)
    spectra /= np.linalg.norm(spectra, axis=1, keepdims=True) + np.finfo(np.float64).tiny
    mean = spectra.mean(axis=0) / np.linalg.norm(spectra.mean(axis=0))
    chosen: list[int] = []
    likeness = spectra @ mean
    apart = min(image.shape[1:]) * _APART
    while len(chosen) < count and np.isfinite(likeness).any():
        chosen.append(int(likeness.argmin()))
        own = spectra @ spectra[chosen[-1]]
        likeness = own if len(chosen) == 1 else np.maximum(likeness, own)
        # Pixels beside each other would say the same twice.
        distances = np.hypot(*(np.array(fit) - fit[chosen[-1]]).T)
        likeness = np.where(distances < apart, np.inf, likeness)
    return [fit[k] for k in chosen]


def _unevenness(image: Image) -> NDArray[np.floating]:
    """Return `(H, W)`: how much the bands vary around a pixel, relative to their mean there."""
    filled = np.nan_to_num(image).astype(np.float64)
    mean = uniform_filter(filled, (1, _AREA, _AREA))
    square = uniform_filter(filled**2, (1, _AREA, _AREA))
    spread = np.sqrt(np.maximum(square - mean**2, 0)).sum(axis=0)
    unevenness: NDArray[np.floating] = spread / (np.abs(mean).sum(axis=0) + np.finfo(float).tiny)
    return unevenness


def _places(size: int) -> NDArray[np.int_]:
    """Return indices along an axis, evenly, not at the edge."""
    first = min(_AREA, size // 2)
    return np.unique(np.linspace(first, size - 1 - first, min(_GRID, size)).astype(int))
