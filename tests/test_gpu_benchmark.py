"""The benchmark of GPUs, rehearsed on the CPU: whoever rents one has no time for mistakes."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "bench_gpu.py"


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, SCRIPT, *map(str, arguments)],
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path[1:])},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
@pytest.mark.multiprocess
def test_a_rehearsal_measures_every_part(tmp_path: Path) -> None:
    done = run("--out", tmp_path, "--cpu-rehearsal")
    assert done.returncode == 0, done.stderr[-2000:]
    parts = {path.stem: json.loads(path.read_text()) for path in tmp_path.glob("*.json")}
    assert set(parts) == {"limits", "attention", "network", "scene", "precision", "training"}
    for part in parts.values():
        assert part["environment"]["rehearsal"]
        assert part["results"]
    for name in ("network", "scene", "training", "limits"):
        for row in parts[name]["results"].values():
            assert 0 < row["best"] <= row["seconds"] <= row["worst"]
    for name, row in parts["attention"]["results"].items():
        # The backends for CUDA refuse, and their reason is kept.
        assert ("failed" in row) == any(kind in name for kind in ("efficient", "cudnn")), (
            name,
            row,
        )
    if importlib.util.find_spec("triton") is not None:
        kernels = [name for name in parts["attention"]["results"] if "kernel" in name]
        assert len(kernels) == 4  # two ways to cut, two passes
    assert (tmp_path / "roofline.png").stat().st_size > 5000
    assert (tmp_path / "training_profile.txt").stat().st_size > 1000


@pytest.mark.slow
@pytest.mark.multiprocess
def test_a_part_that_fails_keeps_what_it_has_and_costs_no_other(tmp_path: Path) -> None:
    (tmp_path / "training_profile.txt").mkdir()  # the last step cannot write there
    done = run("--out", tmp_path, "--cpu-rehearsal", "--only", "training", "limits")
    assert done.returncode == 1
    training, limits = (
        json.loads((tmp_path / f"{name}.json").read_text()) for name in ("training", "limits")
    )
    assert "training_profile.txt" in training["failed"]
    assert len(training["results"]) == 7
    assert "failed" not in limits
    assert limits["results"]["products"]["per second"] > 0


@pytest.mark.multiprocess
def test_parts_are_stopped_when_their_time_is_over(tmp_path: Path) -> None:
    parts = ("limits", "network")
    done = run("--out", tmp_path, "--cpu-rehearsal", "--only", *parts, "--seconds", 0.01)
    assert done.returncode == 1
    assert [line.split()[0] for line in done.stdout.splitlines()] == list(parts)
    assert done.stdout.count("took longer than 0.01 s and was stopped.") == 2
    assert not any(tmp_path.iterdir())


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
@pytest.mark.multiprocess
def test_without_a_gpu_it_says_so(tmp_path: Path) -> None:
    done = run("--out", tmp_path)
    assert done.returncode == 1
    assert done.stdout.startswith("No CUDA device was found; --cpu-rehearsal")
    assert not any(tmp_path.iterdir())
