"""Quality against cost: the number of parameters (the paper's Figure 6), or time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.transforms import Bbox

from bandweave.methods.table import find_method
from bandweave.metrics.table import METRICS
from bandweave.report.figures.style import (
    COLOURS,
    FAINT,
    INK,
    MARKERS,
    footnote,
    new_figure,
    plain,
    wrapped,
)
from bandweave.report.table import Row, ScoreTable, badness

Cost = Literal["parameters", "seconds"]
COSTS: dict[Cost, str] = {
    "parameters": "number of parameters",
    "seconds": "seconds per image",
}
"""What there may be to pay for quality, in words."""
_SIZE = (5.2, 3.5)  # inches
_FAMILIES = (
    "learned",
    "component substitution",
    "multiresolution analysis",
    "variational",
    "local regression",
    "interpolation",
    "ensemble",
)
# Where a name may stand beside its point, in points, the best place first.
_PLACES = (
    (5, 0),
    (5, 6),
    (5, -6),
    (-5, 0),
    (-5, 6),
    (-5, -6),
    (0, 9),
    (0, -9),
    (14, 12),
    (14, -12),
)


@dataclass(frozen=True, slots=True)
class _Point:
    row: Row
    cost: float
    value: float


def has_costs(table: ScoreTable, cost: Cost) -> bool:
    """Tell whether there are two points or more to draw."""
    return len(_points(table, table.metrics[0], cost)) > 1


def tradeoff_figure(table: ScoreTable, cost: Cost, metric: str | None = None) -> Figure:
    """Draw the mean quality of every method against what it costs.

    The grey line joins the methods that no other one beats in both.

    Args:
        table: Scores with costs.
        cost: `parameters` (numbers in the weight file) or `seconds` (mean per image).
        metric: Quality; the table's first metric by default.
    """
    metric = metric or table.metrics[0]
    points = _points(table, metric, cost)
    figure = new_figure(*_SIZE)
    axis = figure.subplots()
    axis.set_xscale("log")
    axis.xaxis.set_major_formatter(plain)
    axis.grid(visible=True)
    _front(axis, points, metric)
    looks = zip((*COLOURS, INK), (*MARKERS, "X"), _FAMILIES, strict=True)
    for colour, marker, family in looks:
        own = [one for one in points if find_method(one.row.method).family == family]
        axis.plot(
            [one.cost for one in own],
            [one.value for one in own],
            marker,
            color=colour,
            markersize=5,
            label=family if own else None,
        )
    axis.margins(0.12, 0.08)
    entry = METRICS[metric]
    unit = f" ({entry.unit})" if entry.unit else ""
    better = "higher" if entry.direction == "higher" else "lower"
    axis.set_ylabel(f"{entry.name}{unit}, {better} is better")
    axis.set_xlabel(COSTS[cost])
    figure.legend(loc="outside upper center", ncols=3, handletextpad=0.2)
    footnote(
        figure,
        wrapped(
            f"{table.title}: mean over {len(table.images)} images, protocol {table.protocol}.", 105
        ),
    )
    _name_points(figure, axis, points)
    return figure


def _points(table: ScoreTable, metric: str, cost: Cost) -> list[_Point]:
    """Return the complete rows of ours whose cost and quality are known."""
    found = []
    for row in table.compared:
        cell, spent = row.cells.get(metric), getattr(row, cost)
        if cell is None or cell.is_meaningless or not spent or not math.isfinite(cell.mean):
            continue
        found.append(_Point(row, spent, cell.mean))
    return found


def _front(axis: Axes, points: Sequence[_Point], metric: str) -> None:
    best: list[_Point] = []
    for one in sorted(points, key=lambda point: (point.cost, badness(metric, point.value))):
        if not best or badness(metric, one.value) < badness(metric, best[-1].value):
            best.append(one)
    axis.plot([p.cost for p in best], [p.value for p in best], color=FAINT, linewidth=2, zorder=1)


def _name_points(figure: Figure, axis: Axes, points: Sequence[_Point]) -> None:
    """Write each method's name where it covers no other name and no point."""
    figure.draw_without_rendering()
    where = axis.transData.transform([(one.cost, one.value) for one in points])
    taken = [_around(x, y, 4) for x, y in where]
    frame = axis.get_window_extent()
    for number, one in enumerate(points):
        options = []
        for dx, dy in _PLACES:
            side: Literal["left", "right", "center"] = (
                "left" if dx > 0 else "right" if dx < 0 else "center"
            )
            text = axis.annotate(
                one.row.name,
                (one.cost, one.value),
                xytext=(dx, dy),
                textcoords="offset points",
                ha=side,
                va="center",
                fontsize=6.5,
                color=INK,
                path_effects=[withStroke(linewidth=2, foreground="white")],
            )
            box = text.get_window_extent()
            options.append((_covered(box, taken[:number] + taken[number + 1 :], frame), text, box))
        least = min(range(len(options)), key=lambda k: options[k][0])
        for k, (_, text, box) in enumerate(options):
            if k == least:
                taken.append(box)
            else:
                text.remove()


def _around(x: float, y: float, half: float) -> Bbox:
    return Bbox.from_extents(x - half, y - half, x + half, y + half)


def _covered(box: Bbox, taken: Sequence[Bbox], frame: Bbox) -> float:
    """Return how much of other things a name would cover, in square pixels."""
    area = sum(_area(Bbox.intersection(box, other)) for other in taken)
    outside = box.width * box.height - _area(Bbox.intersection(box, frame))
    return area + 2 * outside


def _area(box: Bbox | None) -> float:
    return 0.0 if box is None else float(np.abs(box.width * box.height))
