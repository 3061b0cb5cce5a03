"""Finished tile rows of a long run, kept until the scene is complete, so that a rerun continues.

Only methods with fixed tiles (hours of computing) keep their rows; local methods run again in the
time it takes to read the scene.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from bandweave.errors import OutputError
from bandweave.mosaic.blend import Band
from bandweave.radiometry import Image

_JOB = "job.json"


def open_rows_folder(folder: Path, job: Mapping[str, object], *, resume: bool) -> None:
    """Make the folder for finished rows of a job; empty it where it is another job's.

    Raises:
        OutputError: The folder cannot be written.
    """
    text = json.dumps(dict(job), sort_keys=True, indent=1)
    known = folder / _JOB
    if not (resume and known.exists() and known.read_text(encoding="utf-8") == text):
        shutil.rmtree(folder, ignore_errors=True)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        known.write_text(text, encoding="utf-8")
    except OSError as error:
        raise OutputError(
            f"The folder {folder} for unfinished rows could not be written: {error.strerror}."
        ) from error


class RowStore:
    """A folder with one file per finished tile row, each written beside and moved.

    The folder belongs to one job: `job` describes everything the pixels depend on. A folder left
    by another job is emptied.
    """

    def __init__(self, folder: Path, job: Mapping[str, object], *, resume: bool) -> None:
        self._folder = folder
        open_rows_folder(folder, job, resume=resume)

    def finished(self, rows: list[int]) -> list[int]:
        """Return the leading part of `rows` that is complete, with the tail of its last row."""
        done: list[int] = []
        for row in rows:
            if not self._path("rows", row).exists():
                break
            done.append(row)
        while done and not self._path("tail", done[-1]).exists():
            done.pop()
        return done

    def band(self, row: int) -> Band:
        """Load the finished rows of a tile row."""
        with np.load(self._path("rows", row)) as stored:
            return Band(stored["rows"], stored["valid"])

    def tail(self, row: int) -> Image:
        """Load the unfinished rows that the next tile row adds to."""
        with np.load(self._path("tail", row)) as stored:
            tail: Image = stored["tail"]
            return tail

    def keep(self, row: int, band: Band, tail: Image) -> None:
        """Save a tile row; the tail of the one before is no longer needed."""
        self._save(self._path("rows", row), rows=band.rows, valid=band.valid)
        self._save(self._path("tail", row), tail=tail)
        self._path("tail", row - 1).unlink(missing_ok=True)

    def remove(self) -> None:
        """Delete the folder: the scene is complete."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _path(self, kind: str, row: int) -> Path:
        return self._folder / f"{kind}-{row:06d}.npz"

    def _save(self, path: Path, **arrays: np.ndarray) -> None:
        beside = path.with_suffix(".partial")
        try:
            with beside.open("wb") as stream:
                np.savez(stream, allow_pickle=False, **arrays)
            beside.replace(path)
        except OSError as error:
            raise OutputError(
                f"Finished rows could not be kept in {self._folder}: {error.strerror}; "
                "free some space and run again with --resume."
            ) from error
