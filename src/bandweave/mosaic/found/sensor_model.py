"""What a job knows of the instrument behind the MS: its point spread, else its MTF gains."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from bandweave.config import FuseConfig
from bandweave.errors import BandCountError
from bandweave.instruments import PointSpread
from bandweave.methods.convention import require_blur
from bandweave.pair import PairProfile
from bandweave.sensors import Band, Sensor
from bandweave.source import InformedSource, PairSource

if TYPE_CHECKING:
    from bandweave.degrade.identify import InstrumentEstimate
    from bandweave.degrade.instrument import Blur
    from bandweave.methods.consistency import Consistency
    from bandweave.methods.nets.card import WeightCard

# Share of the signal by which a fused image is off, about: what the noise is weighed against
# (docs/hyperspectral.md).
_FUSED_ERROR = 0.015
# Share of the signal below which what was found for noise is the rounding of the files.
_ROUNDING = 1e-5


def with_mtf_gains(source: PairSource, gains: Sequence[float]) -> PairSource:
    """Return the source with these MTF gains in place of its sensor's, for every later step.

    Args:
        source: The scene.
        gains: MTF at the Nyquist frequency of the MS, one per band or one for all.

    Raises:
        BandCountError: There are neither one nor as many gains as bands.
    """
    profile = source.profile
    if len(gains) not in (1, profile.bands):
        raise BandCountError(
            f"--mtf-gain takes one gain for all bands or one per band, {profile.bands} here; "
            f"got {len(gains)}."
        )
    each = tuple(gains) * (profile.bands // len(gains))
    sensor = profile.sensor
    if sensor is None or len(sensor.bands) != profile.bands:
        names = profile.band_names or tuple(f"band {k + 1}" for k in range(profile.bands))
        sensor = Sensor("given", "the instrument as given", tuple(Band(n) for n in names))
    bands = tuple(
        replace(band, mtf_gain=gain) for band, gain in zip(sensor.bands, each, strict=True)
    )
    sensor = replace(sensor, bands=bands, default_mtf_gain=None, assumptions=())
    return InformedSource(source, profile.full_scale, sensor)


def consistency_of(
    config: FuseConfig,
    profile: PairProfile,
    card: WeightCard | None,
    found: InstrumentEstimate | None,
    note: Callable[[str], None],
) -> Consistency | None:
    """Return the consistency step that was asked for, or that the weights were trained with.

    Args:
        config: Options; gains that were given are those of the profile's sensor already.
        profile: The pair.
        card: The weights, or None for a classical method.
        found: The instruments where they were found from the pair, or None.
        note: Receives the gains, and what they rest on, as a sentence.

    Raises:
        SensorModelError: The MTF gains are not known, or too low for the noise asked for.
    """
    is_trained_so = card is not None and card.consistent
    if not (is_trained_so if config.consistent is None else config.consistent):
        return None
    # Late: most runs are without.
    from bandweave.methods.consistency import Consistency, inverse_filters  # noqa: PLC0415

    asking = "--consistent"
    if config.consistent is None and card is not None:
        asking = f"The consistency step of the weights {card.name} (--no-consistent leaves it out)"
    blur = require_blur(profile, asking)
    sensor = profile.sensor
    assert sensor is not None
    noise = config.consistency_noise
    if noise is None:
        noise = _usual_noise(blur, found)
        if card is not None and is_trained_so:
            noise = card.consistency_noise
    # Refuses what cannot be inverted before anything is computed.
    inverse_filters(blur, profile.ratio, profile.phase, noise)
    if isinstance(blur, PointSpread):
        mixed = "" if sensor.response is None else " and the spectral response"
        note(f"Consistency: {blur.name}{mixed}, noise {noise:g}.")
    else:
        shown = ", ".join(f"{gain:g}" for gain in dict.fromkeys(blur))
        note(f"Consistency: MTF gains {shown} of {sensor.name}, noise {noise:g}.")
        for assumption in sensor.assumptions:
            note(f"Assumption: {assumption}.")
    # Beside a point spread the images are light on a scale from 0; PAN and MS keep the plain step.
    is_light = isinstance(blur, PointSpread)
    return Consistency(blur, noise, sensor.response, is_nonnegative=is_light)


def _usual_noise(blur: Blur, found: InstrumentEstimate | None) -> float:
    """Return λ where nobody says: exact for a point spread, but for noise that was found."""
    from bandweave.methods.consistency import DEFAULT_NOISE  # noqa: PLC0415  # late, see above

    if not isinstance(blur, PointSpread):
        return DEFAULT_NOISE
    if found is None or found.noise < _ROUNDING:
        return 0.0
    return (found.noise / _FUSED_ERROR) ** 2
