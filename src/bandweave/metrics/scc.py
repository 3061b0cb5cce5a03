"""Spatial correlation coefficient."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import as_strided

from bandweave.errors import ShapeError
from bandweave.metrics.inputs import Array, matched
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
        return float(self.cross.sum() / np.sqrt(f * g))


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


def scc_tally(f: Array, g: Array, valid: Mask | None, *, margins: Margins) -> EdgeTally:
    """Sum products of gradient magnitudes of finite images `(C, H, W)`, for each band.

    `margins` says by how many zeros (0 or 1) each side is extended first; one pixel per side is
    context and not counted.
    """
    (top, bottom), (left, right) = margins
    shape = (f.shape[1] + top + bottom, f.shape[2] + left + right)
    complete = None
    if valid is not None:
        complete = complete_windows(np.pad(valid, margins, constant_values=True), 3, 3)
    place = (slice(top, top + f.shape[1]), slice(left, left + f.shape[2]))
    gradient = _Gradient(shape)
    sums = np.empty((3, len(f)))
    for band, (x, y) in enumerate(zip(f, g, strict=True)):
        gradient.plane[place] = x  # the margins stay zero
        first = gradient(0)
        gradient.plane[place] = y
        second = gradient(1)
        cross = np.sqrt(np.multiply(first, second, out=gradient.spare), out=gradient.spare)
        for k, values in enumerate((cross, first, second)):
            seen = gradient.positions(values)
            sums[k, band] = seen.sum() if complete is None else seen[complete].sum()
    rows, cols = gradient.shape
    count = rows * cols if complete is None else np.count_nonzero(complete)
    return EdgeTally(sums[0], sums[1], sums[2], np.full(len(f), float(count)))


class _Gradient:
    """Half the squared magnitude of the Sobel gradient, on images of one shape.

    With B the sums over 2 x 2 pixels, p and m their differences along the two diagonals, Sobel's
    derivatives are p + m and p − m, and half their squared magnitude is p² + m². The factor cancels
    in the cosine.
    """

    def __init__(self, shape: tuple[int, int]) -> None:
        height, self._pitch = shape
        self.shape = (height - 2, self._pitch - 2)
        # The last position and its neighbours decide how long the flat arrays are.
        self._length = (self.shape[0] - 1) * self._pitch + self.shape[1]
        # One block of memory, so that the allocator keeps it from one call to the next.
        scratch = np.zeros((6, height * self._pitch))
        self.plane = scratch[0].reshape(shape)
        self._pairs = scratch[1, : -self._pitch]
        self._boxes = scratch[2, : -self._pitch - 1]
        self._magnitudes = scratch[3:5, : self._length]
        self.spare = scratch[5, : self._length]

    def __call__(self, slot: int) -> Array:
        """Return the flat values of the image in `plane`, kept until the slot's next use."""
        flat, pitch, n = self.plane.reshape(-1), self._pitch, self._length
        np.add(flat[:-pitch], flat[pitch:], out=self._pairs)
        boxes = np.add(self._pairs[:-1], self._pairs[1:], out=self._boxes)
        out: Array = self._magnitudes[slot]
        np.subtract(boxes[pitch + 1 : pitch + 1 + n], boxes[:n], out=out)
        np.square(out, out=out)
        np.subtract(boxes[1 : 1 + n], boxes[pitch : pitch + n], out=self.spare)
        np.square(self.spare, out=self.spare)
        out += self.spare
        return out

    def positions(self, flat: Array) -> Array:
        """View flat values by rows and columns."""
        step = flat.itemsize
        return as_strided(flat, self.shape, (self._pitch * step, step), writeable=False)
