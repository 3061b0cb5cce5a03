"""One process at a time in a run's folder; however it ends, the next one may begin."""

from __future__ import annotations

import errno
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bandweave.errors import FolderInUseError, OutputError
from bandweave.train.loop import train
from bandweave.train.run_lock import alone_in
from training import small_config, write_patches

fcntl = pytest.importorskip("fcntl", reason="the system knows no such locks")

HOLDER = """
import sys
from pathlib import Path
from bandweave.train.run_lock import alone_in
with alone_in(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def held_elsewhere(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Let another process hold a folder until it is killed, or the block ends."""
    command = [sys.executable, "-c", HOLDER, str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.multiprocess
def test_a_second_run_is_refused_until_the_first_is_dead(tmp_path: Path) -> None:
    write_patches(tmp_path / "train.h5")
    config, out = small_config(tmp_path, steps=2), tmp_path / "run"
    with held_elsewhere(out) as first:
        owner = f"process {first.pid} on {socket.gethostname()}"
        for _ in range(2):  # being refused takes nothing from the first
            with pytest.raises(FolderInUseError) as refused:
                train(config, out, lambda _: None)
            assert str(refused.value).startswith(f"The run in {out} is under way in {owner};")
        assert [path.name for path in out.iterdir()] == ["lock"]
        first.kill()
        first.wait()
        assert train(config, out, lambda _: None).is_finished
    assert (out / "lock").read_text() == f"process {os.getpid()} on {socket.gethostname()}\n"


def test_two_in_one_process_exclude_each_other_too(tmp_path: Path) -> None:
    with alone_in(tmp_path), pytest.raises(FolderInUseError, match=f"process {os.getpid()} on"):
        alone_in(tmp_path).__enter__()
    with alone_in(tmp_path):
        pass


def test_a_failed_run_lets_go(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), alone_in(tmp_path):
        1 / 0  # noqa: B018  # what fails
    with alone_in(tmp_path):
        pass


def test_where_the_file_system_knows_no_locks_runs_go_on(tmp_path: Path, monkeypatch) -> None:
    def unknown(descriptor: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", unknown)
    with alone_in(tmp_path / "run"):
        pass


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with (
        pytest.raises(OutputError, match=r"file/run could not be made or written: Not a directory"),
        alone_in(tmp_path / "file" / "run"),
    ):
        pass
