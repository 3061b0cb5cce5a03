"""`bandweave fuse` as a user calls it: what it writes, and what it says when it cannot."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path

import h5py
import numpy as np
import pytest
import rasterio
from affine import Affine
from scipy.io import loadmat, savemat

import bandweave
from bandweave.degrade.observe import observe
from bandweave.errors import ConfigError, ShapeError
from bandweave.machine import usable_memory
from bandweave.mosaic import prepare
from commands import refused
from scenes import CRS, smooth_truth, write_pair, write_tif, write_weights


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    return write_pair(tmp_path)


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    return write_weights(tmp_path / "tiny.safetensors")


# What it writes


@pytest.mark.parametrize("method", ["exp", "brovey", "gsa"])
def test_the_result_lies_on_the_pans_grid_with_the_bands_of_the_ms(run, pair, tmp_path, method):
    with rasterio.open(pair[1], "r+") as ms:
        ms.set_band_description(2, "green")
        ms.scales = [0.01] * 4
    out = tmp_path / "out.tif"
    status, stdout, err = run("fuse", *pair, out, "--method", method)
    assert status == 0, err
    assert "4 bands of 148 x 124 pixels" in stdout
    with rasterio.open(out) as fused, rasterio.open(pair[0]) as pan:
        assert fused.shape == pan.shape
        assert fused.transform == pan.transform
        assert fused.crs == pan.crs
        assert fused.dtypes == ("uint16",) * 4
        assert fused.descriptions[1] == "green"
        assert fused.scales == (0.01,) * 4
        tags = fused.tags(ns="BANDWEAVE")
        assert tags["METHOD"] == method
        assert tags["SOFTWARE"] == f"bandweave {bandweave.__version__}"
        assert fused.read().std() > 10


def test_gsa_is_closer_to_the_truth_than_interpolation(run, tmp_path) -> None:
    pan, ms = write_pair(tmp_path, coarse=(60, 53))
    truth = smooth_truth(4, 240, 212)
    errors = {}
    for method in ("exp", "gsa"):
        out = tmp_path / f"{method}.tif"
        assert run("fuse", pan, ms, out, "--method", method)[0] == 0
        with rasterio.open(out) as file:
            errors[method] = np.abs(file.read() - truth).mean()
    assert errors["gsa"] < 0.6 * errors["exp"]


def test_a_displaced_pair_is_aligned_and_said_so(run, tmp_path) -> None:
    for name in ("straight", "displaced"):
        (tmp_path / name).mkdir()
    straight = write_pair(tmp_path / "straight", coarse=(80, 75))
    displaced = write_pair(tmp_path / "displaced", coarse=(80, 75), shift=(3.0, -1.0))
    out = tmp_path / "out.tif"

    def fused(pair: tuple[Path, Path], *options: str) -> tuple[np.ndarray, dict, str]:
        arguments = ("fuse", *pair, out, "--method", "gsa", "--json", "--overwrite", *options)
        status, stdout, err = run(*arguments)
        assert status == 0, err
        with rasterio.open(out) as file:
            # Whole MS pixels inside the PAN: none begins in its first 3 rows and columns.
            corner = file.index(400_000 + 0.25, 5_000_000 - 0.25)
            assert corner == ((-3, -3) if pair is displaced and not options else (0, 0))
            return file.read().astype(float), json.loads(stdout), err

    reference, report, _ = fused(straight)
    assert report["displacement"] is None
    aligned, report, err = fused(displaced)
    assert np.allclose(report["displacement"], (3.0, -1.0), atol=0.1)
    assert "corrected" in err
    ignored, report, _ = fused(displaced, "--align", "off")
    assert report["displacement"] is None
    middle = (slice(None), slice(40, 240), slice(40, 240))
    wanted = reference[middle]
    error = np.abs(aligned[:, 37:237, 37:237] - wanted).mean()
    assert error < 0.2 * np.abs(ignored[middle] - wanted).mean()


def test_a_window_and_a_bounding_box_have_the_pixels_of_the_full_run(run, pair, weights, tmp_path):
    for name, options in (("gsa", ["--method", "gsa"]), ("u2net", ["--weights", weights])):
        full, part, box = (tmp_path / f"{name}_{kind}.tif" for kind in ("full", "part", "box"))
        options += ["--full-scale", 2047]
        assert run("fuse", *pair, full, *options)[0] == 0
        assert run("fuse", *pair, part, *options, "--window", "13,21,70,55")[0] == 0
        bounds = f"{400_000 + 13 * 0.5},{5_000_000 - 76 * 0.5},{400_000 + 83 * 0.5},{5_000_000 - 21 * 0.5}"
        assert run("fuse", *pair, box, *options, "--bbox", bounds)[0] == 0
        with rasterio.open(full) as a, rasterio.open(part) as b, rasterio.open(box) as c:
            assert b.shape == (55, 70)
            assert np.array_equal(a.read()[:, 21:76, 13:83], b.read())
            assert np.array_equal(b.read(), c.read())
            assert b.transform.c == 400_000 + 13 * 0.5
            assert c.transform == b.transform


def test_masked_pixels_stay_masked_and_alone(run, tmp_path) -> None:
    pan, ms = write_pair(tmp_path)
    with rasterio.open(pan, "r+") as file:
        image = file.read()
        image[0, 40, 50] = 0
        file.write(image)
        file.nodata = 0
    with rasterio.open(ms, "r+") as file:
        image = file.read()
        image[:, 20, 10] = 0
        file.write(image)
        file.nodata = 0
    out = tmp_path / "out.tif"
    assert run("fuse", pan, ms, out, "--method", "gsa", "--align", "off")[0] == 0
    with rasterio.open(out) as fused:
        valid = fused.read_masks(1) > 0
        assert fused.nodata == 0
    expected = np.ones((148, 124), bool)
    expected[40, 50] = False
    expected[80:84, 40:44] = False
    assert np.array_equal(valid, expected)


def test_the_pans_whole_extent_on_request(run, tmp_path) -> None:
    _, ms = write_pair(tmp_path)
    truth = smooth_truth(1, 152, 126).astype("uint16")
    pan = write_tif(tmp_path / "pan.tif", truth, Affine(0.5, 0, 399_999, 0, -0.5, 5_000_001))
    out = tmp_path / "out.tif"
    options = ("--method", "exp", "--align", "off")
    assert run("fuse", pan, ms, out, *options, "--extent", "pan")[0] == 0
    with rasterio.open(out) as fused, rasterio.open(pan) as file:
        assert (fused.shape, fused.transform) == (file.shape, file.transform)
        valid = fused.read_masks(1) > 0
    assert valid.sum() == 148 * 124
    assert valid[2:150, 2:126].all()


def test_dry_run_writes_nothing_and_json_says_what_would_happen(run, pair, weights, tmp_path):
    out = tmp_path / "out.tif"
    arguments = ("fuse", *pair, out, "--weights", weights, "--full-scale", 2047)
    status, stdout, _ = run(*arguments, "--dry-run", "--json")
    report = json.loads(stdout)
    assert status == 0
    assert report["dry_run"]
    assert report["method"] == "u2net"
    assert report["seconds"] > 0
    assert not out.exists()
    assert "Would write" in run(*arguments, "--dry-run")[1]


def test_a_broken_run_leaves_nothing_and_resume_goes_on(run, pair, weights, tmp_path, monkeypatch):
    from bandweave.methods.learned import FittedTileNetwork

    out = tmp_path / "out.tif"
    arguments = ("fuse", *pair, out, "--weights", weights, "--full-scale", 2047, "--align", "off")
    assert run(*arguments, "--pan-sharpness", "off")[0] == 0
    undisturbed = out.read_bytes()
    out.unlink()

    calls = []
    fuse_batch = FittedTileNetwork.fuse_batch

    def interrupted(self, tiles):
        calls.append(len(tiles))
        if len(calls) == 2:
            raise KeyboardInterrupt
        return fuse_batch(self, tiles)

    monkeypatch.setattr(FittedTileNetwork, "fuse_batch", interrupted)
    status, _, err = run(*arguments, "--pan-sharpness", "off")
    assert status == 1
    assert "Interrupted" in err
    left = sorted(path.name for path in tmp_path.iterdir())
    assert left == [".out.tif.rows", "ms.tif", "pan.tif", "tiny.safetensors"]

    monkeypatch.setattr(FittedTileNetwork, "fuse_batch", fuse_batch)
    assert run(*arguments, "--pan-sharpness", "off", "--resume")[0] == 0
    assert out.read_bytes() == undisturbed
    assert not (tmp_path / ".out.tif.rows").exists()


def test_brovey_takes_weights_as_gdal_does(run, pair, tmp_path) -> None:
    options = ("--method", "brovey", "--align", "off", "--dtype", "float64")
    with rasterio.open(pair[1]) as file:
        bands = file.count
    weights = [0.2 + 0.1 * k for k in range(bands)]  # need not sum to 1
    out = tmp_path / "weighted.tif"
    given = ",".join(map(str, weights))
    status, _, err = run("fuse", *pair, out, *options, "--band-weights", given)
    assert status == 0, err
    with rasterio.open(out) as file:
        fused = file.read()
        assert json.loads(file.tags(ns="BANDWEAVE")["BAND_WEIGHTS"]) == pytest.approx(weights)
    with rasterio.open(pair[0]) as file:
        pan = file.read(1)[: fused.shape[1], : fused.shape[2]]
    # The weighted sum of the result is the PAN, whatever the interpolation.
    np.testing.assert_allclose(np.tensordot(weights, fused, 1), pan, rtol=1e-5)
    equal = tmp_path / "equal.tif"
    assert run("fuse", *pair, equal, *options, "--band-weights", "equal")[0] == 0
    with rasterio.open(equal) as file:
        np.testing.assert_allclose(file.read().mean(axis=0), pan, rtol=1e-5)
        assert json.loads(file.tags(ns="BANDWEAVE")["BAND_WEIGHTS"]) == "equal"
    refused(
        run("fuse", *pair, tmp_path / "o.tif", *options, "--band-weights", "1"),
        f"{bands} bands, 1 weights",
    )
    other = ("--method", "gsa", "--band-weights", given)
    refused(run("fuse", *pair, tmp_path / "o.tif", *other), "gsa takes no band weights")


def test_arrays_are_fused_to_an_array(rng) -> None:
    truth = smooth_truth(3, 60, 44)
    pan, lrms = truth.mean(0), truth.reshape(3, 15, 4, 11, 4).mean((2, 4))
    fused = bandweave.fuse(pan, lrms.astype("uint16"), method="brovey")
    assert fused.shape == (3, 60, 44)
    assert fused.dtype == np.uint16
    assert np.abs(fused - truth).mean() < np.abs(lrms.repeat(4, 1).repeat(4, 2) - truth).mean()
    with pytest.raises(ConfigError, match="Arrays are fused to an array"):
        bandweave.fuse(pan, lrms, "out.tif")
    with pytest.raises(ShapeError, match="needs a spatial image of"):
        bandweave.fuse(pan[:-1], lrms, method="exp")


def toolbox_pair(folder: Path, full_scale: float | None = None) -> tuple[Path, np.ndarray]:
    """Write a `.mat` pair at the toolboxes' phase; return it with its truth."""
    truth = smooth_truth(3, 60, 44)
    lrms = observe(truth, [0.3], 4, (2, 2), normalised=False)
    content = {"I_PAN": truth.mean(0), "I_MS_LR": np.moveaxis(lrms, 0, 2)}
    if full_scale is not None:
        content = {key: image / full_scale for key, image in content.items()}
    savemat(folder / "pair.mat", content)
    return folder / "pair.mat", truth


