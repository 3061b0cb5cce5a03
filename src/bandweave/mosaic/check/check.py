"""`bandweave check`: what the two images are to each other, measured in seconds, without fusing."""

from __future__ import annotations

import os
import warnings
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bandweave.datasets.files import is_pair_file, open_pairs
from bandweave.degrade.identify import InstrumentEstimate
from bandweave.errors import AlignmentWarning, ConfigError, NodataError
from bandweave.machine import available_threads
from bandweave.methods.nets.zoo import card_of
from bandweave.mosaic.bundles import describe, opened
from bandweave.mosaic.check.advice import advise
from bandweave.mosaic.check.report import CheckReport, GridFacts, ImageFacts
from bandweave.mosaic.found.bandmap import choose_bands
from bandweave.mosaic.found.instruments import find_instruments
from bandweave.mosaic.found.relative_sharpness import measure_sharpness
from bandweave.mosaic.found.scale import decide_full_scale
from bandweave.mosaic.found.sharpness import SharpnessMatch, match_sharpness
from bandweave.mosaic.found.shift import decide_alignment, measure_displacement
from bandweave.mosaic.in_memory import ArrayScene
from bandweave.mosaic.runner import RunLimits, measure_scene
from bandweave.pair import PairProfile
from bandweave.products.bundle import Bundle
from bandweave.products.survey import describe_pair, find_bundle, is_product
from bandweave.raster.image import RasterImage
from bandweave.raster.mask import MaskMode
from bandweave.raster.reader import RasterPair, open_pair
from bandweave.sensors import Sensor, find_sensor, sensor_table
from bandweave.source import ArraySource, InformedSource, PairSource
from bandweave.window import Window

if TYPE_CHECKING:
    from bandweave.methods.nets.checkpoint import Weights

FilePath = str | os.PathLike[str]

_LOOKS = 10
"""Places per direction at which the share of usable pixels is counted."""
_LOOK_SIDE = 256
"""PAN pixels per side of such a place: 6.6 megapixels in all, and smaller scenes are counted."""


def check_pair(
    spatial: FilePath,
    spectral: FilePath | None = None,
    *,
    sensor: Sensor | None = None,
    full_scale: float | None = None,
    weights: str | None = None,
    mask: MaskMode = "auto",
    nodata: float | None = None,
    bands: tuple[int, ...] | None = None,
    phase: tuple[float, float] | None = None,
    item: int = 0,
) -> CheckReport:
    """Look at a pair before it is fused: grids, overlap, displacement, PAN sharpness.

    Args:
        spatial: PAN (or MSI): a file that rasterio opens; or a `.mat` pair, a `.h5` set, or the
            folder or metadata file of a product, alone.
        spectral: MS (or HS).
        sensor: Sensor model, over what the files say.
        full_scale: Value that maps to 1.0; matters with `weights` only.
        weights: Name or file of weights that the PAN's sharpness is matched to.
        mask: Which of the files' statements make a pixel invalid.
        nodata: Nodata value of both files, over what they say.
        bands: Bands of the MS to look at, from 1.
        phase: Fine index of coarse sample 0 in a `.mat` or `.h5` file; ratio / 2 without it.
        item: Which pair of a `.h5` set, from 0.

    Raises:
        FusionError: The files cannot be read or brought together, or the weights do not fit.
    """
    if spectral is None and is_pair_file(Path(spatial)):
        with open_pairs(Path(spatial), full_scale=full_scale, sensor=sensor, phase=phase) as pairs:
            if item >= len(pairs):
                raise ConfigError(f"{spatial} holds {len(pairs)} pairs, there is no item {item}.")
            source = ArraySource(pairs.item(item)[0])
        return _complete(_check_arrays(Path(spatial), source), source, weights)
    if phase is not None or item:
        raise ConfigError("Phase and item are options for .mat and .h5 files; leave them out.")
    options = {
        "sensor": sensor, "full_scale": full_scale, "mask": mask, "nodata": nodata, "bands": bands,
    }  # fmt: skip
    bundle = _bundle(Path(spatial), None if spectral is None else Path(spectral))
    if bundle is not None:
        return _check_bundle(bundle, weights, **options)
    assert spectral is not None
    return _check_rasters(spatial, spectral, weights, **options)


