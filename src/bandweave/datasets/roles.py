"""Which array of a foreign file plays which role, and in which order its axes lie.

Names alone do not decide: `I_MS` is the small image in some files and the interpolated one in
others, and the same literature stores (H, W, C) and (C, H, W). The shapes do.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bandweave.errors import FileFormatError, GridMismatchError

Layout = Literal["hw", "hwc", "chw"]

# In order of trust, compared without regard to case. `lms`, `I_MS` where it is large, and `HSI_up`
# hold interpolated images, which are made anew.
SPATIAL_KEYS = ("pan", "i_pan", "msi", "rgb", "i_msi", "i_rgb", "hrmsi")
SPECTRAL_KEYS = ("lrms", "i_lrms", "i_ms_lr", "ms", "i_ms", "lrhsi", "i_lrhsi", "i_hs_lr", "hsi")
TRUTH_KEYS = ("gt", "i_gt", "ref_i_gt", "hrhsi")


@dataclass(frozen=True, slots=True)
class Role:
    """One array of a file and how its axes lie."""

    key: str
    """Name in the file."""
    layout: Layout
    """Order of the axes of one image."""

    def image(self, array: NDArray[Any]) -> NDArray[Any]:
        """Bring one image to `(C, H, W)`."""
        if self.layout == "hw":
            return array[None]
        return np.moveaxis(array, 2, 0) if self.layout == "hwc" else array


@dataclass(frozen=True, slots=True)
class Roles:
    """The arrays of a file that make a pair."""

    spatial: Role
    spectral: Role
    truth: Role | None
    ratio: int
    """Fine pixels per coarse pixel, from the shapes."""


def assign_roles(
    shapes: Mapping[str, tuple[int, ...]],
    path: Path,
    *,
    ratio: int | None = None,
    preferred: Layout = "hwc",
) -> Roles:
    """Find the arrays of one image that fit each other.

    Args:
        shapes: Shape of one image by key; all other entries of the file left out.
        path: The file, for messages.
        ratio: Accept this ratio only; without it the largest image decides.
        preferred: Layout to try first for three-dimensional arrays.

    Raises:
        FileFormatError: A role is missing.
        GridMismatchError: No spatial and spectral image nest.
    """
    for spatial, (height, width) in _readings(shapes, SPATIAL_KEYS, preferred):
        for spectral, (h, w) in _readings(shapes, SPECTRAL_KEYS, preferred):
            found = height // max(h, 1)
            if (height, width) != (h * found, w * found) or found < 2 or found != (ratio or found):
                continue
            for truth, size in _readings(shapes, TRUTH_KEYS, preferred):
                bands = _bands(shapes[truth.key], truth.layout)
                if size == (height, width) and bands == _bands(
                    shapes[spectral.key], spectral.layout
                ):
                    return Roles(spatial, spectral, truth, found)
            return Roles(spatial, spectral, None, found)
    raise _nothing_fits(shapes, path, ratio)


def _readings(
    shapes: Mapping[str, tuple[int, ...]], names: tuple[str, ...], preferred: Layout
) -> Iterator[tuple[Role, tuple[int, int]]]:
    """Yield every way to read the arrays called one of `names`, with rows and columns."""
    by_name = {key.lower(): key for key in shapes}
    keys = [by_name[name] for name in names if name in by_name]
    other: Layout = "chw" if preferred == "hwc" else "hwc"
    for layout in (preferred, other):
        for key in keys:
            shape = shapes[key]
            if len(shape) == 2 and layout == preferred:
                yield Role(key, "hw"), (shape[0], shape[1])
            elif len(shape) == 3:
                size = shape[:2] if layout == "hwc" else shape[1:]
                yield Role(key, layout), (size[0], size[1])


def _bands(shape: tuple[int, ...], layout: Layout) -> int:
    return {"hw": 1, "hwc": shape[-1], "chw": shape[0]}[layout]


def _nothing_fits(
    shapes: Mapping[str, tuple[int, ...]], path: Path, ratio: int | None
) -> FileFormatError | GridMismatchError:
    present = ", ".join(f"{key} {shape}" for key, shape in shapes.items()) or "no arrays"
    lower = {key.lower() for key in shapes}
    for role, names in (("spatial", SPATIAL_KEYS), ("spectral", SPECTRAL_KEYS)):
        if not lower.intersection(names):
            return FileFormatError(
                f"{path} holds no {role} image: one of the names {', '.join(names)} is needed "
                f"(in any case), found {present}."
            )
    wanted = "a whole number of times" if ratio is None else f"{ratio} times"
    return GridMismatchError(
        f"In {path} no spatial image is {wanted} as large as a spectral image: found {present}."
    )
