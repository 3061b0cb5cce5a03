"""A file of what was done, one line per event, so that a rerun goes on where a run ended."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from bandweave.parallel.lines import append_line, read_lines

State = Literal["started", "done", "failed"]


@dataclass(frozen=True, slots=True)
class Entry:
    """What happened to a task."""

    name: str
    """Name of the task."""
    state: State
    """`started` stays the last one of an output where a run was killed."""
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

    def standing(self) -> dict[str, Entry]:
        """Return what each output was last made of, or was being made of when a run was killed.

        Outputs are written whole or not at all: a task that failed has left the one before.

        Raises:
            OutputError: The file exists and cannot be read.
        """
        standing: dict[str, Entry] = {}
        done: dict[str, Entry] = {}
        for entry in self._entries():
            if entry.state == "failed":
                standing.pop(entry.output, None)
                if entry.output in done:
                    standing[entry.output] = done[entry.output]
                continue
            standing[entry.output] = entry
            if entry.state == "done":
                done[entry.output] = entry
        return standing

    def _entries(self) -> Iterator[Entry]:
        for content in read_lines(self.path):
            entry = _entry(content)
            if entry is not None:
                yield entry

    def record(self, entry: Entry) -> None:
        """Append an entry.

        Raises:
            OutputError: The file cannot be written.
        """
        append_line(self.path, asdict(entry))


def _entry(content: dict[str, Any]) -> Entry | None:
    """Read a line; None where it is no entry."""
    known = {name.name for name in fields(Entry)}
    try:
        return Entry(**{key: value for key, value in content.items() if key in known})
    except TypeError:
        return None
