"""`bandweave benchmark` as a user types it: files, failures, resuming, kill -9."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest

from bandweave.report.records import Record, RecordFile
from commands import Run, refused

SUITE = """
name = "small"
about = "Small images."
methods = [
  {{ method = "exp" }},
  {{ method = "gsa" }},
  {{ method = "gsa", consistent = true }},
  {more}
]

[[data]]
id = "rr"
title = "With reference"
protocol = "dlpan-rr-uncut"
metrics = ["psnr", "sam"]
sources = [{{ kind = "synthetic", seeds = [0, {seeds}], size = 64, is_varied = false }}]

[[data]]
id = "fr"
title = "Without"
protocol = "dlpan-fr"
metrics = ["d_lambda_k", "d_s", "hqnr"]
sources = [{{ kind = "synthetic", seeds = [0, 1], size = 64, is_varied = false }}]
"""
FILES = ["images", "records.jsonl", "suite.json", "table.csv", "table.md", "table.tex"]


def write_suite(folder: Path, *, seeds: int = 2, more: str = "") -> Path:
    path = folder / "small.toml"
    path.write_text(SUITE.format(seeds=seeds, more=more))
    return path


def records(out: Path) -> list[Record]:
    """Return the records in the file's order, without what differs from run to run."""
    latest = RecordFile(out / "records.jsonl").latest()
    assert len((out / "records.jsonl").read_text().splitlines()) == len(latest)
    return [record.without_measurements() for record in latest.values()]


def test_a_run_writes_what_it_promises_and_goes_on(run: Run, tmp_path: Path) -> None:
    suite, out = write_suite(tmp_path), tmp_path / "out"
    status, printed, err = run("benchmark", suite, "--out", out, "-j", 1)
    assert status == 0, err
    assert sorted(path.name for path in out.iterdir()) == FILES
    assert set(printed.split()) == {str(out / name) for name in FILES if name != "suite.json"}
    made = records(out)
    assert [one.key for one in made[:4]] == [
        ("rr", "exp", "synthetic 0"),
        ("rr", "gsa", "synthetic 0"),
        ("rr", "gsa consistent", "synthetic 0"),
        ("rr", "exp", "synthetic 1"),
    ]
    assert len(made) == 9
    first = next(iter(RecordFile(out / "records.jsonl").latest().values()))
    assert first.seconds is not None
    assert first.versions["numpy"] == np.__version__
    assert first.hardware["processes"] == 1
    assert first.protocol["id"] == "dlpan-rr-uncut"
    assert first.conditions["full_scale"] == 2047
    consistent = next(one for one in made if one.data == "fr" and "consistent" in one.row)
    assert consistent.meaningless == ("d_lambda_k", "hqnr")

    before = (out / "records.jsonl").read_bytes()
    status, _, err = run("benchmark", suite, "--out", out, "-j", 1)
    assert status == 0
    assert "9 of 9 tasks are done already." in err
    assert (out / "records.jsonl").read_bytes() == before

    # Only what is new is run, and stands where the suite has it.
    status, _, err = run("benchmark", write_suite(tmp_path, seeds=3), "--out", out, "-j", 1)
    assert status == 0
    assert "9 of 12 tasks are done already." in err
    assert [one.image for one in records(out)[:9:3]] == [f"synthetic {k}" for k in range(3)]


def test_scores_are_those_of_fuse_and_evaluate(run: Run, tmp_path: Path) -> None:
    from bandweave.config import FuseConfig
    from bandweave.datasets.synthetic.scene import Instrument, synthetic_scene
    from bandweave.metrics.psnr import psnr
    from bandweave.mosaic.in_memory import ArrayScene
    from bandweave.mosaic.prepare import prepare_job
    from bandweave.mosaic.runner import ArraySink

    out = tmp_path / "out"
    assert run("benchmark", write_suite(tmp_path), "--out", out, "-j", 1)[0] == 0
    scene = synthetic_scene(1, (64, 64), instrument=Instrument(phase=(2.0, 2.0)))
    sink = ArraySink()
    prepare_job(ArrayScene(scene.pair), FuseConfig(method="gsa", align="off")).run(sink, quiet=True)
    found = {one.key: one for one in records(out)}["rr", "gsa", "synthetic 1"].values["psnr"]
    assert found == pytest.approx(psnr(sink.hrms, scene.gt, peak=2047), abs=1e-9)


