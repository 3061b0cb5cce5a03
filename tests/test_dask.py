"""The same work on a Dask cluster: schedulers and workers are processes of their own on loopback."""

from __future__ import annotations

import http.server
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

import pytest

import deliveries
from bandweave import __version__
from bandweave.errors import ClusterError
from bandweave.mosaic import stripes as stripes_module
from bandweave.parallel import scheduler as scheduler_module
from bandweave.parallel.cluster import connected
from bandweave.report.records import RecordFile
from clusters import LocalCluster, cluster, wait_for
from commands import Run, refused
from scenes import write_pair, write_weights

pytestmark = pytest.mark.multiprocess

pytest.importorskip("distributed")


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    """A scheduler with two workers, for the tests that leave them alive."""
    with cluster(tmp_path_factory.mktemp("two"), 2) as own:
        yield own


def fused_twice(run: Run, folder: Path, address: str, *options: object) -> list[dict]:
    """Fuse the pair of a folder here and on a cluster; compare the files; return both reports."""
    common = [folder / "pan.tif", folder / "ms.tif"]
    reports = []
    for name, where in (("here", []), ("there", ["--dask", address])):
        (folder / name).mkdir()
        out = folder / name / "out.tif"
        status, text, err = run("fuse", *common, out, *options, *where, "--json")
        assert status == 0, err
        reports.append(json.loads(text))
        assert [path.name for path in (folder / name).iterdir()] == ["out.tif"]
    assert (folder / "there/out.tif").read_bytes() == (folder / "here/out.tif").read_bytes()
    return reports


def without_times(report: dict) -> dict:
    return {k: v for k, v in report.items() if k not in ("out", "seconds", "megapixels_per_second")}


@pytest.mark.parametrize(
    "options",
    [
        ("--method", "gsa", "--cog", "--nodata", "0"),
        ("--method", "mtf_glp_hpm_r", "--mtf-gain", "0.3", "--sensor", "wv2", "--consistent"),
        ("--method", "bt_h", "--dtype", "float32", "--window", "5,900,33,1500", "--align", "0.5,0"),
    ],
    ids=["gsa", "consistent", "window"],
)
def test_a_scene_has_the_bytes_of_a_local_run(run: Run, two, tmp_path, options) -> None:
    write_pair(tmp_path, coarse=(650, 12))
    align = () if "--align" in options else ("--align", "off")
    here, there = fused_twice(run, tmp_path, two.address, *options, *align)
    assert without_times(there) == without_times(here)


def test_a_network_has_them_too(run: Run, two, tmp_path) -> None:
    write_pair(tmp_path, coarse=(115, 12))
    weights = write_weights(tmp_path / "tiny.safetensors")
    options = ("--weights", weights, "--full-scale", "2047", "--align", "off")
    fused_twice(run, tmp_path, two.address, *options, "--pan-sharpness", "off")


def test_stripes_cover_the_window_at_the_ends_of_blocks(two, tmp_path, monkeypatch, run) -> None:
    write_pair(tmp_path, coarse=(650, 12))
    taken = []
    cut = stripes_module.cut

    def seen(job):
        taken.extend(cut(job))
        return taken

    monkeypatch.setattr(stripes_module, "cut", seen)
    fused_twice(run, tmp_path, two.address, "--method", "gsa", "--align", "off")
    assert [(one.row, one.row_stop) for one in taken] == [(0, 1024), (1024, 2048), (2048, 2600)]


@contextmanager
def killing(victim: Callable[[], int | None]) -> Iterator[list[int]]:
    """Send SIGKILL to the process that `victim` names as soon as it names one."""
    killed: list[int] = []
    done = threading.Event()

    def wait() -> None:
        while not done.is_set() and not killed:
            process = victim()
            if process is not None:
                os.kill(process, signal.SIGKILL)
                killed.append(process)
            time.sleep(0.001)

    thread = threading.Thread(target=wait)
    thread.start()
    try:
        yield killed
    finally:
        done.set()
        thread.join()


