"""Q2n: the quality index on hypercomplex numbers, for any number of bands."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from bandweave.errors import ShapeError
from bandweave.metrics import compilation
from bandweave.metrics.accumulate import MeanTally
from bandweave.metrics.inputs import Array, matched
from bandweave.metrics.rounding import RoundedBlocks, Rounding, blocks_of, mirrored_index
from bandweave.pair import Mask
from bandweave.radiometry import Image

BLOCK = 32
"""Pixels per side of a block in the field's toolboxes."""

_EPSILON = 2.0**-52  # stands for the standard deviation of a flat block, as in the toolboxes
_VALUES_AT_ONCE = 2**18  # of a chunk of blocks, to stay within the cache


def q2n(
    estimate: Image,
    reference: Image,
    *,
    block: int = BLOCK,
    shift: int | None = None,
    valid: Mask | None = None,
) -> float:
    """Return the mean over blocks of Q2n (Alparone et al. 2004, Garzelli and Nencini 2009).

    Q4 for 4 bands, Q8 for 8; the bands are the parts of a hypercomplex number of the next power of
    two. As in the toolboxes the images are mirrored at the bottom and right to a multiple of
    `shift`, rounded to unsigned 16-bit integers, and each block's bands normalised by the
    reference's mean and standard deviation (n − 1). Images in [0, 1] have to be brought to DN
    first. Blocks with an invalid pixel are left out.

    Args:
        estimate: F `(C, H, W)`, DN; values outside [0, 65535] saturate.
        reference: G, the same shape and unit.
        block: Pixels per side of a block.
        shift: Pixels between blocks; `block` by default.
        valid: `(H, W)`, True where a pixel counts; None means everywhere.

    Returns:
        Dimensionless in [0, 1], 1 at identity; nan where no block is wholly valid.

    Raises:
        ShapeError: Shapes or mask do not fit each other, or a block has fewer than 2 x 2 pixels.
        NodataError: No pixel is valid, or a valid one is not finite.

    Example:
        >>> image = np.random.default_rng(1).integers(0, 2047, (3, 64, 50)).astype(float)
        >>> round(q2n(image, image), 12)
        1.0
    """
    f, g, mask = matched(estimate, reference, valid)
    return q2n_tally(f, g, mask, block=block, shift=shift).mean()


def q2n_tally(
    f: Image, g: Image, valid: Mask | None, *, block: int = BLOCK, shift: int | None = None
) -> MeanTally:
    """Sum the values of the blocks of finite images `(C, H, W)`."""
    values = q2n_map(f, g, block=block, shift=shift)
    if valid is None:
        return MeanTally.of(values)
    step = block if shift is None else shift
    rows, cols = (mirrored_index(size, block, step) for size in valid.shape)
    counted = blocks_of(valid[np.ix_(rows, cols)][None], block, step)
    return MeanTally.of(values[counted.all(axis=(2, 3, 4))])


