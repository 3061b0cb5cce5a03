"""Scores against a reference, of arrays and of scenes that are read tile by tile."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from math import isnan, nan

import numpy as np

from bandweave.errors import NodataError, UnknownNameError
from bandweave.metrics import compilation
from bandweave.metrics.images import ArrayImage, ImageSource, UnitRange
from bandweave.metrics.inputs import Precision
from bandweave.metrics.protocol import PROTOCOLS, Kind, Protocol, find_protocol
from bandweave.metrics.scores import Scores
from bandweave.metrics.sums import Scoring, Sums, clean_tile, tile_jobs
from bandweave.metrics.tiles import Tile, in_batches, load_tile, plan_tiles, require_same_size
from bandweave.metrics.windows import GaussianMean
from bandweave.pair import Mask
from bandweave.progress import Advance, unseen
from bandweave.radiometry import Image
from bandweave.window import Window

_SMALLEST_DN_SCALE = 100.0  # below that, rounding to whole numbers is more than 0.5 %


def evaluate_rr(
    hrms: Image,
    gt: Image,
    *,
    ratio: float,
    full_scale: float | None = None,
    protocol: Protocol | str = "dlpan-rr",
    metrics: Sequence[str] | None = None,
    valid: Mask | None = None,
    threads: int | None = None,
    is_fast: bool = False,
) -> Scores:
    """Score a fused image against its reference.

    Args:
        hrms: Estimate `(C, H, W)`, physical values.
        gt: Reference, the same shape and unit.
        ratio: GSD of the coarse image divided by that of the fine one (ERGAS).
        full_scale: Value that maps to 1.0: peak of PSNR and SSIM.
        protocol: Value or id of a protocol of kind `rr`.
        metrics: Part of the protocol's metrics; None means all.
        valid: `(H, W)`, True where a pixel counts; None means everywhere.
        threads: Threads to use; None means all processors. Does not change the values.
        is_fast: Compute in single precision where that is faster, which is where numba is absent;
            docs/metrics.md says how far values then differ.

    Returns:
        Values by metric id, nan where a metric is not defined, with a note that says why.

    Raises:
        ShapeError: Shapes or mask do not fit each other, or the border leaves nothing.
        NodataError: No pixel is valid, or a valid one is not finite.
        ScaleError: The protocol scores [0, 1] and the data are DN without full scale.
        UnknownNameError: No such protocol or metric.

    Example:
        >>> import numpy as np
        >>> gt = np.random.default_rng(1).uniform(1, 2047, (4, 96, 80))
        >>> scores = evaluate_rr(gt * 1.01, gt, ratio=4, full_scale=2047)
        >>> round(scores.values["ergas"], 3), round(scores.values["sam"], 3)
        (0.289, 0.0)
    """
    require_same_size({"hrms": hrms.shape, "gt": gt.shape})
    if valid is not None:
        require_same_size({"hrms": hrms.shape[-2:], "valid": valid.shape})
    return score_rr(
        ArrayImage(hrms, valid),
        ArrayImage(gt),
        ratio=ratio,
        full_scale=full_scale,
        protocol=protocol,
        metrics=metrics,
        threads=threads,
        is_fast=is_fast,
    )


def score_rr(
    estimate: ImageSource,
    reference: ImageSource,
    *,
    ratio: float,
    full_scale: float | None = None,
    protocol: Protocol | str = "dlpan-rr",
    metrics: Sequence[str] | None = None,
    threads: int | None = None,
    is_fast: bool = False,
    advance: Advance = unseen,
) -> Scores:
    """Score a scene of any size; see `evaluate_rr`, whose values it gives.

    Memory holds one tile of about 2²⁰ values per image and thread. `advance` is called with the
    number of pixels done.
    """
    used = find_protocol(protocol) if isinstance(protocol, str) else protocol
    require_kind(used, "rr")
    wanted = chosen_metrics(used, metrics)
    require_same_size(
        {
            "estimate": (estimate.bands, *estimate.shape),
            "reference": (reference.bands, *reference.shape),
        }
    )
    peak = full_scale
    if used.scaling == "unit":
        estimate = UnitRange(estimate, full_scale or 1.0, is_clipped=used.is_clipped)
        reference = UnitRange(reference, full_scale or 1.0, is_refused_outside=True)
        peak = 1.0
    values, notes = scored(
        estimate,
        reference,
        wanted,
        used,
        ratio=ratio,
        peak=peak,
        threads=threads,
        is_fast=is_fast,
        advance=advance,
    )
    conditions = {
        "ratio": ratio,
        "full_scale": full_scale,
        "shape": list(reference.shape),
        "precision": np.dtype(precision_of(is_fast=is_fast)).name,
    }
    return Scores(used, values, conditions, explained(values, notes))


def scored(
    estimate: ImageSource,
    reference: ImageSource,
    metrics: Sequence[str],
    protocol: Protocol,
    *,
    ratio: float,
    peak: float | None,
    threads: int | None,
    is_fast: bool = False,
    advance: Advance = unseen,
) -> tuple[dict[str, float], dict[str, str]]:
    """Return the value of each metric, and for those that cannot be computed (nan) the reason.

    Raises:
        ShapeError: The border leaves nothing.
        NodataError: No pixel is valid, or a valid one is not finite.
    """
    region = protocol.region(reference.shape)
    notes = _not_computed(metrics, region, protocol, peak)
    computed = frozenset(metrics) - notes.keys()
    scoring = Scoring(
        computed,
        peak or nan,
        protocol.block,
        protocol.shift,
        protocol.window,
        protocol.ssim_border,
        precision_of(is_fast=is_fast),
    )
    sums = accumulate(estimate, reference, region, scoring, threads, advance=advance)
    values = dict.fromkeys(metrics, nan)
    for name in computed:
        values[name] = sums.value(name, ratio=ratio, peak=scoring.peak)
    return values, notes


def accumulate(
    estimate: ImageSource,
    reference: ImageSource,
    region: Window,
    scoring: Scoring,
    threads: int | None,
    *,
    advance: Advance = unseen,
) -> Sums:
    """Sum up the metrics of `scoring` over a region, tile by tile.

    Raises:
        NodataError: No pixel is valid, or a valid one is not finite.
    """
    sums = Sums()
    tiles = plan_tiles(region, scoring.block, reference.bands)
    load = partial(_load, estimate, reference, region, scoring)
    for part in in_batches(tiles, load, partial(tile_jobs, scoring=scoring), threads, advance):
        sums = sums.merged(part)
    if scoring.metrics and sums.is_empty:
        raise NodataError(
            "No pixel is valid in both images, so there is nothing to score; check nodata values "
            "and masks."
        )
    return sums


def _load(
    estimate: ImageSource, reference: ImageSource, region: Window, scoring: Scoring, core: Window
) -> Tile | None:
    context, precision = scoring.context, scoring.precision
    tile = load_tile(estimate, reference, core, region=region, context=context, precision=precision)
    return None if tile is None else clean_tile(tile, scoring)


def precision_of(*, is_fast: bool) -> Precision:
    """Return in which precision is computed; compiled loops are fast in double precision."""
    return np.float32 if is_fast and not compilation.is_compiled() else np.float64


def chosen_metrics(protocol: Protocol, metrics: Sequence[str] | None) -> tuple[str, ...]:
    """Return the metrics to compute, all of the protocol's where none are named.

    Raises:
        UnknownNameError: A metric is not part of the protocol; the message lists those that are.
    """
    for name in metrics or ():
        if name not in protocol.metrics:
            raise UnknownNameError(
                f"Protocol {protocol.id} has no metric {name!r}; it has "
                f"{', '.join(protocol.metrics)}."
            )
    return tuple(metrics) if metrics else protocol.metrics


def require_kind(protocol: Protocol, kind: Kind) -> None:
    """Refuse a protocol of another kind.

    Raises:
        UnknownNameError: It is of another kind; the message lists those that fit.
    """
    if protocol.kind != kind:
        fitting = ", ".join(one.id for one in PROTOCOLS.values() if one.kind == kind)
        raise UnknownNameError(
            f"A protocol of kind {kind} is needed here, but {protocol.id} is of kind "
            f"{protocol.kind}; take one of {fitting}."
        )


def explained(values: dict[str, float], notes: dict[str, str]) -> tuple[str, ...]:
    """Say why metrics have no value: by `notes`, or because nothing was left to average."""
    undefined = [name for name, value in values.items() if isnan(value) and name not in notes]
    reasons = [f"{name}: {why}" for name, why in notes.items()]
    if undefined:
        reasons.append(f"{', '.join(undefined)}: no pixel, window or block has a value")
    return tuple(reasons)


def _not_computed(
    metrics: Sequence[str], region: Window, protocol: Protocol, peak: float | None
) -> dict[str, str]:
    """Return the metrics that cannot be computed for this image, with the reason."""
    notes = {}
    smallest = {"uqi": protocol.window, "scc": 3}
    if protocol.ssim_border == "valid":
        smallest["ssim"] = GaussianMean.size
    for name in metrics:
        needed = smallest.get(name, 1)
        if min(region.shape) < needed:
            notes[name] = (
                f"needs {needed} x {needed} pixels, but {region.height} x {region.width} are scored"
            )
        elif name in ("psnr", "ssim") and peak is None:
            notes[name] = "needs the full scale of the data"
        elif name == "q2n" and peak is not None and peak < _SMALLEST_DN_SCALE:
            notes[name] = f"rounds to whole numbers, so it needs DN, not a full scale of {peak:g}"
    return notes