@pytest.mark.parametrize("full_scale", [None, 2047.0])
def test_a_mat_pair_gives_a_mat_with_sr_in_dn(run, tmp_path, full_scale) -> None:
    pair, truth = toolbox_pair(tmp_path, full_scale)
    out = tmp_path / "out.mat"
    options = () if full_scale is None else ("--full-scale", full_scale)
    status, _, err = run("fuse", pair, out, "--method", "exp", *options)
    assert status == 0, err
    sr = loadmat(out)["sr"]
    assert sr.shape == (60, 44, 3)
    inside = (slice(16, -16), slice(16, -16))
    error = np.abs(np.moveaxis(sr, 2, 0)[:, *inside] - truth[:, *inside]).mean()
    assert error < 0.5 * truth.std()
    refused(run("fuse", pair, out, "--method", "exp"), "--overwrite")
    refused(run("fuse", pair, tmp_path / "o.tif", "--method", "exp"), "is a .mat file")
    refused(run("fuse", pair, tmp_path / "o.mat", "--method", "exp", "--cog"), "raster files only")
    refused(run("fuse", tmp_path / "x.tif", out), "stands alone")


def test_unit_values_take_the_scale_of_the_weights(run, tmp_path) -> None:
    pair, _ = toolbox_pair(tmp_path, 2047.0)
    weights = write_weights(tmp_path / "three.safetensors", bands=3)
    status, _, err = run("fuse", pair, tmp_path / "out.mat", "--weights", weights)
    assert status == 0, err
    assert "Full scale 2047 taken from the weights" in err
    assert loadmat(tmp_path / "out.mat")["sr"].max() > 100