def q2n_map(f: Image, g: Image, *, block: int = BLOCK, shift: int | None = None) -> Array:
    """Return the value of every block of finite images `(C, H, W)`, by rows and columns.

    Both images are of one type, float32 or float64, in which products are summed.
    """
    step = block if shift is None else shift
    if block < 2 or not 1 <= step <= block:
        raise ShapeError(
            f"Q2n needs blocks of 2 or more pixels and shifts of 1 to a block, got {block} and "
            f"{step}."
        )
    bands, height, width = g.shape
    rows_of, cols_of = (mirrored_index(size, block, step) for size in (height, width))
    if compilation.is_compiled():
        from bandweave.metrics.compiled.blocks import quality_map  # noqa: PLC0415  # an extra

        sign = _multiplication(_planes(bands))[1]
        return quality_map(
            f, g, rows_of, cols_of, block=block, step=step, sign=sign, epsilon=_EPSILON
        )
    rows, cols = ((len(index) - block) // step + 1 for index in (rows_of, cols_of))
    chunks = _chunks(rows, cols * max(bands * block**2, _planes(bands) ** 2))
    most = max(stop - first for first, stop in chunks)
    rounded = Rounding(bands, cols_of, most=most, block=block, step=step, dtype=g.dtype)
    values = np.empty((rows, cols))
    for first, stop in chunks:
        top = first * step
        index = rows_of[top : (stop - 1) * step + block] - top
        x, y = rounded(f[:, top:], index, 0), rounded(g[:, top:], index, 1)
        values[first:stop] = _block_values(x, y).reshape(stop - first, cols)
    return values


def _chunks(rows: int, values_per_row: int) -> list[tuple[int, int]]:
    """Split rows of blocks so that a chunk stays within the cache.

    The last chunk has two rows where there are two: what is mirrored at the bottom lies in it.
    """
    at_once = max(_VALUES_AT_ONCE // values_per_row, 1)
    starts = list(range(0, rows, at_once))
    if len(starts) > 1 and starts[-1] == rows - 1:
        starts.pop()
    return list(zip(starts, [*starts[1:], rows], strict=True))


def _block_values(f: RoundedBlocks, g: RoundedBlocks) -> Array:
    """Return the values of N blocks.

    The mean of a hypercomplex product is linear in the products of two planes, so each block needs
    only the covariances between the bands of both images. Normalisation by mean and standard
    deviation acts on these alone. Planes that fill up to the power of two are 1 everywhere after
    normalisation: they count in the means' norms and nowhere else. Sums of products of 16-bit
    numbers over up to 38 x 38 pixels are exact in double precision.
    """
    bands, pixels = g.values.shape[1:]
    planes = _planes(bands)
    products = (g.values @ f.values.transpose(0, 2, 1)).astype(np.float64, copy=False)
    scale = pixels * (pixels - 1)
    (base_f, total_f, squared_f), (base_g, total_g, squared_g) = f.moments, g.moments
    covariance = (pixels * products - total_g[:, :, None] * total_f[:, None, :]) / scale
    var_f = (pixels * squared_f - total_f**2) / scale
    var_g = (pixels * squared_g - total_g**2) / scale
    sum_f, sum_g = total_f + pixels * base_f, total_g + pixels * base_g

    varies = var_g > 0  # blocks beyond 38 pixels may be off by rounding, below zero too
    std = np.sqrt(np.where(varies, var_g, _EPSILON**2))
    # The toolboxes leave the estimate's scale alone where the reference's mean is exactly zero.
    std_f = np.where(sum_g == 0, 1.0, std)
    covariance /= std[:, :, None] * std_f[:, None, :]
    mean_f = (sum_f - sum_g) / pixels / std_f + 1.0  # the reference's means are all 1
    norm_f = np.sum(mean_f**2, axis=1) + (planes - bands)
    spread = np.count_nonzero(varies, axis=1) + np.sum(np.maximum(var_f, 0.0) / std_f**2, axis=1)
    luminance = 2.0 * np.sqrt(planes * norm_f) / (planes + norm_f)

    quality = np.linalg.norm(_hypercomplex(covariance), axis=1)
    values: Array = luminance.copy()  # both blocks flat: only the luminance remains
    np.divide(2.0 * luminance * quality, spread, out=values, where=spread > 0)
    return values


def _hypercomplex(covariance: Array) -> Array:
    """Return the parts `(N, planes)` of the product whose planes have these covariances."""
    count, bands, _ = covariance.shape
    partner, sign = _multiplication(_planes(bands))
    signed = np.zeros((count, bands, len(sign)))
    np.multiply(covariance, sign[:bands, :bands], out=signed[:, :, :bands])
    # Part k gathers, for every plane i of the reference, its product with plane i XOR k.
    rows = np.arange(bands)[:, None]
    parts: Array = signed[:, rows, partner[:bands]].sum(axis=1)
    return parts


@cache
def _multiplication(planes: int) -> tuple[NDArray[np.intp], Array]:
    """Return, for e_i · e_j*, the part i XOR j and the sign, by doubling (Cayley and Dickson).

    The toolboxes' product of halves is (a, b)·(c, d) = (a·c − d*·b, a*·d* + c·b*).
    """
    sign = np.ones((1, 1))
    while (half := len(sign)) < planes:
        conjugate = np.where(np.arange(half) == 0, 1.0, -1.0)
        sign = np.block(
            [
                [sign, conjugate[:, None] * sign * conjugate],
                [sign.T * conjugate[:, None], -sign.T * conjugate],
            ]
        )
    index = np.arange(planes)
    # The estimate is conjugated before it is multiplied.
    return index[:, None] ^ index, sign * np.where(index == 0, 1.0, -1.0)


def _planes(bands: int) -> int:
    """Return the next power of two."""
    return 1 << (bands - 1).bit_length()
