"""What a process on another machine has to have to do this one's work."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from bandweave import __version__


@dataclass(frozen=True, slots=True)
class Needs:
    """A version, files and folders."""

    version: str
    """Of bandweave."""
    files: tuple[tuple[str, int], ...]
    """Paths with their sizes in bytes."""
    folders: tuple[str, ...]
    """Folders that are written to."""

    @classmethod
    def of(cls, files: Iterable[Path], folders: Iterable[Path]) -> Needs:
        """Ask for this process's version, and for those of the files that lie on a disk."""
        paths = [path.resolve() for path in files if path.is_file()]
        return cls(
            __version__,
            tuple((str(path), path.stat().st_size) for path in paths),
            tuple(str(path.resolve()) for path in folders),
        )

    def unmet(self) -> str | None:
        """Say what this process lacks, as the end of a sentence; None where it is nothing."""
        if self.version != __version__:
            return f"has bandweave {__version__}, not {self.version}; install the same everywhere."
        for path, size in self.files:
            there = Path(path)
            if not there.is_file():
                return (
                    f"does not see the file {path}; workers read inputs themselves, so put it on "
                    "storage that all share, under the same path."
                )
            found = there.stat().st_size
            if found != size:
                return f"sees {found} bytes in {path}, not {size}; it has another file of the name."
        for path in self.folders:
            if not (Path(path).is_dir() and os.access(path, os.W_OK)):
                return (
                    f"cannot write to the folder {path}; results are written by the workers, so "
                    "put it on storage that all share, under the same path."
                )
        return None
