"""Which method and which weights fit a pair, and why."""

from __future__ import annotations

from dataclasses import dataclass

from bandweave.config import FuseConfig
from bandweave.errors import ConfigError, MissingWeightsError
from bandweave.methods.nets.card import WeightCard
from bandweave.methods.nets.zoo import WEIGHTS, card_of
from bandweave.methods.table import MethodEntry, find_method
from bandweave.pair import PairProfile

# Best of the classical methods on most pairs among those that need no sensor model.
CLASSICAL_DEFAULT = "gsa"


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

    Without a method: U2Net where weights are given or shipped weights fit the pair's sensor, bands
    and ratio; else the best classical method.

    Raises:
        UnknownMethodError: There is no such method.
        UnknownNameError: There are no such weights.
        ConfigError: Weights were given for a method that takes none.
        MissingWeightsError: A learned method was asked for and no weights fit.
    """
    if config.method is None and config.weights is None:
        return _default(profile)
    entry = find_method(config.method or "u2net")
    if not entry.is_learned:
        if config.weights is not None:
            raise ConfigError(
                f"{entry.id} takes no weights; leave out --weights, or use a learned method."
            )
        return Selection(entry, f"{entry.name} as asked for.")
    if config.weights is not None:
        card = card_of(config.weights)
        return Selection(
            entry, f"{entry.name} with weights {card.name} as asked for.", config.weights, card
        )
    found = _fitting_weights(profile)
    if found is None:
        raise MissingWeightsError(
            f"No shipped weights of {entry.name} fit {describe(profile)}; give --weights FILE, "
            f"or use --method {CLASSICAL_DEFAULT}. `bandweave weights` lists what there is."
        )
    name, card = found
    return Selection(entry, f"{entry.name} with the shipped weights {name}.", name, card)


def _default(profile: PairProfile) -> Selection:
    found = _fitting_weights(profile)
    if found is not None:
        name, card = found
        reason = f"U2Net, since the shipped weights {name} fit {describe(profile)}."
        return Selection(find_method("u2net"), reason, name, card)
    reason = (
        f"{CLASSICAL_DEFAULT}, the best classical method here, since no shipped weights fit "
        f"{describe(profile)}."
    )
    return Selection(find_method(CLASSICAL_DEFAULT), reason)


def _fitting_weights(profile: PairProfile) -> tuple[str, WeightCard] | None:
    """Return the first shipped weights made for the sensor's bands, in this order and ratio."""
    if profile.sensor is None or len(profile.sensor.bands) != profile.bands:
        return None
    wanted = (profile.sensor.band_names, profile.spatial_bands, profile.ratio)
    for name in WEIGHTS:
        card = card_of(name)
        if wanted == (card.band_names, card.config.spatial_bands, card.config.ratio):
            return name, card
    return None


def describe(profile: PairProfile) -> str:
    """Say in words what kind of pair this is."""
    sensor = "an unknown sensor" if profile.sensor is None else profile.sensor.name
    return f"{sensor} with {profile.bands} bands at ratio {profile.ratio}"
