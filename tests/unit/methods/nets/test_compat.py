"""Published checkpoints: every name is accounted for, and no code is run."""

from __future__ import annotations

import os
import pickle

import numpy as np
import pytest
import torch

from bandweave.errors import CheckpointMismatchError, OutputExistsError
from bandweave.methods.nets.card import PUBLISHED_WV3, WeightCard, read_card
from bandweave.methods.nets.checkpoint import load_weights
from bandweave.methods.nets.compat import (
    PUBLISHED_NAMES,
    UNUSED_NAMES,
    convert_published,
    from_published,
    load_published,
    load_published_wv3,
)
from bandweave.methods.nets.table import settings_of
from bandweave.methods.nets.u2net import U2Net
from bandweave.methods.nets.u2net_config import U2NetConfig
from oracles import released_u2net


class Bomb:
    """Unpickling this would make a folder."""

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (self.folder,)


def _card_for(model: U2Net) -> WeightCard:
    names = ("blue", "green", "red", "nir")
    changes = {"config": settings_of(model.config), "band_names": names, "wavelengths": None}
    return PUBLISHED_WV3.model_copy(update=changes | {"name": "four"})


class TestNames:
    def test_the_published_file_has_135_of_which_20_are_unused(self):
        assert len(PUBLISHED_NAMES) == 115
        assert len(UNUSED_NAMES) == 20
        assert not PUBLISHED_NAMES.keys() & UNUSED_NAMES

    def test_ours_are_those_of_the_network(self):
        ours = U2Net(U2NetConfig(bands=8)).state_dict().keys()
        assert set(PUBLISHED_NAMES.values()) == set(ours)
        assert len(set(PUBLISHED_NAMES.values())) == 115

    def test_every_name_goes_where_the_oracle_reads_it(self, published):
        """Random tensors under published names: ours and the oracle give the same image."""
        tensors = published()
        spatial, spectral = torch.rand(1, 1, 16, 24), torch.rand(1, 4, 4, 6)
        with torch.no_grad():
            actual = from_published(tensors)(spatial, spectral)
            expected = released_u2net.u2net(tensors, spatial, spectral)
        np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-6)

    @pytest.mark.parametrize("name", ["s2block3.layers.0.0.fn.fn.sa2.weight", "to_hrms.2.bias"])
    def test_a_missing_name(self, published, name):
        tensors = published()
        del tensors[name]
        with pytest.raises(CheckpointMismatchError, match=f"lacks 1 .* the first is '{name}'"):
            from_published(tensors)

    def test_an_unknown_name(self, published):
        with pytest.raises(
            CheckpointMismatchError, match=r"holds unknown 1 .*'upsample\.0\.weight'"
        ):
            from_published(published() | {"upsample.0.weight": torch.zeros(1)})

    def test_a_wrong_shape(self, published):
        tensors = published() | {"up0.conv.bias": torch.zeros(7)}
        with pytest.raises(CheckpointMismatchError, match=r"not its shapes: .*up1\.merge\.bias"):
            from_published(tensors)


class TestFiles:
    def test_a_checkpoint_saved_by_torch(self, published, tmp_path):
        path = tmp_path / "four.pth"
        torch.save(published(), path)
        config = load_published(path).config
        assert (config.bands, config.spatial_bands, config.width) == (4, 1, 16)

    def test_an_unknown_one_needs_a_card(self, published, tmp_path):
        path = tmp_path / "four.pth"
        torch.save(published(), path)
        with pytest.raises(CheckpointMismatchError, match="U2Net for 4 bands, but not the one"):
            load_published_wv3(path)

    def test_conversion_with_a_card(self, published, tmp_path):
        path, out = tmp_path / "four.pth", tmp_path / "four.safetensors"
        torch.save(published(), path)
        model = load_published(path)
        convert_published(path, out, card=_card_for(model))
        assert read_card(out).name == "four"
        for name, tensor in load_weights(out).model.state_dict().items():
            assert torch.equal(tensor, model.state_dict()[name])
        with pytest.raises(OutputExistsError, match="--overwrite"):
            convert_published(path, out, card=_card_for(model))

    def test_a_bomb_does_not_go_off(self, tmp_path):
        path, folder = tmp_path / "bomb.pth", tmp_path / "made"
        torch.save({"weight": Bomb(str(folder))}, path)
        with pytest.raises(CheckpointMismatchError, match="could run code"):
            load_published(path)
        assert not folder.exists()
        path.write_bytes(pickle.dumps(Bomb(str(folder))))
        with pytest.raises(CheckpointMismatchError, match="could run code"):
            load_published(path)
        assert not folder.exists()

    @pytest.mark.parametrize("content", [b"", b"no checkpoint", b"PK\x03\x04 broken zip"])
    def test_no_checkpoint_at_all(self, tmp_path, content):
        path = tmp_path / "x.pth"
        path.write_bytes(content)
        with pytest.raises(CheckpointMismatchError, match=r"x\.pth"):
            load_published(path)

    def test_a_truncated_checkpoint(self, published, tmp_path):
        path = tmp_path / "cut.pth"
        torch.save(published(), path)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        with pytest.raises(CheckpointMismatchError, match=r"cut\.pth"):
            load_published(path)

    @pytest.mark.parametrize("content", [[1.0, 2.0], {"epoch": 3}, torch.zeros(3)])
    def test_something_else_than_tensors_by_name(self, tmp_path, content):
        path = tmp_path / "other.pth"
        torch.save(content, path)
        with pytest.raises(CheckpointMismatchError, match="must hold a dictionary of tensors"):
            load_published(path)

    def test_a_missing_file(self, tmp_path):
        with pytest.raises(CheckpointMismatchError, match="There is no weight file"):
            load_published(tmp_path / "gone.pth")
