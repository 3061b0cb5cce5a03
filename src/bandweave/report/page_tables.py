"""Tables as the page shows them: text, what it is sorted by, and how it is marked."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from bandweave.report.formats import (
    SIGNIFICANT,
    ideal_text,
    mean_rank,
    metric_head,
    shown,
)
from bandweave.report.shown import ShownImage
from bandweave.report.significance import mean_ranks, paired_p_values
from bandweave.report.table import Cell, Mark, Row, ScoreTable, ideal_row

_MISSING = "–"


@dataclass(frozen=True, slots=True)
class PageCell:
    """A cell."""

    text: str
    order: float | None = None
    """What a column is sorted by; None last."""
    mark: str = ""
    """CSS class: `best`, `second`, `void` (says nothing), `clear` (a significant difference)."""
    share: float | None = None
    """Length of the bar behind the number, 0 to 1; None for no bar."""


@dataclass(frozen=True, slots=True)
class PageRow:
    """A line."""

    name: str
    cells: tuple[PageCell, ...]
    is_published: bool = False


@dataclass(frozen=True, slots=True)
class PageTable:
    """A table whose columns can be sorted."""

    caption: str
    heads: tuple[str, ...]
    rows: tuple[PageRow, ...]
    foot: tuple[str, ...] = ()
    """Last line, which stays where it is: what an ideal image has."""


def results(table: ScoreTable) -> PageTable:
    """Return means, spreads, ranks and costs of every method."""
    marks, ranks = table.marks(), mean_ranks(table)
    worst = max(len(table.compared), 1)
    rows = []
    for row in table.rows:
        cells = [_score(row, metric, marks) for metric in table.metrics]
        rank = mean_rank(row, table, ranks)
        share = None if rank is None else 1 - (rank - 1) / max(worst - 1, 1)
        cells.append(_number(rank, "{:.2f}", share))
        cells.append(_number(row.seconds, "{:.3g}"))
        cells.append(_number(row.peak_mib, "{:.0f}"))
        cells.append(_number(row.parameters, "{:,.0f}"))
        name = f"{row.name} (published)" if row.is_published else row.name
        rows.append(PageRow(name, tuple(cells), row.is_published))
    costs = ("mean rank", "s per image", "peak MiB", "parameters")
    ideal = ideal_row(table.metrics)
    return PageTable(
        f"{table.title}: mean ± standard deviation over {len(table.images)} images",
        (*map(metric_head, table.metrics), *costs),
        tuple(rows),
        (*(ideal_text(ideal.cells[m].mean) for m in table.metrics), "1", "", "", ""),
    )


def significance(table: ScoreTable) -> PageTable | None:
    """Return p of each method against the best one, or None where no test can say anything."""
    p_values = paired_p_values(table)
    if not p_values or least_p(table) > SIGNIFICANT:
        return None
    marks = table.marks()
    rows = []
    for row in table.compared:
        cells = []
        for metric in table.metrics:
            p, mark = p_values.get((row.id, metric)), marks.get((row.id, metric))
            if p is None:
                cells.append(PageCell("best", -1, "best") if mark == "best" else PageCell(_MISSING))
            else:
                cells.append(PageCell(f"{p:.2g}", p, "clear" if p < SIGNIFICANT else ""))
        rows.append(PageRow(row.name, tuple(cells)))
    return PageTable(
        f"{table.title}: p of the paired Wilcoxon signed-rank test against the best of each column",
        tuple(map(metric_head, table.metrics)),
        tuple(rows),
    )


def ranks_by_metric(table: ScoreTable) -> PageTable | None:
    """Return every method's mean rank over the images in each metric."""
    ranks = mean_ranks(table)
    if not ranks:
        return None
    worst = max(len(table.compared) - 1, 1)
    rows = []
    for row in table.compared:
        own = [ranks.get((row.id, metric)) for metric in table.metrics]
        cells = [
            _number(rank, "{:.2f}", None if rank is None else 1 - (rank - 1) / worst)
            for rank in (*own, mean_rank(row, table, ranks))
        ]
        rows.append(PageRow(row.name, tuple(cells)))
    rows.sort(key=lambda one: math.inf if one.cells[-1].order is None else one.cells[-1].order)
    return PageTable(
        f"{table.title}: mean rank over the images, 1 is best",
        (*map(metric_head, table.metrics), "all metrics"),
        tuple(rows),
    )


def least_p(table: ScoreTable) -> float:
    """Return the smallest p that the paired test can reach with these images."""
    return float(2.0 ** (1 - len(table.images)))


def scores_of_image(table: ScoreTable, image: ShownImage) -> PageTable:
    """Return every method's scores of one image."""
    rows = []
    for layer in image.methods:
        values = layer.values or {}
        cells = [_score_of(metric, values.get(metric, math.nan)) for metric in table.metrics]
        rows.append(PageRow(layer.name, (*cells, _number(layer.seconds, "{:.3g}"))))
    return PageTable(
        f"Scores of {image.title}",
        (*map(metric_head, table.metrics), "s"),
        tuple(rows),
    )


def best_of(table: ScoreTable) -> Iterator[tuple[str, str, str]]:
    """Yield metric, best method and its mean, for every metric with one."""
    marks = table.marks()
    for metric in table.metrics:
        for row in table.compared:
            if marks.get((row.id, metric)) == "best":
                yield metric_head(metric), row.name, shown(metric, row.cells[metric])
                break


def _score(row: Row, metric: str, marks: dict[tuple[str, str], Mark]) -> PageCell:
    cell = row.cells.get(metric)
    if cell is None:
        return PageCell("failed" if row.failures else _MISSING)
    text = shown(metric, cell)
    if cell.is_meaningless:
        return PageCell(f"({text})", cell.mean, "void")
    if not row.is_published and row.failures:
        text += f" (n = {cell.count})"
    mark = "" if row.is_published else marks.get((row.id, metric)) or ""
    return PageCell(text, cell.mean, mark)


def _score_of(metric: str, value: float) -> PageCell:
    if math.isnan(value):
        return PageCell(_MISSING)
    return PageCell(shown(metric, Cell(value, math.nan, 1)), value)


def _number(value: float | None, form: str, share: float | None = None) -> PageCell:
    if value is None:
        return PageCell(_MISSING)
    return PageCell(form.format(value), value, share=share)
