"""The ways to make an image coarser, as values that can be chosen, applied and recorded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bandweave.degrade.mtf import Kernel, kernel_size
from bandweave.degrade.observe import observation_apron, observe
from bandweave.degrade.psf import gaussian_kernel
from bandweave.degrade.record import ImageDegradation
from bandweave.degrade.resize import Method
from bandweave.degrade.sampling import correlate_decimate, imresize
from bandweave.errors import SensorModelError
from bandweave.radiometry import Image

Phase = tuple[float, float]


@dataclass(frozen=True, slots=True)
class MtfFilter:
    """Filter with the MTF, then keep the samples at ratio·k + phase."""

    gains: tuple[float, ...]
    """MTF at the coarse Nyquist frequency, one per band or one for all."""
    is_normalised: bool = False
    """Divide the kernels by their sums; the toolboxes do not."""

    def apply(self, image: Image, ratio: int, phase: Phase) -> Image:
        """Return `(C, H / ratio, W / ratio)`."""
        return observe(image, self.gains, ratio, phase, normalised=self.is_normalised)

    def apron(self, ratio: int) -> int:
        """Return the fine pixels of context that make `apply` exact, a multiple of the ratio."""
        return observation_apron(ratio)

    def describe(self, ratio: int, phase: Phase) -> ImageDegradation:
        """Return the record of `apply`."""
        size = kernel_size(ratio)
        return ImageDegradation(
            method="mtf",
            kernel=f"Gaussian matched to the MTF at Nyquist, {size} x {size} taps",
            gains=self.gains,
            is_normalised=self.is_normalised,
            phase=phase,
            border="replicated",
        )


@dataclass(frozen=True, slots=True, eq=False)
class KernelFilter:
    """Filter with a given kernel, then keep the samples at ratio·k + phase.

    The middle of an odd kernel is a tap, so that its samples lie at whole phases; that of an even
    one lies between two, at phases that end in .5 as those of corner-based grids do.
    """

    kernel: Kernel
    """`(k, l)` taps, used as they are."""
    name: str
    """What the record calls it."""

    def apply(self, image: Image, ratio: int, phase: Phase) -> Image:
        """Return `(C, H / ratio, W / ratio)`.

        Raises:
            SensorModelError: The phase is not one that the kernel's middle can lie at.
        """
        rows, cols = (_start(p, taps) for p, taps in zip(phase, self.kernel.shape, strict=True))
        if rows is None or cols is None:
            raise SensorModelError(
                f"The kernel {self.name} of {self.kernel.shape[0]} x {self.kernel.shape[1]} taps "
                f"cannot be sampled at phase {phase}: an odd number of taps needs a whole phase, "
                "an even one a phase that ends in .5; add or drop a row of taps, or use an MTF."
            )
        return correlate_decimate(image, self.kernel[None], ratio, (rows, cols))

    def apron(self, ratio: int) -> int:
        """Return the fine pixels of context that make `apply` exact, a multiple of the ratio."""
        return _whole_cells(max(self.kernel.shape) // 2 + 1, ratio)

    def describe(self, ratio: int, phase: Phase) -> ImageDegradation:
        """Return the record of `apply`."""
        del ratio
        return ImageDegradation(
            method="kernel",
            kernel=self.name,
            taps=tuple(tuple(float(tap) for tap in row) for row in self.kernel),
            is_normalised=bool(abs(self.kernel.sum() - 1) < 1e-12),
            phase=phase,
            border="replicated",
        )


@dataclass(frozen=True, slots=True)
class Imresize:
    """Shrink as MATLAB's `imresize` does: antialiased, aligned at the images' corners."""

    method: Method = "bicubic"

    def apply(self, image: Image, ratio: int, phase: Phase) -> Image:
        """Return `(C, H / ratio, W / ratio)`; its samples lie at ratio·k + (ratio − 1) / 2."""
        del phase
        return imresize(image, 1 / ratio, method=self.method)

    def apron(self, ratio: int) -> int:
        """Return the fine pixels of context that make `apply` exact, a multiple of the ratio."""
        # The bicubic kernel reaches 2 coarse pixels from the sample, which lies within its cell.
        return 2 * ratio

    def describe(self, ratio: int, phase: Phase) -> ImageDegradation:
        """Return the record of `apply`."""
        del phase
        centre = (ratio - 1) / 2
        return ImageDegradation(
            method="imresize",
            kernel=f"{self.method}, antialiased",
            phase=(centre, centre),
            border="symmetric",
        )


def _start(phase: float, taps: int) -> int | None:
    """Return the index that `correlate` puts the kernel's tap number taps // 2 on, if whole."""
    start = phase if taps % 2 else phase + 0.5
    return int(start) if start == int(start) else None


def _whole_cells(pixels: int, ratio: int) -> int:
    return -(-pixels // ratio) * ratio


Degradation = MtfFilter | KernelFilter | Imresize


def gaussian_psf(sigma: float, size: int) -> KernelFilter:
    """Return the normalised Gaussian of hyperspectral simulation."""
    kernel = gaussian_kernel(sigma, size)
    return KernelFilter(kernel, f"Gaussian, sigma {sigma:g}, {size} x {size} taps")


def given_kernel(taps: Sequence[Sequence[float]], name: str) -> KernelFilter:
    """Return a filter with the taps of a file or a caller.

    Raises:
        SensorModelError: The taps are no table of finite numbers.
    """
    kernel = np.asarray(taps, dtype=np.float64)
    if kernel.ndim != 2 or kernel.size == 0 or not np.all(np.isfinite(kernel)):
        raise SensorModelError(f"The kernel {name} must be a table of finite numbers.")
    return KernelFilter(kernel, name)
