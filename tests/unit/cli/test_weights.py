"""`bandweave weights` as a user types it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner, Result

from bandweave.cli.main import main
from bandweave.cli.weights import command
from bandweave.methods.nets.card import PUBLISHED_WV3, Score, read_card
from bandweave.methods.nets.checkpoint import load_weights, save_weights
from bandweave.methods.nets.compat import PUBLISHED_NAMES
from bandweave.methods.nets.fusionnet import FusionNet, FusionNetConfig
from bandweave.methods.nets.published_names import PUBLISHED
from bandweave.methods.nets.table import settings_of
from bandweave.methods.nets.u2net import U2Net
from bandweave.methods.nets.u2net_config import U2NetConfig
from bandweave.methods.nets.zoo import WEIGHTS

CONFIG = U2NetConfig(bands=2, width=16)
CARD = PUBLISHED_WV3.model_copy(
    update={
        "name": "two",
        "config": settings_of(CONFIG),
        "band_names": ("red", "nir"),
        "wavelengths": None,
    }
)


def _weights(*arguments: str) -> Result:
    return CliRunner().invoke(command, arguments)


@pytest.fixture
def model() -> U2Net:
    torch.manual_seed(6)
    return U2Net(CONFIG)


@pytest.fixture
def published(tmp_path: Path, model: U2Net) -> Path:
    path = tmp_path / "two.pth"
    state = model.state_dict()
    torch.save({theirs: state[ours] for theirs, ours in PUBLISHED_NAMES.items()}, path)
    return path


def test_the_list_names_all_shipped_weights():
    assert [row["name"] for row in json.loads(_weights("--json").stdout)] == list(WEIGHTS)
    assert all(name in _weights().stdout for name in WEIGHTS)


def test_a_card_is_shown(tmp_path, model):
    path = tmp_path / "two.safetensors"
    score = Score(data="a", protocol="b", values={"psnr": 33.43219876})
    save_weights(path, model, CARD.model_copy(update={"scores": (score,)}))
    shown = json.loads(_weights(str(path), "--json").stdout)
    assert shown["name"] == "two"
    assert shown["parameters"] == sum(p.numel() for p in model.parameters())
    assert shown["parameters_as_published"] - shown["parameters"] == 100 * 16**2 + 105 * 16
    assert shown["reach"] == "the whole tile"
    assert shown["starts_from"] == "the bands"
    text = _weights(str(path)).stdout
    assert "red, nir" in text
    assert "GPL-3.0" in text
    assert "psnr 33.4322\n" in text
    assert shown["scores"][0]["values"]["psnr"] == 33.43219876
    assert "wavelengths:" in text
    assert "not known" in text


def test_conversion_with_a_card(tmp_path, published):
    out, card = tmp_path / "two.safetensors", tmp_path / "card.json"
    card.write_text(CARD.model_dump_json())
    result = _weights(str(published), "--convert", str(out), "--card", str(card), "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["name"] == "two"
    assert read_card(out) == CARD


def test_conversion_of_another_network(tmp_path):
    """The card says which names the checkpoint has; the file holds blocks twice."""
    torch.manual_seed(6)
    config = FusionNetConfig(bands=2, width=8)
    state = FusionNet(config).state_dict()
    names = PUBLISHED["fusionnet"].layers
    tensors = {
        f"{theirs}.{part}": state[f"{ours}.{part}"]
        for theirs, ours in names.items()
        for part in ("weight", "bias")
    }
    path, out, card_file = (tmp_path / name for name in ("net.pth", "net.safetensors", "card.json"))
    torch.save(tensors | {"backbone.0.conv20.weight": tensors["res1.conv20.weight"]}, path)
    card = CARD.model_copy(update={"architecture": "fusionnet", "config": settings_of(config)})
    card_file.write_text(card.model_dump_json())
    result = _weights(str(path), "--convert", str(out), "--card", str(card_file))
    assert result.exit_code == 0, result.output
    loaded = load_weights(out)
    assert loaded.card == card
    assert all(torch.equal(t, state[n]) for n, t in loaded.model.state_dict().items())


@pytest.mark.parametrize("arguments", [["--convert", "x"], ["x", "--card", "CARD"]])
def test_wrong_usage(tmp_path, arguments):
    card = tmp_path / "card.json"
    card.write_text("{}")
    result = _weights(*(str(card) if a == "CARD" else a for a in arguments))
    assert result.exit_code == 2
    assert "Usage" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nothing"], "There are no weights 'nothing'"),
        (["PUBLISHED", "--convert", "OUT"], "not the one published for WorldView-3"),
        (["PUBLISHED", "--convert", "PUBLISHED"], "exists; use --overwrite"),
    ],
)
def test_failure_is_one_sentence_and_status_1(capsys, tmp_path, published, arguments, words):
    places = {"PUBLISHED": str(published), "OUT": str(tmp_path / "out.safetensors")}
    with pytest.raises(SystemExit) as caught:
        main(["weights", *(places.get(a, a) for a in arguments)])
    assert caught.value.code == 1
    message = capsys.readouterr().err
    assert words in message
    assert "Traceback" not in message
