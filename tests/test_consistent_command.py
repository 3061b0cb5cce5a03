"""`bandweave fuse --consistent` as a user calls it."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from scipy.io import savemat

import bandweave
from bandweave.cli.main import main
from bandweave.degrade.observe import observe
from bandweave.errors import BandCountError, ConfigError, SensorModelError
from bandweave.metrics.scores import MET_BY_CONSISTENCY
from bandweave.metrics.table import METRICS
from scenes import smooth_truth, write_pair, write_tif, write_weights


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]):
    """Run the program; return exit status, stdout and stderr."""

    def call(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        with pytest.raises(SystemExit) as left:
            main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        return int(left.value.code or 0), out, err

    return call


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    return write_pair(tmp_path)


def read(path: Path) -> np.ndarray:
    with rasterio.open(path) as file:
        return file.read().astype(float)


def misfit(fused: Path, ms: Path) -> float:
    seen = observe(read(fused), (0.3,), 4, (1.5, 1.5))
    return float(np.abs(seen - read(ms))[:, 7:-7, 7:-7].max())


@pytest.mark.parametrize("method", ["exp", "gsa", "u2net"])
def test_the_written_image_gives_back_the_ms(run, pair, tmp_path, method) -> None:
    out = tmp_path / "out.tif"
    options = []
    if method == "u2net":
        weights = write_weights(tmp_path / "tiny.safetensors")
        options = ["--weights", weights, "--full-scale", 2047]
    options += ["--method", method, "--sensor", "none", "--dtype", "float32"]
    options += ["--pan-sharpness", "off"]
    assert run("fuse", *pair, out, *options)[0] == 0
    before = misfit(out, pair[1])
    assert before > 1
    arguments = [*options, "--overwrite", "--consistent", "--consistency-noise", 0, "--json"]
    status, stdout, err = run("fuse", *pair, out, *arguments)
    assert status == 0, err
    # Of a residual the cut filter leaves 1e-4, and random weights are hundreds of DN away.
    assert misfit(out, pair[1]) < (0.01 if method != "u2net" else 1e-4 * before)
    report = json.loads(stdout)
    assert report["consistency"] == {
        "blur": [0.3] * 4,
        "noise": 0,
        "response": None,
        "is_nonnegative": False,
    }
    assert 0 < report["effect"]["after"] < 1e-3 * report["effect"]["before"]
    assert report["effect"]["moved"] > 0.1
    assert report["notes"][-1] in err
    assert "differ from the MS by" in report["notes"][-1]
    with rasterio.open(out) as fused:
        tags = fused.tags(ns="BANDWEAVE")
    assert float(tags["CONSISTENCY_NOISE"]) == 0
    assert json.loads(tags["MTF_GAINS"]) == [0.3] * 4


def test_it_is_off_by_default_and_leaves_no_trace(run, pair, tmp_path) -> None:
    for name, options in (("a", []), ("b", ["--no-consistent"])):
        out = tmp_path / f"{name}.tif"
        status, stdout, _ = run("fuse", *pair, out, "--method", "exp", "--json", *options)
        assert status == 0
        assert json.loads(stdout)["consistency"] is None
        with rasterio.open(out) as fused:
            assert "CONSISTENCY_NOISE" not in fused.tags(ns="BANDWEAVE")
    assert np.array_equal(read(tmp_path / "a.tif"), read(tmp_path / "b.tif"))


def test_gains_come_from_the_option_before_the_sensor(run, pair, tmp_path) -> None:
    results = {}
    for name, options in {
        "option": ["--mtf-gain", "0.3"],
        "each": ["--mtf-gain", "0.3,0.3,0.3,0.3", "--sensor", "ge1"],
        "sensor": ["--sensor", "ge1"],
        "convention": ["--sensor", "gf2"],
    }.items():
        out = tmp_path / f"{name}.tif"
        arguments = ["--method", "exp", "--consistent", "--json", *options]
        status, stdout, err = run("fuse", *pair, out, *arguments)
        assert status == 0, err
        results[name] = (read(out), json.loads(stdout))
    assert np.array_equal(results["option"][0], results["each"][0])
    assert np.array_equal(results["option"][0], results["convention"][0])
    assert not np.array_equal(results["option"][0], results["sensor"][0])
    assert results["sensor"][1]["consistency"]["blur"] == [0.23] * 4
    assumed = [n for n in results["convention"][1]["notes"] if n.startswith("Assumption:")]
    assert assumed
    assert "not a measurement of GaoFen-2" in assumed[0]
    assert not any(n.startswith("Assumption:") for n in results["option"][1]["notes"])
    assert any("MTF gains 0.23 of GeoEye-1" in note for note in results["sensor"][1]["notes"])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ([], "--consistent needs the MTF gains of the 4 bands"),
        ([], "the gains themselves with --mtf-gain"),
        (["--sensor", "landsat8"], "--consistent needs the MTF gains of the 4 bands"),
        (["--mtf-gain", "0.3,0.3"], "--mtf-gain takes one gain for all bands or one per band, 4"),
        (["--mtf-gain", "1.5"], "a number above 0 and below 1 is expected"),
        (["--mtf-gain", "0.3", "--consistency-noise", "-1"], "consistency_noise"),
        (["--mtf-gain", "0.03", "--consistency-noise", "0"], "cannot be inverted"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_sentence(run, pair, tmp_path, options, words) -> None:
    out = tmp_path / "out.tif"
    status, stdout, err = run("fuse", *pair, out, "--method", "exp", "--consistent", *options)
    assert status == 1
    assert words in err
    assert "Traceback" not in err
    assert not stdout
    assert not out.exists()


def test_a_list_of_gains_that_is_none_is_wrong_usage(run, pair, tmp_path) -> None:
    assert run("fuse", *pair, tmp_path / "out.tif", "--mtf-gain", "high")[0] == 2


def test_a_window_has_the_pixels_of_the_full_run(run, pair, tmp_path) -> None:
    weights = write_weights(tmp_path / "tiny.safetensors")
    for name, options in {
        "gsa": ["--method", "gsa"],
        "u2net": ["--weights", weights, "--full-scale", 2047, "--pan-sharpness", "off"],
    }.items():
        full, part = tmp_path / f"{name}_full.tif", tmp_path / f"{name}_part.tif"
        options += ["--consistent", "--mtf-gain", "0.3", "--dtype", "float32"]
        assert run("fuse", *pair, full, *options)[0] == 0
        assert run("fuse", *pair, part, *options, "--window", "13,21,70,55")[0] == 0
        assert np.array_equal(read(full)[:, 21:76, 13:83], read(part))


def test_masked_pixels_stay_masked(run, tmp_path) -> None:
    pan, ms = write_pair(tmp_path)
    for path, place in ((pan, (slice(None), 40, 50)), (ms, (slice(None), 20, 10))):
        with rasterio.open(path, "r+") as file:
            image = file.read()
            image[place] = 0
            file.write(image)
            file.nodata = 0
    out = tmp_path / "out.tif"
    options = ["--method", "gsa", "--align", "off", "--consistent", "--mtf-gain", "0.3"]
    assert run("fuse", pan, ms, out, *options)[0] == 0
    with rasterio.open(out) as fused:
        valid = fused.read_masks(1) > 0
    expected = np.ones((148, 124), bool)
    expected[40, 50] = False
    expected[80:84, 40:44] = False
    assert np.array_equal(valid, expected)


def test_a_dry_run_counts_the_step(run, pair, tmp_path) -> None:
    out = tmp_path / "out.tif"
    options = ["--method", "exp", "--consistent", "--mtf-gain", "0.3", "--dry-run", "--json"]
    status, stdout, err = run("fuse", *pair, out, *options)
    assert status == 0, err
    assert json.loads(stdout)["seconds"] > 0
    assert not out.exists()


def test_toolbox_files_and_arrays(run, tmp_path) -> None:
    from scipy.io import loadmat, savemat

    truth = smooth_truth(4, 148, 124)
    lrms = observe(truth, (0.3,), 4, (2.0, 2.0))
    pan = truth.mean(axis=0)
    content = {"pan": pan, "lrms": lrms.transpose(1, 2, 0), "gt": truth.transpose(1, 2, 0)}
    savemat(tmp_path / "pair.mat", content)
    options = ["--method", "exp", "--sensor", "none", "--full-scale", 1023, "--consistent"]
    options += ["--consistency-noise", 0, "--json"]
    status, stdout, err = run("fuse", tmp_path / "pair.mat", tmp_path / "out.mat", *options)
    assert status == 0, err
    assert json.loads(stdout)["effect"]["after"] < 0.01
    fused = loadmat(tmp_path / "out.mat")["sr"].transpose(2, 0, 1)
    seen = observe(fused, (0.3,), 4, (2.0, 2.0))
    assert np.abs(seen - lrms)[:, 7:-7, 7:-7].max() < 0.01

    said: list[str] = []
    lrms = observe(truth, (0.3,), 4, (1.5, 1.5))
    array = bandweave.fuse(
        pan, lrms, method="exp", consistent=True, consistency_noise=0, mtf_gain=(0.3,),
        align="off", tell=said.append,
    )  # fmt: skip
    seen = observe(array, (0.3,), 4, (1.5, 1.5))
    assert np.abs(seen - lrms)[:, 7:-7, 7:-7].max() < 0.01
    assert "differ from the MS by" in said[-1]
    with pytest.raises(SensorModelError, match="no sensor is known"):
        bandweave.fuse(pan, lrms, method="exp", consistent=True, align="off")
    with pytest.raises(BandCountError, match="4 here; got 3"):
        bandweave.fuse(pan, lrms, method="exp", mtf_gain=(0.3, 0.3, 0.3), align="off")
    with pytest.raises(ConfigError, match="one or more values"):
        bandweave.fuse(pan, lrms, method="exp", mtf_gain=(), align="off")


def test_the_ms_as_delivered_in_whole_numbers_is_met_within_its_rounding(run, tmp_path) -> None:
    truth = smooth_truth(2, 148, 124)
    pan, ms = write_pair(tmp_path, bands=2)
    with rasterio.open(ms) as file:
        transform = file.transform
    write_tif(ms, np.rint(observe(truth, (0.3,), 4, (1.5, 1.5))).astype("uint16"), transform)
    out = tmp_path / "out.tif"
    options = ["--method", "exp", "--consistent", "--consistency-noise", 0, "--mtf-gain", 0.3]
    assert run("fuse", pan, ms, out, *options)[0] == 0
    # The output is rounded too, which A averages down to a part of its 0.29 DN.
    assert misfit(out, ms) < 1


@pytest.mark.parametrize("container", ["tif", "mat"])
def test_metrics_that_the_step_meets_are_marked(run, tmp_path, container) -> None:
    truth = smooth_truth(4, 160, 128)
    lrms = observe(truth, [0.3], 4, (1.5, 1.5))
    if container == "tif":
        place = Affine(0.5, 0, 0, 0, -0.5, 0)
        pan = write_tif(tmp_path / "pan.tif", truth.mean(axis=0, keepdims=True), place)
        ms = write_tif(tmp_path / "ms.tif", lrms, Affine(2, 0, 0, 0, -2, 0))
        inputs, given = (pan, ms), ("--pan", pan, "--ms", ms)
    else:
        pair = tmp_path / "pair.mat"
        savemat(pair, {"I_PAN": truth.mean(axis=0), "I_MS_LR": lrms.transpose(1, 2, 0)})
        inputs, given = (pair,), ("--pan", pair)
    marked = {}
    for name, options in (("plain", ()), ("moved", ("--consistent",))):
        out = tmp_path / f"{name}.{container}"
        fused = run("fuse", *inputs, out, "--method", "brovey", "--sensor", "none", *options)
        assert fused[0] == 0, fused[2]
        table = tmp_path / f"{name}.csv"
        score = ("evaluate", out, *given, "--sensor", "none", "--csv", table)
        status, shown, err = run(*score)
        assert status == 0, err
        assert ("†" in shown) == (name == "moved")
        assert shown.count("says nothing about an image") == (name == "moved")
        marked[name] = json.loads(run(*score, "--json")[1])["images"][0]["meaningless"]
        with table.open(encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        assert [row["meaningless"] for row in rows] == [" ".join(marked[name])] * 3
        group = json.loads(run(*score, "--protocol", "reprojection", "--json")[1])["images"][0]
        assert group["meaningless"] == (
            [] if name == "plain" else ["r_q2n", "r_uqi", "r_sam", "r_ergas"]
        )
    assert marked == {"plain": [], "moved": ["d_lambda_k", "hqnr"]}


def test_every_marked_metric_exists() -> None:
    assert set(MET_BY_CONSISTENCY) <= set(METRICS)
