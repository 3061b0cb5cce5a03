"""The names of shipped weights, and what else may stand in their place."""

from __future__ import annotations

import subprocess
import sys

import pytest

from bandweave.errors import UnknownNameError
from bandweave.methods.nets.checkpoint import save_weights
from bandweave.methods.nets.zoo import WEIGHTS, card_of, find_file, load_named
from bandweave.sensors import sensor_table


@pytest.mark.parametrize("name", WEIGHTS)
def test_every_shipped_file_loads_and_says_what_it_is(name):
    weights = load_named(name)
    assert weights.card.name == name
    assert weights.card == card_of(name)
    # Hyperspectral pairs are made by a protocol, which the card describes.
    assert weights.card.sensor in sensor_table() or weights.card.spatial_bands > 1
    assert weights.card.scores


def test_a_file_stands_for_its_weights(tmp_path, model, card):
    path = tmp_path / "own.safetensors"
    save_weights(path, model, card)
    assert find_file(str(path)) == path
    assert load_named(str(path)).card == card_of(str(path)) == card


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(UnknownNameError, match="no weights 'u3net'") as caught:
        load_named("u3net")
    assert all(name in str(caught.value) for name in WEIGHTS)


def test_cards_are_read_without_torch(tmp_path, model, card):
    path = tmp_path / "own.safetensors"
    save_weights(path, model, card)
    script = (
        "import sys; from bandweave.methods.nets.zoo import card_of; "
        f"assert card_of({str(path)!r}).tile == 32; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
