"""Learning curves of training runs: loss and validation score against the step."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from bandweave.metrics.table import METRICS
from bandweave.report.figures.style import (
    COLOURS,
    LINES,
    MARKERS,
    WIDTH,
    footnote,
    new_figure,
    plain,
    wrapped,
)
from bandweave.report.training import TrainingLog

_HEIGHT = 2.9  # inches


def learning_curves(logs: Sequence[TrainingLog], metric: str = "psnr") -> Figure:
    """Draw the training loss and the mean validation score of runs against their steps.

    Args:
        logs: Runs.
        metric: Of the validation.
    """
    is_validated = any(log.validation(metric)[0] for log in logs)
    figure = new_figure(WIDTH if is_validated else WIDTH / 2, _HEIGHT)
    axes: Any = figure.subplots(1, 1 + is_validated, sharex=True, squeeze=False)[0]
    for k, log in enumerate(logs):
        style = {
            "color": COLOURS[k % len(COLOURS)],
            "linestyle": LINES[(k // len(COLOURS)) % len(LINES)],
            "label": log.name,
        }
        axes[0].plot(log.steps, log.losses, linewidth=0.9, **style)
        if is_validated:
            mark = {"marker": MARKERS[k % len(MARKERS)], "markersize": 3}
            axes[1].plot(*log.validation(metric), linewidth=1.0, **style, **mark)
    values = [loss for log in logs for loss in log.losses if math.isfinite(loss)]
    if values and min(values) > 0 and max(values) > 3 * min(values):
        axes[0].set_yscale("log")
        # Every digit would run into the next one over several decades.
        axes[0].yaxis.set_minor_locator(LogLocator(subs=(2, 5)))
        axes[0].yaxis.set_major_formatter(plain)
        axes[0].yaxis.set_minor_formatter(plain)
    axes[0].set_ylabel("training loss")
    if is_validated:
        entry = METRICS[metric]
        unit = f" ({entry.unit})" if entry.unit else ""
        axes[1].set_ylabel(f"validation {entry.name}{unit}")
    for axis in axes:
        axis.set_xlabel("step")
        axis.grid(visible=True)
    lines, names = axes[0].get_legend_handles_labels()
    figure.legend(lines, names, loc="outside upper center", ncols=4 if is_validated else 2)
    scenes = sorted({scene for log in logs for scene in log.scenes})
    if scenes:
        footnote(figure, wrapped(f"Validation: mean over {', '.join(scenes)}."))
    return figure