def test_a_set_gives_one_result_per_pair(run, tmp_path) -> None:
    truth = np.stack([smooth_truth(3, 48, 32, seed=seed) for seed in (1, 2)])
    with h5py.File(tmp_path / "set.h5", "w") as file:
        file["pan"] = truth.mean(1, keepdims=True)
        file["ms"] = np.stack([observe(one, [0.3], 4, (2, 2)) for one in truth])
    folder = tmp_path / "results"
    arguments = ("fuse", tmp_path / "set.h5", folder, "--method", "brovey", "--json")
    report = json.loads(run(*arguments, "--dry-run")[1])
    assert (report["images"], folder.exists()) == (2, False)
    status, stdout, err = run(*arguments)
    assert status == 0, err
    assert json.loads(stdout)["images"] == 2
    for k in range(2):
        sr = loadmat(folder / f"output_mulExm_{k}.mat")["sr"]
        assert np.abs(np.moveaxis(sr, 2, 0) - truth[k]).mean() < 0.3 * truth[k].std()


def test_the_toolbox_s_convention_runs_on_scenes_with_a_note(run, pair, tmp_path) -> None:
    options = ("--method", "mtf_glp_fs", "--sensor", "none")
    images = []
    for name, more in (("toolbox", ("--convention", "toolbox")), ("scene", ("--align", "off"))):
        out = tmp_path / f"{name}.tif"
        status, stdout, err = run("fuse", *pair, out, *options, *more, "--json")
        assert status == 0, err
        assert json.loads(stdout)["convention"] == name
        assert ("Convention: as the MATLAB toolbox" in err) == (name == "toolbox")
        with rasterio.open(out) as file:
            assert file.tags(ns="BANDWEAVE").get("CONVENTION", "scene") == name
            images.append(file.read().astype(float))
    # The periodic border lets one edge leak into the other.
    assert np.abs(images[0] - images[1])[:, :, 0].max() > 5
    assert np.abs(images[0] - images[1])[:, 60:80, 60:80].max() <= 2


