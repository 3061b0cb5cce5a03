"""`bandweave evaluate`: every container, tables, JSON, CSV, error maps, messages, exit codes."""

from __future__ import annotations

import csv
import json
import warnings

import h5py
import numpy as np
import pytest
import rasterio
from affine import Affine
from PIL import Image as Picture
from rasterio.errors import NotGeoreferencedWarning
from scipy.io import savemat

from bandweave.cli.main import main
from bandweave.datasets.matlab import result_name, write_results_mat
from bandweave.degrade.sampling import interpolate
from bandweave.metrics import evaluate_fr, evaluate_reprojection, evaluate_rr

PLACE = Affine(0.5, 0, 1000, 0, -0.5, 2000)
GAINS = (0.34, 0.32, 0.30, 0.22)


@pytest.fixture
def images(rng):
    """A coarse image, its PAN, the fused image and the reference, in whole DN."""
    lrms = rng.integers(1, 2047, (4, 32, 40)).astype(float)
    gt = interpolate(lrms, 4, (1.5, 1.5), border="symmetric").clip(1, 2047).round()
    fused = (gt + rng.normal(0, 30, gt.shape)).clip(1, 2047).round()
    return {"lrms": lrms, "pan": gt.mean(axis=0, keepdims=True).round(), "gt": gt, "fused": fused}


def write(path, image, place=PLACE, crs="EPSG:32633", **more):
    count, height, width = image.shape
    with rasterio.open(path, "w", driver="GTiff", count=count, height=height, width=width,
                       dtype="uint16", crs=crs, transform=place, **more) as file:  # fmt: skip
        file.write(image.astype("uint16"))
    return path


def run(*arguments):
    """Run the program and return its exit code."""
    with pytest.raises(SystemExit) as left:
        main([str(argument) for argument in arguments])
    return left.value.code or 0


def reported(capsys, *arguments):
    """Run with --json and return what was printed."""
    capsys.readouterr()
    assert run("evaluate", *arguments, "--json") == 0
    return json.loads(capsys.readouterr().out)


def same(printed, scores):
    assert printed.keys() == scores.values.keys()
    for name, value in scores.values.items():
        assert printed[name] == pytest.approx(value, abs=1e-12), name


def test_rasters_with_reference(tmp_path, images, capsys):
    fused = write(tmp_path / "fused.tif", images["fused"])
    gt = write(tmp_path / "gt.tif", images["gt"])
    found = reported(capsys, fused, "--gt", gt, "--full-scale", 2047, "-j", 2)
    expected = evaluate_rr(images["fused"], images["gt"], ratio=4, full_scale=2047)
    same(found["images"][0]["values"], expected)
    assert found["protocol"]["id"] == "dlpan-rr"
    assert found["images"][0]["name"] == "fused.tif"
    assert found["mean"] == found["images"][0]["values"]
    assert found["std"]["psnr"] is None


def test_a_window_of_the_scene_is_found_by_its_place(tmp_path, images, capsys):
    part = images["fused"][:, 8:120, 20:140]
    fused = write(tmp_path / "fused.tif", part, PLACE @ Affine.translation(20, 8))
    gt = write(tmp_path / "gt.tif", images["gt"])
    found = reported(capsys, fused, "--gt", gt, "--full-scale", 2047)
    expected = evaluate_rr(part, images["gt"][:, 8:120, 20:140], ratio=4, full_scale=2047)
    same(found["images"][0]["values"], expected)
    wide = write(tmp_path / "wide.tif", images["fused"], PLACE @ Affine.translation(60, 0))
    notes = reported(capsys, wide, "--gt", gt, "--full-scale", 2047)["images"][0]["notes"]
    assert "scored on the common part: 128 x 100 of 128 x 160 pixels" in notes


def test_nodata_does_not_count(tmp_path, images, capsys):
    holes = images["gt"].copy()
    holes[:, 40:44, 50:60] = 0
    fused = write(tmp_path / "fused.tif", images["fused"])
    gt = write(tmp_path / "gt.tif", holes, nodata=0)
    found = reported(capsys, fused, "--gt", gt, "--full-scale", 2047)
    valid = np.ones((128, 160), bool)
    valid[40:44, 50:60] = False
    expected = evaluate_rr(images["fused"], images["gt"], ratio=4, full_scale=2047, valid=valid)
    same(found["images"][0]["values"], expected)


