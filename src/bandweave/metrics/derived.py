"""Images computed from others on the way: interpolated, filtered, reduced."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bandweave.degrade.mtf import mtf_kernel
from bandweave.degrade.sampling import (
    Kernels,
    correlate,
    imresize,
    interpolate,
    interpolation_apron,
)
from bandweave.metrics.images import ImageSource
from bandweave.metrics.windows import complete_windows
from bandweave.pair import Mask
from bandweave.radiometry import Image
from bandweave.window import Window


@dataclass(frozen=True, slots=True, eq=False)
class Interpolated:
    """A coarse image on the fine grid, by the 23-tap interpolator with circular border.

    A fine pixel is valid where every coarse pixel that it depends on is.
    """

    source: ImageSource
    ratio: int
    phase: tuple[float, float]
    """Fine index (rows, columns) of coarse sample 0."""

    @property
    def bands(self) -> int:
        """Return the number of bands."""
        return self.source.bands

    @property
    def shape(self) -> tuple[int, int]:
        """Return rows and columns of the fine grid."""
        return self.source.shape[0] * self.ratio, self.source.shape[1] * self.ratio

    def read(
        self, window: Window, dtype: type[np.float32 | np.float64]
    ) -> tuple[Image, Mask | None]:
        """Read a fine window whose edges are multiples of the ratio."""
        coarse = window.coarse(self.ratio)
        context = interpolation_apron(self.ratio) // self.ratio
        known, known_valid = _read_around(self.source, coarse.padded(context), dtype)
        wide = interpolate(_cleaned(known, known_valid), self.ratio, self.phase, border="circular")
        apron = context * self.ratio
        pixels = wide[:, apron:-apron, apron:-apron]
        if known_valid is None:
            return pixels, None
        complete = complete_windows(known_valid, 2 * context + 1, 2 * context + 1)
        return pixels, complete.repeat(self.ratio, axis=0).repeat(self.ratio, axis=1)


@dataclass(frozen=True, slots=True, eq=False)
class Filtered:
    """An image correlated with one kernel per band, border replicated, not decimated.

    A pixel is valid where every pixel under its kernel is.
    """

    source: ImageSource
    kernels: Kernels
    """`(C, k, k)`, or `(1, k, k)` for all bands; k odd."""

    @property
    def bands(self) -> int:
        """Return the number of bands."""
        return self.source.bands

    @property
    def shape(self) -> tuple[int, int]:
        """Return rows and columns."""
        return self.source.shape

    def read(
        self, window: Window, dtype: type[np.float32 | np.float64]
    ) -> tuple[Image, Mask | None]:
        """Read a window."""
        size = self.kernels.shape[-1]
        around = window.padded(size // 2).intersection(Window.whole(self.shape))
        known, known_valid = self.source.read(around, dtype)
        place = window.relative_to(around)
        rows, cols = place.slices
        clean = _cleaned(known, known_valid)
        pixels = correlate(clean, self.kernels, border="replicate")[:, rows, cols]
        if known_valid is None:
            return pixels, None
        missing = _missing(place, known_valid.shape, size // 2)
        return pixels, complete_windows(np.pad(known_valid, missing, mode="edge"), size, size)


@dataclass(frozen=True, slots=True, eq=False)
class Reduced:
    """An image shrunk by a whole ratio: MATLAB's bicubic `imresize`, antialiased.

    A coarse pixel is valid where the 5 x 5 cells around it are.
    """

    source: ImageSource
    ratio: int

    @property
    def bands(self) -> int:
        """Return the number of bands."""
        return self.source.bands

    @property
    def shape(self) -> tuple[int, int]:
        """Return rows and columns of the coarse grid."""
        return self.source.shape[0] // self.ratio, self.source.shape[1] // self.ratio

    def read(
        self, window: Window, dtype: type[np.float32 | np.float64]
    ) -> tuple[Image, Mask | None]:
        """Read a coarse window."""
        reach = 3  # coarse pixels; the stretched bicubic kernel ends 2.5 from the centre of a cell
        around = window.padded(reach).intersection(Window.whole(self.shape))
        known, known_valid = self.source.read(around.fine(self.ratio), dtype)
        rows, cols = window.relative_to(around).slices
        pixels = imresize(_cleaned(known, known_valid), around.shape)[:, rows, cols]
        if known_valid is None:
            return pixels, None
        cells = known_valid.reshape(around.height, self.ratio, around.width, self.ratio)
        whole = np.pad(cells.all(axis=(1, 3)), 2, mode="edge")
        return pixels, complete_windows(whole, 5, 5)[rows, cols]


def mtf_filtered(source: ImageSource, gains: tuple[float, ...], ratio: int) -> Filtered:
    """Return an image blurred by the toolboxes' MTF kernels, not decimated."""
    return Filtered(source, np.stack([mtf_kernel(gain, ratio) for gain in gains]))


def _cleaned(image: Image, valid: Mask | None) -> Image:
    """Return the image with 0 at invalid pixels: filters would spread what is there, NaN too."""
    return image if valid is None else np.where(valid, image, image.dtype.type(0))


def _read_around(
    source: ImageSource, window: Window, dtype: type[np.float32 | np.float64]
) -> tuple[Image, Mask | None]:
    """Read a window of an image that repeats itself in both directions."""
    if Window.whole(source.shape).contains(window):
        return source.read(window, dtype)
    rows = _runs(window.row, window.row_stop, source.shape[0])
    cols = _runs(window.col, window.col_stop, source.shape[1])
    parts = [
        [source.read(Window(row, col, height, width), dtype) for col, width in cols]
        for row, height in rows
    ]
    pixels = np.block([[part for part, _ in line] for line in parts])
    if all(valid is None for line in parts for _, valid in line):
        return pixels, None
    masks = [
        [np.ones(part.shape[1:], dtype=bool) if valid is None else valid for part, valid in line]
        for line in parts
    ]
    return pixels, np.block(masks)


def _runs(start: int, stop: int, size: int) -> list[tuple[int, int]]:
    """Split an interval of a repeated axis into runs (first index, length) of the axis itself."""
    runs = []
    while start < stop:
        first = start % size
        length = min(size - first, stop - start)
        runs.append((first, length))
        start += length
    return runs


def _missing(place: Window, shape: tuple[int, int], reach: int) -> list[tuple[int, int]]:
    """Return how far, per axis, the context of `place` ends before `reach`."""
    return [
        (max(reach - place.row, 0), max(place.row_stop + reach - shape[0], 0)),
        (max(reach - place.col, 0), max(place.col_stop + reach - shape[1], 0)),
    ]
