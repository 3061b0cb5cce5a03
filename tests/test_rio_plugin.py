"""`rio fuse`: the same command, found by rasterio's own program."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import numpy as np
import pytest
import rasterio
from click.testing import CliRunner, Result
from rasterio.rio.main import main_group

from bandweave.cli.fuse import command
from scenes import write_pair, write_tif


def rio(*arguments: object) -> Result:
    return CliRunner().invoke(main_group, [str(argument) for argument in arguments])


def test_the_plug_in_is_the_command_itself() -> None:
    (found,) = entry_points(group="rasterio.rio_plugins", name="fuse")
    assert found.load() is command
    assert "fuse" in main_group.commands


def test_rio_fuse_writes_what_bandweave_fuse_writes(tmp_path: Path) -> None:
    pan, ms = write_pair(tmp_path)
    result = rio("fuse", pan, ms, tmp_path / "a.tif", "--method", "gsa", "--json", "-q")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["method"] == "gsa"
    call = [sys.executable, "-m", "bandweave", "fuse", pan, ms, tmp_path / "b.tif"]
    subprocess.run([*map(str, call), "--method", "gsa", "-q"], check=True, capture_output=True)
    with rasterio.open(tmp_path / "a.tif") as one, rasterio.open(tmp_path / "b.tif") as two:
        np.testing.assert_array_equal(one.read(), two.read())


def test_an_error_is_a_sentence_in_rio_too(tmp_path: Path) -> None:
    pan, _ = write_pair(tmp_path)
    result = rio("fuse", pan, tmp_path / "absent.tif", tmp_path / "out.tif")
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: A raster file is needed, but there is no file")
    assert isinstance(result.exception, SystemExit)
    assert rio("fuse", pan).exit_code == 2


def test_a_warning_is_a_sentence_in_rio_too(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    pan, ms = (
        write_tif(tmp_path / f"{side}.tif", rng.integers(1, 9, (1, side, side), "uint16"), None)
        for side in (64, 16)
    )
    result = rio("fuse", pan, ms, tmp_path / "out.tif", "--method", "exp")
    assert result.exit_code == 0, result.output
    assert "Warning: " in result.stderr
    assert "no georeference" in result.stderr
    assert ".py:" not in result.stderr


@pytest.mark.multiprocess
def test_rio_starts_without_what_fusing_needs() -> None:
    program = "from rasterio.rio.main import main_group; main_group(['--help'])"
    run = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", program],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "fuse" in run.stdout
    loaded = {line.rsplit("|", 1)[-1].strip() for line in run.stderr.splitlines()}
    assert "bandweave.cli.plugin" in loaded  # by the command, which `import_module` does not list
    assert not loaded & {"torch", "scipy", "h5py", "pydantic", "safetensors", "bandweave.mosaic"}
