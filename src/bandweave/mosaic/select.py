"""Which method and which weights fit a pair, and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bandweave.config import FuseConfig
from bandweave.errors import ConfigError, MissingWeightsError
from bandweave.methods.table import MethodEntry, find_method
from bandweave.pair import PairProfile

if TYPE_CHECKING:
    from bandweave.methods.nets.card import WeightCard

# Of the classical methods that need no sensor model the one that spoils no band and no picture
# (docs/decisions/0008).
CLASSICAL_DEFAULT = "pracs"
# Best without training where the sharp image has several bands (docs/hyperspectral.md).
HYPERSPECTRAL_DEFAULT = "local_regression"


@dataclass(frozen=True, slots=True)
class Selection:
    """A method, its weights where it is learned, and the reason."""

    entry: MethodEntry
    reason: str
    weights: str | None = None
    """Name or file of the weights."""
    card: WeightCard | None = None


def select_method(config: FuseConfig, profile: PairProfile) -> Selection:
    """Take the method that was asked for, or the best that fits.

    Without a method: that of the weights given, or of shipped weights that fit the pair's sensor,
    bands and ratio and that anybody may use; else the best classical method.

    Raises:
        UnknownMethodError: There is no such method.
        UnknownNameError: There are no such weights.
        ConfigError: Weights were given for a method that takes none, or are of another one.
        CheckpointMismatchError: The weight file is damaged or foreign.
        MissingWeightsError: A learned method was asked for and no weights fit.
    """
    if config.method is None and config.weights is None:
        return _default(config, profile)
    if config.weights is not None:
        return _given(config.method, config.weights)
    assert config.method is not None
    entry = find_method(config.method)
    if not entry.is_learned:
        return Selection(entry, f"{entry.name} as asked for.")
    fitting = _fitting_weights(profile)
    found = [one for one in fitting if one[1].architecture == entry.id]
    if not found:
        others = " or ".join(f"--weights {name}" for name, _ in fitting)
        raise MissingWeightsError(
            f"No shipped weights of {entry.name} fit {describe(profile)}; give --weights FILE, "
            f"or use {others or f'--method {classical_default(profile)}'}. `bandweave weights` "
            "lists what there is."
        )
    name, card = found[0]
    return Selection(entry, f"{entry.name} with the shipped weights {name}.", name, card)


def _given(method: str | None, weights: str) -> Selection:
    """Take the weights that were given, and the method whose they are."""
    if method is not None and not find_method(method).is_learned:
        raise ConfigError(
            f"{find_method(method).id} takes no weights; leave out --weights, or use a learned "
            "method."
        )
    from bandweave.methods.nets.zoo import card_of  # noqa: PLC0415  # learned methods only

    card = card_of(weights)
    entry = find_method(card.architecture)
    if method is not None and find_method(method) is not entry:
        raise ConfigError(
            f"The weights {card.name} are of {entry.id}, not of {find_method(method).id}; leave "
            "out --method, or give other weights."
        )
    reason = f"{entry.name} with weights {card.name} as asked for."
    return Selection(entry, reason, weights, card)


def _default(config: FuseConfig, profile: PairProfile) -> Selection:
    from bandweave.methods.nets.card import RESEARCH_ONLY  # noqa: PLC0415  # slow to load

    fitting = _fitting_weights(profile)
    # Research weights have to be asked for: they may not suit what the result is made for.
    free = [found for found in fitting if found[1].licence != RESEARCH_ONLY]
    is_known = config.mtf_gain is not None or _is_known(profile)
    ready = [found for found in free if is_known or not found[1].consistent]
    if ready:
        name, card = ready[0]
        entry = find_method(card.architecture)
        reason = f"{entry.name}, since the shipped weights {name} fit {describe(profile)}."
        return Selection(entry, reason, name, card)
    best = classical_default(profile)
    why = f"no shipped weights fit {describe(profile)}"
    if free:
        why = f"the shipped weights {free[0][0]}, which fit, need the MTF gains (--mtf-gain)"
    elif fitting:
        name = fitting[0][0]
        why = f"the shipped weights {name}, which fit, are for {RESEARCH_ONLY} (--weights {name})"
    reason = f"{best}, the best classical method here, since {why}."
    return Selection(find_method(best), reason)


def _is_known(profile: PairProfile) -> bool:
    """Tell whether it is known how the sensor sees."""
    sensor = profile.sensor
    return sensor is not None and (
        sensor.psf is not None or sensor.mtf_gains(profile.bands) is not None
    )


def needs_instruments(config: FuseConfig, profile: PairProfile, selection: Selection) -> bool:
    """Tell whether point spread and response have to be found or taken as given.

    They are where an option asks for it, and for pairs with several sharp bands where the method
    or the consistency step needs a model that the sensor table does not have.
    """
    if config.psf is not None or config.srf is not None:
        return True
    if profile.spatial_bands == 1 or _is_known(profile):
        return False
    card = selection.card
    is_trained_so = card is not None and card.consistent
    is_consistent = is_trained_so if config.consistent is None else config.consistent
    return selection.entry.needs_instruments or is_consistent


def classical_default(profile: PairProfile) -> str:
    """Return the best method without weights: most classical ones take a PAN only."""
    return CLASSICAL_DEFAULT if profile.spatial_bands == 1 else HYPERSPECTRAL_DEFAULT


def _fitting_weights(profile: PairProfile) -> list[tuple[str, WeightCard]]:
    """Return the shipped weights made for the sensor's bands and ratio."""
    from bandweave.methods.nets.zoo import WEIGHTS, card_of  # noqa: PLC0415  # slow to load

    if profile.sensor is None or len(profile.sensor.bands) != profile.bands:
        return []
    wanted = (profile.sensor.band_names, profile.spatial_bands, profile.ratio)
    cards = ((name, card_of(name)) for name in WEIGHTS)
    return [
        (name, card)
        for name, card in cards
        if wanted == (card.band_names, card.spatial_bands, card.ratio)
    ]


def describe(profile: PairProfile) -> str:
    """Say in words what kind of pair this is."""
    sensor = "an unknown sensor" if profile.sensor is None else profile.sensor.name
    return f"{sensor} with {profile.bands} bands at ratio {profile.ratio}"
