"""Weight files: what is saved is what is loaded, and nothing else is loaded."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from bandweave.errors import CheckpointMismatchError, OutputError
from bandweave.methods.nets.card import HEADER_KEY, WeightCard, file_sha256, parse_card, read_card
from bandweave.methods.nets.checkpoint import load_weights, save_weights
from bandweave.methods.nets.network import FusionNetwork
from bandweave.methods.nets.table import settings_of
from bandweave.methods.nets.u2net_config import U2NetConfig


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "small.safetensors"


@pytest.fixture
def saved(path: Path, model: FusionNetwork, card: WeightCard) -> Path:
    save_weights(path, model, card)
    return path


class TestRoundTrip:
    def test_weights_and_card_come_back(self, saved, model, card):
        weights = load_weights(saved)
        assert weights.card == card == read_card(saved)
        assert not weights.model.training
        for name, tensor in model.state_dict().items():
            assert torch.equal(weights.model.state_dict()[name], tensor), name

    def test_the_same_weights_give_the_same_bytes(self, saved, model, card, tmp_path):
        again = tmp_path / "again.safetensors"
        save_weights(again, model, card)
        assert again.read_bytes() == saved.read_bytes()
        assert load_weights(saved).sha256 == file_sha256(again)

    def test_sha256_is_that_of_the_file(self, tmp_path):
        # The published test vector of FIPS 180-2.
        (tmp_path / "abc").write_bytes(b"abc")
        assert file_sha256(tmp_path / "abc").startswith("ba7816bf8f01cfea414140de5dae2223b00361a3")

    def test_half_precision_halves_the_file_and_loads_as_float32(
        self, saved, model, card, tmp_path
    ):
        half = tmp_path / "half.safetensors"
        save_weights(half, model, card, dtype=torch.float16)
        tensors = sum(p.numel() for p in model.parameters())
        # Apart from some digits of offsets in the header.
        saving = saved.stat().st_size - half.stat().st_size
        assert saving == pytest.approx(2 * tensors, abs=1000)
        loaded = load_weights(half).model.state_dict()
        for name, tensor in model.state_dict().items():
            assert loaded[name].dtype == torch.float32
            # Rounding to 11 significant bits.
            np.testing.assert_allclose(loaded[name], tensor, rtol=2**-11, atol=2**-24)


class TestSaving:
    def test_card_and_network_must_agree(self, path, model, card):
        other = card.model_copy(update={"config": settings_of(U2NetConfig(bands=3))})
        with pytest.raises(CheckpointMismatchError, match="The card describes U2Net with"):
            save_weights(path, model, other)
        assert not path.exists()

    def test_diverged_weights_are_refused(self, path, model, card):
        with torch.no_grad():
            model.head[0].bias[0] = torch.nan
        with pytest.raises(CheckpointMismatchError, match=r"'head.0.bias'.*diverged"):
            save_weights(path, model, card)

    def test_what_half_precision_cannot_hold_is_refused(self, path, model, card):
        with torch.no_grad():
            model.head[0].bias[0] = 1e5
        with pytest.raises(CheckpointMismatchError, match=r"no finite torch.float16"):
            save_weights(path, model, card, dtype=torch.float16)

    def test_a_full_disk_leaves_the_old_file(self, saved, model, card, monkeypatch):
        before = saved.read_bytes()

        def full(_: int) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "fsync", full)
        with torch.no_grad():
            model.head[0].bias += 1
        with pytest.raises(OutputError, match="No space left on device"):
            save_weights(saved, model, card)
        assert saved.read_bytes() == before
        assert list(saved.parent.iterdir()) == [saved]

    def test_a_missing_folder_is_named(self, tmp_path, model, card):
        with pytest.raises(OutputError, match=r"gone/w\.safetensors could not be written"):
            save_weights(tmp_path / "gone" / "w.safetensors", model, card)


class TestRefusing:
    def test_a_missing_file(self, path):
        with pytest.raises(CheckpointMismatchError, match="There is no weight file"):
            load_weights(path)

    @pytest.mark.parametrize("kept", [0, 5, 100, -1])
    def test_a_truncated_file(self, saved, kept):
        saved.write_bytes(saved.read_bytes()[:kept])
        with pytest.raises(CheckpointMismatchError, match="is damaged"):
            load_weights(saved)

    def test_a_file_of_another_kind(self, path):
        path.write_text("<html>Not found</html>" * 10)
        with pytest.raises(CheckpointMismatchError, match="is damaged or no safetensors file"):
            load_weights(path)

    def test_tensors_without_a_card(self, path, model):
        save_file(model.state_dict(), path)
        with pytest.raises(CheckpointMismatchError, match="no bandweave card"):
            load_weights(path)

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            (lambda t: t.pop("head.0.bias"), "lacks 1 tensors .*'head.0.bias'"),
            (lambda t: t.update(extra=torch.zeros(2)), "also holds 1 tensors .*'extra'"),
            (lambda t: t.update({"head.0.bias": torch.zeros(9)}), r"should be \(8,\).*is \(9,\)"),
            (
                lambda t: t.update({"head.0.bias": torch.zeros(8, dtype=torch.int64)}),
                "floating .*torch.int64",
            ),
            (lambda t: t.update({"head.0.bias": torch.full((8,), torch.inf)}), "no finite"),
        ],
    )
    def test_tensors_of_another_network(self, saved, card, change, words):
        tensors = load_file(saved)
        change(tensors)
        save_file(tensors, saved, metadata={HEADER_KEY: card.model_dump_json()})
        with pytest.raises(CheckpointMismatchError, match=words):
            load_weights(saved)

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            ({"config": {"depth": 2}}, "gives U2Net a setting 'depth'.* it has bands, "),
            ({"config": {"head_width": 5}}, "impossible settings: .*head width 5 does not divide"),
            ({"config": {"variant": "v9"}}, "impossible settings: variant: Input should be"),
            ({"tile": 34, "config": {"ratio": 2}}, "tile of 34 pixels.*multiple of 4"),
        ],
    )
    def test_cards_that_do_not_fit_their_network(self, saved, card, change, words):
        """Only loading knows the network; the card alone is read without it."""
        changed = card.model_dump(mode="json") | change
        changed["config"] = card.config | change["config"]
        save_file(load_file(saved), saved, metadata={HEADER_KEY: json.dumps(changed)})
        assert read_card(saved).name == "small"
        with pytest.raises(CheckpointMismatchError, match=words):
            load_weights(saved)


class TestCard:
    @pytest.mark.parametrize(
        ("change", "words"),
        [
            ({"licence": None}, "licence"),
            ({"colour": "red"}, "colour: Extra inputs are not permitted"),
            ({"architecture": "vgg"}, "there is no network 'vgg'; known are u2net"),
            ({"full_scale": 0}, "full_scale: Input should be greater than 0"),
            ({"tile": 30}, "multiple of 4, got 30"),
            ({"band_names": ["red"]}, "band_names lists 1 bands, the network has 3"),
            ({"wavelengths": [1.0, 2.0]}, "wavelengths lists 2 bands, the network has 3"),
            ({"config": {"bands": 3, "spatial_bands": 1}}, "ratio must be a whole number .* None"),
            ({"config": {"bands": 0, "spatial_bands": 1, "ratio": 4}}, "bands must be .* got 0"),
            ({"scores": [{"data": "x"}]}, "scores.0.protocol"),
        ],
    )
    def test_what_is_not_a_card_is_refused(self, card, change, words):
        text = json.dumps(card.model_dump(mode="json") | change)
        with pytest.raises(
            CheckpointMismatchError, match=f"The card of here is not valid: .*{words}"
        ):
            parse_card(text, source="here")

    def test_no_json(self):
        with pytest.raises(CheckpointMismatchError, match="the card: Invalid JSON"):
            parse_card("nothing", source="here")

    def test_it_is_frozen(self, card):
        with pytest.raises(ValueError, match="frozen"):
            card.tile = 128
