"""R. Keys' cubic convolution (1981) between grids with an explicit phase."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from bandweave.degrade.banded import Stencil
from bandweave.radiometry import Image

REACH = 2
"""Coarse pixels per side beyond which the kernel is 0."""


def keys_kernel(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return Keys' kernel with a = -1/2, which reproduces parabolas, at distances `x`."""
    d = np.abs(x)
    near = (1.5 * d - 2.5) * d**2 + 1
    far = ((-0.5 * d + 2.5) * d - 4) * d + 2
    values: NDArray[np.float64] = np.where(d <= 1, near, np.where(d <= 2, far, 0.0))
    return values


def interpolate_cubic(image: Image, ratio: int, phase: tuple[float, float]) -> Image:
    """Interpolate `(..., h, w)` to `(..., ratio·h, ratio·w)`; the border is replicated.

    Fine pixel m receives Σ_k K((m − phase) / ratio − k) · image[k].

    Args:
        image: `(..., h, w)`, any unit.
        ratio: Fine pixels per coarse pixel, 1 or more.
        phase: Fine index (rows, columns) of coarse sample 0.
    """
    rows, cols = (_stencil(ratio, float(p)) for p in phase)
    widened = cols.apply(image, -1, image.shape[-1], "replicate")
    return rows.apply(widened, -2, image.shape[-2], "replicate")


def cubic_apron(ratio: int) -> int:
    """Return the fine pixels of context that make `interpolate_cubic` exact.

    Holds for phases from 0 to the ratio.
    """
    return ratio * (REACH + 1)


@lru_cache(maxsize=64)
def _stencil(ratio: int, phase: float) -> Stencil:
    """Return the weights that put `ratio` fine pixels in place of each coarse one."""
    points = (np.arange(ratio) - phase) / ratio
    first = int(np.floor(points[0])) - 1
    coarse = np.arange(first, int(np.floor(points[-1])) + REACH + 1)
    taps = keys_kernel(points[None, :] - coarse[:, None])
    return Stencil(taps, step_in=1, start=first)
