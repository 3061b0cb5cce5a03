"""Score tables as Markdown, CSV and LaTeX."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Iterator, Sequence

from bandweave.metrics.table import METRICS
from bandweave.report.significance import mean_ranks, paired_p_values
from bandweave.report.table import Cell, Mark, Row, ScoreTable, ideal_row

_MISSING = "–"
SIGNIFICANT = 0.05
"""Usual level; six images can reach it, five cannot."""
_LATEX_SPECIAL = {
    "&": r"\&",
    "%": r"\%",
    "_": r"\_",
    "#": r"\#",
    "$": r"\$",
    "^": r"\^{}",
    "\\": r"\textbackslash{}",
    "°": r"$^\circ$",
    "–": "--",
}


def markdown(tables: Sequence[ScoreTable]) -> str:
    """Return all tables with ranks, paired tests, failures and notes.

    The best mean of a column is bold, the second best underlined.
    """
    return "\n".join(line for table in tables for line in _markdown(table))


def _markdown(table: ScoreTable) -> Iterator[str]:
    yield f"## {table.title}"
    yield ""
    yield from _in_words(table)
    yield ""
    ranks = mean_ranks(table)
    heads = [*map(metric_head, table.metrics), "mean rank", "s per image"]
    yield _line(["method", *heads])
    yield _line(["---", *("---:" for _ in heads)])
    marks = table.marks()
    for row in table.rows:
        cells = [_markdown_cell(row, metric, marks) for metric in table.metrics]
        rank = mean_rank(row, table, ranks)
        yield _line(
            [
                f"*{row.name} (published)*" if row.is_published else row.name,
                *cells,
                _MISSING if rank is None else f"{rank:.2f}",
                _MISSING if row.seconds is None else f"{row.seconds:.3g}",
            ]
        )
    ideal = ideal_row(table.metrics)
    yield _line(["ideal", *(ideal_text(ideal.cells[m].mean) for m in table.metrics), "1", _MISSING])
    yield ""
    yield from _tests(table)
    yield from _failures(table)


def _in_words(table: ScoreTable) -> Iterator[str]:
    yield (
        f"Protocol `{table.protocol}`, {len(table.images)} images; mean ± standard deviation "
        "(n − 1). Best mean bold, second best underlined, among our complete rows. The mean rank "
        "is over images and metrics, of rows that have all of both."
    )
    if any(cell.is_meaningless for row in table.rows for cell in row.cells.values()):
        yield ""
        yield (
            "Values in parentheses say nothing: they compare with the MS what the consistency step "
            "has fitted to the MS. They are neither ranked nor tested."
        )
    for note in table.notes:
        yield ""
        yield note


def _markdown_cell(row: Row, metric: str, marks: dict[tuple[str, str], Mark]) -> str:
    cell = row.cells.get(metric)
    if cell is None:
        return "failed" if row.failures else _MISSING
    text = shown(metric, cell)
    if cell.is_meaningless:
        return f"({text})"
    if not row.is_published and row.failures:
        text += f" (n = {cell.count})"
    mark = None if row.is_published else marks.get((row.id, metric))
    return f"**{text}**" if mark == "best" else f"<u>{text}</u>" if mark == "second" else text


def _tests(table: ScoreTable) -> Iterator[str]:
    """Yield the table of paired tests, where there are rows and images enough for one."""
    p_values, count = paired_p_values(table), len(table.images)
    if not p_values:
        return
    least = 2 / 2**count
    if least > SIGNIFICANT:
        yield (
            f"No paired tests: over {count} images the p of a Wilcoxon signed-rank test cannot "
            f"fall below {least:.2g}."
        )
        yield ""
        return
    yield (
        f"p of the paired Wilcoxon signed-rank test over the {count} images against the best row "
        "of each metric (two-sided, not corrected for the number of rows; "
        f"{least:.2g} is the least it can be):"
    )
    yield ""
    yield _line(["method", *map(metric_head, table.metrics)])
    yield _line(["---", *("---:" for _ in table.metrics)])
    marks = table.marks()
    for row in table.compared:
        cells = []
        for metric in table.metrics:
            p = p_values.get((row.id, metric))
            best = "best" if marks.get((row.id, metric)) == "best" else _MISSING
            cells.append(best if p is None else f"{p:.2g}")
        yield _line([row.name, *cells])
    yield ""


def _failures(table: ScoreTable) -> Iterator[str]:
    failed = [(row.name, *failure) for row in table.rows for failure in row.failures]
    if failed:
        yield f"{len(failed)} failed:"
        yield ""
        for name, image, error in failed:
            yield f"* {name}, {image}: {error}"
        yield ""


def latex(tables: Sequence[ScoreTable]) -> str:
    r"""Return one `table` with `booktabs` rules per score table.

    The best mean of a column is bold, the second best underlined; needs `\usepackage{booktabs}`.
    """
    return "\n".join(line for table in tables for line in _latex(table))


def _latex(table: ScoreTable) -> Iterator[str]:
    yield r"\begin{table}"
    yield r"\centering"
    yield (
        rf"\caption{{{_escaped(table.title)}. Protocol {_escaped(table.protocol)}, "
        rf"{len(table.images)} images, mean $\pm$ standard deviation.}}"
    )
    yield rf"\label{{tab:{table.id}}}"
    yield rf"\begin{{tabular}}{{l{'r' * len(table.metrics)}}}"
    yield r"\toprule"
    yield _latex_line(["Method", *(_latex_head(metric) for metric in table.metrics)])
    yield r"\midrule"
    marks = table.marks()
    for row in table.rows:
        name = _escaped(row.name) + (" (published)" if row.is_published else "")
        cells = [_latex_cell(row, metric, marks) for metric in table.metrics]
        yield _latex_line([rf"\textit{{{name}}}" if row.is_published else name, *cells])
    yield r"\midrule"
    ideal = ideal_row(table.metrics)
    yield _latex_line(
        ["ideal", *(ideal_text(ideal.cells[m].mean, r"$+\infty$") for m in table.metrics)]
    )
    yield r"\bottomrule"
    yield r"\end{tabular}"
    yield r"\end{table}"
    yield ""


def _latex_cell(row: Row, metric: str, marks: dict[tuple[str, str], Mark]) -> str:
    cell = row.cells.get(metric)
    if cell is None:
        return "--"
    mean, std = _numbers(metric, cell)
    mark = None if row.is_published else marks.get((row.id, metric))
    if mark is not None:
        mean = rf"\textbf{{{mean}}}" if mark == "best" else rf"\underline{{{mean}}}"
    text = mean if std is None else rf"{mean} $\pm$ {std}"
    return f"({text})" if cell.is_meaningless else text


def comma_separated(tables: Sequence[ScoreTable]) -> str:
    """Return one line per row of each table; columns of metrics that a table lacks are empty."""
    metrics = list(dict.fromkeys(metric for table in tables for metric in table.metrics))
    parts = ("mean", "std", "mean_rank", "p_against_best")
    head = ["data", "protocol", "row", "name", "origin", "images", "failed"]
    head += [f"{metric}_{part}" for metric in metrics for part in parts]
    head += ["seconds", "peak_mib", "parameters"]
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(head)
    for table in tables:
        ranks, p_values = mean_ranks(table), paired_p_values(table)
        for row in table.rows:
            count = max((cell.count for cell in row.cells.values()), default=0)
            origin = "published" if row.is_published else "ours"
            line = [table.id, table.protocol, row.id, row.name, origin, count, len(row.failures)]
            for metric in metrics:
                cell, key = row.cells.get(metric), (row.id, metric)
                line += ["", ""] if cell is None else [_plain(cell.mean), _plain(cell.std)]
                found = (None, None) if row.is_published else (ranks.get(key), p_values.get(key))
                line += [_plain(value) for value in found]
            measured = (row.seconds, row.peak_mib, row.parameters)
            writer.writerow([*line, *(_plain(value) for value in measured)])
    return stream.getvalue()


def shown(metric: str, cell: Cell) -> str:
    """Return mean ± std as tables print them."""
    mean, std = _numbers(metric, cell)
    return mean if std is None else f"{mean} ± {std}"


def _numbers(metric: str, cell: Cell) -> tuple[str, str | None]:
    # Indices in [0, 1] with four decimals, as the toolbox prints the small ones.
    decimals = 4 if METRICS[metric].range[1] <= 2 else 3
    std = None if math.isnan(cell.std) else f"{cell.std:.{decimals}f}"
    return (f"{cell.mean:.{decimals}f}" if math.isfinite(cell.mean) else ideal_text(cell.mean)), std


def mean_rank(row: Row, table: ScoreTable, ranks: dict[tuple[str, str], float]) -> float | None:
    """Return a row's mean rank over the metrics, None where it is not ranked in all of them.

    Args:
        row: Of the table.
        table: Scores.
        ranks: As `mean_ranks` returns them.
    """
    own = [ranks.get((row.id, metric)) for metric in table.metrics]
    known = [rank for rank in own if rank is not None]
    if row.is_published or len(known) < len(own):
        return None
    return sum(known) / len(known)


def metric_head(metric: str) -> str:
    """Return a metric's name with unit and an arrow to where it is better."""
    entry = METRICS[metric]
    unit = f" ({entry.unit})" if entry.unit else ""
    return f"{entry.name}{unit} {'↑' if entry.direction == 'higher' else '↓'}"


def _latex_head(metric: str) -> str:
    entry = METRICS[metric]
    arrow = r"$\uparrow$" if entry.direction == "higher" else r"$\downarrow$"
    return f"{_escaped(entry.name)} {arrow}"


def ideal_text(value: float, infinity: str = "∞") -> str:
    """Return the value of an image against itself."""
    return infinity if math.isinf(value) else f"{value:g}"


def _escaped(text: str) -> str:
    return "".join(_LATEX_SPECIAL.get(letter, letter) for letter in text)


def _plain(value: float | None) -> str:
    return "" if value is None or math.isnan(value) else f"{value:.10g}"


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |"


def _latex_line(cells: Iterable[str]) -> str:
    return " & ".join(cells) + r" \\"
