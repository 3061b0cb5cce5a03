"""Adaptation: what decides, what is written, what is refused; its physical terms."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from scipy import io, ndimage

from bandweave.cli.main import cli
from bandweave.degrade.instrument import Instrument
from bandweave.errors import ConfigError, OutputError, ScaleError, ShapeError
from bandweave.methods.nets.checkpoint import load_weights
from bandweave.pair import ImagePair
from bandweave.sensors import find_sensor
from bandweave.source import ArraySource
from bandweave.train import adapt as module
from bandweave.train.adapt import _parts, adapt
from bandweave.train.full_resolution import FullResolutionTerm
from bandweave.window import Window


def made_pair(rng: np.random.Generator, shape: tuple[int, int] = (128, 528)) -> ImagePair:
    """Return a registered pair of four bands, and a PAN that mixes them."""
    noise = rng.standard_normal((4, *shape))
    truth = ndimage.gaussian_filter(noise, (0, 1.5, 1.5)) * 700 + 900
    truth = truth + truth.mean(axis=0)
    sensor = find_sensor("ikonos")
    gains = sensor.mtf_gains(4)
    assert gains is not None
    lrms = Instrument(gains, 4, (1.5, 1.5)).observe(truth)
    pan = np.einsum("b,bhw->hw", [0.1, 0.3, 0.35, 0.25], truth)[None]
    return ImagePair(pan, lrms, 4, (1.5, 1.5), 2047.0, None, sensor)


def test_parts_share_no_ground_and_lie_on_whole_pixels() -> None:
    for shape in ((128, 256), (128, 528), (1280, 1280), (5000, 7000)):
        training, held_out = _parts(shape, 4)
        seen = np.zeros(shape, dtype=int)
        for window in (*training, *held_out):
            assert not any(edge % 16 for edge in (window.row, window.col, window.height))
            seen[window.slices] += 1
        assert seen.max() == 1
        assert training
        assert held_out
    with pytest.raises(ShapeError, match="at least 128 x 256"):
        _parts((120, 500), 4)
    with pytest.raises(ShapeError, match="at least 108 x 192"):
        _parts((500, 190), 3)


def test_the_held_out_part_decides(
    rng: np.random.Generator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = ArraySource(made_pair(rng))
    told: list[str] = []
    report = adapt(source, tmp_path / "w.safetensors", minutes=0.05, tell=told.append)
    weights = load_weights(report.weights)
    assert weights.card.consistent
    assert weights.card.phase == (1.5, 1.5)
    assert weights.card.scores[0].values == report.after
    assert report.steps > 0
    assert report.is_better == (report.after["psnr"] > report.before["psnr"])
    # The same scores asked again of the file: what was kept is what was written.
    ground = module._surveyed(source)
    assert module._mean_scores(weights, ground.held_out) == pytest.approx(report.after, rel=1e-4)

    # Weights that training can only spoil are kept as they were.
    monkeypatch.setattr(module, "_RATE", 10.0)
    again = adapt(
        source, tmp_path / "k.safetensors", weights=weights, minutes=0.02, tell=told.append
    )
    assert not again.is_better
    assert told[-1].endswith("kept w as it was.")
    kept = load_weights(again.weights).model.state_dict()
    for name, tensor in weights.model.state_dict().items():
        assert torch.equal(kept[name], tensor)


def test_refusals(rng: np.random.Generator, tmp_path: Path) -> None:
    pair = made_pair(rng)
    for changed, minutes, error in (
        (pair, 0.0, ConfigError),
        (replace(pair, full_scale=None), 1.0, ScaleError),
    ):
        with pytest.raises(error):
            adapt(ArraySource(changed), tmp_path / "w", minutes=minutes, tell=print)


def test_nodata_is_neither_learned_from_nor_scored(
    rng: np.random.Generator, tmp_path: Path
) -> None:
    pair = made_pair(rng, (256, 528))
    valid = np.ones(pair.shape, dtype=bool)
    valid[:60] = False
    spoilt = np.where(valid, pair.spatial, 0.0)
    masked = replace(pair, spatial=spoilt, valid=valid)
    ground = module._surveyed(ArraySource(masked))
    assert all(made.pair.valid is not None for made in (*ground.training, *ground.held_out))
    report = adapt(ArraySource(masked), tmp_path / "w", minutes=0.02, tell=print)
    whole = module._surveyed(ArraySource(pair.crop(Window(128, 0, 128, 528))))
    weights = load_weights(report.weights)
    scores = module._mean_scores(weights, ground.held_out)
    # Scored with its black border the scene would lose 10 dB.
    assert scores["psnr"] > module._mean_scores(weights, whole.held_out)["psnr"] - 2

    valid[:140] = False
    with pytest.raises(ShapeError, match="too much nodata"):
        adapt(ArraySource(masked), tmp_path / "v", minutes=0.02, tell=print)


def test_physical_terms_vanish_where_everything_agrees(rng: np.random.Generator) -> None:
    """A result that the instruments have seen, under a PAN that is its mixture."""
    pair = made_pair(rng)
    term = FullResolutionTerm.of([pair], 64, pair.profile)
    truth = rng.uniform(0.2, 0.8, (2, 4, 64, 64))
    gains = pair.profile.sensor.mtf_gains(4)
    seen = np.stack([Instrument(gains, 4, (1.5, 1.5)).observe(image) for image in truth])
    pan = np.einsum("b,cbhw->chw", term.weights.double().numpy(), truth)[:, None]
    tensors = [torch.from_numpy(image).float() for image in (truth, pan, seen)]
    # Kernels are cut at the tile's edge, so the inner samples agree but for their tails.
    assert term(*tensors).item() < 2e-3
    worse = term(tensors[0] + 0.1 * torch.rand(2, 4, 64, 64), *tensors[1:])
    assert worse.item() > 5e-3


def test_the_command_writes_weights_that_fuse(rng: np.random.Generator, tmp_path: Path) -> None:
    pair = made_pair(rng)
    images = {"I_PAN": pair.spatial[0], "I_MS_LR": pair.spectral.transpose(1, 2, 0)}
    io.savemat(tmp_path / "pair.mat", images)
    out = tmp_path / "w.safetensors"
    options = ["--sensor", "ikonos", "--full-scale", "2047", "--minutes", "0.01"]
    run = CliRunner().invoke(
        cli, ["adapt", str(tmp_path / "pair.mat"), "-o", str(out), *options, "--json"]
    )
    assert run.exit_code == 0, run.output
    assert '"is_better"' in run.stdout
    again = CliRunner().invoke(cli, ["adapt", str(tmp_path / "pair.mat"), "-o", str(out)])
    assert "--overwrite" in str(again.exception)
    # Not after all the minutes of training.
    away = ["-o", str(tmp_path / "away" / "w.safetensors"), "--minutes", "1000"]
    late = CliRunner().invoke(cli, ["adapt", str(tmp_path / "pair.mat"), *options[:4], *away])
    assert isinstance(late.exception, OutputError)
    assert "no folder that can be written to; make it first" in str(late.exception)
    files = [str(tmp_path / name) for name in ("pair.mat", "f.mat")]
    options = ["--weights", str(out), "--sensor", "ikonos", "--full-scale", "2047", "-q"]
    fused = CliRunner().invoke(cli, ["fuse", *files, *options])
    assert fused.exit_code == 0, fused.output


def test_fuse_can_adapt_first(rng: np.random.Generator, tmp_path: Path) -> None:
    pair = made_pair(rng)
    images = {"I_PAN": pair.spatial[0], "I_MS_LR": pair.spectral.transpose(1, 2, 0)}
    io.savemat(tmp_path / "pair.mat", images)
    files = [str(tmp_path / name) for name in ("pair.mat", "fused.mat")]
    options = ["--sensor", "ikonos", "--full-scale", "2047", "--json"]
    run = CliRunner().invoke(cli, ["fuse", *files, "--adapt", "0.01", *options])
    assert run.exit_code == 0, run.output
    report = json.loads(run.stdout)
    assert report["weights"] == str(tmp_path / "fused.safetensors")
    assert load_weights(tmp_path / "fused.safetensors").card.name == "fused"
