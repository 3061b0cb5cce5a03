"""The report on a pair, as value, as text and as JSON."""

from __future__ import annotations

import json
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from click.testing import CliRunner
from scipy.io import savemat

from bandweave.cli.check import command
from bandweave.cli.main import main
from bandweave.errors import ConfigError, GridMismatchError
from bandweave.mosaic.check.check import check_pair, usable_share
from bandweave.pair import ImagePair
from bandweave.sensors import find_sensor
from bandweave.source import ArraySource
from oracles.two_instruments import simulate
from scenes import write_pair, write_tif, write_weights

COARSE = (67, 61)
"""Coarse pixels of the pairs here: the least that gives nine windows."""


def test_a_displaced_pair(tmp_path) -> None:
    pan, ms = write_pair(tmp_path, coarse=COARSE, shift=(1.4, -0.6))
    report = check_pair(pan, ms)
    assert report.grids.ratio == 4
    assert report.grids.phase == (1.5, 1.5)
    assert report.grids.shape == (268, 244)
    assert (report.grids.pan_share, report.grids.ms_share) == (1.0, 1.0)
    assert report.pan.pixel == (0.5, 0.5)
    assert report.ms.bands == 4
    assert (report.displacement.rows, report.displacement.cols) == pytest.approx(
        (1.4, -0.6), abs=0.1
    )
    assert report.offset == (report.displacement.rows, report.displacement.cols)
    assert "1.4 rows and -0.6 columns" in report.advice[0]
    assert "--align auto" in report.advice[0]


def test_a_registered_pair_of_known_sensor(tmp_path) -> None:
    pan, ms = write_pair(tmp_path, coarse=COARSE)
    report = check_pair(pan, ms, sensor=find_sensor("none"))
    assert report.offset is None
    assert "nothing to correct" in report.advice[0]
    assert report.table_gain == pytest.approx(0.30)
    assert report.sharpness is not None
    # The PAN is the truth itself and the MS was made with a gain of 0.3.
    assert report.sharpness.gain == pytest.approx(0.30, abs=0.03)
    assert report.sharpness.unexplained < 0.01
    assert len(report.advice) == 1


def test_different_extents(tmp_path) -> None:
    pan, ms = write_pair(tmp_path, coarse=COARSE)
    with rasterio.open(pan) as file:
        image, transform = file.read(), file.transform
    part = write_tif(tmp_path / "part.tif", image[:, 2:203], transform * Affine.translation(0, 2))
    report = check_pair(part, ms)
    # Whole MS rows inside PAN rows [2, 203): 1 to 49 of 67.
    assert report.grids.shape == (49 * 4, 244)
    assert report.grids.pan_share == pytest.approx(49 * 4 / 201)
    assert report.grids.ms_share == pytest.approx(49 / 67)


def test_usable_pixels_are_counted(tmp_path) -> None:
    pan, ms = write_pair(tmp_path, coarse=COARSE)
    with rasterio.open(ms, "r+") as file:
        image = file.read()
        image[:, :40] = 0
        file.write(image)
        file.nodata = 0
    report = check_pair(pan, ms)
    assert report.is_valid_counted
    assert report.valid_share == pytest.approx(27 / 67)
    assert any("40 % of the pixels" in text for text in report.advice)


