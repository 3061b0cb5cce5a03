"""What is to be scored: fused images with their references or inputs, whatever files hold them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from bandweave.datasets.base import Item
from bandweave.datasets.files import is_pair_file, open_pairs
from bandweave.datasets.results import ResultFile, find_results
from bandweave.errors import FileFormatError, ScaleError
from bandweave.metrics.images import ArrayImage, Cropped, ImageSource
from bandweave.metrics.placement import (
    common_window,
    fine_part,
    recorded_consistency,
    recorded_displacement,
    spatial_of,
    spectral_of,
)
from bandweave.radiometry import Image
from bandweave.raster.image import RasterImage, open_image
from bandweave.raster.mask import MaskMode
from bandweave.raster.metadata import stated_full_scale, stated_sensor
from bandweave.raster.reader import open_pair
from bandweave.sensors import Sensor
from bandweave.window import Window

_FIELD_RATIO = 4  # of nearly every published reduced-resolution table


@dataclass(frozen=True, slots=True)
class KnownFacts:
    """What the caller knows of the images; each None where the files have to say it."""

    sensor: Sensor | None = None
    full_scale: float | None = None
    ratio: int | None = None
    mask: MaskMode = "auto"
    nodata: float | None = None
    align: Literal["auto", "off"] | tuple[float, float] = "auto"
    """Displacement (rows, columns) of PAN against MS in PAN pixels; `auto` takes what the fused
    file notes."""


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """One fused image and what it is compared with."""

    name: str
    """Name of its file."""
    hrms: ImageSource
    truth: ImageSource | None
    """The reference, or None for an evaluation without."""
    pan: ImageSource | None
    """The inputs, or None for an evaluation against a reference."""
    lrms: ImageSource | None
    ratio: int
    phase: tuple[float, float]
    """Fine index (rows, columns) of coarse sample 0."""
    full_scale: float | None
    sensor: Sensor | None
    consistency_noise: float | None = None
    """λ with which the image was made consistent with the MS, or None where it was not."""
    remarks: tuple[str, ...] = field(default=())
    """What a reader of the scores has to know of how the files were read."""


def cases_with_reference(
    stack: ExitStack, fused: Path, gt: Path, facts: KnownFacts
) -> Iterator[Case]:
    """Yield each fused image with its reference; files stay open until `stack` is left.

    Args:
        stack: Closes what was opened.
        fused: Raster, `.mat`, `.h5`, or a folder of rasters or `.mat` files.
        gt: Raster, folder of rasters of the same names, or `.mat` or `.h5` with the references.
        facts: What is known of the images.

    Raises:
        FileFormatError: A file cannot be read, or the files do not belong together.
        GridMismatchError: Two rasters lie on grids that do not match.
    """
    if is_pair_file(gt):
        yield from _set_cases(stack, fused, gt, facts, has_reference=True)
        return
    for fused_path, gt_path in _raster_files(fused, gt):
        yield _raster_case(stack, fused_path, gt_path, facts)


def cases_with_inputs(
    stack: ExitStack, fused: Path, pan: Path, ms: Path | None, facts: KnownFacts
) -> Iterator[Case]:
    """Yield each fused image with the images it was made of; see `cases_with_reference`.

    Args:
        stack: Closes what was opened.
        fused: Raster, `.mat`, `.h5`, or a folder of `.mat` files.
        pan: Raster, or `.mat` or `.h5` that holds both inputs.
        ms: Raster; None where `pan` holds both.
        facts: What is known of the images.
    """
    if ms is None:
        if not is_pair_file(pan):
            raise FileFormatError(
                f"{pan} is one image; without reference PAN and MS are needed, give both."
            )
        yield from _set_cases(stack, fused, pan, facts, has_reference=False)
        return
    image = _open(stack, fused, facts)
    offset = _offset(fused, facts)
    pair = stack.enter_context(
        open_pair(
            pan,
            ms,
            offset=offset,
            sensor=facts.sensor,
            full_scale=facts.full_scale,
            mask=facts.mask,
            nodata=facts.nodata,
        )
    )
    part, own = fine_part(image.grid, pair, (image.name, pair.pan.name))
    profile = pair.profile
    yield Case(
        fused.name,
        Cropped(image, own),
        None,
        Cropped(spatial_of(pair), part),
        Cropped(spectral_of(pair), part.coarse(profile.ratio)),
        profile.ratio,
        profile.phase,
        profile.full_scale,
        profile.sensor,
        recorded_consistency(fused),
        (*_common_remark(own, image.shape), *_aligned_remark(offset)),
    )


def _set_cases(
    stack: ExitStack, fused: Path, pairs_path: Path, facts: KnownFacts, *, has_reference: bool
) -> Iterator[Case]:
    pairs = stack.enter_context(
        open_pairs(pairs_path, ratio=facts.ratio, full_scale=facts.full_scale, sensor=facts.sensor)
    )
    is_raster = fused.is_file() and not is_pair_file(fused)
    results = [] if is_raster else find_results(fused)
    count = 1 if is_raster else len(results)
    if count != len(pairs):
        raise FileFormatError(
            f"{fused} holds {count} fused images, but {pairs_path} {len(pairs)} pairs; give the "
            "results of this set, all of them."
        )
    for k in range(count):
        item = pairs.item(k)
        if has_reference and item[1] is None:
            raise FileFormatError(
                f"{pairs_path} holds no reference (gt); score without one: give it as --pan."
            )
        image: ImageSource
        if is_raster:
            image = _open(stack, fused, facts)
            name, noise = fused.name, recorded_consistency(fused)
        else:
            image, name = _result(results[k], item), results[k].name
            noise = results[k].consistency_noise
        yield _item_case(name, image, item, noise, has_reference=has_reference)


def _result(result: ResultFile, item: Item) -> ArrayImage:
    pair, _ = item
    shape = (pair.spectral.shape[0], *pair.shape)
    return ArrayImage(result.read(shape, pair.full_scale))


def _item_case(
    name: str, hrms: ImageSource, item: Item, noise: float | None, *, has_reference: bool
) -> Case:
    pair, truth = item
    if isinstance(hrms, ArrayImage):
        _require_one_unit(name, hrms.image, pair.spectral)
    return Case(
        name,
        hrms,
        ArrayImage(truth) if has_reference and truth is not None else None,
        None if has_reference else ArrayImage(pair.spatial),
        None if has_reference else ArrayImage(pair.spectral),
        pair.ratio,
        pair.phase,
        pair.full_scale,
        pair.sensor,
        noise,
    )


def _require_one_unit(name: str, hrms: Image, lrms: Image) -> None:
    """Refuse DN beside values of the unit range: every score would be nonsense, and look like one.

    Raises:
        ScaleError: The largest values lie more than a hundredfold apart.
    """
    fused, observed = (float(np.nanmax(np.abs(image))) for image in (hrms, lrms))
    if min(fused, observed) > 0 and not 0.01 < fused / observed < 100:
        raise ScaleError(
            f"{name} reaches {fused:g} and the images it is compared with {observed:g}: one is in "
            "DN and the other in [0, 1]. Give --full-scale (2047 for 11 bit) or --sensor, so that "
            "both are read as DN."
        )


def _raster_case(stack: ExitStack, fused: Path, gt: Path, facts: KnownFacts) -> Case:
    image, truth = _open(stack, fused, facts), _open(stack, gt, facts)
    own, others = common_window(image.grid, truth.grid, (image.name, truth.name))
    sensor = facts.sensor or stated_sensor(truth.facts)
    ratio = facts.ratio or (sensor.ratio if sensor else None) or _FIELD_RATIO
    return Case(
        fused.name,
        Cropped(image, own),
        Cropped(truth, others),
        None,
        None,
        ratio,
        (ratio / 2, ratio / 2),
        facts.full_scale or stated_full_scale(truth.facts, truth.facts, sensor),
        sensor,
        recorded_consistency(fused),
        _common_remark(own, image.shape),
    )


def _open(stack: ExitStack, path: Path, facts: KnownFacts) -> RasterImage:
    return stack.enter_context(open_image(path, mask=facts.mask, nodata=facts.nodata))


def _raster_files(fused: Path, gt: Path) -> list[tuple[Path, Path]]:
    if not fused.is_dir():
        return [(fused, gt)]
    if not gt.is_dir():
        raise FileFormatError(
            f"{fused} is a folder and {gt} is none; references are needed under the same names."
        )
    names = sorted(path.name for path in fused.iterdir() if (gt / path.name).is_file())
    if not names:
        raise FileFormatError(f"{fused} and {gt} have no file of the same name.")
    return [(fused / name, gt / name) for name in names]


def _offset(fused: Path, facts: KnownFacts) -> tuple[float, float]:
    if facts.align == "auto":
        return recorded_displacement(fused) or (0.0, 0.0)
    return (0.0, 0.0) if facts.align == "off" else facts.align


def _aligned_remark(offset: tuple[float, float]) -> tuple[str, ...]:
    if offset == (0.0, 0.0):
        return ()
    return (f"PAN and MS aligned by {offset[0]:.2f} rows and {offset[1]:.2f} columns of PAN",)


def _common_remark(own: Window, shape: tuple[int, int]) -> tuple[str, ...]:
    if own == Window.whole(shape):
        return ()
    return (
        f"scored on the common part: {own.height} x {own.width} of {shape[0]} x {shape[1]} pixels",
    )
