"""Settings: overrides, refusals, schedules, files."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from bandweave.errors import ConfigError
from bandweave.train.config import Cosine, StepDecay
from bandweave.train.recipes.presets import PRESETS, find_preset
from bandweave.train.schedule import learning_rate
from bandweave.train.settings import load_config, with_overrides
from commands import Run, refused
from training import small_config, write_patches


def test_overrides_reach_inner_values(tmp_path: Path) -> None:
    config = small_config(tmp_path)
    changed = with_overrides(
        config,
        [
            "steps=3",
            "optimiser.learning_rate=0.5",
            "data.training.0.full_scale=1023",
            "network.config.width=8",
            "name=other",
        ],
    )
    assert (changed.steps, changed.optimiser.learning_rate, changed.name) == (3, 0.5, "other")
    assert changed.data.training[0].full_scale == 1023
    assert changed.network.config["width"] == 8
    assert changed.digest != config.digest
    assert with_overrides(config, []) == config


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("steps", "key=value"),
        ("stepz=3", "small: there is no setting 'stepz'; there are name, about, network"),
        ("optimiser.nesterov=1", "no setting 'optimiser.nesterov'; there are kind, learning_rate"),
        (
            "schedule={kind='step', each=3}",
            "setting 'schedule.each'; there are kind, every, factor.",
        ),
        (
            "data.training.0.pathh=x",
            "no setting 'data.training.0.pathh'; there are kind, path, full",
        ),
        ("data.training.1.path=x", "nothing called '1' to set within"),
        ("data.training=[{kind='tiles'}]", "data.training.0: .*'scene', 'folder', 'patches'"),
        ("steps=0", "steps: .* greater than or equal to 1, got 0"),
        ("loss=huber", "loss: .* 'l1', 'mse', .* got 'huber'"),
        ("consistent=true", "consistent"),
        ("network.start=base", "base"),
        ("network.config.bands=8", "band_names lists 4 bands, network.config.bands is 8"),
        ("data.validation=[{kind='scene', spatial='p', sensor='wv3', columns=[0.5, 0.5]}]", "0.5"),
        ("data.validation=[{kind='folder', sensor='wv3', bands=[0, 1]}]", "bands.0"),
        ("data.validation=[{kind='synthetic', seeds=[4, 4]}]", "greater one, got 4 and 4"),
    ],
)
def test_wrong_overrides_are_one_sentence(tmp_path: Path, override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        with_overrides(small_config(tmp_path), [override])
    assert "\n" not in str(caught.value)


def test_a_file_says_the_same_as_a_preset(tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    path.write_text('name = "x"\nsteps = "many"\n')
    with pytest.raises(ConfigError, match=r"run\.toml: settings are missing: about, network, data"):
        load_config(path)
    path.write_text("name = ")
    with pytest.raises(ConfigError, match="no TOML"):
        load_config(path)
    with pytest.raises(ConfigError, match="could not be read"):
        load_config(tmp_path / "absent.toml")


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_valid_and_named_as_listed(name: str) -> None:
    config = find_preset(name)
    assert config.name == name
    assert config.about


def test_schedules() -> None:
    cosine = Cosine(warm_up=10, final=0.1)
    rates = [learning_rate(cosine, 2.0, step, 110) for step in range(110)]
    assert rates[0] == pytest.approx(0.2)
    assert rates[9] == rates[10] == pytest.approx(2.0)
    assert rates[60] == pytest.approx(2.0 * 0.55)
    assert rates[-1] == pytest.approx(0.2, abs=1e-3)
    # The released U2Net: halved every 100 epochs of 562 steps.
    decay = StepDecay(every=56_200)
    assert learning_rate(decay, 1e-3, 56_199, 200_000) == 1e-3
    assert learning_rate(decay, 1e-3, 199_999, 200_000) == 1e-3 / 8


def test_a_dry_run_checks_the_network_too(run: Run) -> None:
    arguments = ("train", "u2net-gf2-paper", "--dry-run", "--set", "network.config.widht=3")
    refused(run(*arguments), "setting 'widht' that it does not have; it has bands")
    status, out, _ = run(
        "train", "u2net-gf2-paper", "--dry-run", "--set", "network.config.width=64"
    )
    assert status == 0
    assert json.loads(out)["network"]["config"]["width"] == 64


def test_a_package_that_is_missing_is_named_with_its_extra(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("train_gf2.h5", "valid_gf2.h5"):
        write_patches(tmp_path / name, count=2)
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    small = [word for key in ("tile=32", "steps=1", "batch=1") for word in ("--set", key)]
    result = run("train", "u2net-gf2-paper", "--data", tmp_path, "--out", tmp_path / "run", *small)
    refused(result, "needs the package", "tensorboard", "pip install 'bandweave[train]'")
