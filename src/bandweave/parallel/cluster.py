"""Tasks on the workers of a Dask cluster.

Every worker is a process of its own that reads inputs by their paths and computes one task at a
time. Dask gives the task of a worker that died to another one.
"""

from __future__ import annotations

import logging
import pickle
import socket
import threading
import uuid
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bandweave.allocation import keep_freed_blocks
from bandweave.errors import BandweaveWarning, ClusterError, FusionError, MissingExtraError
from bandweave.parallel.executor import Begun, Outcome, Result, Task, tried
from bandweave.parallel.needs import Needs
from bandweave.parallel.scheduler import (
    ANSWER,
    Tell,
    address_of,
    require_answer,
    require_versions,
    require_workers,
)

if TYPE_CHECKING:
    from dask.typing import Key
    from distributed import Client, Future

_AT_ONCE = 2
"""Tasks handed over per worker: the one it computes and the next, so that it never waits."""
_AHEAD = 4
"""Tasks per worker that may be done before an older one is, where results are taken in order."""


class Cluster:
    """The workers of a Dask scheduler; an `Executor`. Made by `connected`."""

    def __init__(self, client: Client, needs: Needs) -> None:
        self._client, self._needs = client, needs

    @property
    def workers(self) -> int:
        """Return the number of workers that are there now."""
        return max(len(self._client.nthreads()), 1)

    @property
    def threads(self) -> int:
        """Return the threads that every worker was started with, at least."""
        return min(self._client.nthreads().values(), default=1)

    def map(
        self,
        work: Callable[[Task], Result],
        tasks: Sequence[Task],
        *,
        begun: Begun[Task] | None = None,
    ) -> Generator[Outcome[Task, Result]]:
        """Yield the outcome of every task, each as soon as it is there; see `Executor`.

        Warnings of a worker are warned of here.

        Raises:
            ClusterError: The scheduler went away.
        """
        with closing(self._outcomes(work, tasks, begun=begun)) as outcomes:
            for _, outcome in outcomes:
                yield outcome

    def in_order(
        self, work: Callable[[Task], Result], tasks: Sequence[Task]
    ) -> Generator[tuple[Task, Result]]:
        """Yield `(task, work(task))` in the order of `tasks`.

        Raises:
            FusionError: A task failed; the others are not waited for.
        """
        waiting: dict[int, Outcome[Task, Result]] = {}
        turn = 0
        with closing(self._outcomes(work, tasks, ahead=_AHEAD)) as outcomes:
            for index, outcome in outcomes:
                if outcome.error is not None:
                    raise FusionError(outcome.error)
                waiting[index] = outcome
                while turn in waiting:
                    done = waiting.pop(turn)
                    turn += 1
                    yield done.task, done.result  # type: ignore[misc]  # there without an error

    def _outcomes(
        self,
        work: Callable[[Task], Result],
        tasks: Sequence[Task],
        *,
        begun: Begun[Task] | None = None,
        ahead: int | None = None,
    ) -> Generator[tuple[int, Outcome[Task, Result]]]:
        """Keep all workers busy; yield each task's number with its outcome."""
        from distributed import as_completed  # noqa: PLC0415  # an extra

        run = uuid.uuid4().hex
        # A task itself, not data from here: Dask makes it anew when the worker that has it dies.
        shared = self._client.submit(bytes, pickle.dumps(work), key=f"work-{run}", pure=False)
        completed = as_completed(loop=self._client.loop)
        busy: dict[Key, tuple[int, Future[Any]]] = {}
        given = 0

        def give() -> None:
            nonlocal given
            workers = self.workers
            while given < len(tasks) and len(busy) < _AT_ONCE * workers:
                oldest = min((index for index, _ in busy.values()), default=given)
                if ahead is not None and given >= oldest + ahead * workers:
                    return
                task = tasks[given]
                if begun is not None:
                    begun(task)
                future = self._client.submit(
                    compute, shared, task, self._needs, key=f"task-{run}-{given}", pure=False
                )
                busy[future.key] = given, future
                completed.add(future)
                given += 1

        try:
            give()
            while busy:
                future = next(completed)
                index, _ = busy.pop(future.key)
                outcome = _outcome(tasks[index], future)
                give()
                yield index, outcome
        finally:
            # What is under way is finished by its worker and then forgotten.
            with suppress(Exception):
                self._client.cancel([shared, *(future for _, future in busy.values())])


