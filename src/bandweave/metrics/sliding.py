"""UQI and SSIM from one pass over the pixels, where the loops are compiled."""

from __future__ import annotations

from functools import partial

import numpy as np

from bandweave.metrics.accumulate import MeanTally
from bandweave.metrics.inputs import Array
from bandweave.metrics.similarity import similarity_tally
from bandweave.metrics.windows import BoxSum, GaussianMean, complete_windows, gaussian_taps
from bandweave.pair import Mask
from bandweave.radiometry import Image

BOX = 32
"""Pixels per side of the only boxes that are compiled: those of the toolboxes."""


def sliding_tallies(
    f: Image,
    g: Image,
    valid: Mask | None,
    *,
    boxes: tuple[int, int] = (0, 0),
    gaussians: tuple[int, int] = (0, 0),
    constants: tuple[float, float] = (1.0, 1.0),
) -> tuple[MeanTally, MeanTally]:
    """Sum UQI over boxes and SSIM over Gaussians, for each band of finite images `(C, H, W)`.

    Args:
        f: Estimate, float64.
        g: Reference, the same shape.
        valid: `(H, W)`, True where a pixel counts; None means everywhere.
        boxes: Rows and columns of windows of 32 x 32 pixels, from the first pixel on; 0 for none.
        gaussians: The same for those of 11 x 11.
        constants: c₁ and c₂ of SSIM in the square of the images' unit.
    """
    from bandweave.metrics.compiled.similarity import similarities  # noqa: PLC0415  # an extra

    complete = (_complete(valid, boxes, BOX), _complete(valid, gaussians, GaussianMean.size))
    total, doubtful, gaussian_total = similarities(
        f, g, boxes, gaussians, taps=gaussian_taps(), constants=constants, complete=complete
    )
    for band in np.flatnonzero(doubtful):
        # Flat windows have to be told from nearly flat ones: where sums of equal values are exact.
        part = (slice(band, band + 1), slice(boxes[0] + BOX - 1), slice(boxes[1] + BOX - 1))
        by_passes = similarity_tally(
            f[part], g[part], partial(BoxSum, size=BOX), complete=complete[0]
        )
        total[band] = by_passes.total[0]
    return (
        _tally(total, boxes, complete[0]),
        _tally(gaussian_total, gaussians, complete[1]),
    )


def _complete(valid: Mask | None, windows: tuple[int, int], size: int) -> Mask | None:
    rows, cols = windows
    if valid is None or not rows:
        return None
    return complete_windows(valid[: rows + size - 1, : cols + size - 1], size, size)


def _tally(total: Array, windows: tuple[int, int], complete: Mask | None) -> MeanTally:
    count = windows[0] * windows[1] if complete is None else np.count_nonzero(complete)
    return MeanTally(total, np.full(len(total), float(count)))
