"""Point spread functions for hyperspectral simulation: small kernels of stated size and width."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from bandweave.degrade.mtf import Kernel
from bandweave.instruments import PointSpread


def gaussian_kernel(sigma: float, size: int) -> Kernel:
    """Return a `size` x `size` Gaussian of width `sigma` fine pixels that sums to 1.

    h(m, n) ∝ exp(−(m² + n²) / (2σ²)), m and n counted from the middle of the kernel; for an even
    size that lies between two taps, as in MATLAB's `fspecial`.

    Raises:
        ValueError: The width or the size is not positive.

    Example:
        >>> gaussian_kernel(0.5, 3)[1].round(5)  # the CAVE protocol's
        array([0.08382, 0.61935, 0.08382])
    """
    if sigma <= 0 or size < 1:
        raise ValueError(f"A Gaussian needs a positive width and size, got {sigma} and {size}.")
    index = np.arange(size) - (size - 1) / 2
    line = np.exp(-(index**2) / (2 * sigma**2))
    taps: Kernel = np.outer(line, line) / line.sum() ** 2
    return taps


def uniform_kernel(size: int) -> Kernel:
    """Return the mean over `size` x `size` pixels: an ideal detector of that size.

    Raises:
        ValueError: The size is not positive.
    """
    if size < 1:
        raise ValueError(f"A kernel needs a positive size, got {size}.")
    return np.full((size, size), 1.0 / size**2)


def gaussian_spread(sigma: float, size: int, phase: tuple[float, float]) -> PointSpread:
    """Return a Gaussian whose middle lies at `phase`, sampled at `size` x `size` fine pixels.

    Its taps are those nearest to the middle; at a whole phase and an odd size they are
    `gaussian_kernel(sigma, size)`.

    Raises:
        ValueError: The width or the size is not positive.
    """
    if sigma <= 0 or size < 1:
        raise ValueError(f"A Gaussian needs a positive width and size, got {sigma} and {size}.")
    lines = []
    for middle in phase:
        index = _first_tap(middle, size) + np.arange(size)
        line = np.exp(-((index - middle) ** 2) / (2 * sigma**2))
        lines.append(line / line.sum())
    name = f"Gaussian, sigma {sigma:.6g}, {size} x {size} taps"
    return _spread(np.outer(*lines), phase, name)


def uniform_spread(size: int, phase: tuple[float, float]) -> PointSpread:
    """Return the mean over `size` x `size` pixels whose middle lies at `phase`.

    Raises:
        ValueError: The size is not positive.
    """
    return _spread(uniform_kernel(size), phase, f"mean over {size} x {size} pixels")


def _first_tap(middle: float, size: int) -> int:
    return math.ceil(middle - size / 2)


def _spread(kernel: NDArray[np.float64], phase: tuple[float, float], name: str) -> PointSpread:
    taps = tuple(tuple(float(tap) for tap in row) for row in kernel)
    start = tuple(_first_tap(p, size) for p, size in zip(phase, kernel.shape, strict=True))
    return PointSpread(taps, (start[0], start[1]), name)
