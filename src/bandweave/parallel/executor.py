"""Map a function over independent tasks: in this process, in several, or elsewhere."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any, Generic, Protocol, TypeVar

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


Begun = Callable[[Task], None]
"""Called with a task just before it is handed over."""


class Executor(Protocol):
    """Where independent tasks are computed; their results do not depend on it."""

    @property
    def workers(self) -> int:
        """Return how many tasks are computed at a time."""
        ...

    @property
    def threads(self) -> int:
        """Return how many threads each of them may use."""
        ...

    def map(
        self,
        work: Callable[[Task], Result],
        tasks: Sequence[Task],
        *,
        begun: Begun[Task] | None = None,
    ) -> Generator[Outcome[Task, Result]]:
        """Yield the outcome of every task, each as soon as it is there.

        A task that raises, or whose process dies again and again, fails alone. Where this process
        is killed, or the iteration ended, what has not begun is not begun any more.

        Args:
            work: Function or object at the top level of a module; pickled once.
            tasks: Its arguments; elsewhere than in this process they and the results are pickled.
            begun: Called with each task just before it is handed over.
        """
        ...


@dataclass(frozen=True, slots=True)
class Local:
    """This machine: this process, or several that share the cores."""

    workers: int = 1
    """Processes at a time; 1 computes in this one."""
    threads: int = 1
    """Threads that numerical libraries may use in each of several processes."""

    def map(
        self,
        work: Callable[[Task], Result],
        tasks: Sequence[Task],
        *,
        begun: Begun[Task] | None = None,
    ) -> Generator[Outcome[Task, Result]]:
        """Yield the outcome of every task, see `Executor`; a process that dies fails its task."""
        say = begun or (lambda _: None)
        if self.workers == 1 or len(tasks) < 2:
            for task in tasks:
                say(task)
                yield tried(work, task)
            return
        started: list[_Worker] = []
        try:
            yield from _distributed(work, tasks, self, say, started)
        finally:
            for worker in started:
                worker.stop()


def _distributed(
    work: Callable[[Task], Result],
    tasks: Sequence[Task],
    limits: Local,
    begun: Begun[Task],
    started: list[_Worker],
) -> Iterator[Outcome[Task, Result]]:
    """Keep as many processes busy as allowed; those started are put into `started`."""
    waiting = iter(tasks)
    busy: dict[Connection, tuple[_Worker, Task]] = {}

    def give(worker: _Worker | None) -> None:
        """Hand the next task to a worker, to a new one where the old one is dead."""
        task = next(waiting, None)
        if task is None:
            return
        if worker is None:
            worker = _Worker(work, limits.threads)
            started.append(worker)
        begun(task)
        worker.connection.send(task)
        busy[worker.connection] = (worker, task)

    for _ in range(min(limits.workers, len(tasks))):
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
            outcome = tried(work, connection.recv())
            connection.send((outcome.result, outcome.error))


def _end_with_parent() -> None:
    """Leave at once when the parent was killed, even within a task."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)


def tried(work: Callable[[Task], Result], task: Task) -> Outcome[Task, Result]:
    """Compute a task; what it raises becomes a sentence."""
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
    os.environ["OPENBLAS_NUM_THREADS"] = "1"  # see `keep_algebra_in_its_thread`
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
