"""One process at a time in a run's folder, by a lock that ends with its process."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from bandweave.errors import FolderInUseError, OutputError

_NAME = "lock"
"""A file that stays: removing it would let two processes lock two files of one name."""


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Hold the folder of a run, which is made if missing, for this process.

    The lock is the kernel's and not the file's: however its process ends, the next run may begin.
    The file says who has it. Where the system or the file system knows no locks nothing is held.

    Raises:
        FolderInUseError: Another process holds the folder.
        OutputError: The folder could not be made or written.
    """
    path = folder / _NAME
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise OutputError(
            f"The run's folder {folder} could not be made or written: {error.strerror}; name "
            "another one with --out."
        ) from error
    try:
        if not _is_locked(descriptor):
            owner = os.read(descriptor, 300).decode().strip() or "another process"
            raise FolderInUseError(
                f"The run in {folder} is under way in {owner}; wait for its end, or name another "
                "folder with --out."
            )
        with suppress(OSError):  # where the disk is full nobody is named
            os.ftruncate(descriptor, 0)
            os.write(descriptor, f"process {os.getpid()} on {socket.gethostname()}\n".encode())
        yield
    finally:
        os.close(descriptor)


def _is_locked(descriptor: int) -> bool:
    """Lock an open file; False where another process has."""
    if sys.platform == "win32":
        return True
    import fcntl  # noqa: PLC0415  # not on every system

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # the file system knows no locks
        return True
    return True