@pytest.mark.slow
def test_a_scene_survives_a_killed_worker(run: Run, tmp_path: Path) -> None:
    write_pair(tmp_path, coarse=(150, 12))
    weights = write_weights(tmp_path / "tiny.safetensors")
    options = ("--weights", weights, "--full-scale", "2047", "--align", "off")
    with cluster(tmp_path / "cluster", 3) as own, connected(own.address) as watcher:
        wait_for(lambda: watcher.workers == 3)
        processes = watcher._client.run(os.getpid)

        def computing() -> int | None:
            """Name a worker some time after it was given a stripe."""
            for address, tasks in watcher._client.processing().items():
                if any(str(task).startswith("task-") for task in tasks):
                    time.sleep(0.5)
                    return processes[address]
            return None

        with killing(computing) as killed:
            fused_twice(run, tmp_path, own.address, *options, "--pan-sharpness", "off")
        (dead,) = [worker for worker in own.workers if worker.pid in killed]
        assert dead.wait() == -signal.SIGKILL


def test_a_batch_survives_a_killed_worker(run: Run, tmp_path: Path) -> None:
    folder, there = tmp_path / "in", tmp_path / "there"
    names = [f"town{k}" for k in range(6)]
    for name in names:
        deliveries.plain(folder, (f"{name}_pan.tif", f"{name}_ms.tif"))
    gsa = ("--method", "gsa", "--align", "off")
    assert run("batch", folder, tmp_path / "here", *gsa)[0] == 0

    def writing() -> int | None:
        """Name a worker that has begun to write a file: the names of such files hold it."""
        for path in there.glob(".*.partial-*.tif"):
            return int(path.stem.rpartition("-")[2])
        return None

    with cluster(tmp_path / "cluster", 3) as own, killing(writing) as killed:
        status, text, err = run("batch", folder, there, *gsa, "--dask", own.address)
        assert killed[0] in [worker.pid for worker in own.workers]
    assert status == 0, err
    assert text.splitlines()[-1] == "6 done."
    assert "6 of 6 products." in err
    for name in names:
        made, wanted = (path / f"{name}_gsa.tif" for path in (there, tmp_path / "here"))
        assert made.read_bytes() == wanted.read_bytes()
    entries = [json.loads(line) for line in (there / "manifest.jsonl").read_text().splitlines()]
    assert sorted(one["name"] for one in entries if one["state"] == "done") == names
    # Nothing half-written is left, and a local run has nothing to do.
    assert len([path for path in there.iterdir() if ".partial-" not in path.name]) == 7
    assert run("batch", folder, there, *gsa)[1].splitlines()[-1] == "6 skipped."


SUITE = """
name = "small"
about = "Small images."
methods = [
  { method = "exp" },
  { method = "gsa", consistent = true },
  { method = "u2net", weights = "absent.safetensors" },
]

[[data]]
id = "rr"
title = "With reference"
protocol = "dlpan-rr-uncut"
metrics = ["psnr", "sam"]
sources = [{ kind = "synthetic", seeds = [0, 2], size = 64, is_varied = false }]
"""


def test_a_benchmark_has_the_records_of_a_local_run(run: Run, two, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)  # paths are relative to it, and the workers are elsewhere
    Path("small.toml").write_text(SUITE)
    assert run("benchmark", "small.toml", "--out", "here", "-j", "1")[0] == 1
    status, _, err = run("benchmark", "small.toml", "--out", "there", "--dask", two.address)
    assert (status, "left" in err) == (1, True)
    here, there = (
        [one.without_measurements() for one in RecordFile(Path(name, "records.jsonl")).latest().values()]
        for name in ("here", "there")
    )  # fmt: skip
    assert there == here
    assert [one.state for one in here] == ["done", "done", "failed"] * 2
    assert "done already" in run("benchmark", "small.toml", "--out", "there", "-j", "1")[2]


