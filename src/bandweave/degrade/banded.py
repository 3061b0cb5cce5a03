"""The one-dimensional linear map behind every filter, decimation and interpolation.

A filter along an axis repeats the same few weights at every step. Written as a block-Toeplitz
matrix for a run of steps it becomes a small dense matrix product, which is the fastest thing a CPU
does, exact in the image's own type, and independent of where a tile starts up to rounding.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np
from numpy.typing import DTypeLike, NDArray

from bandweave.radiometry import Image

Border = Literal["replicate", "symmetric", "circular"]
Axis = Literal[-2, -1]

_PAD_MODES = {"replicate": "edge", "symmetric": "symmetric", "circular": "wrap"}

# Steps of a block matrix with four or more outputs each, and with fewer: enough for the matrix
# product to run at speed, and so few that the zeros outside the band cost less than they save
# (benchmarks/bench_classical.py).
_WIDE_RUN, _NARROW_RUN = 8, 16


@dataclass(frozen=True, slots=True, eq=False)
class Stencil:
    """Weights that are repeated along an axis: step j maps `taps` inputs to `step_out` outputs.

    output[j·step_out + p] = Σ_k taps[k, p] · input[j·step_in + start + k]
    """

    taps: NDArray[np.float64]
    """`(K, step_out)`."""
    step_in: int
    """Input samples by which successive steps are apart: 1, or the ratio in a decimation."""
    start: int
    """Input index of the first tap at step 0; negative where it needs a border."""

    def apply(self, image: Image, axis: Axis, steps: int, border: Border) -> Image:
        """Run `steps` steps along `axis` of `image` `(..., rows, columns)`."""
        return self.run(self.extended(image, axis, steps, border), axis, steps)

    def extended(self, image: Image, axis: Axis, steps: int, border: Border) -> Image:
        """Return what `steps` steps read: `image` with its border along `axis`."""
        padded = _pad(image, axis, *self._margins(image.shape[axis], steps), border)
        return _from(padded, axis, max(self.start, 0))

    def run(self, extended: Image, axis: Axis, steps: int) -> Image:
        """Run `steps` steps along `axis` of an image that was `extended` for them."""
        shape = list(extended.shape)
        shape[axis] = steps * self.taps.shape[1]
        result = np.empty(shape, dtype=extended.dtype)
        for block, source, target in self._blocks(steps, extended.dtype):
            if axis == -1:
                np.matmul(extended[..., source], block, out=result[..., target])
            else:
                np.matmul(block.T, extended[..., source, :], out=result[..., target, :])
        return result

    def inputs(self, steps: int) -> int:
        """Return the input samples that `steps` steps read."""
        return (steps - 1) * self.step_in + int(self.taps.shape[0])

    def adjoint(self, image: Image, axis: Axis, length: int, border: Border) -> Image:
        """Apply the transpose of `apply` for an input of `length` samples along `axis`."""
        steps = image.shape[axis] // self.taps.shape[1]
        before, after = self._margins(length, steps)
        shape = list(image.shape)
        shape[axis] = before + length + after
        spread = np.zeros(shape, dtype=image.dtype)
        window = _from(spread, axis, max(self.start, 0))
        for block, source, target in self._blocks(steps, image.dtype):
            if axis == -1:
                window[..., source] += image[..., target] @ block.T
            else:
                window[..., source, :] += block @ image[..., target, :]
        return _fold(spread, axis, before, length, border)

    def _margins(self, length: int, steps: int) -> tuple[int, int]:
        stop = self.start + (steps - 1) * self.step_in + self.taps.shape[0]
        return max(-self.start, 0), max(stop - length, 0)

    def _blocks(self, steps: int, dtype: DTypeLike) -> list[tuple[Image, slice, slice]]:
        width = self.taps.shape[1]
        run = _WIDE_RUN if width >= 4 else _NARROW_RUN
        blocks: list[tuple[Image, slice, slice]] = []
        for first in range(0, steps, run):
            count = min(run, steps - first)
            matrix = _toeplitz(self, count, np.dtype(dtype))
            start = first * self.step_in
            source = slice(start, start + matrix.shape[0])
            blocks.append((matrix, source, slice(first * width, (first + count) * width)))
        return blocks


@lru_cache(maxsize=1024)
def _toeplitz(stencil: Stencil, steps: int, dtype: np.dtype[Any]) -> Image:
    """Return the block-Toeplitz matrix of `steps` steps, inputs in rows.

    Kept, because tiles by the thousand need the same few matrices of some ten kilobytes.
    """
    reach, width = stencil.taps.shape
    matrix = np.zeros(((steps - 1) * stencil.step_in + reach, steps * width), dtype=dtype)
    for j in range(steps):
        rows = slice(j * stencil.step_in, j * stencil.step_in + reach)
        matrix[rows, j * width : (j + 1) * width] = stencil.taps
    matrix.setflags(write=False)
    return matrix


def _pad(image: Image, axis: Axis, before: int, after: int, border: Border) -> Image:
    if before == after == 0:
        return image
    margins = [(0, 0)] * image.ndim
    margins[axis] = (before, after)
    return np.pad(image, margins, mode=_PAD_MODES[border])  # type: ignore[call-overload,no-any-return]


def _from(image: Image, axis: Axis, start: int) -> Image:
    """Return a view that begins at index `start` of `axis`."""
    return image[..., start:] if axis == -1 else image[..., start:, :]


def _fold(spread: Image, axis: Axis, before: int, length: int, border: Border) -> Image:
    """Apply the transpose of `_pad`: add what lies in the margins to the pixels they copy."""
    after = spread.shape[axis] - before - length
    origin = np.pad(np.arange(length), (before, after), mode=_PAD_MODES[border])  # type: ignore[call-overload]
    moved = np.moveaxis(spread, axis, 0)
    result = moved[before : before + length].copy()
    for margin in (*range(before), *range(before + length, before + length + after)):
        result[origin[margin]] += moved[margin]
    return np.moveaxis(result, 0, axis)
