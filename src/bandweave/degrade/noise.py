"""Seeded sensor noise at a stated signal-to-noise ratio."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bandweave.errors import BandCountError
from bandweave.radiometry import Image


def mean_power(image: Image) -> NDArray[np.float64]:
    """Return the mean square of each band of `(C, H, W)`: the signal of the ratio."""
    power: NDArray[np.float64] = np.mean(np.square(image, dtype=np.float64), axis=(1, 2))
    return power


def noise_sigma(power: NDArray[np.float64], snr_db: float) -> tuple[float, ...]:
    """Return the standard deviation σ of each band: SNR = 10 log₁₀(mean(x²) / σ²) decibels."""
    return tuple(float(sigma) for sigma in np.sqrt(power * 10 ** (-snr_db / 10)))


@dataclass(frozen=True, slots=True)
class Noise:
    """White Gaussian noise of both images of a pair, in their unit."""

    spatial: tuple[float, ...]
    """Standard deviation per band of the spatial image."""
    spectral: tuple[float, ...]
    """Standard deviation per band of the spectral image."""
    seed: int
    """Seed of the generator, together with the place of the window."""

    def generator(self, place: tuple[int, int] = (0, 0)) -> np.random.Generator:
        """Return the generator of the window at `place` (row, column)."""
        return np.random.default_rng([self.seed, *place])


def add_noise(image: Image, sigma: Sequence[float], generator: np.random.Generator) -> Image:
    """Add white Gaussian noise of `sigma` per band to `(C, H, W)`; the type is kept.

    Raises:
        BandCountError: There are not as many deviations as bands.
    """
    if len(sigma) != image.shape[0]:
        raise BandCountError(
            f"An image of {image.shape[0]} bands needs as many noise levels, got {len(sigma)}."
        )
    drawn = generator.standard_normal(image.shape) * np.asarray(sigma)[:, None, None]
    noisy: Image = (image + drawn).astype(image.dtype)
    return noisy
