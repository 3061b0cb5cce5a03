"""What the coarse instrument sees of a fine image: its MTF, then its sampling."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from bandweave.degrade.mtf import Kernel, kernel_size, mtf_kernel
from bandweave.degrade.sampling import correlate_decimate, correlate_decimate_adjoint
from bandweave.errors import BandCountError
from bandweave.radiometry import Image


def observe(
    image: Image,
    gains: Sequence[float],
    ratio: int,
    phase: tuple[float, float],
    *,
    normalised: bool = True,
) -> Image:
    """Filter each band with its MTF and sample it where coarse pixel k lies at ratio·k + phase.

    The border is replicated, as in the toolboxes. With `normalised=False` and phase ratio / 2 this
    is the field's reduced-resolution simulation; a fractional phase moves the kernel instead of the
    image.

    Args:
        image: `(C, H, W)`, H and W multiples of `ratio`, physical values.
        gains: MTF at the coarse Nyquist frequency, one per band or one for all, in (0, 1). One band
            may have several and is returned as each shows it.
        ratio: Fine pixels per coarse pixel.
        phase: Fine index (rows, columns) of coarse sample 0, any real number.
        normalised: Divide the kernels by their sums, so that constants stay constant.

    Returns:
        `(C, H / ratio, W / ratio)` in the input's type.

    Raises:
        BandCountError: There are neither one nor C gains.
        SensorModelError: A gain is outside (0, 1).
    """
    if len(image) > 1:
        _require_fit(image, gains)
    kernels, first = observation_kernels(gains, ratio, phase, normalised=normalised)
    return correlate_decimate(image, kernels, ratio, first)


def observe_adjoint(
    image: Image,
    gains: Sequence[float],
    ratio: int,
    phase: tuple[float, float],
    *,
    normalised: bool = True,
) -> Image:
    """Apply the transpose of `observe`: from `(C, h, w)` to `(C, ratio·h, ratio·w)`."""
    _require_fit(image, gains)
    kernels, first = observation_kernels(gains, ratio, phase, normalised=normalised)
    shape = (image.shape[1] * ratio, image.shape[2] * ratio)
    return correlate_decimate_adjoint(image, kernels, ratio, first, shape)


def observation_apron(ratio: int) -> int:
    """Return the fine pixels of context that make `observe` exact, a multiple of the ratio.

    Holds for phases from 0 to the ratio.
    """
    return -(-(kernel_size(ratio) // 2 + 1) // ratio) * ratio


def _require_fit(image: Image, gains: Sequence[float]) -> None:
    if len(gains) not in (1, image.shape[0]):
        raise BandCountError(
            f"An image of {image.shape[0]} bands needs 1 or {image.shape[0]} MTF gains, "
            f"got {len(gains)}."
        )


def observation_kernels(
    gains: Sequence[float], ratio: int, phase: tuple[float, float], *, normalised: bool = True
) -> tuple[Kernel, tuple[int, int]]:
    """Split the phase into a whole start and a fraction that the kernels take up.

    Returns:
        One odd, square kernel per gain `(n, K, K)`, and the fine index (row, column) that their
        middle lies on at coarse sample 0.

    Raises:
        SensorModelError: A gain is outside (0, 1).
    """
    rows, cols = (math.floor(p + 0.5) for p in phase)
    shift = (phase[0] - rows, phase[1] - cols)
    made = [_kernel(gain, ratio, shift, normalised) for gain in gains]
    return np.stack(made), (rows, cols)


@lru_cache(maxsize=256)
def _kernel(gain: float, ratio: int, shift: tuple[float, float], normalised: bool) -> Kernel:
    size = kernel_size(ratio)
    return mtf_kernel(gain, ratio, size=size, shift=shift, normalised=normalised)