@dataclass(frozen=True, slots=True)
class Reply:
    """What comes back from a worker."""

    result: Any
    error: str | None
    warned: tuple[BandweaveWarning, ...] = ()


# The numerical libraries, warnings and our measurements are those of a process: a worker with
# several threads lends them all to one task.
_ONE_AT_A_TIME = threading.Lock()


def compute(shared: bytes, task: Any, needs: Needs) -> Reply:
    """Compute a task; runs on a worker."""

    def work(task: Any) -> Any:
        # Within what is tried: loading it opens files.
        return _loaded(shared)(task)

    with _ONE_AT_A_TIME:
        keep_freed_blocks()
        unmet = needs.unmet()
        if unmet is not None:
            return Reply(None, f"The worker on {socket.gethostname()} {unmet}")
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("ignore")
            warnings.simplefilter("always", BandweaveWarning)
            outcome = tried(work, task)
        said = (one.message for one in caught)
        warned = tuple(one for one in said if isinstance(one, BandweaveWarning))
        return Reply(outcome.result, outcome.error, warned)


@lru_cache(maxsize=1)
def _loaded(shared: bytes) -> Callable[[Any], Any]:
    """Return what tasks are given to; what it holds (open files, networks) is kept."""
    work: Callable[[Any], Any] = pickle.loads(shared)  # noqa: S301  # from our own client
    return work


def _outcome(task: Task, future: Future[Any]) -> Outcome[Task, Any]:
    """Take what came back.

    Raises:
        ClusterError: The scheduler is gone.
    """
    from distributed import KilledWorker  # noqa: PLC0415  # an extra

    if future.status not in ("finished", "error"):
        raise ClusterError("The connection to the Dask scheduler was lost; start it and run again.")
    error = future.exception() if future.status == "error" else None
    if isinstance(error, KilledWorker):
        return Outcome(
            task,
            None,
            "The workers that computed this died one after the other, as when memory runs out: "
            "give each more, or fewer threads (docs/scaling.md).",
        )
    if error is not None:
        return Outcome(task, None, f"unexpected {type(error).__name__}: {error}")
    reply: Reply = future.result()
    for warning in reply.warned:
        warnings.warn(warning, stacklevel=2)
    return Outcome(task, reply.result, reply.error)


@contextmanager
def connected(
    address: str,
    *,
    files: Iterable[Path] = (),
    folders: Iterable[Path] = (),
    tell: Tell = lambda _: None,
) -> Iterator[Cluster]:
    """Connect to a scheduler, and see that its workers can do the work.

    Args:
        address: `tcp://HOST:PORT`, or the file that `dask scheduler` writes; it is waited for.
        files: Files that every worker has to see as this process does.
        folders: Folders that every worker has to be able to write to.
        tell: Receives what is waited for as one sentence.

    Raises:
        MissingExtraError: Dask is not installed.
        ClusterError: Nobody answers, or there is no worker, or one lacks a file, a folder or this
            version of bandweave.
    """
    try:
        from distributed import Client  # noqa: PLC0415  # an extra
    except ImportError as error:
        raise MissingExtraError(
            "--dask needs Dask, which is not installed: pip install 'bandweave[dask]'."
        ) from error
    for name in ("distributed", "distributed.client"):
        # What concerns the user is said in our own sentences; Dask adds tracebacks.
        logging.getLogger(name).setLevel(logging.CRITICAL)
    where = address_of(address, tell)
    try:
        require_answer(where)
        client = Client(where, timeout=ANSWER, set_as_default=False)
    except (OSError, ValueError, TimeoutError) as error:
        raise ClusterError(
            f"No Dask scheduler answers at {where}; start `dask scheduler` and give the address "
            "it prints, or its --scheduler-file."
        ) from error
    with client:
        needs = Needs.of(files, folders)
        require_workers(client, where, tell)
        require_versions(client)
        for worker, unmet in client.run(needs.unmet).items():
            if unmet is not None:
                raise ClusterError(f"The worker {worker} {unmet}")
        yield Cluster(client, needs)
