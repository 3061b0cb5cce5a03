"""Sums over pixels, for RMSE, PSNR, SAM and ERGAS: see `bandweave.metrics.pixelwise`.

All are made in one reading of both images, two bands at a time, while the sums over the bands of a
few pixels, which are SAM's, stay in the nearest cache.
"""

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
    Memory,
    as_written,
    counted,
    entry,
    reordered,
)
from bandweave.metrics.inputs import Array
from bandweave.pair import Mask
from bandweave.radiometry import Image

Counts = NDArray[np.intp]
Sums = tuple[float, float, float, float, float, float]

# Rows and columns at once: a few rows of a band are read in one go, and the sums of their pixels
# stay in the processor's nearest cache. They are constants because LLVM then sees by itself that
# lines of one array do not overlap.
_DOWN = 4
_PITCH = 256
_ROW = 3 * _PITCH


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
def _add_bands(f: Array, g: Array, f_next: Array, g_next: Array, spectra: Array) -> Sums:
    """Return Σ f, Σ g and Σ (f − g)² of both bands; add f², f (f − g), (f − g)² to each pixel's."""
    first, second, squared = 0.0, 0.0, 0.0
    first_next, second_next, squared_next = 0.0, 0.0, 0.0
    for c in range(len(f)):
        error, error_next = f[c] - g[c], f_next[c] - g_next[c]
        first += f[c]
        second += g[c]
        squared += error * error
        first_next += f_next[c]
        second_next += g_next[c]
        squared_next += error_next * error_next
        spectra[c] += f[c] * f[c] + f_next[c] * f_next[c]
        spectra[c + _PITCH] += f[c] * error + f_next[c] * error_next
        spectra[c + 2 * _PITCH] += error * error + error_next * error_next
    return first, second, squared, first_next, second_next, squared_next


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
    bands = found.shape[1]
    spectra, kept, zeros = np.empty((_DOWN, _ROW)), np.empty((4, _PITCH)), np.zeros(_PITCH)
    for top in range(0, height, _DOWN):
        bottom = min(top + _DOWN, height)
        for left in range(0, width, _PITCH):
            cols = min(_PITCH, width - left)
            spectra[:] = 0.0
            for band in range(0, bands, 2):
                has_next = band + 1 < bands
                for row in range(top, bottom):
                    x = _kept(f, band, row, left, valid, is_masked, kept[0, :cols])
                    y = _kept(g, band, row, left, valid, is_masked, kept[1, :cols])
                    x_next, y_next = zeros[:cols], zeros[:cols]
                    if has_next:
                        x_next = _kept(f, band + 1, row, left, valid, is_masked, kept[2, :cols])
                        y_next = _kept(g, band + 1, row, left, valid, is_masked, kept[3, :cols])
                    sums = _add_bands(x, y, x_next, y_next, spectra[row - top])
                    for k in range(3):
                        found[k, band] += sums[k]
                        if has_next:
                            found[k, band + 1] += sums[3 + k]
            part = slice(left, left + cols)
            for row in range(top, bottom):
                line = spectra[row - top]
                angles[0] += _sides(line, adjacent[row, part], opposite[row, part])


def pixel_sums(
    f: Image, g: Image, valid: Mask | None, memory: Memory
) -> tuple[Array, Array, Array, int]:
    """Return Σ f, Σ g and Σ (f − g)² of each band `(3, C)`, and what makes the angles.

    That is two sides of each angle `(H, W)` and the number of angles. Beside the angle between f
    and g lies ⟨f, g⟩, and opposite √(‖f‖²‖g‖² − ⟨f, g⟩²), computed by Lagrange's identity; both are
    0 at invalid pixels.

    Args:
        f: Estimate `(C, H, W)`, float64.
        g: Reference, the same shape.
        valid: Pixels that count; None means all.
        memory: Where the sides lie.
    """
    bands, height, width = f.shape
    found, sides = np.zeros((3, bands)), memory.line("sides", 2 * height * width)
    adjacent, opposite = sides.reshape(2, height, width)
    x, y, counts, is_masked = FlatImage.of(f), FlatImage.of(g), *counted(valid)
    angles = np.zeros(1, np.intp)
    _pixels(x, y, height, width, counts, is_masked, found, adjacent, opposite, angles)
    return found, adjacent, opposite, int(angles[0])
