"""From an open scene and options to a job: method, alignment, scale, sharpness, fit."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from typing import Protocol

from bandweave.config import FuseConfig
from bandweave.errors import AlignmentWarning, AssumptionWarning, BandCountError, ConfigError
from bandweave.methods.base import Fitted, FixedTile, Method
from bandweave.methods.nets.card import WeightCard
from bandweave.methods.table import METHODS
from bandweave.mosaic.estimate import estimate_seconds
from bandweave.mosaic.job import FuseReport, Job, Tell
from bandweave.mosaic.progress import progress
from bandweave.mosaic.runner import RunLimits, fit_method
from bandweave.mosaic.scale import decide_full_scale
from bandweave.mosaic.select import CLASSICAL_DEFAULT, Selection, select_method
from bandweave.mosaic.shift import WARN_ABOVE, decide_alignment, measure_displacement
from bandweave.sensors import Sensor, sensor_table
from bandweave.source import InformedSource, PairSource
from bandweave.window import Window


class Scene(Protocol):
    """What a job starts from: a pair that can be opened at a displacement."""

    @property
    def can_align(self) -> bool:
        """Tell whether `opened` takes an offset."""
        ...

    def opened(self, offset: tuple[float, float]) -> PairSource:
        """Return the pair with the PAN's content displaced by `offset` PAN pixels."""
        ...

    def window(self, source: PairSource) -> Window:
        """Return the part to fuse, in pixels of `source`."""
        ...


@dataclass(slots=True)
class _Findings:
    """Notes are collected for the report and told at once."""

    tell: Tell
    notes: list[str]

    def note(self, text: str) -> None:
        self.notes.append(text)
        self.tell(text)


def prepare_job(scene: Scene, config: FuseConfig, *, tell: Tell | None = None) -> Job:
    """Decide everything that does not depend on single pixels, and fit the method.

    Raises:
        FusionError: The pair, the options and the weights do not fit each other.
    """
    findings = _Findings(tell or (lambda _: None), [])
    limits = RunLimits(
        config.workers, None if config.max_memory is None else int(config.max_memory * 2**30)
    )
    source, displacement = _align(scene, config, findings)
    selection = select_method(config, source.profile)
    findings.note(f"Method: {selection.reason}")
    source = _informed(source, config, selection, findings)
    created = _create(selection, source, config, findings)
    method = created.method
    profile = source.profile
    pixels = profile.shape[0] * profile.shape[1]
    measured = method.measurement(profile) is not None
    with progress("Statistics", pixels, quiet=tell is None or not measured) as advance:
        fitted = fit_method(method, source, limits, advance)
    window = scene.window(source)
    report = FuseReport(
        method=selection.entry.id,
        reason=selection.reason,
        shape=(profile.bands, window.height, window.width),
        ratio=profile.ratio,
        phase=profile.phase,
        weights=selection.weights,
        weights_sha256=created.weights_sha256,
        device=created.device,
        full_scale=profile.full_scale if selection.entry.is_learned else None,
        pan_sigma=created.pan_sigma,
        displacement=displacement,
        notes=tuple(findings.notes),
    )
    faster = None
    if isinstance(fitted.reach, FixedTile):

        def faster() -> tuple[str, float]:
            return _quick(source, window, limits)

    return Job(fitted, source, method.precision, window, limits, report, faster)


def _align(
    scene: Scene, config: FuseConfig, findings: _Findings
) -> tuple[PairSource, tuple[float, float] | None]:
    """Open the scene with the displacement corrected, if it is asked for and certain."""
    if isinstance(config.align, tuple):
        if not scene.can_align:
            raise ConfigError(
                "A displacement can be corrected for georeferenced files only, since the result "
                "covers less of the PAN; crop the arrays instead."
            )
        findings.note(f"Alignment: displacement of {_rows_cols(config.align)} as given.")
        return scene.opened(config.align), config.align
    source = scene.opened((0.0, 0.0))
    if config.align == "off" or config.tiling == "official" or source.profile.spatial_bands != 1:
        return source, None
    found = measure_displacement(source)
    offset = decide_alignment(found, source.profile.ratio)
    measured = f"{_rows_cols((found.rows, found.cols))}, confidence {found.confidence:.2f}"
    if offset is None:
        if found.distance > WARN_ABOVE * source.profile.ratio:
            warnings.warn(
                f"PAN and MS may be displaced by {measured}: too uncertain to be corrected; "
                "look at the result, or give --align DY,DX.",
                AlignmentWarning,
                stacklevel=2,
            )
        return source, None
    if not scene.can_align:
        warnings.warn(
            f"PAN and MS are displaced by {measured}. Arrays and .mat files are not cropped: crop "
            "the PAN, or give georeferenced files.",
            AlignmentWarning,
            stacklevel=2,
        )
        return source, None
    findings.note(f"Alignment: displacement of {measured} corrected.")
    with warnings.catch_warnings():
        # The first opening has said what there is to say of the grids.
        warnings.simplefilter("ignore", AlignmentWarning)
        return scene.opened(offset), offset


