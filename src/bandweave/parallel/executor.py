"""Map a function over independent tasks: in this process, or in several that share the cores."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any, Generic, TypeVar

from bandweave.errors import FusionError

Task = TypeVar("Task")
Result = TypeVar("Result")

# A fresh interpreter: forked ones inherit locks of torch and GDAL threads that do not exist there.
_CONTEXT = multiprocessing.get_context("spawn")
_THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
)


@dataclass(frozen=True, slots=True)
class Outcome(Generic[Task, Result]):
    """What became of a task."""

    task: Task
    result: Result | None
    """None where the task failed."""
    error: str | None = None
    """Why it failed, as one sentence."""


def map_tasks(
    work: Callable[[Task], Result], tasks: Sequence[Task], *, processes: int, threads: int
) -> Iterator[Outcome[Task, Result]]:
    """Yield the outcome of every task, each as soon as it is there.

    A task that raises, or whose process dies, fails alone. Where this process is killed its
    workers end too.

    Args:
        work: Function at the top level of a module.
        tasks: Its arguments; with several processes they and the results are pickled.
        processes: Processes at a time; 1 computes in this one.
        threads: Threads that numerical libraries may use in each of several processes.
    """
    if processes == 1 or len(tasks) < 2:
        for task in tasks:
            yield _tried(work, task)
        return
    workers: list[_Worker] = []
    try:
        yield from _distributed(work, tasks, min(processes, len(tasks)), threads, workers)
    finally:
        for worker in workers:
            worker.stop()


def _distributed(
    work: Callable[[Task], Result],
    tasks: Sequence[Task],
    processes: int,
    threads: int,
    workers: list[_Worker],
) -> Iterator[Outcome[Task, Result]]:
    """Keep `processes` workers busy; those started are put into `workers`."""
    waiting = iter(tasks)
    busy: dict[Connection, tuple[_Worker, Task]] = {}

    def give(worker: _Worker | None) -> None:
        """Hand the next task to a worker, to a new one where the old one is dead."""
        task = next(waiting, None)
        if task is None:
            return
        if worker is None:
            worker = _Worker(work, threads)
            workers.append(worker)
        worker.connection.send(task)
        busy[worker.connection] = (worker, task)

    for _ in range(processes):
        give(None)
    while busy:
        for connection in wait(list(busy)):
            assert isinstance(connection, Connection)
            worker, task = busy.pop(connection)
            try:
                result, error = connection.recv()
            except (EOFError, ConnectionResetError):
                yield Outcome(task, None, worker.last_words())
                give(None)
                continue
            give(worker)
            yield Outcome(task, result, error)


class _Worker:
    """A process that computes one task after another."""

    def __init__(self, work: Callable[[Any], Any], threads: int) -> None:
        self.connection, theirs = _CONTEXT.Pipe()
        self._process = _CONTEXT.Process(target=_serve, args=(work, theirs), daemon=True)
        with _limited(threads):
            self._process.start()
        theirs.close()

    def last_words(self) -> str:
        """Say how the process died."""
        self._process.join()
        code = self._process.exitcode or 0
        how = f"exit status {code}"
        if code < 0:
            how = f"signal {signal.Signals(-code).name}"
            if -code == signal.SIGKILL:
                how += ", as the system does when memory runs out: try fewer processes"
        return f"The process that computed this ended with {how}."

    def stop(self) -> None:
        """End the process, whatever it does."""
        self.connection.close()
        self._process.terminate()
        self._process.join()


def _serve(work: Callable[[Any], Any], connection: Connection) -> None:
    """Compute tasks until the other side is gone."""
    # Ctrl-C reaches the whole group; the process that was started by hand ends the others.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with suppress(EOFError, BrokenPipeError, ConnectionResetError):
        while True:
            outcome = _tried(work, connection.recv())
            connection.send((outcome.result, outcome.error))


def _end_with_parent() -> None:
    """Leave at once when the parent was killed, even within a task."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)


def _tried(work: Callable[[Task], Result], task: Task) -> Outcome[Task, Result]:
    try:
        return Outcome(task, work(task))
    except FusionError as error:
        return Outcome(task, None, str(error))
    except Exception as error:  # noqa: BLE001 (one failure must not stop the other tasks)
        return Outcome(task, None, f"unexpected {type(error).__name__}: {error}")


@contextmanager
def _limited(threads: int) -> Iterator[None]:
    """Bound the threads of processes started within: libraries read this once, on loading."""
    before = {name: os.environ.get(name) for name in _THREAD_VARIABLES}
    os.environ.update(dict.fromkeys(_THREAD_VARIABLES, str(threads)))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
