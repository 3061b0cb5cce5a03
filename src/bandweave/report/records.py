"""Records of benchmarks: one JSON line per task, and what it takes to trust a number later."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal

from bandweave.errors import OutputError
from bandweave.parallel.lines import append_line, read_lines

Key = tuple[str, str, str]
"""Data, row, image."""


@dataclass(frozen=True, slots=True)
class Record:
    """One method on one image."""

    data: str
    """Id of the data in its suite."""
    row: str
    """Id of the method with its options: `bt_h`, `bt_h consistent`."""
    image: str
    state: Literal["done", "failed"]
    digest: str
    """Hash of everything the scores depend on: settings, weights, data, version."""
    method: str
    """Key in METHODS."""
    name: str
    """The row as tables show it."""
    values: dict[str, float] = field(default_factory=dict)
    """Score by metric id; nan where it is not defined."""
    protocol: dict[str, Any] = field(default_factory=dict)
    """How they were computed."""
    conditions: dict[str, Any] = field(default_factory=dict)
    """What the protocol leaves open: ratio, full scale, gains, scored pixels."""
    meaningless: tuple[str, ...] = ()
    """Metrics whose values say nothing of this image, being what it was made to have."""
    notes: tuple[str, ...] = ()
    """What was decided on the way, one sentence each."""
    error: str | None = None
    """The sentence, where the task failed."""
    settings: dict[str, Any] = field(default_factory=dict)
    """The method's options, as the suite gives them."""
    config_sha256: str | None = None
    """Hash of the method's options with the data's settings."""
    weights_sha256: str | None = None
    parameters: int | None = None
    """Numbers in the weight file."""
    simulation: dict[str, Any] | None = None
    """How the pair was made, where that is known."""
    seconds: float | None = None
    """Wall time of preparing and fusing, without reading and scoring."""
    peak_mib: float | None = None
    """Largest resident memory of the process meanwhile, libraries and data included."""
    versions: dict[str, str] = field(default_factory=dict)
    hardware: dict[str, Any] = field(default_factory=dict)
    when: str | None = None
    """End of the task, UTC."""

    @property
    def key(self) -> Key:
        """Return what a later record replaces."""
        return self.data, self.row, self.image

    def without_measurements(self) -> Record:
        """Return the record without what differs from run to run: times, memory, machine."""
        return replace(self, seconds=None, peak_mib=None, when=None, hardware={})

    def as_json(self) -> dict[str, Any]:
        """Return the record for JSON: nan as null, infinity as a word."""
        content: dict[str, Any] = _plain(asdict(self))
        return content

    @classmethod
    def of_json(cls, content: dict[str, Any]) -> Record | None:
        """Read a line; None where it is no record."""
        known = {one.name for one in fields(cls)}
        try:
            record = cls(**{key: value for key, value in content.items() if key in known})
            values = {name: _number(value) for name, value in record.values.items()}
        except (TypeError, ValueError, AttributeError):
            return None
        return replace(
            record,
            values=values,
            notes=tuple(record.notes),
            meaningless=tuple(record.meaningless),
        )


class RecordFile:
    """A file of records; every one is on the disk before `add` returns.

    Example:
        >>> file = RecordFile(Path("run/records.jsonl"))  # doctest: +SKIP
        >>> file.add(record)  # doctest: +SKIP
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def latest(self) -> dict[Key, Record]:
        """Return the last record of every key; a line cut short by a kill is passed over.

        Raises:
            OutputError: The file exists and cannot be read.
        """
        records = (Record.of_json(content) for content in read_lines(self.path))
        return {record.key: record for record in records if record is not None}

    def add(self, record: Record) -> None:
        """Append a record.

        Raises:
            OutputError: The file cannot be written.
        """
        append_line(self.path, record.as_json())

    def rewrite(self, records: Iterable[Record]) -> None:
        """Replace the content at one stroke: what was superseded goes, the order is the given one.

        Raises:
            OutputError: The file cannot be written.
        """
        beside = self.path.with_name(f"{self.path.name}.partial")
        lines = (json.dumps(one.as_json(), ensure_ascii=False) + "\n" for one in records)
        try:
            with beside.open("w", encoding="utf-8") as stream:
                stream.writelines(lines)
                stream.flush()
                os.fsync(stream.fileno())
            beside.replace(self.path)
        except OSError as error:
            raise OutputError(f"{self.path} could not be written: {error.strerror}.") from error


def _plain(value: Any) -> Any:
    """Return nan as null and infinity as a word: JSON has no numbers for them."""
    if isinstance(value, dict):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(value)
    return value


def _number(value: Any) -> float:
    return math.nan if value is None else float(value)
