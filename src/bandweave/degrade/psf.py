"""Point spread functions for hyperspectral simulation: small kernels of stated size and width."""

from __future__ import annotations

import numpy as np

from bandweave.degrade.mtf import Kernel


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
