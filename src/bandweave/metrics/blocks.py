"""UQI between all pairs of planes on blocks that do not overlap."""

from __future__ import annotations

import numpy as np

from bandweave.errors import ShapeError
from bandweave.metrics.accumulate import MeanTally
from bandweave.metrics.inputs import Array
from bandweave.pair import Mask

_VALUES_AT_ONCE = 2**18  # of a chunk of blocks, to stay within the cache


def block_quality(planes: Array, valid: Mask | None, *, block: int) -> MeanTally:
    """Sum q = 4 σ_xy x̄ ȳ / ((σ_x² + σ_y²)(x̄² + ȳ²)) over blocks, for all pairs of planes.

    Blocks in which q is 0 / 0 (both planes flat, or both means zero) are left out for that pair,
    and blocks with an invalid pixel for all.

    Args:
        planes: `(K, H, W)`, finite; H and W are multiples of `block`.
        valid: `(H, W)`, True where a pixel counts; None means everywhere.
        block: Pixels per side.

    Returns:
        Sums and counts `(K, K)`.

    Raises:
        ShapeError: H or W is no multiple of `block`.
    """
    count, height, width = planes.shape
    if height % block or width % block:
        raise ShapeError(
            f"Rows and columns must be multiples of {block} for metrics on whole blocks, got "
            f"{height} x {width}; crop the images."
        )
    tally = MeanTally(np.zeros((count, count)), np.zeros((count, count)))
    at_once = max(_VALUES_AT_ONCE // (count * block * width), 1) * block
    for top in range(0, height, at_once):
        rows = slice(top, min(top + at_once, height))
        usable = None if valid is None else valid[rows]
        tally = tally.merged(_chunk_quality(planes[:, rows], block, usable))
    return tally


def _chunk_quality(planes: Array, block: int, valid: Mask | None) -> MeanTally:
    count, height, width = planes.shape
    cells = planes.reshape(count, height // block, block, width // block, block)
    values = cells.transpose(1, 3, 0, 2, 4).reshape(-1, count, block * block)
    if valid is not None:
        whole = valid.reshape(height // block, block, width // block, block).all(axis=(1, 3))
        values = values[whole.reshape(-1)]
    # Counted from each block's first pixel, so that flat blocks have a variance of exactly 0.
    origin = values[:, :, :1]
    values = values - origin
    offset = values.mean(axis=2, keepdims=True)
    values -= offset
    means = (origin + offset)[:, :, 0]
    covariance = values @ values.transpose(0, 2, 1) / (block * block - 1)
    variance = np.einsum("nii->ni", covariance)
    spread = variance[:, :, None] + variance[:, None, :]
    level = means[:, :, None] ** 2 + means[:, None, :] ** 2
    product = means[:, :, None] * means[:, None, :]
    defined = spread * level > 0
    quality = np.zeros_like(covariance)
    np.divide(4 * covariance * product, spread * level, out=quality, where=defined)
    return MeanTally(quality.sum(axis=0), defined.sum(axis=0, dtype=np.float64))
