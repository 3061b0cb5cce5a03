"""From a scene and options to a job: alignment, method, scale, PAN sharpness, fit."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from bandweave.config import FuseConfig
from bandweave.errors import AlignmentWarning, AssumptionWarning, ConfigError
from bandweave.machine import usable_memory
from bandweave.methods.base import Method
from bandweave.methods.statistics import SceneStatistics
from bandweave.methods.table import METHODS, MethodEntry
from bandweave.mosaic.found.alignment import Offset, Scene, open_aligned
from bandweave.mosaic.found.coverage import for_covered_bands
from bandweave.mosaic.found.sensor_model import consistency_of, with_mtf_gains
from bandweave.mosaic.job import FuseReport, Job, Tell
from bandweave.mosaic.runner import RunLimits, fit_method, measure_scene
from bandweave.mosaic.select import (
    Selection,
    classical_default,
    needs_instruments,
    select_method,
)
from bandweave.progress import progress
from bandweave.sensors import Sensor, sensor_table
from bandweave.source import InformedSource, PairSource
from bandweave.window import Window

if TYPE_CHECKING:
    from bandweave.methods.nets.card import WeightCard
    from bandweave.parallel.cluster import Cluster


def prepare_job(
    scene: Scene, config: FuseConfig, *, cluster: Cluster | None = None, tell: Tell | None = None
) -> Job:
    """Decide everything that does not depend on single pixels, and fit the method.

    Args:
        scene: The pair, and the part of it to fuse.
        config: Options.
        cluster: Gathers the statistics of the scene; None for this process.
        tell: Receives each decision as one sentence; also turns the progress on stderr on.

    Raises:
        FusionError: The pair, the options and the weights do not fit each other.
    """
    notes: list[str] = []

    def note(text: str) -> None:
        notes.append(text)
        if tell is not None:
            tell(text)

    # Parity with another program means that the pair is taken as it is.
    is_parity = config.tiling == "official" or config.convention == "toolbox"
    align = "off" if is_parity else config.align
    source, displacement = open_aligned(scene, align, note)
    selection = select_method(config, source.profile)
    note(f"Method: {selection.reason}")
    if selection.card is not None:
        if config.bands is None:
            source = _with_expected_bands(scene, source, selection.card, displacement, note)
        source = _informed(source, selection.card, config, note)
    if config.mtf_gain is not None:
        source = with_mtf_gains(source, config.mtf_gain)
    instruments = None
    if needs_instruments(config, source.profile, selection):
        from bandweave.mosaic.found.instruments import with_instruments  # noqa: PLC0415  # rarely needed

        source, instruments = with_instruments(source, config, note)
    consistency = consistency_of(config, source.profile, selection.card, instruments, note)
    limits = RunLimits(
        config.workers,
        usable_memory() if config.max_memory is None else int(config.max_memory * 2**30),
        cluster,
    )
    created = _create(selection, source, config, limits, note)
    statistics = _measure(created.method, source, limits, quiet=tell is None)
    fit = partial(created.method.fit, source.profile, statistics)
    profile, window = source.profile, scene.window(source)
    report = FuseReport(
        method=selection.entry.id,
        reason=selection.reason,
        shape=(profile.bands, window.height, window.width),
        ratio=profile.ratio,
        phase=profile.phase,
        weights=selection.weights,
        weights_sha256=created.weights_sha256,
        device=created.device,
        precision=created.precision,
        full_scale=profile.full_scale if selection.entry.is_learned else None,
        convention=config.convention,
        band_weights=config.band_weights,
        uncovered=created.uncovered,
        pan_sigma=created.pan_sigma,
        consistency=consistency,
        instruments=instruments,
        displacement=displacement,
        notes=tuple(notes),
    )
    faster = None
    if selection.entry.is_learned:

        def faster() -> tuple[str, float]:
            return _quick(source, window, limits)

    precision = created.method.precision
    return Job(fit(), fit, source, precision, window, limits, report, consistency, faster)


def _with_expected_bands(
    scene: Scene,
    source: PairSource,
    card: WeightCard,
    displacement: Offset | None,
    note: Callable[[str], None],
) -> PairSource:
    """Take the bands that the weights expect, in their order."""
    from bandweave.mosaic.found.bandmap import choose_bands  # noqa: PLC0415  # learned methods only

    choice = choose_bands(card, source.profile)
    if choice is None or choice.places == tuple(range(source.profile.bands)):
        return source
    note(
        f"Bands: {', '.join(choice.names)} of the spectral image, in this order, as the weights "
        f"{card.name} expect; the result has these."
    )
    with warnings.catch_warnings():
        # The first opening has said what there is to say of the grids.
        warnings.simplefilter("ignore", AlignmentWarning)
        return scene.selected(choice.places, displacement or (0.0, 0.0))


def _informed(
    source: PairSource, card: WeightCard, config: FuseConfig, note: Callable[[str], None]
) -> PairSource:
    """Add the sensor and the scale that a learned method needs."""
    from bandweave.mosaic.found.scale import decide_full_scale  # noqa: PLC0415  # learned methods only

    profile = source.profile
    sensor = profile.sensor
    if sensor is None:
        sensor = _sensor_of(card, profile.bands)
        if sensor is not None:
            warnings.warn(
                f"The sensor is not known; {sensor.name} is assumed, since the weights were made "
                "for it. Give --sensor to be certain.",
                AssumptionWarning,
                stacklevel=2,
            )
    full_scale, why = decide_full_scale(source, config.full_scale, card.full_scale, card.name)
    note(why)
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
    precision: str | None = None
    pan_sigma: float | None = None
    uncovered: tuple[str, ...] = ()


def _create(
    selection: Selection,
    source: PairSource,
    config: FuseConfig,
    limits: RunLimits,
    note: Callable[[str], None],
) -> _Created:
    """Make the method; a learned one with the PAN matched to its weights.

    Raises:
        ConfigError: An option was given that the method does not have.
    """
    if config.band_weights is not None and selection.entry.id != "brovey":
        raise ConfigError(
            f"{selection.entry.id} takes no band weights; leave out --band-weights, or use brovey."
        )
    if not selection.entry.is_learned:
        return _created_classical(selection.entry, source, config, note)
    # torch is loaded here and not before: classical methods start without it.
    from bandweave.methods.learned import LearnedMethod, require_fit  # noqa: PLC0415
    from bandweave.methods.nets.inference import chosen_devices, chosen_precision  # noqa: PLC0415
    from bandweave.methods.nets.zoo import load_named  # noqa: PLC0415
    from bandweave.methods.official_tiling import OfficialTiling  # noqa: PLC0415

    assert selection.weights is not None
    weights = load_named(selection.weights)
    require_fit(weights.card, source.profile)
    device = ",".join(chosen_devices(config.device))
    note(f"Device: {device}.")
    if config.tiling == "official":
        if config.precision == "bf16":
            raise ConfigError(
                "The released tiling is for parity and computes in float32; leave out --precision "
                "bf16 or --tiling official."
            )
        official = OfficialTiling(weights, device=device, threads=config.workers)
        return _Created(official, weights.sha256, device, "fp32")
    precision = chosen_precision(config.precision, device, weights.model)
    if precision == "bf16":
        note("Precision: attention in bfloat16; --precision fp32 is the same on all processors.")

    def at(sigma: float) -> Method:
        return LearnedMethod(weights, device, sigma, config.workers, precision)

    sigma = _pan_sigma(at, source, config, limits, note, ends_consistent=weights.card.consistent)
    return _Created(at(sigma or 0.0), weights.sha256, device, precision, sigma)


def _created_classical(
    entry: MethodEntry, source: PairSource, config: FuseConfig, note: Callable[[str], None]
) -> _Created:
    """Make a classical method, restricted to the bands that the PAN covers.

    Raises:
        ConfigError: The toolbox's convention was asked for and the method has none.
    """
    if config.convention == "toolbox":
        if entry.create_toolbox is None:
            having = ", ".join(n for n, e in METHODS.items() if e.create_toolbox is not None)
            raise ConfigError(
                f"{entry.id} has no toolbox mode; give one of {having}, or leave out --convention."
            )
        note(
            "Convention: as the MATLAB toolbox, with its periodic border, the whole scene at once, "
            "all bands, no alignment; for comparison with published numbers, not for products."
        )
        return _Created(entry.create_toolbox())
    assert entry.create is not None
    method = entry.create()
    if config.band_weights is not None:
        from bandweave.methods.substitution.brovey import Brovey  # noqa: PLC0415  # if it is run

        method = Brovey(config.band_weights)
    method, passed = for_covered_bands(method, source.profile, config.uncovered, note)
    return _Created(method, uncovered=passed)


def _pan_sigma(
    method_at: Callable[[float], Method],
    source: PairSource,
    config: FuseConfig,
    limits: RunLimits,
    note: Callable[[str], None],
    *,
    ends_consistent: bool,
) -> float | None:
    """Return the blur that brings the PAN to the weights' sharpness, or None for none."""
    from bandweave.mosaic.found.sharpness import match_sharpness  # noqa: PLC0415  # learned methods only

    if isinstance(config.pan_sharpness, float):
        note(f"PAN sharpness: blurred by {config.pan_sharpness:g} pixels as given.")
        return config.pan_sharpness
    profile = source.profile
    # Behind the consistency step nothing of the reprojection error is the network's to answer for,
    # and a blur chosen by it only spoils what the network knows of the PAN.
    if config.pan_sharpness == "off" or ends_consistent:
        return None
    if profile.sensor is None or profile.sensor.mtf_gains(profile.bands) is None:
        note("PAN sharpness: not matched, since the MTF of the MS is not known; give --sensor.")
        return None
    # What a network starts from is fitted here to the PAN as it is: a blur of a pixel leaves the
    # regressions of its low-pass versions nearly alone. The run itself measures the blurred PAN.
    statistics = measure_scene(method_at(0.0), source, limits)
    match = match_sharpness(source, lambda sigma: method_at(sigma).fit(profile, statistics))
    if not match.acted:
        note(
            f"PAN sharpness: left as it is; a blur lowers the reprojection error by "
            f"{100 * match.fall:.0f} % at best."
        )
        return None
    note(
        f"PAN sharpness: blurred by {match.sigma:g} pixels, which lowers the reprojection error by "
        f"{100 * match.fall:.0f} %: this PAN is sharper than the one the weights were trained on."
    )
    return match.sigma


def _measure(
    method: Method, source: PairSource, limits: RunLimits, *, quiet: bool
) -> SceneStatistics | None:
    """Gather what the method needs of the whole scene, with progress on stderr."""
    profile = source.profile
    is_quick = method.measurement(profile) is None
    pixels = profile.shape[0] * profile.shape[1]
    with progress("Statistics", pixels, quiet=quiet or is_quick) as advance:
        return measure_scene(method, source, limits, advance, precision=method.precision)


def _quick(source: PairSource, window: Window, limits: RunLimits) -> tuple[str, float]:
    """Return the fastest sensible method and its time, statistics included as one more pass."""
    from bandweave.mosaic.estimate import estimate_seconds  # noqa: PLC0415  # dry runs only

    name = classical_default(source.profile)
    create = METHODS[name].create
    assert create is not None
    method = create()
    fitted = fit_method(method, source, limits)
    seconds = estimate_seconds(
        fitted, source, precision=method.precision, window=window, limits=limits
    )
    return name, 2 * seconds
