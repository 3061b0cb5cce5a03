"""From records to tables: mean and spread, best and second best, published rows beside ours."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from bandweave.metrics.accumulate import Spread
from bandweave.metrics.table import METRICS
from bandweave.report.records import Record

Mark = Literal["best", "second"]
_MARKS: tuple[Mark, Mark] = ("best", "second")
IDEAL = "ideal"


@dataclass(frozen=True, slots=True)
class Cell:
    """One metric over the images."""

    mean: float
    std: float
    """With n − 1; nan below two images."""
    count: int
    """Images with a value."""
    is_meaningless: bool = False
    """The image was made to have this value."""


@dataclass(frozen=True, slots=True)
class Row:
    """One method."""

    id: str
    name: str
    method: str
    """Key in METHODS."""
    cells: dict[str, Cell]
    """By metric id; a metric without any value is absent."""
    seconds: float | None = None
    """Mean per image."""
    peak_mib: float | None = None
    """Largest over the images."""
    parameters: int | None = None
    is_published: bool = False
    images: dict[str, dict[str, float]] = field(default_factory=dict)
    """Image -> metric -> value, of the images that were done; empty for published rows."""
    failures: tuple[tuple[str, str], ...] = ()
    """Image and sentence of each that failed."""


@dataclass(frozen=True, slots=True)
class ScoreTable:
    """What one set of images says of the methods."""

    id: str
    title: str
    protocol: str
    metrics: tuple[str, ...]
    images: tuple[str, ...]
    """Every image that any row was run on."""
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()

    @property
    def compared(self) -> tuple[Row, ...]:
        """Return our rows that have all images: what may be ranked and tested."""
        wanted = set(self.images)
        return tuple(row for row in self.rows if not row.is_published and set(row.images) == wanted)

    def marks(self) -> dict[tuple[str, str], Mark]:
        """Return (row, metric) -> mark, for the two best means among `compared`.

        Published rows are not marked: they were computed on other images or by other programs.
        Equal means share a mark.
        """
        marks: dict[tuple[str, str], Mark] = {}
        for metric in self.metrics:
            means = {
                row.id: row.cells[metric].mean
                for row in self.compared
                if metric in row.cells and not row.cells[metric].is_meaningless
            }
            places = sorted(set(means.values()), key=lambda mean: badness(metric, mean))
            for mark, mean in zip(_MARKS, places, strict=False):
                marks.update(((row, metric), mark) for row, own in means.items() if own == mean)
        return marks


def badness(metric: str, value: float) -> float:
    """Return a number that is smaller where a metric's value is better."""
    return -value if METRICS[metric].direction == "higher" else value


def score_table(
    records: Iterable[Record],
    *,
    id: str,  # noqa: A002 (the name of the field)
    title: str,
    protocol: str,
    metrics: Sequence[str],
    published: Sequence[Row] = (),
    counterparts: Mapping[str, str] | None = None,
    notes: Sequence[str] = (),
) -> ScoreTable:
    """Gather the records of one set of images; rows keep the order of the records.

    Args:
        records: Of these images alone.
        id: Of the data.
        title: Heading.
        protocol: Id of the protocol.
        metrics: Columns.
        published: Rows to stand behind ours of the same method, else at the end.
        counterparts: Id of our row -> id of the published one, where that is not the method's.
        notes: What a reader has to know.
    """
    gathered: dict[str, list[Record]] = {}
    for record in records:
        gathered.setdefault(record.row, []).append(record)
    rows: list[Row] = []
    left = {row.id: row for row in published}
    for row_id, group in gathered.items():
        ours = _row(group, metrics)
        rows.append(ours)
        beside = left.pop((counterparts or {}).get(row_id, ours.method), None)
        if beside is not None:
            rows.append(beside)
    rows += left.values()
    images = tuple(dict.fromkeys(one.image for group in gathered.values() for one in group))
    return ScoreTable(id, title, protocol, tuple(metrics), images, tuple(rows), tuple(notes))


def _row(records: Sequence[Record], metrics: Sequence[str]) -> Row:
    first = records[0]
    done = [record for record in records if record.state == "done"]
    seconds = [record.seconds for record in done if record.seconds is not None]
    peaks = [record.peak_mib for record in done if record.peak_mib is not None]
    cells = {metric: _cell(done, metric) for metric in metrics}
    return Row(
        id=first.row,
        name=first.name,
        method=first.method,
        cells={metric: cell for metric, cell in cells.items() if cell.count},
        seconds=sum(seconds) / len(seconds) if seconds else None,
        peak_mib=max(peaks, default=None),
        parameters=first.parameters,
        images={record.image: record.values for record in done},
        failures=tuple(
            (record.image, record.error or "") for record in records if record.state == "failed"
        ),
    )


def _cell(records: Sequence[Record], metric: str) -> Cell:
    spread = Spread.of([record.values.get(metric, math.nan) for record in records])
    is_meaningless = any(metric in record.meaningless for record in records)
    return Cell(spread.mean, spread.std, spread.count, is_meaningless)


def ideal_row(metrics: Sequence[str]) -> Row:
    """Return the row of an image against itself."""
    cells = {metric: Cell(METRICS[metric].ideal, math.nan, 0) for metric in metrics}
    return Row(IDEAL, IDEAL, IDEAL, cells)