def test_a_method_without_toolbox_mode_is_refused_in_it(run, pair, tmp_path) -> None:
    options = ("--method", "gsa", "--convention", "toolbox")
    refused(run("fuse", *pair, tmp_path / "o.tif", *options), "gsa has no toolbox mode")


# What it refuses


def test_a_whole_scene_method_is_measured_against_the_machine(
    run, pair, tmp_path, monkeypatch
) -> None:
    assert (usable_memory() or 2**40) > 2**28
    monkeypatch.setattr(prepare, "usable_memory", lambda: 2**20)
    out = tmp_path / "o.tif"
    refused(run("fuse", *pair, out, "--method", "tv"), "GiB are there or allowed", "--max-memory")
    assert run("fuse", *pair, out, "--method", "gsa")[0] == 0  # works in blocks
    status, _, err = run("fuse", *pair, out, "--method", "tv", "--max-memory", 1, "--overwrite")
    assert status == 0, err


def test_a_missing_folder_is_told_before_anything_is_done(run, pair, tmp_path) -> None:
    out = tmp_path / "absent" / "o.tif"
    # Nobody is there to connect to: it does not come to that.
    result = run("fuse", *pair, out, "--method", "gsa", "--dask", "tcp://127.0.0.1:9")
    refused(result, f"The folder {out.parent} for the output does not exist; make it first.")
    assert run("fuse", *pair, out, "--method", "gsa", "--dry-run")[0] == 0


