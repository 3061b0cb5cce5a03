"""`bandweave batch` as a user calls it: pairs, results, manifest, failures, resumption."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio

import deliveries
from bandweave.cli.main import main
from bandweave.mosaic.batch import run as batch_module

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run the program; return exit status, stdout and stderr."""

    def call(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        with pytest.raises(SystemExit) as left:
            main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        return int(left.value.code or 0), out, err

    return call


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three products: one of Maxar, two plain ones."""
    deliveries.maxar(tmp_path / "in" / "maxar", coarse=(16, 15), tiles=1)
    deliveries.plain(tmp_path / "in", ("town_pan.tif", "town_ms.tif"))
    deliveries.plain(tmp_path / "in", ("village_pan.tif", "village_ms.tif"))
    return tmp_path / "in"


EXP = ("--method", "exp", "--align", "off")
NAMES = ["054112345010_01_P001", "town", "village"]


def entries(out: Path) -> list[dict]:
    return [json.loads(line) for line in (out / "manifest.jsonl").read_text().splitlines()]


def test_every_product_is_fused_and_recorded(run, folder, tmp_path) -> None:
    out = tmp_path / "out"
    status, stdout, err = run("batch", folder, out, *EXP)
    assert status == 0, err
    assert stdout.splitlines()[-1] == "3 done."
    made = sorted(path.name for path in out.iterdir())
    assert made == sorted([*(f"{name}_exp.tif" for name in NAMES), "manifest.jsonl"])
    assert "[2/3] town" in err
    assert "3 of 3 products." in err
    done = [entry for entry in entries(out) if entry["state"] == "done"]
    assert [entry["name"] for entry in done] == NAMES
    assert all(entry["seconds"] > 0 and entry["method"] == "exp" for entry in done)
    with rasterio.open(out / f"{NAMES[0]}_exp.tif") as file:
        assert file.descriptions == ("blue", "green", "red", "nir1")
        assert file.tags(ns="BANDWEAVE")["PRODUCT"] == NAMES[0]


def test_a_dry_run_lists_pairs_and_problems_and_writes_nothing(run, folder, tmp_path) -> None:
    (folder / "village_ms.tif").unlink()
    out = tmp_path / "out"
    status, stdout, _ = run("batch", folder, out, "--dry-run", *EXP)
    assert status == 1
    assert "town_pan.tif + town_ms.tif" in stdout
    assert "problem  The PAN village_pan.tif needs one MS image" in stdout
    assert "2 planned, 1 images without a product." in stdout
    assert not out.exists()


def test_a_failed_product_does_not_stop_the_rest(run, folder, tmp_path) -> None:
    spoiled = folder / "town_ms.tif"
    spoiled.write_bytes(spoiled.read_bytes()[:3000])
    out = tmp_path / "out"
    status, stdout, err = run("batch", folder, out, *EXP)
    assert status == 1
    assert "2 done, 1 failed." in stdout
    assert "town_ms.tif" in next(line for line in stdout.splitlines() if line.startswith("failed"))
    assert "Traceback" not in err
    assert (out / "village_exp.tif").exists()
    (failed,) = [entry for entry in entries(out) if entry["state"] == "failed"]
    assert "town_ms.tif" in failed["error"]
    # Repaired, it alone is done.
    deliveries.plain(folder, ("town_pan.tif", "town_ms.tif"))
    status, stdout, _ = run("batch", folder, out, *EXP)
    assert status == 0
    assert stdout.splitlines()[-1] == "1 done, 2 skipped."


def test_a_dangling_link_is_one_failed_product(run, folder, tmp_path) -> None:
    (folder / "town_ms.tif").unlink()
    (folder / "town_ms.tif").symlink_to(tmp_path / "gone.tif")
    status, stdout, err = run("batch", folder, tmp_path / "out", *EXP)
    assert (status, stdout.splitlines()[-1]) == (1, "2 done, 1 failed.")
    assert "there is no file" in stdout
    assert "Traceback" not in err


def test_an_unexpected_error_is_one_sentence_too(run, folder, tmp_path, monkeypatch) -> None:
    fuse_bundle = batch_module.fuse_bundle

    def fail_once(bundle, *args, **kwargs):
        if bundle.name == "town":
            raise ZeroDivisionError("by zero")
        return fuse_bundle(bundle, *args, **kwargs)

    monkeypatch.setattr(batch_module, "fuse_bundle", fail_once)
    status, stdout, err = run("batch", folder, tmp_path / "out", *EXP)
    assert status == 1
    assert "unexpected ZeroDivisionError: by zero" in stdout
    assert "2 done, 1 failed." in stdout
    assert "Traceback" not in err


def test_only_what_changed_is_done_again(run, folder, tmp_path) -> None:
    out = tmp_path / "out"
    run("batch", folder, out, *EXP)
    stamps = {path: path.stat().st_mtime_ns for path in out.glob("*.tif")}
    assert "3 skipped." in run("batch", folder, out, *EXP)[1]
    deliveries.plain(folder, ("town_pan.tif", "town_ms.tif"))  # written anew
    status, stdout, _ = run("batch", folder, out, *EXP)
    # The old result was made of other files: it is not replaced without a word.
    assert status == 1
    assert "--overwrite replaces it" in stdout
    assert {path: path.stat().st_mtime_ns for path in out.glob("*.tif")} == stamps
    assert "--overwrite replaces it" in run("batch", folder, out, *EXP)[1]
    status, stdout, _ = run("batch", folder, out, *EXP, "--overwrite")
    assert (status, stdout.splitlines()[-1]) == (0, "1 done, 2 skipped.")
    status, stdout, _ = run("batch", folder, out, *EXP, "--no-resume")
    assert (status, stdout.splitlines()[-1]) == (0, "3 done.")


def test_other_options_are_other_work(run, folder, tmp_path) -> None:
    out = tmp_path / "out"
    run("batch", folder, out, *EXP)
    assert run("batch", folder, out, *EXP, "-j", "1")[1].splitlines()[-1] == "3 skipped."
    status, stdout, _ = run("batch", folder, out, *EXP, "--dtype", "float32")
    assert (status, stdout.splitlines()[-1]) == (1, "3 failed.")
    status, stdout, _ = run("batch", folder, out, "--method", "brovey", "--align", "off")
    assert (status, stdout.splitlines()[-1]) == (0, "3 done.")


def test_other_work_in_between_does_not_undo_what_is_done(run, folder, tmp_path) -> None:
    out = tmp_path / "out"
    run("batch", folder, out, *EXP)
    run("batch", folder, out, "--method", "brovey", "--align", "off")
    run("batch", folder, out, *EXP, "--dtype", "float32")  # refused: the names are taken
    assert run("batch", folder, out, *EXP)[1].splitlines()[-1] == "3 skipped."


@pytest.mark.parametrize("name", ["method", "sensor", "weights"])
def test_a_name_that_does_not_exist_is_said_once(run, folder, tmp_path, name) -> None:
    status, stdout, err = run("batch", folder, tmp_path / "out", f"--{name}", "nosuch")
    assert (status, stdout) == (1, "")
    assert err.count("nosuch") == 1
    assert not (tmp_path / "out").exists()


def test_results_inside_the_folder_are_not_taken_for_products(run, folder) -> None:
    out = folder / "ms"
    assert run("batch", folder, out, *EXP)[1].splitlines()[-1] == "3 done."
    assert run("batch", folder, out, *EXP)[1].splitlines()[-1] == "3 skipped."


def test_json_holds_products_and_problems(run, folder, tmp_path) -> None:
    (folder / "village_ms.tif").unlink()
    status, stdout, _ = run("batch", folder, tmp_path / "out", *EXP, "--json", "-q")
    report = json.loads(stdout)
    assert status == 1
    assert [product["state"] for product in report["products"]] == ["done", "done"]
    assert report["products"][0]["bundle"]["sensor"] == "wv2"
    assert len(report["problems"]) == 1


def test_envi_results_are_named_as_such(run, folder, tmp_path) -> None:
    out = tmp_path / "out"
    assert run("batch", folder, out, *EXP, "--of", "ENVI")[0] == 0
    assert {path.suffix for path in out.iterdir()} == {".img", ".hdr", ".jsonl"}
    assert run("batch", folder, out, *EXP, "--of", "ENVI")[1].splitlines()[-1] == "3 skipped."


def test_a_rule_replaces_recognition(run, folder, tmp_path) -> None:
    rule = ("--rule", "town_p*.tif", "town_m*.tif")
    status, _, err = run("batch", folder, tmp_path / "out", *EXP, *rule)
    assert status == 1  # `an` and `s` are different names
    deliveries.plain(folder, ("P/1.tif", "M/1.tif"))
    status, stdout, err = run(
        "batch", folder, tmp_path / "out", *EXP, "--rule", "P/*.tif", "M/*.tif"
    )
    assert (status, stdout.splitlines()[-1]) == (0, "1 done."), err
    status, _, err = run("batch", folder, tmp_path / "out", "--rule", "pan", "ms")
    assert status == 1
    assert "one *" in err


def test_nothing_recognised_and_no_folder_are_said(run, tmp_path) -> None:
    (tmp_path / "in").mkdir()
    status, _, err = run("batch", tmp_path / "in", tmp_path / "out")
    assert status == 1
    assert "No product was recognised" in err
    status, _, err = run("batch", tmp_path / "absent", tmp_path / "out")
    assert status == 1
    assert "there is no folder" in err


@pytest.mark.slow
@pytest.mark.multiprocess
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_killed_batch_goes_on_to_the_same_results(tmp_path: Path, how: signal.Signals) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    # So many that on a busy machine the signal comes before the last.
    for k in range(30):
        deliveries.plain(folder, (f"place{k}_pan.tif", f"place{k}_ms.tif"))
    command = [sys.executable, "-m", "bandweave", "batch", str(folder), str(out), *EXP]
    subprocess.run(command, check=True, capture_output=True)
    expected = {path.name: path.read_bytes() for path in out.glob("*.tif")}
    assert len(expected) == 30
    for path in out.iterdir():
        path.unlink()

    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 120
    while not list(out.glob("place*_exp.tif")) and time.monotonic() < deadline:
        assert process.poll() is None, "it ended before it could be stopped"
        time.sleep(0.002)
    process.send_signal(how)
    _, err = process.communicate()
    assert process.returncode != 0
    assert b"Traceback" not in err
    if how is signal.SIGINT:
        assert b"the same command goes on" in err
    finished = len(list(out.glob("*_exp.tif")))
    assert 0 < finished < 30, "it was not stopped in between"

    again = subprocess.run([*command, "--json", "-q"], check=True, capture_output=True, text=True)
    states = [product["state"] for product in json.loads(again.stdout)["products"]]
    assert states.count("skipped") >= finished - 1
    assert {path.name: path.read_bytes() for path in out.glob("*.tif")} == expected
    assert sorted(path.name for path in out.iterdir()) == sorted([*expected, "manifest.jsonl"])


def test_a_result_of_an_interrupted_entry_is_made_again(run, folder, tmp_path) -> None:
    out = tmp_path / "out"
    run("batch", folder, out, *EXP)
    lines = (out / "manifest.jsonl").read_text().splitlines()
    # As if it had been killed between the last result and its entry.
    (out / "manifest.jsonl").write_text("\n".join(lines[:-1]) + "\n" + lines[-1][:30])
    status, stdout, _ = run("batch", folder, out, *EXP)
    assert (status, stdout.splitlines()[-1]) == (0, "1 done, 2 skipped.")
    with rasterio.open(out / "village_exp.tif") as file:
        assert np.count_nonzero(file.read()) > 0
