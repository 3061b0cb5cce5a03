"""How all figures look: sizes in millimetres, colours that colour-blind readers can tell apart."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from bandweave.errors import OutputError

WIDTH = 7.09
"""Inches: 180 mm, the text width of a two-column page."""
INK, GREY, FAINT = "#1b1b1f", "#6b6b73", "#c9c9cf"
FRAME = "#ffc400"
# M. Okabe and K. Ito, Color Universal Design, 2008; their yellow is too pale for lines on white.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
MARKERS = ("o", "s", "^", "D", "v", "P")
LINES: tuple[Any, ...] = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1, 1, 1)))
ERROR_MAP = "inferno"
"""Perceptually uniform, and monotonous in brightness when printed in grey."""
_SETTINGS: Any = {  # matplotlib's type lists every key
    "font.family": "sans-serif",
    "font.size": 7.5,
    "axes.titlesize": 7.5,
    "axes.labelsize": 7.5,
    "axes.edgecolor": GREY,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": "#e6e6ea",
    "grid.linewidth": 0.5,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "text.color": INK,
    "lines.linewidth": 1.2,
    "pdf.fonttype": 42,  # text stays text in the PDF
    "svg.fonttype": "path",  # looks alike wherever the page is opened
    "svg.hashsalt": "bandweave",
    "figure.dpi": 100,
    "savefig.dpi": 300,
}


@contextmanager
def house_style() -> Iterator[None]:
    """Draw and write within this block as all figures are drawn."""
    with mpl.rc_context(_SETTINGS):
        yield


def new_figure(width: float = WIDTH, height: float = 3.0) -> Figure:
    """Return an empty figure of this size in inches that lays its parts out itself."""
    return Figure(figsize=(width, height), layout="constrained")


def write_figure(draw: Callable[[], Figure], stem: Path) -> list[Path]:
    """Write a figure as `stem.pdf` and `stem.png` (300 dpi), each beside its name and moved.

    Args:
        draw: Makes the figure; called within the house style.
        stem: Path without ending; its folder is made.

    Raises:
        OutputError: A file cannot be written.
    """
    written = []
    with house_style():
        figure = draw()
        for ending in ("pdf", "png"):
            path = stem.with_name(f"{stem.name}.{ending}")
            beside = path.with_name(f".{path.name}.partial")
            # Files without the time of writing: the same run gives the same bytes.
            metadata: dict[str, Any] = {"Software": "bandweave"}
            if ending == "pdf":
                metadata = {
                    "Creator": "bandweave",
                    "CreationDate": datetime(2000, 1, 1, tzinfo=UTC),
                }
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                figure.savefig(beside, format=ending, metadata=metadata)
                beside.replace(path)
            except OSError as error:
                beside.unlink(missing_ok=True)
                raise OutputError(f"{path} could not be written: {error.strerror}.") from error
            written.append(path)
    return written


def svg_text(draw: Callable[[], Figure]) -> str:
    """Return a figure as an `<svg>` element to stand in a page."""
    stream = io.StringIO()
    with house_style():
        draw().savefig(stream, format="svg", metadata={"Date": None})
    text = stream.getvalue()
    return text[text.index("<svg") :]


def wrapped(text: str, width: int = 150) -> str:
    """Break a sentence into lines that fit below a figure of full width."""
    return "\n".join(textwrap.wrap(text, width))


def plain(value: float, position: float) -> str:
    """Write the tick of a logarithmic axis as a number, not as a power."""
    del position  # matplotlib gives it
    return f"{value:,.0f}" if value >= 1 else f"{value:g}"


def footnote(figure: Figure, text: str) -> None:
    """Say below a figure how its values were made."""
    if figure.get_layout_engine() is None:
        figure.text(0, 0, text, va="bottom", fontsize=6.5, color=GREY)
    else:
        figure.supxlabel(text, x=0.01, ha="left", fontsize=6.5, color=GREY)
