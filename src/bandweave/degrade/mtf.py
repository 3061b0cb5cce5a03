"""Gaussian kernels matched to an instrument's MTF at the Nyquist frequency of the coarse grid."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bandweave.errors import SensorModelError

Kernel = NDArray[np.float64]

PARITY_SIZE = 41
"""Taps per side of the toolboxes' kernels."""


def mtf_kernel(
    gain: float,
    ratio: int,
    *,
    size: int = PARITY_SIZE,
    shift: tuple[float, float] = (0.0, 0.0),
    normalised: bool = False,
) -> Kernel:
    """Return the Gaussian whose frequency response is `gain` at the coarse Nyquist frequency.

    With N = `size` and σ_f = (N − 1) / (2·ratio) / √(−2 ln gain), the frequency samples are
    Ĥ(u, v) = exp(−(u² + v²) / (2 σ_f²)) and the taps

        h(m, n) = K(ρ) / N² · Σ_{u,v} Ĥ(u, v) cos(2π(u(m − a) + v(n − b)) / N),

    where (a, b) = `shift`, ρ is the distance of (m, n) from (a, b) in units of (N − 1) / 2, and K
    the Kaiser window with β = 0.5, linear between its N samples and 0 beyond ρ = 1. This is the
    kernel of B. Aiazzi et al. (2006) as the toolboxes design it, by frequency sampling.

    Args:
        gain: MTF at the Nyquist frequency of the coarse grid, in (0, 1).
        ratio: GSD of the coarse grid over that of the fine one.
        size: Taps per side, odd.
        shift: Fine pixels (rows, columns) by which the kernel's centre is moved towards higher
            indices. Correlating with it and keeping index p is the unshifted filter at p + shift.
        normalised: Divide by the sum, so that a constant image stays constant. The toolboxes do
            not: their sums lie between 0.9977 and 0.9990 at ratio 4.

    Raises:
        SensorModelError: The gain is outside (0, 1).

    Example:
        >>> kernel = mtf_kernel(0.30, 4)
        >>> round(float(kernel[20, 20]), 6), round(float(kernel.sum()), 5)
        (0.038807, 0.99874)
    """
    _check_gain(gain)
    sigma = (size - 1) / (2 * ratio) / np.sqrt(-2 * np.log(gain))
    return _sampled_gaussian(sigma, size, shift, normalised=normalised)


def lowpass_kernel(ratio: int, *, size: int = PARITY_SIZE) -> Kernel:
    """Return the toolboxes' general low-pass: gain 0.3, but σ_f = N / (2·ratio) / √(−2 ln 0.3).

    It differs from `mtf_kernel(0.3, ratio)` by N in place of N − 1 and is not normalised either.
    """
    sigma = size / (2 * ratio) / np.sqrt(-2 * np.log(0.3))
    return _sampled_gaussian(sigma, size, (0.0, 0.0), normalised=False)


def kernel_size(ratio: int) -> int:
    """Return the taps per side that hold an MTF kernel: 41, and more only beyond ratio 8.

    The kernel's spatial σ is about half the ratio for a gain of 0.3, so 41 taps reach 5 σ at
    ratio 8; 5 ratios per side keep that for larger ones.
    """
    return PARITY_SIZE if ratio <= 8 else 5 * ratio // 2 * 2 + 1


def _check_gain(gain: float) -> None:
    if not 0 < gain < 1:
        raise SensorModelError(
            f"An MTF gain at Nyquist must lie between 0 and 1, both excluded; got {gain}."
        )


def _sampled_gaussian(
    sigma: float, size: int, shift: tuple[float, float], *, normalised: bool
) -> Kernel:
    if size < 3 or size % 2 == 0:
        raise ValueError(f"A kernel needs an odd number of taps per side, 3 or more; got {size}.")
    half = size // 2
    index = np.arange(-half, half + 1, dtype=np.float64)
    response = np.exp(-(index[:, None] ** 2 + index[None, :] ** 2) / (2 * sigma**2))
    # The reference zeroes what is below the machine epsilon before transforming.
    response[response < np.finfo(np.float64).eps] = 0.0

    def waves(offset: float) -> NDArray[np.complex128]:
        phase = 2 * np.pi * np.outer(index - offset, index) / size
        return np.cos(phase) + 1j * np.sin(phase)

    taps = np.real(waves(shift[0]) @ response @ waves(shift[1]).T) / size**2
    distance = np.hypot(index[:, None] - shift[0], index[None, :] - shift[1]) / half
    windowed: Kernel = taps * _kaiser(distance, half)
    return windowed / windowed.sum() if normalised else windowed


def _kaiser(distance: Kernel, half: int) -> Kernel:
    """Interpolate the Kaiser window (β = 0.5) linearly at `distance` from its centre, 0 beyond."""
    knots = np.arange(half + 1) / half
    values = np.i0(0.5 * np.sqrt(1 - knots**2)) / np.i0(0.5)
    inside = distance <= 1 + 1e-14  # a distance of exactly 1 may come out one rounding above
    window: Kernel = np.where(inside, np.interp(distance, knots, values), 0.0)
    return window