def test_rasters_without_reference(tmp_path, images, capsys):
    fused = write(tmp_path / "fused.tif", images["fused"])
    pan = write(tmp_path / "pan.tif", images["pan"])
    ms = write(tmp_path / "ms.tif", images["lrms"], PLACE @ Affine.scale(4))
    found = reported(capsys, fused, "--pan", pan, "--ms", ms, "--sensor", "qb")
    inputs = (images["fused"], images["pan"], images["lrms"])
    expected = evaluate_fr(*inputs, ratio=4, gains=GAINS, phase=(1.5, 1.5))
    same(found["images"][0]["values"], expected)
    assert found["images"][0]["conditions"]["phase"] == [1.5, 1.5]
    other = ("--protocol", "reprojection", "--mtf-gain", "0.34,0.32,0.3,0.22")
    found = reported(capsys, fused, "--pan", pan, "--ms", ms, *other)
    same(found["images"][0]["values"], evaluate_reprojection(*inputs, ratio=4, gains=GAINS))


def test_the_alignment_that_the_fused_file_notes(tmp_path, images, capsys):
    """`fuse` corrects a displacement and writes it into the file; both sides then share it."""
    moved = np.roll(images["pan"], 3, axis=1)
    pan = write(tmp_path / "pan.tif", moved)
    ms = write(tmp_path / "ms.tif", images["lrms"], PLACE @ Affine.scale(4))
    fused = write(tmp_path / "fused.tif", np.roll(images["fused"], 3, axis=1))
    with rasterio.open(fused, "r+") as file:
        file.update_tags(ns="BANDWEAVE", DISPLACEMENT="[3.0, 0.0]")
    call = (fused, "--pan", pan, "--ms", ms, "--sensor", "qb", "--crop")
    aligned = reported(capsys, *call)["images"][0]
    off = reported(capsys, *call, "--align", "off")["images"][0]
    given = reported(capsys, *call, "--align", "3,0")["images"][0]
    assert "PAN and MS aligned by 3.00 rows and 0.00 columns of PAN" in aligned["notes"]
    assert given["values"] == aligned["values"]
    assert aligned["values"]["d_lambda_k"] < off["values"]["d_lambda_k"]


def test_matlab_files(tmp_path, images, capsys):
    pair = {"I_GT": images["gt"], "I_MS_LR": images["lrms"], "I_PAN": images["pan"]}
    savemat(tmp_path / "pair.mat", {key: np.moveaxis(image, 0, 2) for key, image in pair.items()})
    write_results_mat(tmp_path / "sr.mat", images["fused"])
    found = reported(
        capsys, tmp_path / "sr.mat", "--gt", tmp_path / "pair.mat", "--full-scale", 2047
    )
    expected = evaluate_rr(images["fused"], images["gt"], ratio=4, full_scale=2047)
    same(found["images"][0]["values"], expected)
    found = reported(capsys, tmp_path / "sr.mat", "--pan", tmp_path / "pair.mat", "--sensor", "qb")
    inputs = (images["fused"], images["pan"], images["lrms"])
    same(found["images"][0]["values"], evaluate_fr(*inputs, ratio=4, gains=GAINS))


def test_dn_beside_the_unit_range_is_refused(tmp_path, images, capsys):
    """Without a scale a pair in [0, 1] stays there, while results are in DN."""
    pair = {"I_GT": images["gt"], "I_MS_LR": images["lrms"], "I_PAN": images["pan"]}
    unit = {key: np.moveaxis(image, 0, 2) / 2047 for key, image in pair.items()}
    savemat(tmp_path / "pair.mat", unit)
    write_results_mat(tmp_path / "sr.mat", images["fused"])
    call = (tmp_path / "sr.mat", "--gt", tmp_path / "pair.mat")
    assert "Give --full-scale" in failure(capsys, *call)
    found = reported(capsys, *call, "--full-scale", 2047)
    expected = evaluate_rr(images["fused"], images["gt"], ratio=4, full_scale=2047)
    same(found["images"][0]["values"], expected)


@pytest.fixture
def image_set(tmp_path, images):
    """Three pairs in PanCollection's layout and three results."""
    truths = [np.roll(images["gt"], 9 * k, axis=2) for k in range(3)]
    with h5py.File(tmp_path / "set.h5", "w") as file:
        file["gt"] = np.stack(truths)
        file["ms"] = np.stack([images["lrms"]] * 3)
        file["pan"] = np.stack([images["pan"]] * 3)
    (tmp_path / "results").mkdir()
    for k, truth in enumerate(truths):
        write_results_mat(tmp_path / "results" / result_name(k), truth + 3.0 * k + 3)
    return truths


