"""Cards for untrained networks: complete, with nothing to say."""

from __future__ import annotations

from typing import Any

from bandweave.methods.nets.card import WeightCard
from bandweave.methods.nets.network import NetworkConfig
from bandweave.methods.nets.table import settings_of


def untrained_card(config: NetworkConfig, **facts: Any) -> WeightCard:
    """Return a card for a configuration; of a U2Net unless `facts` say otherwise."""
    known = {
        "name": "untrained",
        "config": settings_of(config),
        "band_names": tuple(f"band {k + 1}" for k in range(config.bands)),
        "full_scale": 1000.0,
        "tile": 32,
        "phase": (1.5, 1.5),
        "sensor": "none",
        "pan_degradation": "none",
        "spectral_degradation": "none",
        "training_data": "none",
        "training_terms": "any use",
        "licence": "Apache-2.0",
        "bandweave": "0.1.0",
    }
    return WeightCard.model_validate(known | facts)
