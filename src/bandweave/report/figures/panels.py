"""Natural-colour pictures of all methods of an image, each with the same part enlarged."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from bandweave.metrics.table import METRICS
from bandweave.report.figures.style import FRAME, WIDTH, footnote, wrapped
from bandweave.report.shown import Layer, ShownImage

_INSET = 0.4  # of the panel's side that the enlarged part takes
_FOOT, _GAP = 0.36, 0.06  # inches below all panels, between them
_LINE, _ROOM = 0.115, 0.075  # inches of a title's line, and around the title
_LARGE, _LETTERS = 6.5, 20.5  # points of a title; letters of that size to an inch


def natural_colour_panels(image: ShownImage, metric: str | None = None) -> Figure:
    """Draw inputs, every method and the reference in natural colour with a zoom box.

    The stretch is the same in all panels of colour images and stands below; the sharp image has its
    own. The enlarged part lies in a corner away from where it was taken and from the picked pixels.

    Args:
        image: Pictures of one image.
        metric: Score written above each method, or None.
    """
    reference = () if image.reference is None else (image.reference,)
    layers = [*image.inputs, *image.methods, *reference]
    titles = [panel_title(layer, metric) for layer in layers]
    figure, axes = panel_grid(titles, image.window.shape, foot=_FOOT)
    for axis, layer in zip(axes, layers, strict=True):
        axis.imshow(layer.pixels, interpolation="nearest")
        _zoom_box(axis, layer, image)
        if layer is image.reference:
            mark_pixels(axis, image)
    note = image.stretch_in_words
    if image.reference is not None and image.picked:
        note += " Crosses: pixels of the spectra."
    footnote(figure, wrapped(note))
    return figure


def panel_grid(
    titles: Sequence[str], shape: tuple[int, int], *, foot: float, bar: float = 0.0
) -> tuple[Figure, list[Axes]]:
    """Return a figure with a bare axis for an image under each title, at its full width.

    Titles stand above the left edges, all in one size, in as many lines as the longest asks for.

    Args:
        titles: One per panel.
        shape: Rows and columns of each image.
        foot: Inches kept free below.
        bar: Inches kept free on the right.
    """
    columns = _columns(len(titles))
    rows = math.ceil(len(titles) / columns)
    width = (WIDTH - bar - (columns - 1) * _GAP) / columns
    height = width * shape[0] / shape[1]
    lines = [textwrap.wrap(title, int(width * _LETTERS)) for title in titles]
    title = max(map(len, lines)) * _LINE + _ROOM
    whole = rows * (height + title) + foot
    # Every place is known: no layout engine, which would take seconds.
    figure = Figure(figsize=(WIDTH, whole))
    axes = []
    for k, text in enumerate(lines):
        left = k % columns * (width + _GAP)
        top = whole - title - k // columns * (height + title)
        place = (left / WIDTH, (top - height) / whole, width / WIDTH, height / whole)
        axis = figure.add_axes(place)
        axis.set_axis_off()
        axis.set_title("\n".join(text), loc="left", pad=2.5, fontsize=_LARGE)
        axes.append(axis)
    return figure, axes


def _columns(count: int) -> int:
    if count <= 8:
        return min(count, 4)
    return min((5, 6), key=lambda columns: -count % columns)


def panel_title(layer: Layer, metric: str | None) -> str:
    """Return a method's name with its score of this image."""
    value = None if metric is None or layer.values is None else layer.values.get(metric)
    if value is None or metric is None or not math.isfinite(value):
        return layer.name
    entry = METRICS[metric]
    digits = 2 if entry.range[1] > 2 else 4
    space = "" if entry.unit == "°" else "\N{NO-BREAK SPACE}"
    return f"{layer.name}  {value:.{digits}f}{space}{entry.unit}".rstrip()


def mark_pixels(axis: Axes, image: ShownImage) -> None:
    """Mark the pixels whose spectra are drawn with numbered crosses."""
    for number, (row, col) in enumerate(image.picked, start=1):
        for colour, width in (("black", 2.0), ("white", 0.9)):
            axis.plot(col, row, "+", color=colour, markersize=7, markeredgewidth=width)
        axis.annotate(
            str(number),
            (col, row),
            xytext=(4, 4),
            textcoords="offset points",
            fontsize=7,
            color="white",
            bbox={"boxstyle": "round,pad=0.15", "facecolor": "black", "edgecolor": "none"},
        )


def _zoom_box(axis: Axes, layer: Layer, image: ShownImage) -> None:
    zoom = image.zoom
    axis.add_patch(
        Rectangle(
            (zoom.col - 0.5, zoom.row - 0.5),
            zoom.width,
            zoom.height,
            fill=False,
            edgecolor=FRAME,
            linewidth=0.9,
        )
    )
    x, y = _corner(image)
    inset = axis.inset_axes((x, y, _INSET, _INSET))
    inset.imshow(layer.pixels[zoom.slices], interpolation="nearest", aspect="auto")
    inset.set_xticks([])
    inset.set_yticks([])
    for spine in inset.spines.values():
        spine.set(visible=True, edgecolor=FRAME, linewidth=1.0)


def _corner(image: ShownImage) -> tuple[float, float]:
    """Return where the enlarged part is drawn, in axes coordinates, which count from below.

    The corner that covers the fewest picked pixels; of equal ones that farthest from where it was
    taken, which is never the one it lies in.
    """
    height, width = image.window.shape
    zoom = image.zoom
    taken = (zoom.row + zoom.height / 2) / height, (zoom.col + zoom.width / 2) / width

    def cost(corner: tuple[float, float]) -> tuple[bool, int, float]:
        row, col = corner
        hidden = sum(
            abs(r / height - row) < _INSET and abs(c / width - col) < _INSET
            for r, c in image.picked
        )
        away = abs(taken[0] - row), abs(taken[1] - col)
        return max(away) < 0.5, hidden, -math.hypot(*away)

    row, col = min(((r, c) for r in (0.0, 1.0) for c in (0.0, 1.0)), key=cost)
    return col * (1 - _INSET), (1 - row) * (1 - _INSET)
