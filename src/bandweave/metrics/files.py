"""From files to scores: what `bandweave evaluate` runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import rasterio

from bandweave.errors import SensorModelError
from bandweave.metrics.cases import Case, KnownFacts, cases_with_inputs, cases_with_reference
from bandweave.metrics.error_map import ErrorMap, mean_error
from bandweave.metrics.full import score_fr
from bandweave.metrics.protocol import Protocol, find_protocol
from bandweave.metrics.reduced import score_rr
from bandweave.metrics.reprojection import score_reprojection
from bandweave.metrics.scores import Scores
from bandweave.progress import Advance, progress

_CACHE_MIB = 64
_LONG = 2**24  # pixels; with fewer there is no time to read how much is left


@dataclass(frozen=True, slots=True)
class Evaluated:
    """The scores of one file."""

    name: str
    scores: Scores
    error: ErrorMap | None
    """The error map, where one was asked for."""


def evaluate_files(
    fused: Path,
    *,
    gt: Path | None = None,
    pan: Path | None = None,
    ms: Path | None = None,
    protocol: str | None = None,
    metrics: Sequence[str] | None = None,
    gains: Sequence[float] | None = None,
    crop: bool = False,
    facts: KnownFacts | None = None,
    error_pixels: int | None = None,
    threads: int | None = None,
    is_fast: bool = False,
    quiet: bool = True,
) -> Iterator[Evaluated]:
    """Score a file or a set, image by image.

    Args:
        fused: Raster, `.mat`, `.h5`, or a folder of rasters or `.mat` files.
        gt: Reference: raster, folder, or `.mat` or `.h5` with references.
        pan: Without reference: the PAN, or `.mat` or `.h5` with both inputs.
        ms: Without reference: the MS where `pan` is a raster.
        protocol: Protocol id; `dlpan-rr` against a reference and `dlpan-fr` without by default.
        metrics: Part of the protocol's metrics; None means all.
        gains: MTF gains of the bands; the sensor's by default.
        crop: Leave out rows and columns that fill no block (metrics without reference).
        facts: What is known of the images besides.
        error_pixels: Also map the error, with at most so many pixels per side.
        threads: Threads to use; None means all processors.
        is_fast: Compute in single precision (only against a reference).
        quiet: Show no progress on stderr.

    Raises:
        FusionError: One sentence: what was required, what was found, what to do.
    """
    used = find_protocol(protocol or ("dlpan-rr" if gt is not None else "dlpan-fr"))
    known = facts or KnownFacts()
    with ExitStack() as stack:
        # GDAL would keep 5 % of the machine's memory as cache; nearly every block is used once.
        stack.enter_context(rasterio.Env(GDAL_CACHEMAX=_CACHE_MIB))
        if gt is not None:
            cases = cases_with_reference(stack, fused, gt, known)
        else:
            assert pan is not None
            cases = cases_with_inputs(stack, fused, pan, ms, known)
        for case in cases:
            region = used.region(case.hrms.shape)
            pixels = region.height * region.width
            with progress(case.name, pixels, quiet=quiet or pixels < _LONG) as advance:
                scores = _score(
                    case, used, metrics, gains,
                    crop=crop, threads=threads, is_fast=is_fast, advance=advance,
                )  # fmt: skip
            error = None
            if error_pixels is not None and case.truth is not None:
                error = mean_error(case.hrms, case.truth, error_pixels, threads)
            if case.consistency_noise is not None:
                scores = scores.of_consistent()
            yield Evaluated(case.name, scores.noted(*case.remarks), error)


def _score(
    case: Case,
    protocol: Protocol,
    metrics: Sequence[str] | None,
    gains: Sequence[float] | None,
    *,
    crop: bool,
    threads: int | None,
    is_fast: bool,
    advance: Advance,
) -> Scores:
    if case.truth is not None:
        return score_rr(
            case.hrms,
            case.truth,
            ratio=case.ratio,
            full_scale=case.full_scale,
            protocol=protocol,
            metrics=metrics,
            threads=threads,
            is_fast=is_fast,
            advance=advance,
        )
    assert case.pan is not None
    assert case.lrms is not None
    known = gains
    if known is None and case.sensor is not None:
        known = case.sensor.mtf_gains(case.lrms.bands)
    if protocol.kind == "reprojection":
        if known is None:
            raise SensorModelError(
                f"Protocol {protocol.id} needs the MTF gains of {case.lrms.bands} bands; name the "
                "sensor with --sensor, or give --mtf-gain."
            )
        scores = score_reprojection(
            case.hrms,
            case.pan,
            case.lrms,
            ratio=case.ratio,
            gains=known,
            protocol=protocol,
            metrics=metrics,
            threads=threads,
            advance=advance,
        )
    else:
        scores = score_fr(
            case.hrms,
            case.pan,
            case.lrms,
            ratio=case.ratio,
            gains=known,
            phase=case.phase,
            protocol=protocol,
            metrics=metrics,
            crop=crop,
            threads=threads,
            advance=advance,
        )
    is_assumed = gains is None and known is not None and case.sensor is not None
    return scores.noted(*(case.sensor.assumptions if is_assumed and case.sensor else ()))
