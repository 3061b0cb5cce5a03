"""`bandweave fuse` with weights of any network: whose they are, what they bring along."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import torch

from bandweave.methods.nets import inference
from bandweave.methods.nets.checkpoint import save_weights
from bandweave.methods.nets.table import NETWORKS
from cards import untrained_card
from commands import refused
from scenes import write_pair


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    return write_pair(tmp_path)


def write_network(path: Path, network: str, settings: dict[str, Any], **facts: Any) -> Path:
    """Write an untrained network of four bands."""
    torch.manual_seed(0)
    required = {"bands": 4, "spatial_bands": 1, "ratio": 4}
    model = NETWORKS[network].build(required | settings, source="The test")
    bands = ("blue", "green", "red", "nir")
    known = {"name": f"tiny {network}", "band_names": bands, "full_scale": 2047, "tile": 64}
    card = untrained_card(model.config, architecture=network, **(known | facts))
    save_weights(path, model, card)
    return path


@pytest.fixture
def pnn(tmp_path: Path) -> Path:
    return write_network(tmp_path / "pnn.safetensors", "pnn", {"width": 8, "narrow_width": 4})


OFF = ("--align", "off", "--pan-sharpness", "off")


def fused(path: Path) -> np.ndarray:
    with rasterio.open(path) as file:
        image: np.ndarray = file.read()
    return image


def test_weights_bring_their_method(run, pair, pnn, tmp_path):
    out = tmp_path / "out.tif"
    status, stdout, err = run("fuse", *pair, out, "--weights", pnn, "--json", *OFF)
    assert status == 0, err
    report = json.loads(stdout)
    assert report["method"] == "pnn"
    assert "PNN with weights tiny pnn as asked for" in err
    assert report["consistency"] is None
    again = tmp_path / "again.tif"
    status, _, err = run("fuse", *pair, again, "--weights", pnn, "--method", "pnn", *OFF)
    assert status == 0, err
    assert np.array_equal(fused(out), fused(again))


def test_precision_is_told_and_kept_with_the_file(run, pair, tmp_path, monkeypatch):
    weights = write_network(tmp_path / "u.safetensors", "u2net", {"width": 16})
    images = {}
    for has_bf16 in (True, False):
        monkeypatch.setattr(inference, "has_bf16_products", lambda found=has_bf16: found)
        for wanted in ("auto", "fp32", "bf16"):
            out = tmp_path / f"{wanted}-{has_bf16}.tif"
            options = ("--weights", weights, "--precision", wanted, "--device", "cpu", "--json")
            status, stdout, err = run("fuse", *pair, out, *options, *OFF)
            assert status == 0, err
            used = json.loads(stdout)["precision"]
            assert used == (("bf16" if has_bf16 else "fp32") if wanted == "auto" else wanted)
            assert ("attention in bfloat16" in err) == (used == "bf16")
            with rasterio.open(out) as file:
                assert file.tags(ns="BANDWEAVE")["PRECISION"] == used
            images.setdefault(used, []).append(fused(out))
    for same in images.values():
        assert all(np.array_equal(same[0], image) for image in same)


def test_the_released_tiling_is_not_rounded(run, pair, tmp_path):
    weights = write_network(tmp_path / "u.safetensors", "u2net", {"width": 16})
    arguments = ["fuse", *pair, tmp_path / "o.tif", "--weights", weights, "--tiling", "official"]
    refused(run(*arguments, "--precision", "bf16"), "computes in float32", "leave out --precision")


def test_weights_of_another_method_are_refused(run, pair, pnn, tmp_path):
    arguments = [*pair, tmp_path / "o.tif", "--weights", pnn, "--method"]
    refused(run("fuse", *arguments, "u2net"), "tiny pnn are of pnn, not of u2net", "--method")
    refused(run("fuse", *arguments, "gsa"), "gsa takes no weights")


def test_a_network_without_shipped_weights_asks_for_a_file(run, pair, tmp_path):
    arguments = ["fuse", *pair, tmp_path / "o.tif", "--method", "bdpn"]
    refused(run(*arguments), "No shipped weights of BDPN fit", "--weights FILE")


def test_the_released_tiling_is_u2nets(run, pair, pnn, tmp_path):
    arguments = ["fuse", *pair, tmp_path / "o.tif", "--weights", pnn, "--tiling", "official"]
    refused(run(*arguments), "another network: use --tiling blend")


class TestTrainedWithTheConsistencyStep:
    @pytest.fixture
    def weights(self, tmp_path: Path) -> Path:
        return write_network(
            tmp_path / "consistent.safetensors", "pnn", {"width": 8, "narrow_width": 4},
            consistent=True, consistency_noise=0.01,
        )  # fmt: skip

    def test_it_is_run_with_it_unless_told_otherwise(self, run, pair, weights, tmp_path):
        images = {}
        for name, options, noise in (
            ("default", [], 0.01),
            ("asked", ["--consistent"], 0.01),
            ("given", ["--consistency-noise", "0.1"], 0.1),
            ("off", ["--no-consistent"], None),
        ):
            out = tmp_path / f"{name}.tif"
            arguments = ["--weights", weights, "--sensor", "none", "--json", *OFF, *options]
            status, stdout, err = run("fuse", *pair, out, "--full-scale", 2047, *arguments)
            assert status == 0, err
            step = json.loads(stdout)["consistency"]
            assert (None if step is None else step["noise"]) == noise, name
            images[name] = fused(out)
        assert np.array_equal(images["default"], images["asked"])
        assert not np.array_equal(images["default"], images["given"])
        assert not np.array_equal(images["default"], images["off"])

    def test_without_a_sensor_model_there_is_a_sentence(self, run, pair, tmp_path):
        weights = write_network(
            tmp_path / "w.safetensors", "pnn", {"width": 8, "narrow_width": 4},
            consistent=True, sensor="several",
        )  # fmt: skip
        arguments = ["--weights", weights, "--full-scale", 2047, *OFF]
        refused(
            run("fuse", *pair, tmp_path / "o.tif", *arguments),
            "The consistency step of the weights tiny pnn", "--no-consistent", "give --sensor",
        )  # fmt: skip