def _informed(
    source: PairSource, config: FuseConfig, selection: Selection, findings: _Findings
) -> PairSource:
    """Add the sensor and scale that a learned method needs."""
    card = selection.card
    if card is None:
        return source
    profile = source.profile
    sensor = profile.sensor
    if sensor is None:
        sensor = _sensor_of(card, profile.bands)
        if sensor is not None:
            warnings.warn(
                f"The sensor is not known; MTF gains of {sensor.name} are assumed, since the "
                "weights were made for it. Give --sensor to be certain.",
                AssumptionWarning,
                stacklevel=2,
            )
    full_scale, why = decide_full_scale(source, config.full_scale, card.full_scale, card.name)
    findings.note(why)
    return InformedSource(source, full_scale, sensor)


def _sensor_of(card: WeightCard, bands: int) -> Sensor | None:
    sensor = sensor_table().get(card.sensor)
    return sensor if sensor is not None and len(sensor.bands) == bands else None


@dataclass(frozen=True, slots=True)
class _Created:
    """A method and what the report says of it."""

    method: Method
    weights_sha256: str | None = None
    device: str | None = None
    pan_sigma: float | None = None


def _create(
    selection: Selection, source: PairSource, config: FuseConfig, findings: _Findings
) -> _Created:
    """Make the method; a learned one with the PAN matched to its weights."""
    if selection.entry.create is not None:
        return _Created(selection.entry.create())
    # torch is loaded here and not before: classical methods start without it.
    from bandweave.methods.learned import LearnedMethod, require_fit  # noqa: PLC0415
    from bandweave.methods.nets.inference import chosen_device  # noqa: PLC0415
    from bandweave.methods.nets.zoo import load_named  # noqa: PLC0415
    from bandweave.methods.official_tiling import OfficialTiling  # noqa: PLC0415

    assert selection.weights is not None
    weights = load_named(selection.weights)
    require_fit(weights.card, source.profile)
    device = chosen_device(config.device)
    findings.note(f"Device: {device}.")
    if config.tiling == "official":
        method: Method = OfficialTiling(weights, device=config.device)
        return _Created(method, weights.sha256, device)
    sigma = _pan_sigma(LearnedMethod(weights, device=config.device), source, config, findings)
    method = LearnedMethod(weights, device=config.device, pan_sigma=sigma or 0.0)
    return _Created(method, weights.sha256, device, sigma)


def _pan_sigma(
    method: LearnedMethod, source: PairSource, config: FuseConfig, findings: _Findings
) -> float | None:
    """Return the blur that brings the PAN to the weights' sharpness, or None for none."""
    if isinstance(config.pan_sharpness, float):
        findings.note(f"PAN sharpness: blurred by {config.pan_sharpness:g} pixels as given.")
        return config.pan_sharpness
    if config.pan_sharpness == "off":
        return None
    return None


def _rows_cols(offset: tuple[float, float]) -> str:
    return f"{offset[0]:.2f} rows and {offset[1]:.2f} columns of PAN"


def _quick(source: PairSource, window: Window, limits: RunLimits) -> tuple[str, float]:
    """Return the fastest sensible method and its time, statistics included as one more pass."""
    create = METHODS[CLASSICAL_DEFAULT].create
    assert create is not None
    method = create()
    fitted: Fitted = fit_method(method, source, limits)
    seconds = estimate_seconds(
        fitted, source, precision=method.precision, window=window, limits=limits
    )
    return CLASSICAL_DEFAULT, 2 * seconds