def test_a_worker_without_the_files_is_told_of(two, tmp_path) -> None:
    pan, _ = write_pair(tmp_path)
    with connected(two.address, files=[pan]) as workers:
        pan.write_bytes(b"shorter")
        (outcome,) = workers.map(len, ["task"])
        assert outcome.error is not None
        assert "sees 7 bytes" in outcome.error
        pan.unlink()
        (outcome,) = workers.map(len, ["task"])
        assert outcome.error is not None
        assert f"does not see the file {pan}" in outcome.error


def test_another_version_is_refused(run: Run, tmp_path: Path) -> None:
    other = tmp_path / "other/bandweave-9.9.9.dist-info/METADATA"
    other.parent.mkdir(parents=True)
    other.write_text("Metadata-Version: 2.1\nName: bandweave\nVersion: 9.9.9\n")
    pan, ms = write_pair(tmp_path)
    with cluster(tmp_path / "cluster", 1, {"PYTHONPATH": str(other.parents[1])}) as own:
        result = run(
            "fuse", pan, ms, tmp_path / "out.tif", "--method", "exp", "--dask", own.address
        )
    refused(result, "has bandweave 9.9.9", f"this process {__version__}")
    assert not (tmp_path / "out.tif").exists()


def test_workers_with_other_libraries_are_told_of(run: Run, tmp_path: Path) -> None:
    other = tmp_path / "other/torch-9.9.9.dist-info/METADATA"
    other.parent.mkdir(parents=True)
    other.write_text("Metadata-Version: 2.1\nName: torch\nVersion: 9.9.9\n")
    pan, ms = write_pair(tmp_path)
    with cluster(tmp_path / "cluster", 1, {"PYTHONPATH": str(other.parents[1])}) as own:
        status, _, err = run(
            "fuse", pan, ms, tmp_path / "out.tif", "--method", "exp", "--dask", own.address
        )
    assert status == 0, err
    told = [line for line in err.splitlines() if "another" in line]
    (sentence,) = told
    assert sentence.startswith(
        f"Warning: Workers have another torch (9.9.9) than this process ({version('torch')}): "
    )


def test_a_scheduler_without_workers(run: Run, tmp_path, monkeypatch) -> None:
    pan, ms = write_pair(tmp_path)
    monkeypatch.setattr(scheduler_module, "_PATIENCE", 0.5)
    command = ("fuse", pan, ms, tmp_path / "out.tif", "--method", "exp", "--dask")
    with cluster(tmp_path / "cluster", 0) as own:
        result = run(*command, own.address)
        refused(result, "has no workers", "dask worker")
        assert "Waiting for workers of the Dask scheduler at tcp://127.0.0.1:" in result[2]


def test_a_run_may_begin_before_its_cluster(run: Run, tmp_path: Path) -> None:
    pan, ms = write_pair(tmp_path)
    out = tmp_path / "out.tif"
    command = ["fuse", pan, ms, out, "--method", "exp", "--dask", tmp_path / "c/scheduler.json"]
    (tmp_path / "c").mkdir()
    arguments = [sys.executable, "-m", "bandweave", *map(str, command)]
    with subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert process.stderr.readline().startswith(f"Waiting for {tmp_path / 'c/scheduler.json'}")
        with cluster(tmp_path / "c", 1):
            assert process.wait(timeout=60) == 0
    assert out.is_file()


class Page(http.server.BaseHTTPRequestHandler):
    """What a browser is shown, as at the address of a scheduler's dashboard."""

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.mark.parametrize("kind", ["nobody", "another server", "no port", "no such protocol"])
def test_where_no_scheduler_answers_one_sentence_says_so(
    run: Run, tmp_path, monkeypatch, kind
) -> None:
    pan, ms = write_pair(tmp_path)
    monkeypatch.setattr(scheduler_module, "ANSWER", 0.5)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        threading.Thread(target=server.serve_forever).start()
        address = {
            "nobody": "tcp://127.0.0.1:9",
            "another server": f"tcp://127.0.0.1:{server.server_address[1]}",
            "no port": "localhost",
            "no such protocol": "pigeon://localhost:8786",
        }[kind]
        result = run("fuse", pan, ms, tmp_path / "o.tif", "--method", "exp", "--dask", address)
        server.shutdown()
    refused(result, f"No Dask scheduler answers at {address};", "--scheduler-file")


