"""Which methods of many are drawn in colour, and each one's look; the same in every figure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bandweave.report.figures.style import COLOURS, LINES, MARKERS
from bandweave.report.significance import mean_ranks
from bandweave.report.table import Row, ScoreTable


@dataclass(frozen=True, slots=True)
class Look:
    """How a method is drawn; colour, marker and dashes tell the same, for print in grey."""

    colour: str
    marker: str
    line: Any


def looks(table: ScoreTable) -> dict[str, Look]:
    """Return row id -> look of the methods worth a colour, the best by mean rank first.

    More than six colours cannot be told apart safely; the others are drawn in grey.
    """
    ranks = mean_ranks(table)

    def place(row: Row) -> float:
        own = [ranks[row.id, metric] for metric in table.metrics if (row.id, metric) in ranks]
        return sum(own) / len(own) if own else float("inf")

    best = sorted((row for row in table.rows if not row.is_published), key=place)
    styles = zip(COLOURS, MARKERS, LINES, strict=True)
    return {
        row.id: Look(colour, marker, line)
        for row, (colour, marker, line) in zip(best, styles, strict=False)
    }