@dataclass
class HalfMasked:
    """A large scene, of which the left half is masked; nothing is held in memory."""

    profile: object
    grid: None = None
    pixels_read: int = 0

    def read(self, window, dtype) -> ImagePair:
        self.pixels_read += window.height * window.width
        cols = np.arange(window.col, window.col_stop)
        valid = np.broadcast_to(cols >= 15_000, window.shape)
        coarse = (1, window.height // 4, window.width // 4)
        return ImagePair(
            np.zeros((1, *window.shape), dtype), np.zeros(coarse, dtype), 4, (1.5, 1.5), valid=valid
        )


def test_usable_pixels_of_a_large_scene_are_estimated(rng) -> None:
    profile = simulate(rng, shape=(64, 64)).profile
    scene = HalfMasked(type(profile)((30_000, 30_000), 1, 4, 4, (1.5, 1.5)))
    share, is_counted = usable_share(scene)
    assert share == pytest.approx(0.5, abs=0.01)
    assert not is_counted
    assert scene.pixels_read < 7e6


def test_unrelated_images_are_told(tmp_path, rng) -> None:
    pan, ms = write_pair(tmp_path, coarse=COARSE)
    with rasterio.open(pan, "r+") as file:
        file.write(rng.integers(100, 900, (1, 268, 244), dtype=np.uint16))
    report = check_pair(pan, ms)
    assert report.displacement.confidence < 0.25
    assert "could not be measured" in report.advice[0] or "too uncertain" in report.advice[0]


def test_a_displacement_that_varies_is_told(tmp_path, rng) -> None:
    """Four strips, displaced by 0 to 3 rows: no single shift is right for the scene."""
    strips = [
        simulate(np.random.default_rng(1), shape=(268, 480), displacement=(d, 0.0))
        for d in range(4)
    ]
    lrms = np.concatenate(
        [strip.spectral[:, :, 30 * k : 30 * (k + 1)] for k, strip in enumerate(strips)], axis=2
    )
    fine = Affine(0.5, 0, 400_000, 0, -0.5, 5_000_000)
    pan = write_tif(tmp_path / "pan.tif", strips[0].spatial.astype(np.float32), fine)
    ms = write_tif(tmp_path / "ms.tif", lrms.astype(np.float32), fine * Affine.scale(4))
    report = check_pair(pan, ms)
    assert any("differs over the scene" in text for text in report.advice)


def test_a_mat_pair_is_measured_at_its_phase(tmp_path, rng) -> None:
    pair = simulate(rng, shape=(268, 244), phase=(1.5, 1.5))
    path = tmp_path / "pair.mat"
    content = {"I_PAN": pair.spatial[0], "I_MS_LR": np.moveaxis(pair.spectral, 0, 2)}
    savemat(path, content)
    toolbox = check_pair(path)
    assert toolbox.grids.phase == (2.0, 2.0)
    assert toolbox.displacement.rows == pytest.approx(-0.5, abs=0.1)
    assert toolbox.can_align
    assert "--align auto" in toolbox.advice[0]
    registered = check_pair(path, phase=(1.5, 1.5))
    assert registered.displacement.distance < 0.1
    assert registered.offset is None


def test_a_displacement_that_needs_a_crop_is_not_promised_for_a_mat_pair(tmp_path, rng) -> None:
    pair = simulate(rng, shape=(268, 244), phase=(4.5, 1.5))
    content = {"I_PAN": pair.spatial[0], "I_MS_LR": np.moveaxis(pair.spectral, 0, 2)}
    savemat(tmp_path / "pair.mat", content)
    report = check_pair(tmp_path / "pair.mat")
    assert report.displacement.rows == pytest.approx(2.5, abs=0.1)
    assert not report.can_align
    assert "raster files" in report.advice[0]


def small_tiles(weights: Path) -> Path:
    """Copy weights for tiles of 32 pixels, whose attention takes a sixteenth of the time."""
    from bandweave.methods.nets.checkpoint import load_weights, save_weights

    loaded = load_weights(weights)
    out = weights.with_name("small.safetensors")
    save_weights(out, loaded.model, loaded.card.model_copy(update={"tile": 32}))
    return out


def test_weights_are_matched_with_the_displacement_corrected(tmp_path) -> None:
    pan, ms = write_pair(tmp_path, shift=(1.4, 0.0), coarse=COARSE)
    weights = str(small_tiles(write_weights(tmp_path / "tiny.safetensors")))
    report = check_pair(pan, ms, sensor=find_sensor("none"), weights=weights)
    assert report.match is not None
    assert report.match.errors[0][0] == 0.0
    assert any("reprojection error" in text for text in report.advice)
    unknown = check_pair(pan, ms, weights=weights)
    assert unknown.match is None
    assert any("give --sensor" in text for text in unknown.advice)


def test_wrong_calls_are_refused(tmp_path, rng) -> None:
    pan, ms = write_pair(tmp_path)
    with pytest.raises(ConfigError, match="stands alone"):
        check_pair(pan)
    with pytest.raises(ConfigError, match=r"\.mat and \.h5"):
        check_pair(pan, ms, phase=(2.0, 2.0))
    with pytest.raises(GridMismatchError, match="swapped"):
        check_pair(ms, pan)
    pair = simulate(rng, shape=(64, 64))
    path = tmp_path / "pair.mat"
    savemat(path, {"I_PAN": pair.spatial[0], "I_MS_LR": np.moveaxis(pair.spectral, 0, 2)})
    with pytest.raises(ConfigError, match="1 pairs"):
        check_pair(path, item=3)


def test_the_command_prints_a_table_or_json(tmp_path) -> None:
    pan, ms = (str(path) for path in write_pair(tmp_path, coarse=COARSE, shift=(1.4, -0.6)))
    run = CliRunner().invoke(command, [pan, ms, "--sensor", "none"])
    assert run.exit_code == 0
    for label in ("PAN", "MS", "Grids", "Overlap", "Usable", "Sensor", "Displacement", "Sharpness"):
        assert f"\n{label} " in "\n" + run.stdout
    assert "--align auto" in run.stdout
    run = CliRunner().invoke(command, [pan, ms, "--json"])
    content = json.loads(run.stdout)
    assert content["grids"]["ratio"] == 4
    assert content["displacement"]["rows"] == pytest.approx(1.4, abs=0.1)
    assert content["sensor"] is None


@pytest.mark.parametrize(
    ("options", "status"), [(["--phase", "1"], 2), (["--bidx", "a"], 2), (["--bidx", "9"], 1)]
)
def test_exit_status(tmp_path, options, status) -> None:
    pan, ms = (str(path) for path in write_pair(tmp_path))
    with pytest.raises(SystemExit) as leaving:
        main(["check", pan, ms, *options])
    assert leaving.value.code == status


def test_remarks_of_the_reader_are_part_of_the_report(tmp_path, rng) -> None:
    pair = simulate(rng, shape=(64, 64))
    pan = write_tif(tmp_path / "pan.tif", pair.spatial.astype(np.float32), None)
    ms = write_tif(tmp_path / "ms.tif", pair.spectral.astype(np.float32), None)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        report = check_pair(pan, ms)
    assert any("no georeference" in text for text in report.remarks)


def test_small_arrays_are_checked_whole(rng) -> None:
    share, is_counted = usable_share(ArraySource(simulate(rng, shape=(64, 64))))
    assert (share, is_counted) == (1.0, True)
