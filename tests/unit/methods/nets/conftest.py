"""A small network with its card, and a published-style checkpoint, both made on the spot."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from bandweave.methods.nets.card import WeightCard
from bandweave.methods.nets.compat import PUBLISHED_NAMES, UNUSED_NAMES
from bandweave.methods.nets.network import FusionNetwork
from bandweave.methods.nets.table import NETWORKS
from bandweave.methods.nets.u2net import U2Net
from bandweave.methods.nets.u2net_config import U2NetConfig
from cards import untrained_card


@pytest.fixture
def card() -> WeightCard:
    return untrained_card(
        U2NetConfig(bands=3, width=8, head_width=4),
        name="small",
        band_names=("green", "red", "nir"),
        wavelengths=(550.0, 660.0, 840.0),
        full_scale=1023,
    )


@pytest.fixture
def model(card: WeightCard) -> FusionNetwork:
    torch.manual_seed(1)
    return NETWORKS[card.architecture].build(card.config, source="The test").eval()


@pytest.fixture
def published() -> Callable[[], dict[str, Tensor]]:
    """Make tensors of a 4-band network under the published names, unused ones included."""

    def make() -> dict[str, Tensor]:
        torch.manual_seed(2)
        state = U2Net(U2NetConfig(bands=4, width=16)).state_dict()
        used = {theirs: state[ours] for theirs, ours in PUBLISHED_NAMES.items()}
        return used | {name: torch.zeros(1) for name in UNUSED_NAMES}

    return make
