"""Find a Dask scheduler, and see that its workers can do our work."""

from __future__ import annotations

import json
import os
import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bandweave import __version__
from bandweave.errors import ClusterError, VersionWarning

if TYPE_CHECKING:
    from distributed import Client

Tell = Callable[[str], None]
"""Receives what is waited for as one sentence."""

ANSWER = 10.0
"""Seconds in which a scheduler that is there answers."""
_PATIENCE = 60.0
"""Seconds to wait for the scheduler's file, and for the first worker: a job starts all at once, and
a network file system shows new files late."""
_COMPUTING = ("numpy", "scipy", "torch", "llvmlite", "numba", "rasterio")
"""Packages on whose versions pixels and files depend, extras among them."""


def address_of(given: str, tell: Tell) -> str:
    """Return a scheduler's address, out of its file where that is given; it is waited for.

    Raises:
        ClusterError: The file does not come, or holds something else.
    """
    path = Path(given)
    is_file_name = path.is_file() or path.suffix == ".json" or len(path.parts) > 1
    return _address_in(given, tell) if is_file_name and "://" not in given else given


def _address_in(file: str, tell: Tell) -> str:
    path = Path(file).absolute()
    if not path.is_file() and path.parent.is_dir():
        tell(f"Waiting for {file}, which `dask scheduler --scheduler-file` writes.")
    end = time.monotonic() + _PATIENCE
    while not path.is_file():
        if not path.parent.is_dir() or time.monotonic() > end:
            raise ClusterError(
                f"There is no file {file}; give the --scheduler-file of `dask scheduler`, or the "
                "address it prints, tcp://HOST:PORT."
            )
        os.scandir(path.parent).close()  # lets a network file system look again
        time.sleep(0.1)
    for _ in range(10):  # it may be written at this moment
        with suppress(OSError, ValueError, KeyError, TypeError):
            return str(json.loads(path.read_text())["address"])
        time.sleep(0.1)
    raise ClusterError(
        f"{file} is no file of `dask scheduler --scheduler-file`: it holds no address."
    )


def require_answer(address: str) -> None:
    """See that a scheduler answers: the client would wait for another kind of server for ever.

    Raises:
        OSError, ValueError, TimeoutError: It does not, or the address is none.
    """
    from distributed import Security  # noqa: PLC0415  # an extra
    from distributed.comm.core import connect  # noqa: PLC0415  # an extra
    from distributed.utils import LoopRunner, sync  # noqa: PLC0415  # an extra

    async def ask() -> None:
        options = Security().get_connection_args("client")
        await (await connect(address, timeout=ANSWER, **options)).close()

    runner = LoopRunner()
    runner.start()
    try:
        sync(runner.loop, ask, callback_timeout=ANSWER)
    finally:
        runner.stop()


def require_workers(client: Client, address: str, tell: Tell) -> None:
    """Wait for the first worker.

    Raises:
        ClusterError: None comes.
    """
    if not client.nthreads():
        tell(f"Waiting for workers of the Dask scheduler at {address}.")
    try:
        client.wait_for_workers(1, timeout=_PATIENCE)
    except TimeoutError as error:
        raise ClusterError(
            f"The Dask scheduler at {address} has no workers; start some with `dask worker`."
        ) from error


def require_versions(client: Client) -> None:
    """Compare installed versions, before anything of ours is sent that could be missing there.

    Raises:
        ClusterError: A worker has another version of bandweave.

    Warns:
        VersionWarning: A worker has other versions of what computes.
    """
    found: Any = client.get_versions(packages=["bandweave", *_COMPUTING])
    here = found["client"]["packages"]
    wanted = here["bandweave"]
    for worker, facts in found["workers"].items():
        version = facts["packages"]["bandweave"]
        if version != wanted:
            has = "no bandweave" if version is None else f"bandweave {version}"
            raise ClusterError(
                f"The worker {worker} has {has}, this process {__version__}; install the same "
                "version everywhere."
            )
    for name in _COMPUTING:
        own = here[name] or "none"
        there = {str(facts["packages"][name] or "none") for facts in found["workers"].values()}
        if there != {own}:
            warnings.warn(
                f"Workers have another {name} ({' or '.join(sorted(there))}) than this process "
                f"({own}): results may differ in their last digits; install the same everywhere.",
                VersionWarning,
                stacklevel=2,
            )
