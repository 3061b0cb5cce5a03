"""The figure of what was reached beside what the hardware does at most; for other benchmarks."""

from __future__ import annotations

import math
from pathlib import Path

_ROW = 0.22  # inches
_REACH = 3.0  # of the axis, in lengths of the longest bar
_NAMES_PER_ROW = 3  # of the legend
_PREFIXES = ("", "k", "M", "G", "T", "P")


def draw_roofline(
    rates: dict[str, float], limits: dict[str, float], path: Path, label: str
) -> None:
    """Draw bars of measured rates and lines of measured limits, with the rates as numbers.

    Limits far beyond all bars, except for the lowest, are told in the legend alone. Without
    matplotlib (extra `plots`) it says so and writes nothing.

    Args:
        rates: Name of a row -> rate above zero, the topmost first; one at least.
        limits: Name of a limit -> rate, in the same unit; six at most.
        path: The PNG to write.
        label: What the rates are, with their unit.
    """
    try:
        import matplotlib as mpl  # noqa: PLC0415  # an extra
    except ModuleNotFoundError:
        print("No figure is drawn: that needs matplotlib, `pip install 'bandweave[plots]'`.")
        return
    mpl.use("Agg")
    from matplotlib.patheffects import withStroke  # noqa: PLC0415

    from bandweave.report.figures.style import (  # noqa: PLC0415
        COLOURS,
        INK,
        LINES,
        WIDTH,
        house_style,
        new_figure,
    )

    longest = max(rates.values())
    within = [limit for limit in limits.values() if limit <= _REACH * longest]
    most = max([longest, *(within or sorted(limits.values())[:1])])
    power = min(max(int(math.log10(most) // 3), 0), len(_PREFIXES) - 1)

    def written(rate: float, position: int = 0) -> str:
        del position  # matplotlib gives it
        return f"{rate / 1000**power:.3g} {_PREFIXES[power]}".strip()

    with house_style():
        legend_rows = -(-len(limits) // _NAMES_PER_ROW)
        figure = new_figure(WIDTH, 0.6 + _ROW * (len(rates) + legend_rows))
        axis = figure.subplots()
        bars = axis.barh(list(rates), list(rates.values()), height=0.7, color=COLOURS[-1])
        axis.bar_label(
            bars,
            [written(rate) for rate in rates.values()],
            padding=3,
            fontsize=6.5,
            path_effects=[withStroke(linewidth=2, foreground="white")],
            zorder=3,  # before the lines
        )
        # The bars have the last colour; limits differ by colour and dashes, for print in grey.
        looks = zip((*COLOURS[:-1], INK), LINES, strict=True)
        for (name, limit), (colour, line) in zip(limits.items(), looks, strict=False):
            told = f"{name}: {written(limit)}" + (" (beyond)" if limit > most else "")
            axis.axvline(limit, color=colour, linestyle=line, label=told)
        axis.set_xlim(0, 1.08 * most)
        axis.set_ylim(len(rates) - 0.4, -0.6)
        axis.xaxis.set_major_formatter(written)
        axis.grid(visible=True, axis="x")
        axis.tick_params(axis="y", length=0, labelcolor=INK)
        axis.set_xlabel(label)
        if limits:
            figure.legend(loc="outside upper center", ncols=_NAMES_PER_ROW)
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, format="png", dpi=200, metadata={"Software": "bandweave"})
