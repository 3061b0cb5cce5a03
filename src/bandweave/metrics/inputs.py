"""What every metric asks of its images: one shape, one mask, finite values where they count."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from bandweave.errors import NodataError, ShapeError
from bandweave.pair import Mask
from bandweave.radiometry import Image

Array = NDArray[np.float64]

Precision = type[np.float32 | np.float64]
"""In which pixels are computed."""

_STAGGER = 272  # values: some cache lines, and no power of two


def matched(
    estimate: Image, reference: Image, valid: Mask | None = None, *, first_band: int = 0
) -> tuple[Array, Array, Mask | None]:
    """Return both images as float64 `(C, H, W)` with 0 at invalid pixels, and the mask.

    `first_band` is the number of the images' first band, for messages.

    Raises:
        ShapeError: The images are not `(C, H, W)` of one shape, hold no pixel, or the mask is of
            another size.
        NodataError: No pixel is valid, or a valid one is not finite.
    """
    require_fit(estimate, reference, valid)
    f, _ = cleaned(estimate, "estimate", valid, first_band=first_band)
    g, _ = cleaned(reference, "reference", valid, first_band=first_band)
    return f, g, valid


def require_fit(estimate: Image, reference: Image, valid: Mask | None = None) -> None:
    """Refuse images and masks that do not fit each other.

    Raises:
        ShapeError: The images are not `(C, H, W)` of one shape, hold no pixel, or the mask is of
            another size.
        NodataError: No pixel is valid.
    """
    require_stack(estimate, "estimate")
    require_stack(reference, "reference")
    if estimate.shape != reference.shape:
        raise ShapeError(
            f"Estimate and reference must have one shape, got {estimate.shape} and "
            f"{reference.shape}; crop or resample one of them first."
        )
    if valid is not None:
        _check_mask(valid, estimate.shape[1:])


def pixels(estimate: Image, reference: Image, valid: Mask | None = None) -> tuple[Array, Array]:
    """Return the valid pixels of both images as float64 columns `(C, N)`.

    Raises:
        ShapeError: As for `matched`.
        NodataError: No pixel is valid, or a valid one is not finite.
    """
    require_fit(estimate, reference, valid)
    f, g = (
        (image.reshape(len(image), -1) if valid is None else image[:, valid]).astype(
            np.float64, copy=False
        )
        for image in (estimate, reference)
    )
    require_finite(f, "estimate")
    require_finite(g, "reference")
    return f, g


def cleaned(
    image: Image, role: str, valid: Mask | None = None, *, first_band: int = 0
) -> tuple[Array, Mask | None]:
    """Return one image as float64 `(C, H, W)` with 0 at invalid pixels, and its mask.

    Raises:
        ShapeError: The image is not `(C, H, W)`, holds no pixel, or the mask is of another size.
        NodataError: No pixel is valid, or a valid one is not finite.
    """
    require_stack(image, role)
    if valid is not None:
        _check_mask(valid, image.shape[1:])
    clean = image.astype(np.float64, copy=False)
    if valid is not None:
        clean = np.where(valid, clean, 0.0)
    require_finite(clean, role, first_band=first_band)
    return clean, valid


def require_finite(values: Image, role: str, *, first_band: int = 0) -> None:
    """Refuse NaN and infinity among the values `(C, ...)` that are scored.

    Raises:
        NodataError: A value is not finite; the sentence names the first band and the count.
    """
    # One sum is cheaper than a mask of the whole image, and is finite only where all values are.
    with np.errstate(over="ignore", invalid="ignore"):
        if np.isfinite(np.einsum(f"{'cij'[: values.ndim]}->", values)):
            return
    bad = ~np.isfinite(values.reshape(values.shape[0], -1))
    if not bad.any():
        return
    band = int(np.argmax(bad.any(axis=1)))
    raise NodataError(
        f"Metrics need finite values, but band {first_band + band} of the {role} has NaN or "
        f"infinity at {int(bad[band].sum())} of {bad.shape[1]} scored pixels; mark them invalid or "
        "fill them."
    )


def staggered(count: int, size: int, dtype: np.dtype[Any]) -> Image:
    """Return uninitialised planes `(count, size)` for results on the way.

    They are one block of memory, so that the allocator keeps it from one call to the next, and
    begin at different places of the processor's cache: planes of 2ⁿ values one behind the other
    would all compete for the same few lines.
    """
    line = np.empty(count * (size + _STAGGER), dtype)
    step = line.itemsize
    return as_strided(line, (count, size), ((size + _STAGGER) * step, step))


def row_sums(stack: Image) -> Array:
    """Return the sum of each band of `(C, H, W)`: rows in the stack's own precision, then double.

    Rows are short enough for single precision; with gaps between them this is faster than `sum`.
    """
    total: Array = np.einsum("cij->ci", stack).sum(axis=1, dtype=np.float64)
    return total


def require_stack(image: Image, role: str) -> None:
    """Refuse an image that is not `(C, H, W)` or holds no pixel.

    Raises:
        ShapeError: It is not.
    """
    if image.ndim != 3 or image.size == 0:
        raise ShapeError(
            f"The {role} must be (bands, rows, columns) with at least one pixel, got {image.shape}."
        )


def require_mask(valid: Mask, shape: tuple[int, ...]) -> None:
    """Refuse a mask that is not boolean, or of another size than the image's rows and columns.

    Raises:
        ShapeError: It is.
    """
    if valid.shape != shape or valid.dtype != np.bool_:
        raise ShapeError(
            f"The mask must be boolean with the image's rows and columns {shape}, "
            f"got {valid.dtype} {valid.shape}."
        )


def _check_mask(valid: Mask, shape: tuple[int, ...]) -> None:
    require_mask(valid, shape)
    if not valid.any():
        raise NodataError("The mask leaves no valid pixel, so there is nothing to score.")
