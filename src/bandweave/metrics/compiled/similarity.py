"""UQI and SSIM from one pass over the pixels: see `bandweave.metrics.similarity` for the formula.

The image is gone through in strips whose rows stay in the processor's second cache, band by band.
Each group of rows is dealt once, and the boxes and Gaussians that it completes follow at once.
"""

from __future__ import annotations

import numpy as np

from bandweave.metrics.compiled.box_windows import add_boxes
from bandweave.metrics.compiled.dealt_rows import (
    BOX,
    COLS,
    GROUP,
    LINES,
    Lines,
    deal_group,
    held_length,
    sum_over,
    typical_sum,
)
from bandweave.metrics.compiled.gaussian_windows import add_gaussians
from bandweave.metrics.compiled.jit import (
    FLAG,
    IMAGE,
    MASK,
    REAL,
    TABLE,
    VALUES,
    WHOLE,
    FlatImage,
    counted,
    entry,
    kept_memory,
)
from bandweave.metrics.inputs import Array
from bandweave.pair import Mask
from bandweave.radiometry import Image

HELPERS = "50cd673bd9f8f547"
"""Hash of `box_windows`, `dealt_rows` and `gaussian_windows`, which a test holds to them.

Numba makes kept code anew when this file changes, whatever else it calls: with them, this changes.
"""


@entry(IMAGE, IMAGE, WHOLE, WHOLE, WHOLE, WHOLE, WHOLE, WHOLE, VALUES, REAL, REAL, MASK, MASK, FLAG,
       LINES, TABLE)  # fmt: skip
def _windows(f: FlatImage, g: FlatImage, height: int, width: int, box_rows: int, box_cols: int,
             gaussian_rows: int, gaussian_cols: int, taps: Array, c1: float, c2: float,
             whole_boxes: Mask, whole_gaussians: Mask, is_masked: bool, memory: Lines,
             found: Array) -> None:  # fmt: skip
    weights = (taps[0], taps[1], taps[2], taps[3], taps[4], taps[5])
    # Boxes begin four groups before the one that ends their last row, Gaussians two.
    last = max(box_rows + BOX if box_rows else 0, gaussian_rows + 2 * GROUP if gaussian_rows else 0)
    windows = max(box_cols, gaussian_cols)
    strip = -(-windows // -(-windows // COLS))
    for band in range(found.shape[1]):
        typical = typical_sum(f, g, band, height, width)
        for left in range(0, windows, strip):
            boxes = max(min(strip, box_cols - left), 0)
            gaussians = max(min(strip, gaussian_cols - left), 0)
            reach = min(max(boxes + BOX - 1, gaussians + 10), width - left)
            held = held_length(reach)
            memory.boxes[:] = 0.0
            memory.gaussians[:] = 0.0
            for top in range(0, last, GROUP):
                deal_group(f, g, band, top, height, left, reach, typical, gaussians > 0,
                           memory.dealt)  # fmt: skip
                if boxes:
                    found[1, band] += add_boxes(top, box_rows, left, boxes, held, typical,
                                                whole_boxes, is_masked, memory)  # fmt: skip
                if gaussians:
                    add_gaussians(top, gaussian_rows, left, gaussians, held, weights, typical, c1,
                                  c2, whole_gaussians, is_masked, memory)  # fmt: skip
            found[0, band] += sum_over(memory.boxes, boxes)
            found[2, band] += sum_over(memory.gaussians, gaussians)


def similarities(
    f: Image,
    g: Image,
    boxes: tuple[int, int],
    gaussians: tuple[int, int],
    *,
    taps: Array,
    constants: tuple[float, float],
    complete: tuple[Mask | None, Mask | None],
) -> Array:
    """Return, for each band, what UQI and SSIM are made of: `(3, C)`.

    That is Σ q over windows of 32 x 32 pixels, how many of these are in doubt, and Σ q over windows
    of 11 x 11 pixels under a separable Gaussian. In doubt is a window whose variances may be
    nothing but rounding and are not exactly 0.

    Args:
        f: Estimate `(C, H, W)`, finite, float64.
        g: Reference, the same shape.
        boxes: Rows and columns of windows of 32 x 32 pixels, from the first pixel on; 0 for none.
        gaussians: The same for those of 11 x 11.
        taps: The 11 weights of the Gaussian's axes, symmetric, adding up to 1.
        constants: c₁ and c₂ of the latter, in the square of the images' unit.
        complete: Positions that count, of the boxes and the Gaussians; None where all do.
    """
    found = np.zeros((3, len(f)))
    x, y, half = FlatImage.of(f), FlatImage.of(g), np.ascontiguousarray(taps[5:])
    (whole_boxes, has_mask), (whole_gaussians, has_other) = (counted(mask) for mask in complete)
    with kept_memory() as memory:
        _windows(x, y, f.shape[1], f.shape[2], *boxes, *gaussians, half, *constants, whole_boxes,
                 whole_gaussians, has_mask or has_other, Lines.of(memory), found)  # fmt: skip
    return found
