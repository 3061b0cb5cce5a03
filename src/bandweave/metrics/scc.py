"""Spatial correlation coefficient."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided

from bandweave.errors import ShapeError
from bandweave.metrics import compilation
from bandweave.metrics.inputs import Array, matched, row_sums, staggered
from bandweave.metrics.windows import complete_windows
from bandweave.pair import Mask
from bandweave.radiometry import Image

Margins = tuple[tuple[int, int], tuple[int, int]]


@dataclass(frozen=True, slots=True, eq=False)
class EdgeTally:
    """Sums of products of gradient magnitudes, for each band."""

    cross: Array
    """Σ |∇f| |∇g|."""
    estimate: Array
    """Σ |∇f|²."""
    reference: Array
    """Σ |∇g|²."""
    count: Array
    """Number of pixels."""

    def merged(self, other: EdgeTally) -> EdgeTally:
        """Add the pixels of another area."""
        return EdgeTally(
            self.cross + other.cross,
            self.estimate + other.estimate,
            self.reference + other.reference,
            self.count + other.count,
        )

    @classmethod
    def joined(cls, bands: Sequence[EdgeTally]) -> EdgeTally:
        """Put the tallies of several bands side by side."""
        return cls(
            np.concatenate([band.cross for band in bands]),
            np.concatenate([band.estimate for band in bands]),
            np.concatenate([band.reference for band in bands]),
            np.concatenate([band.count for band in bands]),
        )

    def cosine(self) -> float:
        """Return the cosine over all pixels and bands; 1 where neither image has an edge."""
        f, g = self.estimate.sum(), self.reference.sum()
        if not self.count.any():
            return float("nan")
        if f == 0 or g == 0:
            return 1.0 if f == g else 0.0
        return min(float(self.cross.sum() / np.sqrt(f * g)), 1.0)  # rounding aside


def scc(estimate: Image, reference: Image, *, valid: Mask | None = None) -> float:
    """Return Σ |∇f| |∇g| / √(Σ |∇f|² Σ |∇g|²) over all pixels and bands (Zhou et al. 1998).

    |∇| is the Sobel gradient's magnitude. As in the toolboxes one pixel is dropped on each side
    first, the border of the rest is zero, and no mean is removed. Pixels with an invalid neighbour
    are left out.

    Args:
        estimate: F `(C, H, W)`, physical values.
        reference: G, the same shape and unit.
        valid: `(H, W)`, True where a pixel counts; None means everywhere.

    Returns:
        Dimensionless in [0, 1], 1 at identity and where neither image has an edge, 0 where only
        one has; nan where every pixel has an invalid neighbour.

    Raises:
        ShapeError: Shapes or mask do not fit each other, or the image is smaller than 3 x 3.
        NodataError: No pixel is valid, or a valid one is not finite.

    Example:
        >>> image = np.arange(20.0 * 15).reshape(1, 20, 15)
        >>> round(scc(image, 3 * image + 7), 1)
        1.0
    """
    f, g, mask = matched(estimate, reference, valid)
    if min(f.shape[1:]) < 3:
        raise ShapeError(
            f"SCC drops one pixel on each side and needs at least 3 x 3, got {f.shape[1:]}."
        )
    inner = (slice(1, -1), slice(1, -1))
    mask = None if mask is None else mask[inner]
    return scc_tally(f[:, *inner], g[:, *inner], mask, margins=((1, 1), (1, 1))).cosine()


def scc_tally(f: Image, g: Image, valid: Mask | None, *, margins: Margins) -> EdgeTally:
    """Sum products of gradient magnitudes of finite images `(C, H, W)`, for each band.

    `margins` says by how many zeros (0 or 1) each side is extended first; one pixel per side is
    context and not counted.
    """
    shape = tuple(size + sum(margin) for size, margin in zip(f.shape[1:], margins, strict=True))
    complete = None
    if valid is not None:
        complete = complete_windows(np.pad(valid, margins, constant_values=True), 3, 3)
    count = (shape[0] - 2) * (shape[1] - 2) if complete is None else np.count_nonzero(complete)
    sums = _compiled_sums if compilation.is_compiled() else _sums_by_passes
    cross, estimate, reference = sums(f, g, margins, complete)
    return EdgeTally(cross, estimate, reference, np.full(len(f), float(count)))


def _compiled_sums(f: Image, g: Image, margins: Margins, complete: Mask | None) -> Array:
    from bandweave.metrics.compiled.edges import edge_sums  # noqa: PLC0415  # an extra

    return edge_sums(f, g, margins, complete)


def _sums_by_passes(f: Image, g: Image, margins: Margins, complete: Mask | None) -> Array:
    (top, bottom), (left, right) = margins
    stack = (len(f), f.shape[1] + top + bottom, f.shape[2] + left + right)
    place = (slice(None), slice(top, top + f.shape[1]), slice(left, left + f.shape[2]))
    gradient = _Gradient(stack, f.dtype)
    gradient.plane[place] = f  # the margins stay zero
    first = gradient(0)
    gradient.plane[place] = g
    second = gradient(1)
    cross = np.sqrt(np.multiply(first, second, out=gradient.spare), out=gradient.spare)
    products = (cross, first, second)
    return np.stack([_band_sums(gradient.positions(values), complete) for values in products])


def _band_sums(values: Image, complete: Mask | None) -> Array:
    if complete is None:
        return row_sums(values)
    return np.array([band[complete].sum(dtype=np.float64) for band in values])


class _Gradient:
    """Half the squared magnitude of the Sobel gradient, on stacks `(C, H, W)` of one shape.

    With B the sums over 2 x 2 pixels, p and m their differences along the two diagonals, Sobel's
    derivatives are p + m and p − m, and half their squared magnitude is p² + m². The factor cancels
    in the cosine. The bands lie one after the other as one long line; what runs over the end of a
    row or band falls between the positions.
    """

    def __init__(self, stack: tuple[int, int, int], dtype: np.dtype[Any]) -> None:
        bands, height, self._pitch = stack
        self.shape = (bands, height - 2, self._pitch - 2)
        self._band_pitch = height * self._pitch
        # The last position and its neighbours decide how long the flat arrays are.
        inner = (self.shape[1] - 1) * self._pitch + self.shape[2]
        self._length = (bands - 1) * self._band_pitch + inner
        scratch = staggered(6, bands * self._band_pitch, dtype)
        self.plane = scratch[0].reshape(stack)
        self.plane.fill(0.0)
        self._pairs = scratch[1, : -self._pitch]
        self._boxes = scratch[2, : -self._pitch - 1]
        self._magnitudes = scratch[3:5, : self._length]
        self.spare = scratch[5, : self._length]

    def __call__(self, slot: int) -> Image:
        """Return the flat values of the image in `plane`, kept until the slot's next use."""
        flat, pitch, n = self.plane.reshape(-1), self._pitch, self._length
        np.add(flat[:-pitch], flat[pitch:], out=self._pairs)
        boxes = np.add(self._pairs[:-1], self._pairs[1:], out=self._boxes)
        out: Image = self._magnitudes[slot]
        np.subtract(boxes[pitch + 1 : pitch + 1 + n], boxes[:n], out=out)
        np.square(out, out=out)
        np.subtract(boxes[1 : 1 + n], boxes[pitch : pitch + n], out=self.spare)
        np.square(self.spare, out=self.spare)
        out += self.spare
        return out

    def positions(self, flat: Image) -> Image:
        """View flat values by bands, rows and columns."""
        step = flat.itemsize
        strides = (self._band_pitch * step, self._pitch * step, step)
        return as_strided(flat, self.shape, strides, writeable=False)
