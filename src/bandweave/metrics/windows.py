"""Sums over every position of a sliding window, without a border."""

from __future__ import annotations

from functools import cache
from typing import Any, Protocol

import numpy as np
from numpy.lib.stride_tricks import as_strided

from bandweave.errors import ShapeError
from bandweave.metrics.inputs import Array, staggered
from bandweave.pair import Mask
from bandweave.radiometry import Image

# Outputs per matrix product of a filter: with more, the zeros outside the matrix's band cost more
# than the products gain.
_RUN = {np.dtype(np.float64): 8, np.dtype(np.float32): 16}


class WindowSum(Protocol):
    """A weighted sum over a window that slides over stacks of bands of one shape.

    Sums lie in a flat array, a row of positions every `pitch` elements, a band every `band_pitch`:
    `positions` gives them back their bands, rows and columns. Elements between the rows and bands
    are finite and mean nothing.
    """

    @property
    def shape(self) -> tuple[int, int, int]:
        """Return bands, and the number of positions: rows, columns."""
        ...

    @property
    def pitch(self) -> int:
        """Return the elements from one row of sums to the next."""
        ...

    @property
    def band_pitch(self) -> int:
        """Return the elements from one band of sums to the next."""
        ...

    @property
    def weight(self) -> float:
        """Return the sum of the weights."""
        ...

    def __call__(self, image: Image, out: Image) -> None:
        """Write the sums of a contiguous `image` `(C, H, W)` at all positions to `out`, flat."""
        ...


def length(window: WindowSum) -> int:
    """Return the elements of a flat array that holds a window's sums."""
    bands, rows, cols = window.shape
    return (bands - 1) * window.band_pitch + (rows - 1) * window.pitch + cols


def positions(sums: Image, window: WindowSum) -> Image:
    """View a flat array of sums by bands, rows and columns."""
    step = sums.itemsize
    strides = (window.band_pitch * step, window.pitch * step, step)
    return as_strided(sums, window.shape, strides, writeable=False)


class BoxSum:
    """Plain sums over `size` x `size` pixels.

    A window is halved again and again: the sum over 32 pixels is the sum over 16 of the sum of two
    that are 16 apart. That takes 5 additions per axis, and sums of equal values are exact for
    windows of 2ⁿ pixels, so that flat windows are recognised as flat. The bands are added to
    themselves as one long line, because that is what a processor does fastest; sums that run over
    the end of a row or band fall between the positions.

    Raises:
        ShapeError: The image is smaller than the window, or `size` is no power of two above 1.
    """

    def __init__(self, stack: tuple[int, int, int], dtype: np.dtype[Any], size: int) -> None:
        bands, height, width = stack
        require_box((height, width), size)
        self.shape = (bands, height - size + 1, width - size + 1)
        self.pitch = width
        self.band_pitch = height * width
        self.weight = float(size * size)
        halvings = [size >> k for k in range(1, size.bit_length())]
        self._shifts = [step * width for step in halvings] + halvings
        self._scratch = staggered(2, bands * height * width, dtype)

    def __call__(self, image: Image, out: Image) -> None:
        """Write the sums of a contiguous `image` `(C, H, W)` at all positions to `out`, flat."""
        source = image.reshape(-1)
        for turn, shift in enumerate(self._shifts):
            n = len(source) - shift
            is_last = turn == len(self._shifts) - 1
            target = out if is_last else self._scratch[turn % 2, :n]
            np.add(source[:n], source[shift:], out=target)
            source = target


class GaussianMean:
    """Means over 11 x 11 pixels under a Gaussian with σ = 1.5 pixels, weights adding up to 1.

    Along each axis runs of neighbouring outputs are products of their inputs, 10 more, with one
    small banded matrix, and a single call multiplies all runs.

    Raises:
        ShapeError: The image is smaller than the window.
    """

    size = 11

    def __init__(self, stack: tuple[int, int, int], dtype: np.dtype[Any]) -> None:
        bands, height, width = stack
        require_room((height, width), self.size)
        self.shape = (bands, height - self.size + 1, width - self.size + 1)
        self.pitch = self.shape[2]
        self.band_pitch = self.shape[1] * self.shape[2]
        self.weight = 1.0
        self._narrowed = np.empty((bands, self.shape[1], width), dtype)
        self._matrices = [
            _band_matrix(gaussian_taps(), min(_RUN[dtype], n)).astype(dtype) for n in self.shape[1:]
        ]

    def __call__(self, image: Image, out: Image) -> None:
        """Write the means of a contiguous `image` `(C, H, W)` at all positions to `out`, flat."""
        # The transposed products run along rows, so both axes are filtered without a copy.
        targets = out.reshape(self.shape)
        for band, narrowed, target in zip(image, self._narrowed, targets, strict=True):
            _filter_rows(band.T, self._matrices[0], narrowed.T)
            _filter_rows(narrowed, self._matrices[1], target)


@cache
def gaussian_taps() -> Array:
    """Return the 11 weights of one axis of `GaussianMean`."""
    distance = np.arange(GaussianMean.size) - GaussianMean.size // 2
    taps = np.exp(-(distance**2) / (2 * 1.5**2))
    weights: Array = taps / taps.sum()
    weights.flags.writeable = False  # shared by all who ask
    return weights


def _band_matrix(taps: Array, run: int) -> Array:
    """Return the matrix whose column j holds the taps from row j on."""
    matrix = np.zeros((run + len(taps) - 1, run))
    for j in range(run):
        matrix[j : j + len(taps), j] = taps
    return matrix


def _filter_rows(image: Image, matrix: Image, out: Image) -> None:
    """Write the filtered rows of `image` to `out`, `run` outputs per matrix product."""
    reach, run = matrix.shape
    row, col = image.strides
    out_row, out_col = out.strides
    whole = out.shape[1] // run
    sources = as_strided(image, (whole, len(image), reach), (run * col, row, col), writeable=False)
    targets = as_strided(out, (whole, len(out), run), (run * out_col, out_row, out_col))
    np.matmul(sources, matrix, out=targets)
    if whole * run < out.shape[1]:
        # The last run ends with the row and overlaps the one before.
        np.matmul(image[:, -reach:], matrix, out=out[:, -run:])


def complete_windows(valid: Mask, rows: int, cols: int) -> Mask:
    """Tell at which positions a window of `rows` x `cols` holds valid pixels only."""
    # A summed-area table of the invalid pixels, in whole numbers.
    table = np.zeros((valid.shape[0] + 1, valid.shape[1] + 1), dtype=np.int64)
    np.cumsum(np.cumsum(~valid, axis=0, dtype=np.int64), axis=1, out=table[1:, 1:])
    invalid = table[rows:, cols:] - table[:-rows, cols:] - table[rows:, :-cols]
    complete: Mask = invalid + table[:-rows, :-cols] == 0
    return complete


def require_box(image_shape: tuple[int, int], size: int) -> None:
    """Refuse windows that `BoxSum` cannot halve, and images that are smaller.

    Raises:
        ShapeError: The image is smaller than the window, or `size` is no power of two above 1.
    """
    if size < 2 or size & (size - 1):
        raise ShapeError(f"A sliding window needs 2, 4, 8, ... pixels per side, got {size}.")
    require_room(image_shape, size)


def require_room(image_shape: tuple[int, int], size: int) -> None:
    """Refuse images that are smaller than a window.

    Raises:
        ShapeError: They are.
    """
    if min(image_shape) < size:
        raise ShapeError(
            f"A window of {size} x {size} pixels needs an image at least as large, got "
            f"{image_shape[0]} x {image_shape[1]}; score a larger area."
        )
