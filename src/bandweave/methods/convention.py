"""How images go between the fine and the coarse grid: as scenes need it, or as the toolbox does.

The classical methods share three filters of the PAN and the bands. The field's MATLAB toolbox
(G. Vivone et al., IEEE TGRS 53(5), 2015) continues images periodically when it interpolates, and
its kernels sum to a little less than 1. Neither suits a scene: one edge would leak into the
opposite one, and constants would not be kept. Both are available, by name.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np

from bandweave.degrade.instrument import Blur
from bandweave.degrade.mtf import Kernel, kernel_size, lowpass_kernel
from bandweave.degrade.observe import observation_apron, observation_kernels
from bandweave.degrade.sampling import (
    Kernels,
    correlate,
    correlate_decimate,
    interpolate,
    interpolation_apron,
)
from bandweave.errors import SensorModelError
from bandweave.pair import ImagePair, PairProfile
from bandweave.radiometry import Image
from bandweave.window import Window


@dataclass(frozen=True, slots=True)
class Convention:
    """Borders and sums of the filters that classical methods are made of."""

    border: Literal["symmetric", "circular"]
    """What the 23-tap interpolator finds outside the coarse image."""
    is_normalised: bool
    """Whether kernels are divided by their sums, so that constants stay constant."""

    def upsample(self, pair: ImagePair, core: Window | None = None) -> Image:
        """Return `ms_up` `(C, H, W)`, or a part of it: a fine window on multiples of the ratio."""
        return self._interpolate(pair.spectral, pair, core)

    def coarse_pan(self, pair: ImagePair, gains: Sequence[float]) -> Image:
        """Return the PAN filtered with each MTF gain, on the coarse grid: `(G, h, w)`."""
        kernels, first = self._instrument(gains, pair, pair.phase)
        return correlate_decimate(pair.spatial, kernels, pair.ratio, first)

    def low_pan(self, pair: ImagePair, gains: Sequence[float], core: Window | None = None) -> Image:
        """Return P_L, the PAN as a band with each MTF gain would show it: `(G, H, W)`.

        P_L = interpolate(decimate(MTF ∗ P)), one level of the generalised Laplacian pyramid. Of a
        part only, where `core` is given.
        """
        return self._interpolate(self.coarse_pan(pair, gains), pair, core)

    def smooth_pan(self, pair: ImagePair, core: Window) -> Image:
        """Return LP(P) `(1, n, m)` of a part: the PAN behind a Gaussian of gain 0.3."""
        is_single = pair.spatial.dtype == np.float32
        kernel = _lowpass(pair.ratio, is_normalised=self.is_normalised, is_single=is_single)
        around = core.padded(kernel.shape[1] // 2).intersection(Window.whole(pair.shape))
        return core.relative_to(around).cut(correlate(around.cut(pair.spatial), kernel))

    def kernels(self, gains: Sequence[float], pair: ImagePair) -> Kernels:
        """Return the MTF kernels of some gains at the pair's ratio, in the middle of a pixel."""
        return self._instrument(gains, pair, (0.0, 0.0))[0]

    def _instrument(
        self, gains: Sequence[float], pair: ImagePair, phase: tuple[float, float]
    ) -> tuple[Kernels, tuple[int, int]]:
        is_single = pair.spatial.dtype == np.float32
        return _instrument(
            tuple(gains), pair.ratio, phase, is_normalised=self.is_normalised, is_single=is_single
        )

    def _interpolate(self, coarse: Image, pair: ImagePair, core: Window | None) -> Image:
        part = None if core is None else core.coarse(pair.ratio)
        return interpolate(coarse, pair.ratio, pair.phase, border=self.border, part=part)


SCENE = Convention(border="symmetric", is_normalised=True)
"""For scenes: mirrored border, constants kept; local."""
TOOLBOX = Convention(border="circular", is_normalised=False)
"""The toolbox's: for comparison with published numbers, on arrays held whole."""


def low_pan_apron(ratio: int) -> int:
    """Return the fine pixels of context that make `low_pan` exact, a multiple of the ratio."""
    return observation_apron(ratio) + interpolation_apron(ratio)


def require_gains(profile: PairProfile, method: str) -> tuple[float, ...]:
    """Return the MTF gain of each band.

    Raises:
        SensorModelError: The sensor, or the gain of one of its bands, is not known.
    """
    gains = None if profile.sensor is None else profile.sensor.mtf_gains(profile.bands)
    if gains is None:
        known = (
            "no sensor is known" if profile.sensor is None else f"{profile.sensor.name} has none"
        )
        raise SensorModelError(
            f"{method} needs the MTF gains of the {profile.bands} bands, but {known} for this "
            "pair; give --sensor NAME (`bandweave sensors` lists them), the gains themselves with "
            "--mtf-gain G,..., or --sensor none for the neutral gain of 0.30."
        )
    return gains


def require_blur(profile: PairProfile, method: str) -> Blur:
    """Return how the spectral image was blurred: its point spread, else the MTF gain of each band.

    Raises:
        SensorModelError: Neither is known.
    """
    sensor = profile.sensor
    if sensor is not None and sensor.psf is not None:
        return sensor.psf
    return require_gains(profile, method)


@lru_cache(maxsize=16)
def _lowpass(ratio: int, *, is_normalised: bool, is_single: bool) -> Kernel:
    """Return the kernel of LP; of it what is separable where single precision is enough."""
    kernel = lowpass_kernel(ratio, size=kernel_size(ratio))
    if is_single:
        kernel = _separable_part(kernel)
    return (kernel / kernel.sum() if is_normalised else kernel)[None]


@lru_cache(maxsize=64)
def _instrument(
    gains: tuple[float, ...],
    ratio: int,
    phase: tuple[float, float],
    *,
    is_normalised: bool,
    is_single: bool,
) -> tuple[Kernels, tuple[int, int]]:
    """Return the kernels of some gains and where they start, see `observation_kernels`."""
    kernels, first = observation_kernels(gains, ratio, phase, normalised=is_normalised)
    if is_single:
        kernels = np.stack([_separable_part(kernel) for kernel in kernels])
    return kernels, first


def _separable_part(kernel: Kernel) -> Kernel:
    """Return the product of two filters nearest to a kernel, of the same sum.

    MTF kernels are Gaussians but for 1e-5, which comes from the square that they are designed on.
    That moves a pixel by some thousandths of a DN and takes three quarters of the time.
    """
    left, strength, right = np.linalg.svd(kernel)
    nearest: Kernel = strength[0] * np.outer(left[:, 0], right[0])
    nearest *= kernel.sum() / nearest.sum()
    return nearest
