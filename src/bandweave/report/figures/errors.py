"""Absolute error maps of all methods of an image: one scale, one colour bar."""

from __future__ import annotations

from matplotlib.cm import ScalarMappable
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure

from bandweave.report.figures.panels import panel_grid, panel_title
from bandweave.report.figures.style import ERROR_MAP, WIDTH, footnote, wrapped
from bandweave.report.shown import ERROR_GAMMA, ShownImage

_FOOT, _BAR = 0.36, 0.85  # inches


def error_panels(image: ShownImage, metric: str | None = None) -> Figure:
    """Draw the absolute difference of every method from the reference, mean over the bands.

    Args:
        image: Pictures of one image that has a reference.
        metric: Score written above each map, or None.
    """
    titles = [panel_title(layer, metric) for layer in image.methods]
    figure, axes = panel_grid(titles, image.window.shape, foot=_FOOT, bar=_BAR)
    scale = PowerNorm(ERROR_GAMMA, 0, image.error_full)
    for axis, layer in zip(axes, image.methods, strict=True):
        assert layer.errors is not None
        axis.imshow(layer.errors, cmap=ERROR_MAP, norm=scale, interpolation="nearest")
    below, above = axes[-1].get_position().y0, axes[0].get_position().y1
    place = figure.add_axes((1 - _BAR / WIDTH + 0.015, below, 0.018, above - below))
    bar = figure.colorbar(
        ScalarMappable(scale, ERROR_MAP), cax=place, extend="max", extendfrac=0.02
    )
    bar.set_label(f"mean absolute error ({image.scene.unit})")
    bar.outline.set_visible(False)
    footnote(figure, wrapped(image.errors_in_words))
    return figure
