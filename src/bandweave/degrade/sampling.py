"""Filter, decimate and interpolate images with an explicit phase.

Images are `(C, H, W)`, channels first, of any floating type; results have the same type. Coarse
sample k lies at fine index ratio·k + phase.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from itertools import count
from math import ceil
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from bandweave.degrade.banded import Border, Stencil
from bandweave.degrade.interpolator import interpolation_stencil, reach
from bandweave.degrade.resize import Method, ResizeMatrix, resize_matrix, resized
from bandweave.errors import BandCountError
from bandweave.radiometry import Image
from bandweave.window import Window

Kernels = NDArray[np.float64]

_NEGLIGIBLE_SINGLE = 1e-8  # of the largest tap: a tenth of the rounding of single precision


def correlate(image: Image, kernels: Kernels, *, border: Border = "replicate") -> Image:
    """Correlate each band with its kernel: out(y, x) = Σ_{m,n} h(m, n) · image(y + m, x + n).

    m and n count from the kernel's centre, index k // 2. A kernel is split into its singular
    vectors, so that a Gaussian costs two short passes; the split is exact to the type's rounding.

    Args:
        image: `(C, H, W)`.
        kernels: `(C, k, k)`, or `(1, k, k)` for all bands.
        border: What lies outside the image.

    Raises:
        BandCountError: There are neither one nor C kernels.
    """
    return correlate_decimate(image, kernels, 1, (0, 0), border=border)


def correlate_adjoint(image: Image, kernels: Kernels, *, border: Border = "replicate") -> Image:
    """Apply the transpose A' of `correlate`: ⟨A x, y⟩ = ⟨x, A'y⟩ for all images x and y."""
    return correlate_decimate_adjoint(image, kernels, 1, (0, 0), image.shape[1:], border=border)


def correlate_decimate(
    image: Image,
    kernels: Kernels,
    ratio: int,
    phase: tuple[int, int],
    *,
    border: Border = "replicate",
) -> Image:
    """Correlate and decimate in one: the pixels that decimation drops are never computed.

    Equal to `decimate(correlate(image, kernels), ratio, phase)` up to rounding. One band may meet
    several kernels, and gives one band for each.
    """
    steps = [_kept(size, ratio, first) for size, first in zip(image.shape[1:], phase, strict=True)]
    kernels = _without_rim(kernels, image.dtype)
    result = np.empty((max(len(image), len(kernels)), *steps), dtype=image.dtype)
    for bands, some, targets in _runs(kernels, len(image)):
        filters = [_separable(kernel, ratio, phase, image.dtype) for kernel in some]
        rows = _side_by_side(tuple(rows for rows, _ in filters))
        # The border first: behind the rows' filter there are as many planes as terms.
        extended = filters[0][1][0].extended(image[bands], -1, steps[1], border)
        narrowed = rows.apply(extended, -2, steps[0], border)
        planes = (narrowed[:, term :: rows.taps.shape[1]] for term in count())
        for target, (_, cols) in zip(targets, filters, strict=True):
            # `cols` before `planes`: the last step takes a plane only where there is a filter.
            first, *others = (
                stencil.run(plane, -1, steps[1])
                for stencil, plane in zip(cols, planes, strict=False)
            )
            for other in others:
                first += other
            result[target] = first
    return result


def correlate_decimate_adjoint(
    image: Image,
    kernels: Kernels,
    ratio: int,
    phase: tuple[int, int],
    shape: tuple[int, ...],
    *,
    border: Border = "replicate",
) -> Image:
    """Apply the transpose of `correlate_decimate` for fine images of `shape` (H, W)."""
    height, width = shape
    kernels = _without_rim(kernels, image.dtype)
    result = np.zeros((image.shape[0], height, width), dtype=image.dtype)
    for band, kernel in _bands_of_kernels(kernels, image.shape[0]):
        rows, cols = _separable(kernel, ratio, phase, image.dtype)
        part = image[band]
        widened = np.empty((part.shape[0], part.shape[1] * len(cols), width), image.dtype)
        for term, stencil in enumerate(cols):
            widened[:, term :: len(cols)] = stencil.adjoint(part, -1, width, border)
        result[band] = rows.adjoint(widened, -2, height, border)
    return result


def decimate(image: Image, ratio: int, phase: tuple[int, int]) -> Image:
    """Keep the pixels at ratio·k + phase, as a view of `image` `(C, H, W)`."""
    return image[:, phase[0] :: ratio, phase[1] :: ratio]


def decimate_adjoint(
    image: Image, ratio: int, phase: tuple[int, int], shape: tuple[int, int]
) -> Image:
    """Put coarse pixels at ratio·k + phase of a zero image of `shape` (H, W)."""
    result = np.zeros((image.shape[0], *shape), dtype=image.dtype)
    result[:, phase[0] :: ratio, phase[1] :: ratio] = image
    return result


def interpolate(
    image: Image,
    ratio: int,
    phase: tuple[float, float],
    *,
    border: Literal["circular", "symmetric"],
    part: Window | None = None,
) -> Image:
    """Interpolate `(C, h, w)` to `(C, ratio·h, ratio·w)` with the 23-tap kernel.

    Fine pixel m receives Σ_k φ((m − phase) / ratio − k) · image[k], see `interpolator`. At phase
    ratio / 2, border `circular` and ratio 2, 4 or 8 this is the toolboxes' cascade; every other
    ratio and phase uses the same φ.

    Args:
        image: `(C, h, w)`, any unit.
        ratio: Fine pixels per coarse pixel, 1 or more.
        phase: Fine index (rows, columns) of coarse sample 0.
        border: `circular` as the toolboxes have it, `symmetric` (edge pixel repeated) for scenes.
        part: Coarse pixels of which the fine ones are wanted, at ratio times their place; the
            others are context. Default: all.
    """
    rows, cols = _interpolation_stencils(ratio, phase, image.dtype)
    height, width = image.shape[1:]
    part = part or Window(0, 0, height, width)
    extended = rows.extended(image, -2, height, border)
    extended = extended[:, part.row : part.row + rows.inputs(part.height)]
    extended = cols.extended(extended, -1, width, border)
    widened = cols.run(extended[..., part.col :], -1, part.width)
    return rows.run(widened, -2, part.height)


def interpolate_adjoint(
    image: Image,
    ratio: int,
    phase: tuple[float, float],
    *,
    border: Literal["circular", "symmetric"],
) -> Image:
    """Apply the transpose of `interpolate`: from `(C, H, W)` to `(C, H / ratio, W / ratio)`."""
    rows, cols = _interpolation_stencils(ratio, phase, image.dtype)
    narrowed = rows.adjoint(image, -2, image.shape[1] // ratio, border)
    return cols.adjoint(narrowed, -1, image.shape[2] // ratio, border)


def interpolation_apron(ratio: int) -> int:
    """Return the fine pixels of context that make `interpolate` exact, a multiple of the ratio.

    Holds for phases from 0 to the ratio; taps below 1e-12 of the peak are not part of the kernel.
    """
    return ratio * (reach() + 1)


def imresize(
    image: Image,
    scale: float | tuple[int, int],
    *,
    method: Method = "bicubic",
    antialias: bool = True,
) -> Image:
    """Resize `(C, H, W)` with MATLAB's conventions.

    Output sample i sits at (i + 0.5) / s - 0.5; the kernel is widened by 1 / s when shrinking with
    `antialias`; weights are divided by their sum; the border is symmetric (edge pixel repeated).

    Args:
        image: `(C, H, W)`.
        scale: Factor s for both axes, giving ceil(s·H) x ceil(s·W) pixels, or that size itself.
        method: `bicubic` is R. Keys' kernel (1981) with a = -1/2. `nearest` is never antialiased.
        antialias: Low-pass when shrinking.
    """
    rows, cols = _resize_matrices(image.shape[1:], scale, image.dtype, method, antialias)
    return resized(resized(image, rows, -2), cols, -1)


def imresize_adjoint(
    image: Image,
    scale: float | tuple[int, int],
    shape: tuple[int, int],
    *,
    method: Method = "bicubic",
    antialias: bool = True,
) -> Image:
    """Apply the transpose of `imresize` with the same `scale` for inputs of `shape` (H, W)."""
    rows, cols = _resize_matrices(shape, scale, image.dtype, method, antialias)
    return resized(resized(image, rows.T.tocsr(), -2), cols.T.tocsr(), -1)


def blur_gaussian(image: Image, sigma: float) -> Image:
    """Blur with a Gaussian of `sigma` fine pixels, as SciPy's `gaussian_filter` does by default.

    The kernel is cut at 4 σ and normalised; the border repeats the edge pixel and reflects.
    `sigma` 0 returns the image unchanged.
    """
    import scipy  # noqa: PLC0415  # slow to load, and what else is here does without

    if sigma < 0:
        raise ValueError(f"The width of a Gaussian must not be negative, got {sigma}.")
    blurred: Image = scipy.ndimage.gaussian_filter(image, sigma=(0, sigma, sigma))
    return blurred


def _interpolation_stencils(
    ratio: int, phase: tuple[float, float], dtype: np.dtype[np.floating]
) -> tuple[Stencil, Stencil]:
    is_single = dtype == np.float32
    rows, cols = (interpolation_stencil(ratio, float(p), is_single=is_single) for p in phase)
    return rows, cols


def _resize_matrices(
    shape: tuple[int, ...],
    scale: float | tuple[int, int],
    dtype: np.dtype[np.floating],
    method: Method,
    antialias: bool,
) -> list[ResizeMatrix]:
    targets = scale if isinstance(scale, tuple) else tuple(ceil(scale * size) for size in shape)
    return [
        resize_matrix(
            size,
            target,
            target / size if isinstance(scale, tuple) else scale,
            method=method,
            antialias=antialias,
        ).astype(dtype)
        for size, target in zip(shape, targets, strict=True)
    ]


def _kept(size: int, ratio: int, first: int) -> int:
    """Count the samples of a decimation; a start outside the first cell moves them all."""
    return len(range(first % ratio, size, ratio))


def _without_rim(kernels: Kernels, dtype: np.dtype[np.floating]) -> Kernels:
    """Cut off the outer rings of kernels `(n, k, l)` that single precision does not see.

    MTF kernels have 41 taps per side, of which the outer half is below 1e-8 of the middle.
    """
    if dtype != np.float32:
        return kernels
    size = np.abs(kernels).max(axis=0)
    used = np.argwhere(size > _NEGLIGIBLE_SINGLE * size.max())
    last = np.array(size.shape) - 1
    rows, cols = np.minimum(used.min(axis=0), last - used.max(axis=0))
    return kernels[:, rows : last[0] + 1 - rows, cols : last[1] + 1 - cols]


def _bands_of_kernels(kernels: Kernels, bands: int) -> Iterator[tuple[slice, Kernels]]:
    """Yield runs of bands that share a kernel, with the kernel.

    Neighbouring bands often have one (WorldView-2, GeoEye-1), and are then filtered together.
    """
    if len(kernels) == 1:
        yield slice(None), kernels[0]
        return
    if len(kernels) != bands:
        raise BandCountError(
            f"An image of {bands} bands needs 1 or {bands} kernels, got {len(kernels)}."
        )
    first = 0
    for band in range(1, len(kernels) + 1):
        if band == len(kernels) or not np.array_equal(kernels[band], kernels[first]):
            yield slice(first, band), kernels[first]
            first = band


def _runs(kernels: Kernels, bands: int) -> Iterator[tuple[slice, list[Kernels], list[slice]]]:
    """Yield bands, the kernels that all of them meet, and where the results of each kernel go."""
    if bands == 1 < len(kernels):
        yield slice(0, 1), [*kernels], [slice(k, k + 1) for k in range(len(kernels))]
        return
    for run, kernel in _bands_of_kernels(kernels, bands):
        yield run, [kernel], [run]


@lru_cache(maxsize=512)
def _side_by_side(stencils: tuple[Stencil, ...]) -> Stencil:
    """Return one stencil whose outputs are those of several, which read the same inputs."""
    first = stencils[0]
    if len(stencils) == 1:
        return first
    taps = np.concatenate([stencil.taps for stencil in stencils], axis=1)
    return Stencil(taps, first.step_in, first.start)


def _separable(
    kernel: Kernels, ratio: int, phase: tuple[int, int], dtype: np.dtype[np.floating]
) -> tuple[Stencil, tuple[Stencil, ...]]:
    """Split a kernel into a sum of row filters times column filters, by singular values.

    Returns:
        All row filters as one stencil, whose outputs take turns, and the column filters.
    """
    taps = np.ascontiguousarray(kernel, dtype=np.float64)
    # In single precision terms are dropped that move a pixel by less than 2e-6 of its value, some
    # thousandths of a DN; what lies below 1e-14 in a kernel is the rounding of its own Fourier sum.
    negligible = max(8 * float(np.finfo(dtype).eps), 1e-14)
    return _split(taps.tobytes(), taps.shape, ratio, phase, negligible)


@lru_cache(maxsize=512)
def _split(
    taps: bytes, shape: tuple[int, ...], ratio: int, phase: tuple[int, int], negligible: float
) -> tuple[Stencil, tuple[Stencil, ...]]:
    """Do the work of `_separable` once per kernel: tiles by the thousand share a few kernels."""
    left, strength, right = np.linalg.svd(np.frombuffer(taps).reshape(shape))
    kept = np.flatnonzero(strength >= strength[0] * negligible)
    rows = Stencil(left[:, kept] * strength[kept], ratio, phase[0] - shape[0] // 2)
    cols = tuple(Stencil(right[i][:, None], ratio, phase[1] - shape[1] // 2) for i in kept)
    return rows, cols