def test_a_failing_method_stops_no_other(run: Run, tmp_path: Path) -> None:
    more = '{ method = "u2net", weights = "absent.safetensors" }, { method = "brovey" }'
    suite, out = write_suite(tmp_path, more=more), tmp_path / "out"
    status, printed, err = run("benchmark", suite, "--out", out, "-j", 1, "--json")
    assert status == 1
    assert "Error: 3 of 15 tasks failed." in err
    assert "absent.safetensors" in err
    assert json.loads(printed)["computed"] == 15
    failed = [one for one in records(out) if one.state == "failed"]
    assert {one.method for one in failed} == {"u2net"}
    assert all("absent.safetensors" in (one.error or "") for one in failed)
    assert "| failed | failed |" in (out / "table.md").read_text()
    assert sum(one.method == "brovey" and one.state == "done" for one in records(out)) == 3
    # What failed is tried again, and only that.
    assert "12 of 15 tasks are done already." in run("benchmark", suite, "--out", out, "-j", 1)[2]


def test_changed_data_are_scored_again(run: Run, tmp_path: Path) -> None:
    path, out = tmp_path / "set.h5", tmp_path / "out"
    rng = np.random.default_rng(5)

    def write(scale: float) -> None:
        with h5py.File(path, "w") as file:
            for key, shape in {
                "gt": (2, 4, 64, 64),
                "ms": (2, 4, 16, 16),
                "pan": (2, 1, 64, 64),
            }.items():
                file[key] = rng.uniform(100, 900, shape) * scale

    suite = tmp_path / "one.toml"
    suite.write_text(
        'name = "one"\nabout = "x"\nmethods = [{ method = "exp" }]\n[[data]]\nid = "a"\n'
        'title = "A"\nprotocol = "dlpan-rr-uncut"\nmetrics = ["rmse"]\n'
        'sources = [{ kind = "pairs", path = "else.h5", sensor = "gf2" }]\n'
    )
    refused(run("benchmark", suite, "--out", out, "--data", tmp_path), "else.h5", "--data")
    write(1.0)
    assert run("benchmark", suite, "--out", out, "--data", path, "-j", 1)[0] == 0
    before = records(out)
    assert [one.image for one in before] == ["set 0", "set 1"]
    assert run("benchmark", suite, "--out", out, "--data", path, "--dry-run")[1].splitlines() == [
        "a\texp\tset 0",
        "a\texp\tset 1",
    ]
    write(1.1)
    status, _, err = run("benchmark", suite, "--out", out, "--data", path, "-j", 1)
    assert status == 0
    assert "already" not in err
    assert records(out)[0].values != before[0].values
    refused(run("benchmark", write_suite(tmp_path), "--out", out), "suite one", "--out")


@pytest.mark.slow
@pytest.mark.multiprocess
def test_three_kills_change_no_record(tmp_path: Path) -> None:
    suite, whole, out = write_suite(tmp_path, seeds=6), tmp_path / "whole", tmp_path / "out"
    command = [sys.executable, "-m", "bandweave", "benchmark", suite, "-j", "2", "--out"]
    arguments = [str(part) for part in (*command, out)]
    subprocess.run([str(part) for part in (*command, whole)], check=True, capture_output=True)
    file, seen = out / "records.jsonl", 0
    for _ in range(3):
        process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            lines = file.read_bytes().count(b"\n") if file.exists() else 0
            if lines > seen + 1:
                break
            assert process.poll() is None, "it ended before it could be killed"
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        process.wait()
        # As if the kill had come within the last line.
        content = file.read_bytes()
        file.write_bytes(content[: -len(content.splitlines()[-1]) // 2])
        seen = file.read_bytes().count(b"\n")
        assert not (out / "table.md").exists()
    ended = subprocess.run(arguments, check=True, capture_output=True, text=True)
    assert "tasks are done already" in ended.stderr
    assert records(out) == records(whole)
    for name in ("table.md", "table.tex"):
        assert without_times(out / name) == without_times(whole / name)


def without_times(path: Path) -> list[str]:
    """Return a table without its last column."""
    return [line.rstrip("| ").rpartition("|")[0] or line for line in path.read_text().splitlines()]