def test_a_scheduler_s_file_is_waited_for_where_it_can_come(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(scheduler_module, "_PATIENCE", 0.2)
    said: list[str] = []
    with pytest.raises(ClusterError, match=r"There is no file /nowhere/s\.json; give"):
        scheduler_module.address_of("/nowhere/s.json", said.append)
    assert said == []
    path = tmp_path / "s.json"
    with pytest.raises(ClusterError, match="There is no file"):
        scheduler_module.address_of(str(path), said.append)
    assert said == [f"Waiting for {path}, which `dask scheduler --scheduler-file` writes."]
    for text in ("", "no json", "[]", "{}"):
        path.write_text(text)
        with pytest.raises(ClusterError, match="it holds no address"):
            scheduler_module.address_of(str(path), said.append)
    path.write_text('{"address": "tcp://1.2.3.4:5"}')
    for given in (str(path), "tcp://1.2.3.4:5"):
        assert scheduler_module.address_of(given, said.append) == "tcp://1.2.3.4:5"
    assert len(said) == 1


def test_a_scheduler_that_goes_away_ends_the_run(tmp_path: Path) -> None:
    with cluster(tmp_path / "cluster", 1) as own, connected(own.address) as workers:
        outcomes = workers.map(time.sleep, [0.1] * 50)
        next(outcomes)
        own.processes[0].kill()
        with pytest.raises(ClusterError, match="scheduler was lost"):
            list(outcomes)


def test_without_the_extra_it_is_named(run: Run, tmp_path, monkeypatch) -> None:
    pan, ms = write_pair(tmp_path)
    monkeypatch.setitem(sys.modules, "distributed", None)
    command = ("fuse", pan, ms, tmp_path / "out.tif", "--method", "exp", "--dask", "tcp://x:1")
    refused(run(*command), "bandweave[dask]")


@pytest.mark.slow
def test_ctrl_c_leaves_no_tasks_and_a_rerun_goes_on(two, tmp_path: Path, run: Run) -> None:
    # So long that on a busy machine Ctrl-C comes before the end.
    pan, ms = write_pair(tmp_path, coarse=(500, 12))
    weights = write_weights(tmp_path / "tiny.safetensors")
    out, rows = tmp_path / "out.tif", tmp_path / ".out.tif.rows"
    options = (
        "--weights",
        weights,
        "--full-scale",
        "2047",
        "--align",
        "off",
        "--dask",
        two.address,
    )
    command = ["fuse", pan, ms, out, *options, "--pan-sharpness", "off"]
    arguments = [sys.executable, "-m", "bandweave", *map(str, command)]
    process = subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True)
    wait_for(lambda: list(rows.glob("rows-*.npz")))
    process.send_signal(signal.SIGINT)
    assert "Interrupted." in process.communicate(timeout=60)[1]
    assert process.returncode == 1
    assert not out.exists()
    kept = min(rows.glob("rows-*.npz"))
    first = kept.stat().st_mtime_ns
    with connected(two.address) as workers:
        wait_for(lambda: not any(workers._client.processing().values()))
    stamps = []
    monitor = killing(lambda: stamps.append(kept.stat().st_mtime_ns) if kept.exists() else None)
    with monitor:
        status, _, err = run(*command, "--resume")
    assert status == 0, err
    assert set(stamps) == {first}, "what was done is not done again"
    undisturbed = tmp_path / "undisturbed.tif"
    assert run("fuse", pan, ms, undisturbed, *options[:-2], "--pan-sharpness", "off")[0] == 0
    assert out.read_bytes() == undisturbed.read_bytes()
