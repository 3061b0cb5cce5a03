"""A file of what was done, one line per event, so that a rerun goes on where a run ended."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from bandweave.errors import OutputError

State = Literal["started", "done", "failed"]


@dataclass(frozen=True, slots=True)
class Entry:
    """What happened to a task."""

    name: str
    """Name of the task; later entries of a name go before earlier ones."""
    state: State
    """`started` stays the last one where a run was killed."""
    output: str
    """File that the task writes."""
    options: str
    """Hash of everything that was asked for and that the output depends on."""
    inputs: dict[str, list[int]] = field(default_factory=dict)
    """Files read, each with its size in bytes and its time of change in nanoseconds."""
    method: str | None = None
    seconds: float | None = None
    error: str | None = None
    """The sentence, where the task failed."""
    when: str | None = None
    """Time of the event, UTC."""

    def is_same_work(self, other: Entry) -> bool:
        """Tell whether another entry is about the same output made of the same inputs."""
        return (self.output, self.options, self.inputs) == (
            other.output,
            other.options,
            other.inputs,
        )


class Manifest:
    """A JSON-lines file that is only ever appended to.

    Every line is on the disk before `record` returns. A line that a killed run left half-written is
    passed over.

    Example:
        >>> manifest = Manifest(Path("manifest.jsonl"))  # doctest: +SKIP
        >>> manifest.record(Entry("town", "done", "town_gsa.tif", "9f86d081"))  # doctest: +SKIP
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def latest(self) -> dict[str, Entry]:
        """Return the last entry of each name.

        Raises:
            OutputError: The file exists and cannot be read.
        """
        try:
            text = self.path.read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise OutputError(f"{self.path} could not be read: {error.strerror}.") from error
        entries = (_entry(line) for line in text.splitlines())
        return {entry.name: entry for entry in entries if entry is not None}

    def record(self, entry: Entry) -> None:
        """Append an entry.

        Raises:
            OutputError: The file cannot be written.
        """
        line = json.dumps(asdict(entry), ensure_ascii=False).encode() + b"\n"
        try:
            with self.path.open("ab+") as stream:
                if self._ends_within_a_line(stream):
                    line = b"\n" + line
                stream.write(line)
                stream.flush()
                os.fsync(stream.fileno())
        except OSError as error:
            raise OutputError(f"{self.path} could not be written: {error.strerror}.") from error

    @staticmethod
    def _ends_within_a_line(stream: Any) -> bool:
        if stream.seek(0, os.SEEK_END) == 0:
            return False
        stream.seek(-1, os.SEEK_END)
        return bool(stream.read(1) != b"\n")


def _entry(line: str) -> Entry | None:
    """Read a line; None where it is no entry."""
    try:
        content = json.loads(line)
        known = {name.name for name in fields(Entry)}
        return Entry(**{key: value for key, value in content.items() if key in known})
    except (ValueError, TypeError, AttributeError):
        return None
