"""The weights of MATLAB's `imresize`, as a sparse matrix per axis."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from bandweave.degrade.banded import Axis
from bandweave.degrade.cubic import keys_kernel
from bandweave.radiometry import Image

if TYPE_CHECKING:
    from scipy.sparse import csr_array

Method = Literal["bicubic", "bilinear", "nearest"]
ResizeMatrix: TypeAlias = "csr_array[np.floating[Any], tuple[int, int]]"

_WIDTHS = {"bicubic": 4.0, "bilinear": 2.0, "nearest": 1.0}


def resize_matrix(
    size: int, target: int, scale: float, *, method: Method, antialias: bool
) -> ResizeMatrix:
    """Return the `(target, size)` matrix that resizes one axis by `scale`."""
    import scipy  # noqa: PLC0415  # slow to load, and not every filter needs it

    stretch = scale if antialias and scale < 1 and method != "nearest" else 1.0
    width = _WIDTHS[method] / stretch
    centre = (np.arange(target) + 0.5) / scale - 0.5
    # Two spare taps on either side; those outside the kernel get weight 0.
    reach = int(np.ceil(width / 2)) + 1
    index = np.floor(centre).astype(np.intp)[:, None] + np.arange(-reach, reach + 2)
    weights = _kernel(stretch * (centre[:, None] - index), method)
    weights /= weights.sum(axis=1, keepdims=True)
    # Symmetric border: -1 is 0, -2 is 1, size is size - 1.
    mirrored = np.mod(index, 2 * size)
    mirrored = np.where(mirrored < size, mirrored, 2 * size - 1 - mirrored)
    rows = np.broadcast_to(np.arange(target)[:, None], index.shape)
    entries = (weights.ravel(), (rows.ravel(), mirrored.ravel()))
    matrix: ResizeMatrix = scipy.sparse.coo_array(entries, shape=(target, size)).tocsr()
    matrix.eliminate_zeros()
    return matrix


def resized(image: Image, matrix: ResizeMatrix, axis: Axis) -> Image:
    """Multiply every line of `image` `(C, rows, columns)` along `axis` by `matrix`."""
    if axis == -1:
        return np.stack([(matrix @ band.T).T for band in image])
    return np.stack([matrix @ band for band in image])


def _kernel(x: NDArray[np.float64], method: Method) -> NDArray[np.float64]:
    d = np.abs(x)
    if method == "nearest":
        return ((x >= -0.5) & (x < 0.5)).astype(np.float64)
    if method == "bilinear":
        return np.where(d <= 1, 1 - d, 0.0)
    return keys_kernel(x)
