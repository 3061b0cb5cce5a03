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
    return gaussian_at(sigma, size, phase, (_first_tap(phase[0], size), _first_tap(phase[1], size)))


def gaussian_at(
    sigma: float, size: int, phase: tuple[float, float], start: tuple[int, int]
) -> PointSpread:
    """Return a Gaussian around `phase` whose `size` x `size` taps begin at the index `start`.

    Raises:
        ValueError: The width or the size is not positive.
    """
    if sigma <= 0 or size < 1:
        raise ValueError(f"A Gaussian needs a positive width and size, got {sigma} and {size}.")
    lines = []
    for first, middle in zip(start, phase, strict=True):
        distance = first + np.arange(size) - middle
        # Of the exponents only differences count: the largest is 0 however far off the middle.
        exponent = -(distance**2) / (2 * sigma**2)
        line = np.exp(exponent - exponent.max())
        lines.append(line / line.sum())
    name = f"Gaussian, sigma {sigma:.6g}, {size} x {size} taps"
    return _spread(np.outer(*lines), start, name)


def gaussian_support(sigma: float) -> int:
    """Return the odd number of taps that holds a Gaussian to 2 σ: 3 for the CAVE protocol's 0.5."""
    return 2 * math.ceil(2 * sigma) + 1


def uniform_spread(size: int, phase: tuple[float, float]) -> PointSpread:
    """Return the mean over `size` x `size` pixels whose middle lies at `phase`.

    Raises:
        ValueError: The size is not positive.
    """
    start = (_first_tap(phase[0], size), _first_tap(phase[1], size))
    return _spread(uniform_kernel(size), start, f"mean over {size} x {size} pixels")


def _first_tap(middle: float, size: int) -> int:
    return math.ceil(middle - size / 2)


def _spread(kernel: NDArray[np.float64], start: tuple[int, int], name: str) -> PointSpread:
    return PointSpread(tuple(tuple(float(tap) for tap in row) for row in kernel), start, name)