def test_sets(tmp_path, image_set, capsys):
    call = (tmp_path / "results", "--gt", tmp_path / "set.h5", "--full-scale", 2047)
    table = tmp_path / "scores.csv"
    found = reported(capsys, *call, "--csv", table, "--metrics", "rmse,psnr")
    assert [image["values"]["rmse"] for image in found["images"]] == pytest.approx([3, 6, 9])
    assert found["mean"]["rmse"] == pytest.approx(6.0)
    assert found["std"]["rmse"] == pytest.approx(3.0)
    with table.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["image"] for row in rows] == [*map(result_name, range(3)), "mean", "std"]
    assert {row["protocol"] for row in rows} == {"dlpan-rr"}
    assert float(rows[3]["rmse"]) == pytest.approx(6.0)
    assert run("evaluate", *call) == 0
    said = capsys.readouterr().out
    assert "protocol dlpan-rr" in said
    assert "std (n - 1)" in said
    assert "border toolbox21" in said


def test_folders_of_rasters(tmp_path, images, capsys):
    for name in ("fused", "gt"):
        (tmp_path / name).mkdir()
        for scene in ("a", "b"):
            write(tmp_path / name / f"{scene}.tif", images[name])
    (tmp_path / "fused" / "notes.txt").write_text("no reference of this name")
    found = reported(capsys, tmp_path / "fused", "--gt", tmp_path / "gt", "--metrics", "sam")
    assert [image["name"] for image in found["images"]] == ["a.tif", "b.tif"]


def test_error_maps(tmp_path, images, image_set, capsys):
    holes = images["gt"].copy()
    holes[:, :5, :7] = 0
    fused = write(tmp_path / "fused.tif", images["gt"] + 10)
    gt = write(tmp_path / "gt.tif", holes, nodata=0)
    picture = tmp_path / "maps" / "one.png"
    call = ("evaluate", fused, "--gt", gt, "--full-scale", 2047, "--metrics", "sam")
    assert run(*call, "--error-map", picture) == 0
    assert "black 0, white 102.4 and more" in capsys.readouterr().err
    with Picture.open(picture) as drawn:
        pixels = np.asarray(drawn)
    # The map is enlarged 3 times below the title: grey where invalid, one colour elsewhere.
    top, left = 54 + 17, 24
    assert pixels[top + 2, left + 2].tolist() == [128, 128, 128]
    inner = pixels[top + 20 : top + 380, left + 30 : left + 470]
    assert len(np.unique(inner.reshape(-1, 3), axis=0)) == 1
    folder = tmp_path / "set_maps"
    call = (tmp_path / "results", "--gt", tmp_path / "set.h5", "--metrics", "sam")
    assert run("evaluate", *call, "--error-map", folder, "--error-full", 20) == 0
    assert sorted(path.name for path in folder.iterdir()) == [
        f"{result_name(k)}.png" for k in range(3)
    ]


def test_values_that_json_has_no_number_for(tmp_path, images, capsys):
    gt = write(tmp_path / "gt.tif", images["gt"])
    found = reported(capsys, gt, "--gt", gt, "--full-scale", 2047, "--metrics", "psnr,ergas")
    assert found["images"][0]["values"] == {"psnr": "inf", "ergas": 0.0}
    found = reported(capsys, gt, "--gt", gt, "--metrics", "psnr,ergas")
    assert found["images"][0]["values"]["psnr"] is None
    assert found["images"][0]["notes"] == ["psnr: needs the full scale of the data"]
    assert run("evaluate", gt, "--gt", gt, "--metrics", "psnr,ergas") == 0
    assert "- psnr: needs the full scale of the data" in capsys.readouterr().out


USAGE = [
    ([], "Give either --gt, or --pan"),
    (["--gt", "GT", "--pan", "PAN"], "Give either --gt, or --pan"),
    (["--gt", "GT", "--ms", "MS"], "Give either --gt, or --pan"),
    (["--pan", "PAN", "--ms", "MS", "--error-map", "a.png"], "needs a reference"),
    (["--gt", "GT", "--mtf-gain", "high"], "expected numbers"),
    (["--gt", "GT", "--align", "1,2,3"], "expected auto, off or DY,DX"),
    (["--gt", "GT", "--protocol", "dlpan"], "is not one of"),
]


