"""Sums over pixels: see `bandweave.metrics.pixelwise` and `bandweave.metrics.cc`."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bandweave.metrics.compiled.jit import (
    COUNTS,
    FLAG,
    IMAGE,
    MASK,
    TABLE,
    WHOLE,
    FlatImage,
    as_written,
    counted,
    entry,
    reordered,
)
from bandweave.metrics.inputs import Array
from bandweave.pair import Mask
from bandweave.radiometry import Image

Counts = NDArray[np.intp]

# Columns at once. It is a constant because LLVM then sees by itself that rows of one array do not
# overlap.
_PITCH = 512


@as_written
def _kept(image: FlatImage, band: int, row: int, left: int, counts: Mask, is_masked: bool,
          kept: Array) -> Array:  # fmt: skip
    """Return a part of a row with 0 at what does not count: in `kept` if there is a mask."""
    start = band * image.band + row * image.row + left
    line = image.line[start : start + len(kept)]
    if not is_masked:
        return line
    valid = counts[row, left : left + len(kept)]
    for c in range(len(kept)):
        kept[c] = line[c] if valid[c] else 0.0
    return kept


@reordered
def _add_band(f: Array, g: Array, spectra: Array) -> tuple[float, float, float]:
    """Return Σ f, Σ g and Σ (f − g)²; add f², f (f − g) and (f − g)² to each pixel's sums."""
    first, second, squared = 0.0, 0.0, 0.0
    for c in range(len(f)):
        error = f[c] - g[c]
        first += f[c]
        second += g[c]
        squared += error * error
        spectra[c] += f[c] * f[c]
        spectra[c + _PITCH] += f[c] * error
        spectra[c + 2 * _PITCH] += error * error
    return first, second, squared


@as_written
def _sides(spectra: Array, adjacent: Array, opposite: Array) -> int:
    """Write the sides of the angles, and return how many pixels have an angle."""
    for c in range(len(adjacent)):
        adjacent[c] = spectra[c] - spectra[c + _PITCH]
    for c in range(len(opposite)):
        inner = spectra[c + _PITCH]
        opposite[c] = np.sqrt(max(spectra[c] * spectra[c + 2 * _PITCH] - inner * inner, 0.0))
    angles = 0
    for c in range(len(opposite)):
        angles += (opposite[c] > 0.0) | (adjacent[c] != 0.0)
    return angles


@entry(IMAGE, IMAGE, WHOLE, WHOLE, MASK, FLAG, TABLE, TABLE, TABLE, COUNTS)
def _pixels(f: FlatImage, g: FlatImage, height: int, width: int, valid: Mask, is_masked: bool,
            found: Array, adjacent: Array, opposite: Array,
            angles: Counts) -> None:  # fmt: skip
    spectra, kept = np.empty(3 * _PITCH), np.empty((2, _PITCH))
    for row in range(height):
        for left in range(0, width, _PITCH):
            cols = min(_PITCH, width - left)
            for c in range(len(spectra)):
                spectra[c] = 0.0
            for band in range(found.shape[1]):
                x = _kept(f, band, row, left, valid, is_masked, kept[0, :cols])
                y = _kept(g, band, row, left, valid, is_masked, kept[1, :cols])
                first, second, squared = _add_band(x, y, spectra)
                found[0, band] += first
                found[1, band] += second
                found[2, band] += squared
            part = slice(left, left + cols)
            angles[0] += _sides(spectra, adjacent[row, part], opposite[row, part])


def pixel_sums(f: Image, g: Image, valid: Mask | None) -> tuple[Array, Array, Array, int]:
    """Return Σ f, Σ g and Σ (f − g)² of each band `(3, C)`, and what makes the angles.

    That is two sides of each angle `(H, W)` and the number of angles. Beside the angle between f
    and g lies ⟨f, g⟩, and opposite √(‖f‖²‖g‖² − ⟨f, g⟩²), computed by Lagrange's identity; both are
    0 at invalid pixels.

    Args:
        f: Estimate `(C, H, W)`, float64.
        g: Reference, the same shape.
        valid: Pixels that count; None means all.
    """
    bands, height, width = f.shape
    found, sides = np.zeros((3, bands)), np.empty((2, height, width))
    x, y, counts, is_masked = FlatImage.of(f), FlatImage.of(g), *counted(valid)
    angles = np.zeros(1, np.intp)
    _pixels(x, y, height, width, counts, is_masked, found, sides[0], sides[1], angles)
    return found, sides[0], sides[1], int(angles[0])
