"""Scores without a reference, of arrays and of scenes that are read tile by tile."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from math import lcm, nan

from bandweave.errors import NodataError, ShapeError
from bandweave.metrics.comparison import Comparison, FullSums, Inputs, require_nesting
from bandweave.metrics.images import ArrayImage, Cropped, ImageSource
from bandweave.metrics.protocol import Protocol, find_protocol
from bandweave.metrics.reduced import chosen_metrics, explained, require_kind
from bandweave.metrics.scores import Scores
from bandweave.metrics.tiles import in_order, plan_tiles, require_same_size
from bandweave.pair import Mask
from bandweave.progress import Advance, unseen
from bandweave.radiometry import Image
from bandweave.window import Window


def evaluate_fr(
    hrms: Image,
    pan: Image,
    lrms: Image,
    *,
    ratio: int,
    gains: Sequence[float] | None = None,
    phase: tuple[float, float] | None = None,
    protocol: Protocol | str = "dlpan-fr",
    metrics: Sequence[str] | None = None,
    crop: bool = False,
    valid: Mask | None = None,
    threads: int | None = None,
) -> Scores:
    """Score a fused image without a reference, from the images it was made of.

    Args:
        hrms: F `(C, H, W)`, DN.
        pan: P `(1, H, W)`, DN.
        lrms: L `(C, h, w)`, DN, H = ratio·h and W = ratio·w.
        ratio: Fine pixels per coarse pixel.
        gains: MTF at the coarse Nyquist frequency for each band (D_λ^K); None: not known.
        phase: Fine index (rows, columns) of coarse sample 0; ratio / 2 by default, as in the
            toolboxes.
        protocol: Value or id of a protocol of kind `fr`.
        metrics: Part of the protocol's metrics; None means all.
        crop: Leave out the last rows and columns that fill no block, instead of refusing.
        valid: `(H, W)`, True where a fine pixel counts; None means everywhere.
        threads: Threads to use; None means all processors. Does not change the values.

    Returns:
        Values by metric id, nan where a metric is not defined, with a note that says why.

    Raises:
        ShapeError: Shapes or mask do not fit each other, or rows and columns are no multiples of
            the block and `crop` is False.
        BandCountError: The bands of the images or the gains do not fit each other.
        NodataError: No pixel is valid, or a valid one is not finite.
        UnknownNameError: No such protocol or metric.
    """
    if valid is not None:
        require_same_size({"hrms": hrms.shape[-2:], "valid": valid.shape})
    return score_fr(
        ArrayImage(hrms, valid),
        ArrayImage(pan),
        ArrayImage(lrms),
        ratio=ratio,
        gains=gains,
        phase=phase,
        protocol=protocol,
        metrics=metrics,
        crop=crop,
        threads=threads,
    )


def score_fr(
    hrms: ImageSource,
    pan: ImageSource,
    lrms: ImageSource,
    *,
    ratio: int,
    gains: Sequence[float] | None = None,
    phase: tuple[float, float] | None = None,
    protocol: Protocol | str = "dlpan-fr",
    metrics: Sequence[str] | None = None,
    crop: bool = False,
    threads: int | None = None,
    advance: Advance = unseen,
) -> Scores:
    """Score a scene of any size; see `evaluate_fr`, whose values it gives.

    `advance` is called with the number of pixels done.
    """
    used = find_protocol(protocol) if isinstance(protocol, str) else protocol
    require_kind(used, "fr")
    wanted = chosen_metrics(used, metrics)
    require_nesting(hrms, pan, lrms, ratio, gains)
    if used.scale_side == "lrms" and used.block % ratio:
        raise ShapeError(
            f"Protocol {used.id} needs blocks of {used.block} pixels to hold whole coarse pixels, "
            f"which they do not at ratio {ratio}; use dlpan-fr."
        )
    sides, left_out = _whole_blocks(Inputs(hrms, pan, lrms), used.block, ratio, crop=crop)
    work = Comparison.of(sides, used, ratio, phase or (ratio / 2, ratio / 2), gains)
    sums = FullSums.empty(lrms.bands)
    tiles = plan_tiles(Window.whole(sides.hrms.shape), lcm(used.block, ratio), lrms.bands)
    for part in in_order(work.tile_sums, tiles, threads, advance):
        sums = sums.merged(part)
    if not sums.fused.count.any() and not sums.q2n.count.any():
        raise NodataError(
            f"No block of {used.block} x {used.block} pixels is wholly valid in all images with "
            "their filters' reach, so there is nothing to score; check nodata values and masks."
        )
    values = sums.values()
    notes = {} if gains else dict.fromkeys(("d_lambda_k", "hqnr"), "needs the sensor's MTF gains")
    values = {name: nan if name in notes else values[name] for name in wanted}
    conditions = {
        "ratio": ratio,
        "phase": list(phase or (ratio / 2, ratio / 2)),
        "mtf_gains": None if gains is None else list(gains),
        "shape": list(sides.hrms.shape),
        "cropped": list(left_out),
    }
    shown = {name: why for name, why in notes.items() if name in wanted}
    return Scores(used, values, conditions, (*explained(values, shown), *sums.flat_note()))


def _whole_blocks(
    images: Inputs, block: int, ratio: int, *, crop: bool
) -> tuple[Inputs, tuple[int, int]]:
    """Return the images cut to whole blocks, and the fine rows and columns that were cut off.

    Raises:
        ShapeError: There is a rest and it may not be cut off, or no block fits.
    """
    unit = lcm(block, ratio)
    height, width = images.hrms.shape
    rest = (height % unit, width % unit)
    if rest == (0, 0):
        return images, rest
    part = Window(0, 0, height - rest[0], width - rest[1])
    if not crop or part.is_empty:
        raise ShapeError(
            f"Metrics without reference need rows and columns in multiples of {unit}, got "
            f"{height} x {width}; allow cropping (--crop), or crop the images."
        )
    fine, coarse = partial(Cropped, part=part), partial(Cropped, part=part.coarse(ratio))
    return Inputs(fine(images.hrms), fine(images.pan), coarse(images.lrms)), rest
