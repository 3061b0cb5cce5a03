"""Tasks in one process and in several: same results, failures alone, nobody left behind."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bandweave.errors import ConfigError
from bandweave.parallel.executor import Local

# Workers are fresh interpreters that import what they are given by name.
SCRIPT = """
import os, signal, sys, time
from bandweave.errors import ConfigError
from bandweave.parallel.executor import Local

def work(task):
    if task == 3:
        raise ConfigError("Three is refused.")
    if task == 5:
        os.kill(os.getpid(), signal.SIGKILL)
    if task == 99:
        print(os.getpid(), flush=True)
        time.sleep(60)
    return task, os.getpid(), os.environ["OPENBLAS_NUM_THREADS"], os.environ["OMP_NUM_THREADS"]

if __name__ == "__main__":
    tasks = [int(word) for word in sys.argv[1:]]
    outcomes = list(Local(2, 3).map(work, tasks))
    for one in sorted(outcomes, key=lambda one: one.task):
        print(one.task, one.result, one.error, sep="|")
    print("own", os.getpid(), sep="|")
"""


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "tasks.py"
    path.write_text(SCRIPT)
    return path


def halved(task: int) -> float:
    if task == 2:
        raise ConfigError("Two is refused.")
    return 10 / task


def test_in_this_process_failures_stand_alone() -> None:
    begun: list[int] = []
    outcomes = list(Local().map(halved, [4, 2, 0, 5], begun=begun.append))
    assert [one.result for one in outcomes] == [2.5, None, None, 2.0]
    assert begun == [4, 2, 0, 5]
    assert outcomes[1].error == "Two is refused."
    assert outcomes[2].error == "unexpected ZeroDivisionError: division by zero"


@pytest.mark.multiprocess
def test_processes_share_the_work_and_die_alone(script: Path) -> None:
    command = [sys.executable, script, *map(str, range(8))]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    lines = [line.split("|") for line in run.stdout.splitlines()]
    own = lines.pop()[1]
    assert [line[0] for line in lines] == list("01234567")
    assert lines[3][1:] == ["None", "Three is refused."]
    assert lines[5][1] == "None"
    assert "SIGKILL" in lines[5][2]
    others = [line for k, line in enumerate(lines) if k not in (3, 5)]
    assert all(line[2] == "None" for line in others)
    assert all("'1', '3')" in line[1] for line in others), "threads are bounded"
    assert not any(own in line[1] for line in others)


@pytest.mark.multiprocess
def test_workers_end_with_their_killed_parent(script: Path) -> None:
    process = subprocess.Popen([sys.executable, script, "99", "99"], stdout=subprocess.PIPE)
    assert process.stdout is not None
    workers = [int(process.stdout.readline()) for _ in range(2)]
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    deadline = time.monotonic() + 20
    while any(is_running(worker) for worker in workers) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(is_running(worker) for worker in workers)


def is_running(process: int) -> bool:
    try:
        status = Path(f"/proc/{process}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    # Nobody may have asked for its exit status yet.
    return "\nState:\tZ" not in status