@pytest.mark.parametrize(("arguments", "message"), USAGE)
def test_wrong_usage(arguments, message, capsys):
    assert run("evaluate", "FUSED", *arguments) == 2
    assert message in capsys.readouterr().err


def failure(capsys, *arguments):
    capsys.readouterr()
    assert run("evaluate", *arguments) == 1
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert said.startswith("Error: ")
    assert said.endswith(".")
    return said


def test_failures_are_one_sentence(tmp_path, images, image_set, capsys):
    fused = write(tmp_path / "fused.tif", images["fused"])
    gt = write(tmp_path / "gt.tif", images["gt"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        plain = write(tmp_path / "plain.tif", images["gt"][:, :100], None, None)
    half = write(tmp_path / "half.tif", images["gt"], PLACE @ Affine.translation(0.5, 0))
    coarse = write(tmp_path / "coarse.tif", images["gt"], PLACE @ Affine.scale(2))
    away = write(tmp_path / "away.tif", images["gt"], PLACE @ Affine.translation(900, 0))
    other = write(tmp_path / "other.tif", images["gt"], crs="EPSG:32634")
    pan = write(tmp_path / "pan.tif", images["pan"])
    ms = write(tmp_path / "ms.tif", images["lrms"], PLACE @ Affine.scale(4))
    assert "no file" in failure(capsys, tmp_path / "none.tif", "--gt", gt)
    assert "must be of one size" in failure(capsys, fused, "--gt", plain)
    for grid in (half, coarse):
        assert "do not lie on one pixel grid" in failure(capsys, fused, "--gt", grid)
    assert "do not overlap" in failure(capsys, fused, "--gt", away)
    assert "different CRS" in failure(capsys, fused, "--gt", other)
    said = failure(capsys, fused, "--gt", pan)
    assert "estimate (4, 128, 160), reference (1, 128, 160)" in said
    assert "PAN and MS are needed" in failure(capsys, fused, "--pan", pan)
    assert "needs the MTF gains" in failure(
        capsys, fused, "--pan", pan, "--ms", ms, "--protocol", "reprojection"
    )
    assert "is of kind fr" in failure(capsys, fused, "--gt", gt, "--protocol", "dlpan-fr")
    results, pairs = tmp_path / "results", tmp_path / "set.h5"
    assert "holds 1 fused images" in failure(capsys, fused, "--gt", pairs)
    assert "is a folder and" in failure(capsys, results, "--gt", gt)
    with h5py.File(pairs, "r+") as file:
        del file["gt"]
    assert "holds no reference" in failure(capsys, results, "--gt", pairs)
    (tmp_path / "empty").mkdir()
    assert "no file of the same name" in failure(capsys, tmp_path / "empty", "--gt", results)


@pytest.mark.parametrize(("is_compiled", "precision"), [(True, "float64"), (False, "float32")])
def test_fast_path_and_progress(is_compiled, precision, tmp_path, images, capsys, monkeypatch):
    if is_compiled:
        pytest.importorskip("numba", reason="the extra `fast` is not installed")
    monkeypatch.setattr("bandweave.metrics.compilation.is_compiled", lambda: is_compiled)
    monkeypatch.setattr("bandweave.metrics.files._LONG", 1)
    fused = write(tmp_path / "fused.tif", images["fused"])
    gt = write(tmp_path / "gt.tif", images["gt"])
    command = ["evaluate", fused, "--gt", gt, "--full-scale", 2047, "--json"]
    assert run(*command, "--fast") == 0
    out, err = capsys.readouterr()
    assert "fused.tif: 100 %" in err
    found = json.loads(out)["images"][0]
    assert found["conditions"]["precision"] == precision
    expected = evaluate_rr(images["fused"], images["gt"], ratio=4, full_scale=2047)
    for name, value in found["values"].items():
        assert value == pytest.approx(expected.values[name], abs=1e-4, rel=1e-5), name
    assert run(*command, "-q") == 0
    assert "%" not in capsys.readouterr().err


def test_the_fast_path_needs_a_reference(tmp_path, capsys):
    assert run("evaluate", "fused.tif", "--pan", "pan.tif", "--ms", "ms.tif", "--fast") == 2
    assert "--fast needs a reference" in capsys.readouterr().err
