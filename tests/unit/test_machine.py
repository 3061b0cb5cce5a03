"""Cores, threads and memory: the least of what the system, its groups and the user allow."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bandweave import machine
from bandweave.config import FuseConfig

GIB = 2**30


@pytest.fixture
def group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Pretend to be in the control group `/box/own`, on a machine of 16 cores and 64 GiB."""
    own = tmp_path / "groups"
    monkeypatch.setattr(machine, "_GROUPS", own)
    monkeypatch.setattr(machine, "_OWN_GROUPS", tmp_path / "cgroup")
    (tmp_path / "cgroup").write_text("0::/box/own\n")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(16)), raising=False)
    sizes = {"SC_PHYS_PAGES": 64 * GIB // 4096, "SC_PAGE_SIZE": 4096}
    monkeypatch.setattr(os, "sysconf", sizes.__getitem__)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    return own


def write(folder: Path, **files: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text)


def test_without_limits_all_of_the_machine(group: Path) -> None:
    assert machine.usable_cores() == machine.usable_threads() == 16
    assert machine.available_cores() == machine.available_threads() == 8
    assert machine.usable_memory() == 64 * GIB
    write(group / "box/own", cpu__max="max 100000\n", memory__max="max\n")
    assert machine.usable_cores() == 16
    assert machine.usable_memory() == 64 * GIB


@pytest.mark.parametrize("place", ["box/own", "box", "."])
def test_the_group_or_one_above_limits(group: Path, place: str) -> None:
    write(group / place, cpu__max="250000 100000\n", memory__max=f"{4 * GIB}\n")
    assert machine.usable_cores() == 3
    assert machine.usable_memory() == 4 * GIB
    assert FuseConfig().workers == 3


def test_the_least_of_several_groups_counts(group: Path) -> None:
    write(group / "box/own", cpu__max="600000 100000\n")
    write(group / "box", cpu__max="20000 100000\n")
    assert machine.usable_cores() == 1  # a fifth of one is still one


def test_hierarchies_of_version_1(group: Path) -> None:
    group.with_name("cgroup").write_text("4:memory:/docker/7\n3:cpu,cpuacct:/docker/7\n0::/\n")
    # What a container sees as the top is its own group.
    write(group / "cpu", cpu__cfs_quota_us="200000\n", cpu__cfs_period_us="100000\n")
    write(group / "memory", memory__limit_in_bytes=f"{2 * GIB}\n")
    assert machine.usable_cores() == 2
    assert machine.usable_memory() == 2 * GIB
    write(group / "cpu", cpu__cfs_quota_us="-1\n")
    write(group / "memory", memory__limit_in_bytes="9223372036854771712\n")
    assert machine.usable_cores() == 16
    assert machine.usable_memory() == 64 * GIB


def test_affinity_limits_and_systems_without_it_count_cores(group: Path, monkeypatch) -> None:
    del group
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {5}, raising=False)
    assert machine.usable_cores() == 1
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert machine.usable_cores() == 6


@pytest.mark.parametrize("own", [None, "3"])
def test_numpy_computes_in_the_thread_that_calls_it(own: str | None) -> None:
    """Threads of OpenBLAS beside ours took ten times the processor's time."""
    program = (
        "import os, sys\nfrom bandweave.cli.main import main\n"
        "assert 'numpy' not in sys.modules, 'too late'\n"
        "try:\n    main(['sensors', '--json'])\n"
        "finally:\n    print('\\n' + os.environ['OPENBLAS_NUM_THREADS'])\n"
    )
    environment = {k: v for k, v in os.environ.items() if not k.endswith("_NUM_THREADS")}
    if own is not None:
        environment["OPENBLAS_NUM_THREADS"] = own
    run = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    assert run.stdout.splitlines()[-1] == (own or "1")


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="needs Linux's /proc")
def test_where_numpy_is_loaded_already_too() -> None:
    program = (
        "import numpy\nfrom bandweave import machine\n"
        "libraries = list(machine._loaded_algebra())\n"
        "machine.keep_algebra_in_its_thread()\n"
        "names = [name.replace('_set_', '_get_') for name in machine._SETTERS]\n"
        "print([getattr(one, name)() for one in libraries for name in names if hasattr(one, name)])"
    )
    environment = {k: v for k, v in os.environ.items() if not k.endswith("_NUM_THREADS")}
    run = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    if run.stdout == "[]\n":
        pytest.skip("NumPy computes with another library than OpenBLAS")
    assert run.stdout == "[1]\n"


@pytest.mark.parametrize(
    ("asked", "threads"), [("3", 3), ("2,4", 2), ("12", 8), ("0", 8), ("many", 8), ("", 8)]
)
def test_threads_follow_the_variable_of_openmp(group: Path, monkeypatch, asked, threads) -> None:
    del group
    monkeypatch.setenv("OMP_NUM_THREADS", asked)
    assert machine.available_threads() == FuseConfig().workers == threads
    assert FuseConfig(workers=5).workers == 5  # what was asked for goes before it
    assert machine.available_cores() == 8  # processes are not threads
