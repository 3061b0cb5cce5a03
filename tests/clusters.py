"""Dask schedulers and workers as processes of their own on the loopback interface."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

_LOOPBACK = ("--host", "127.0.0.1")
_QUIET = {
    "DASK_DISTRIBUTED__WORKER__MEMORY__TERMINATE": "false",
    "DASK_DISTRIBUTED__ADMIN__EVENT_LOOP": "tornado",
    "OMP_NUM_THREADS": "1",
}


@dataclass
class LocalCluster:
    """A scheduler and its workers."""

    folder: Path
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def address(self) -> str:
        """Return what `--dask` takes: the scheduler's file."""
        return str(self.folder / "scheduler.json")

    def start(self, *command: str, **environment: str) -> subprocess.Popen[bytes]:
        log = (self.folder / f"{command[0]}-{len(self.processes)}.log").open("wb")
        process = subprocess.Popen(
            [sys.executable, "-m", "dask", *command],
            env={**os.environ, **_QUIET, **environment},
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=self.folder,
        )
        log.close()
        self.processes.append(process)
        return process

    def add_worker(self, **environment: str) -> subprocess.Popen[bytes]:
        """Start a worker of one thread, without a nanny: its pid is the worker's own."""
        process = self.start(
            "worker", "--scheduler-file", self.address, "--nthreads", "1", "--no-nanny",
            "--no-dashboard", "--local-directory", str(self.folder), *_LOOPBACK, **environment,
        )  # fmt: skip
        self.workers.append(process)
        return process

    def stop(self) -> None:
        for process in reversed(self.processes):
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
            process.wait()


@contextmanager
def cluster(
    folder: Path, workers: int, environment: Mapping[str, str] | None = None
) -> Iterator[LocalCluster]:
    """Start a scheduler and workers; they are gone when the block ends."""
    folder.mkdir(exist_ok=True)
    own = LocalCluster(folder)
    try:
        own.start(
            "scheduler",
            "--scheduler-file",
            own.address,
            "--port",
            "0",
            "--no-dashboard",
            *_LOOPBACK,
        )
        wait_for(lambda: Path(own.address).exists())
        for _ in range(workers):
            own.add_worker(**(environment or {}))
        yield own
    finally:
        own.stop()


def wait_for(condition, seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.02)