def test_swapped_images(run, pair, tmp_path) -> None:
    refused(run("fuse", pair[1], pair[0], tmp_path / "o.tif"), "swapped")


def test_another_number_of_bands_than_the_weights(run, pair, tmp_path) -> None:
    weights = write_weights(tmp_path / "eight.safetensors", bands=8)
    result = run("fuse", *pair, tmp_path / "o.tif", "--weights", weights, "--full-scale", 2047)
    refused(result, "8 spectral bands", "has 4")


def test_no_overlap(run, pair, tmp_path) -> None:
    far = write_tif(
        tmp_path / "far.tif",
        np.ones((4, 10, 10), "uint16"),
        Affine(2, 0, 500_000, 0, -2, 5_000_000),
    )
    refused(run("fuse", pair[0], far, tmp_path / "o.tif"), "share at least one whole MS pixel")


def test_different_reference_systems_name_the_call_that_helps(run, pair, tmp_path) -> None:
    with rasterio.open(pair[1], "r+") as ms:
        ms.crs = "EPSG:32634"
    refused(run("fuse", *pair, tmp_path / "o.tif"), "gdalwarp", "32633")


@pytest.mark.parametrize("which", [0, 1])
def test_a_truncated_file(run, pair, tmp_path, which) -> None:
    content = pair[which].read_bytes()
    pair[which].write_bytes(content[: len(content) // 2])
    refused(run("fuse", *pair, tmp_path / "o.tif", "--method", "exp"), pair[which].name)
    assert not (tmp_path / "o.tif").exists()


def test_nan_everywhere(run, tmp_path) -> None:
    pan, ms = write_pair(tmp_path, dtype="float32")
    with rasterio.open(ms, "r+") as file:
        file.write(np.full((4, 37, 31), np.nan, "float32"))
    refused(run("fuse", pan, ms, tmp_path / "o.tif", "--method", "gsa"), "usable pixel")


def test_float_data_of_unknown_scale_for_a_learned_method(run, tmp_path, weights) -> None:
    pan, ms = write_pair(tmp_path, dtype="float32")
    refused(run("fuse", pan, ms, tmp_path / "o.tif", "--weights", weights), "--full-scale")
    status, _, err = run(
        "fuse", pan, ms, tmp_path / "o.tif", "--weights", weights, "--full-scale", 1000
    )
    assert status == 0, err


def test_integers_within_the_weights_scale_need_no_option(run, pair, weights, tmp_path) -> None:
    status, _, err = run("fuse", *pair, tmp_path / "o.tif", "--weights", weights)
    assert status == 0
    assert "Full scale 2047 taken from the weights" in err


def test_a_damaged_and_a_foreign_weight_file(run, pair, weights, tmp_path) -> None:
    content = weights.read_bytes()
    weights.write_bytes(content[: len(content) // 2])
    refused(run("fuse", *pair, tmp_path / "o.tif", "--weights", weights), "damaged")
    from safetensors.numpy import save_file

    save_file({"x": np.zeros(3, np.float32)}, str(weights))
    refused(run("fuse", *pair, tmp_path / "o.tif", "--weights", weights), "no bandweave card")
    refused(run("fuse", *pair, tmp_path / "o.tif", "--weights", "nonesuch"), "nonesuch")


class Bomb:
    def __reduce__(self):
        return os.system, ("touch exploded",)


def test_a_pickle_bomb_does_not_go_off(run, pair, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    bomb = tmp_path / "weights.pth"
    bomb.write_bytes(pickle.dumps({"x": Bomb()}))
    eight = write_pair(tmp_path, bands=8)
    refused(
        run("fuse", *eight, tmp_path / "o.tif", "--weights", bomb, "--full-scale", 2047),
        "weights.pth",
    )
    assert not (tmp_path / "exploded").exists()


def test_an_existing_output_is_kept_unless_told_otherwise(run, pair, tmp_path) -> None:
    out = tmp_path / "out.tif"
    out.write_text("precious")
    refused(run("fuse", *pair, out, "--method", "exp"), "--overwrite")
    assert out.read_text() == "precious"
    assert run("fuse", *pair, out, "--method", "exp", "--overwrite")[0] == 0


def test_an_input_is_never_replaced(run, pair, tmp_path) -> None:
    before = pair[0].read_bytes()
    refused(run("fuse", *pair, pair[0], "--method", "exp", "--overwrite"), "is an input too")
    assert pair[0].read_bytes() == before


def test_a_folder_that_does_not_exist(run, pair, tmp_path) -> None:
    refused(run("fuse", *pair, tmp_path / "none" / "o.tif", "--method", "exp"), "does not exist")


def test_unknown_names_list_the_valid_ones(run, pair, tmp_path) -> None:
    refused(run("fuse", *pair, tmp_path / "o.tif", "--method", "magic"), "exp", "gsa", "u2net")
    refused(run("fuse", *pair, tmp_path / "o.tif", "--sensor", "magic"), "wv3")
    refused(run("fuse", *pair, tmp_path / "o.tif", "--method", "u2net"), "--weights FILE")
    refused(run("fuse", *pair, tmp_path / "o.tif", "--method", "gsa", "--weights", "x"), "takes no")


def test_a_window_outside_the_scene(run, pair, tmp_path) -> None:
    refused(
        run("fuse", *pair, tmp_path / "o.tif", "--window", "900,900,10,10"), "must touch the scene"
    )


@pytest.mark.parametrize(
    "options",
    [["--window", "1,2,3"], ["--align", "north"], ["--co", "DEFLATE"], ["--bidx", "a"], ["--nope"]],
)
def test_wrong_usage_is_exit_2(run, pair, tmp_path, options) -> None:
    status, _, err = run("fuse", *pair, tmp_path / "o.tif", *options)
    assert status == 2
    assert "Usage:" in err


def test_pairs_without_georeference_warn_and_work(run, tmp_path) -> None:
    truth = smooth_truth(4, 60, 44)
    pan = write_tif(tmp_path / "p.tif", truth[:1].astype("uint16"), None, crs=None)
    ms = write_tif(tmp_path / "m.tif", truth[:, ::4, ::4].astype("uint16"), None, crs=None)
    status, _, err = run("fuse", pan, ms, tmp_path / "o.tif", "--method", "exp")
    assert status == 0, err
    assert "no georeference" in err
    assert CRS not in err


def test_a_long_dry_run_names_the_faster_method(run, pair, weights, tmp_path, monkeypatch) -> None:
    from bandweave.mosaic import job

    arguments = ("fuse", *pair, tmp_path / "o.tif", "--weights", weights, "--full-scale", 2047)
    assert "That is long" not in run(*arguments, "--dry-run")[1]
    monkeypatch.setattr(job, "LONG", 0.0)
    assert "--method pracs takes about" in run(*arguments, "--dry-run")[1]


def test_overviews_can_be_left_out(run, tmp_path):
    pan, ms = write_pair(tmp_path, bands=2, coarse=(130, 70))
    for option, has_overviews in (("--overviews", True), ("--no-overviews", False)):
        out = tmp_path / f"out{option}.tif"
        status, _, err = run("fuse", pan, ms, out, "--method", "exp", "--align", "off", option)
        assert status == 0, err
        with rasterio.open(out) as file:
            assert bool(file.overviews(1)) == has_overviews