def _bundle(spatial: Path, spectral: Path | None) -> Bundle | None:
    """Return the product that was given, or None for two rasters."""
    if spectral is not None:
        return describe_pair(spatial, spectral)
    if not is_product(spatial):
        raise ConfigError(
            f"{spatial} stands alone, which only .mat pairs, .h5 sets and products (a folder or a "
            "vendor's metadata file) do; give PAN and MS."
        )
    return find_bundle(spatial)


def _check_bundle(bundle: Bundle, weights: str | None, **options: Any) -> CheckReport:
    """Check a product; its metadata stand behind the options."""
    stated = {
        "sensor": None if bundle.sensor is None else find_sensor(bundle.sensor),
        "full_scale": bundle.full_scale,
        "nodata": bundle.nodata,
    }
    known = {key: value for key, value in stated.items() if options[key] is None}
    options |= {**known, "band_names": bundle.band_names}
    with opened(bundle) as (spatial, spectral):
        report = _check_rasters(spatial, spectral, weights, **options)
    return replace(report, remarks=(describe(bundle), *bundle.remarks, *report.remarks))


def _check_rasters(
    spatial: FilePath, spectral: FilePath, weights: str | None, **options: Any
) -> CheckReport:
    """Check two files; with weights, open them again as `fuse` would for them."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", AlignmentWarning)
        source = open_pair(spatial, spectral, **options)
    with source:
        report = replace(
            _measure(_facts(source.pan), _facts(source.ms), _grids(source), source),
            remarks=tuple(str(warning.message) for warning in caught),
        )
        if weights is None:
            return _complete(report, source, None)
        bands = options["bands"] or _expected_bands(source, weights)
    offset = report.offset or (0.0, 0.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AlignmentWarning)
        aligned = open_pair(spatial, spectral, offset=offset, **{**options, "bands": bands})
    with aligned:
        return _complete(report, aligned, weights)


def _expected_bands(source: RasterPair, weights: str) -> tuple[int, ...] | None:
    """Return the numbers in the file of the bands that the weights expect, None if unknown."""
    choice = choose_bands(card_of(weights), source.profile)
    if choice is None:
        return None
    return tuple(source.ms.facts.indexes[place] for place in choice.places)


def _check_arrays(path: Path, source: ArraySource) -> CheckReport:
    """Check a pair that one file holds."""
    pair = source.pair
    dtype = str(pair.spatial.dtype)
    coarse = (pair.spectral.shape[1], pair.spectral.shape[2])
    pan = ImageFacts(f"{path.name}, spatial", pair.shape, len(pair.spatial), dtype)
    ms = ImageFacts(f"{path.name}, spectral", coarse, len(pair.spectral), dtype)
    grids = GridFacts(pair.ratio, pair.phase, pair.shape, 1.0, 1.0, (0.0, 0.0), is_resampled=False)
    return _measure(pan, ms, grids, source)


def _measure(pan: ImageFacts, ms: ImageFacts, grids: GridFacts, source: PairSource) -> CheckReport:
    """Measure what needs no weights."""
    profile = source.profile
    gains = None if profile.sensor is None else profile.sensor.mtf_gains(profile.bands)
    displacement = measure_displacement(source)
    offset = decide_alignment(displacement, profile.ratio)
    share, is_counted = usable_share(source)
    return CheckReport(
        pan=pan,
        ms=ms,
        grids=grids,
        valid_share=share,
        is_valid_counted=is_counted,
        sensor=None if profile.sensor is None else profile.sensor.name,
        full_scale=profile.full_scale,
        table_gain=None if gains is None else float(np.mean(gains)),
        displacement=displacement,
        offset=offset,
        can_align=(
            not isinstance(source, ArraySource)
            or ArrayScene(source.pair).can_align(offset or (0.0, 0.0))
        ),
        sharpness=measure_sharpness(source, displacement) if displacement.windows else None,
        instruments=_instruments(source),
    )


def _instruments(source: PairSource) -> InstrumentEstimate | None:
    """Find the instruments of a hyperspectral pair; None for a PAN, or where nothing shows."""
    if source.profile.spatial_bands == 1:
        return None
    try:
        return find_instruments(source)
    except NodataError:
        return None


def _complete(report: CheckReport, source: PairSource, weights: str | None) -> CheckReport:
    """Match the PAN to weights where they are given, and say what follows from it all."""
    if weights is not None:
        report = replace(report, weights=weights, match=_match(source, weights))
    return replace(report, advice=tuple(advise(report)))


def _match(source: PairSource, weights: str) -> SharpnessMatch | None:
    """Find the blur that suits the weights; None where nothing can show it."""
    # torch is loaded here and not before: a check without weights starts without it.
    from bandweave.methods.learned import LearnedMethod  # noqa: PLC0415
    from bandweave.methods.nets.zoo import load_named  # noqa: PLC0415

    loaded = load_named(weights)
    informed = _informed(source, loaded)
    if loaded.card.consistent:
        return None  # their reprojection error says nothing of the PAN
    if informed.sensor is None or informed.sensor.mtf_gains(source.profile.bands) is None:
        return None

    statistics = measure_scene(LearnedMethod(loaded), informed, RunLimits(available_threads()))

    def fitted_at(sigma: float) -> Any:
        return LearnedMethod(loaded, pan_sigma=sigma).fit(informed.profile, statistics)

    return match_sharpness(informed, fitted_at)


def _informed(source: PairSource, weights: Weights) -> InformedSource:
    """Add the sensor and scale of the weights where the pair does not say."""
    card, profile = weights.card, source.profile
    full_scale, _ = decide_full_scale(source, profile.full_scale, card.full_scale, card.name)
    sensor = profile.sensor or _card_sensor(card.sensor, profile)
    return InformedSource(source, full_scale, sensor)


def _card_sensor(name: str, profile: PairProfile) -> Sensor | None:
    sensor = sensor_table().get(name)
    return sensor if sensor is not None and len(sensor.bands) == profile.bands else None


def _facts(image: RasterImage) -> ImageFacts:
    facts = image.facts
    return ImageFacts(
        name=image.name,
        shape=image.shape,
        bands=image.bands,
        dtype=str(facts.dtype),
        crs=image.grid.crs,
        pixel=image.grid.gsd,
        nodata=facts.nodata,
    )


def _grids(pair: RasterPair) -> GridFacts:
    nesting = pair.nesting
    h, w = nesting.coarse_shape
    ms_rows, ms_cols = pair.ms.shape
    pan_rows, pan_cols = pair.pan.shape
    height, width = nesting.grid.shape
    return GridFacts(
        ratio=nesting.ratio,
        phase=nesting.phase,
        shape=nesting.grid.shape,
        pan_share=height * width / (pan_rows * pan_cols),
        ms_share=min(h * w / (ms_rows * ms_cols), 1.0),
        drift=nesting.drift,
        is_resampled=nesting.resampling is not None,
    )


def usable_share(source: PairSource) -> tuple[float, bool]:
    """Return the share of usable pixels, and whether every pixel was looked at."""
    profile = source.profile
    side = max(_LOOK_SIDE // profile.ratio, 1) * profile.ratio
    starts = [_starts(size, side, profile.ratio) for size in profile.shape]
    scene = Window.whole(profile.shape)
    windows = [Window(r, c, side, side).intersection(scene) for r in starts[0] for c in starts[1]]
    usable = total = 0
    for window in windows:
        valid = source.read(window, np.float32).valid
        area = window.height * window.width
        usable += area if valid is None else int(valid.sum())
        total += area
    return usable / total, total == profile.shape[0] * profile.shape[1]


def _starts(size: int, side: int, ratio: int) -> list[int]:
    """Return where the places begin: side by side if they cover the size, else spread evenly."""
    if size <= _LOOKS * side:
        return list(range(0, size, side))
    return [round(k * (size - side) / (_LOOKS - 1) / ratio) * ratio for k in range(_LOOKS)]
