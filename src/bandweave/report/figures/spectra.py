"""Spectra of picked pixels: every method and the reference, and what lies between them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bandweave.report.figures.choice import Look
from bandweave.report.figures.style import FAINT, INK, WIDTH, footnote, new_figure, wrapped
from bandweave.report.shown import ShownImage

_HEIGHT, _ALONE = 3.7, 2.6  # inches, with and without the differences
_MANY = 12  # bands from which points are not marked
_LETTERS, _SAMPLE = 125, 10  # letters of a legend's line; what a line's sample takes of them


def spectra_figure(image: ShownImage, looks: Mapping[str, Look]) -> Figure:
    """Draw the spectra of the picked pixels, and below them the methods' differences.

    The methods with a look are drawn in colour, the others in grey behind them; without reference
    the spectra stand alone.

    Args:
        image: Pictures of one image with picked pixels.
        looks: Row id -> look.
    """
    has_reference = image.reference is not None
    count = len(image.picked)
    figure = new_figure(WIDTH, _HEIGHT if has_reference else _ALONE)
    axes: Any = figure.subplots(
        2 if has_reference else 1,
        count,
        squeeze=False,
        sharex=True,
        height_ratios=[3, 2] if has_reference else None,
    )
    for k, pixel in enumerate(image.picked):
        row, col = image.pixel_in_image(pixel)
        axes[0, k].set_title(f"pixel {k + 1}: row {row}, column {col}")
        _draw(axes[0, k], image, looks, k, is_difference=False)
        if has_reference:
            _draw(axes[1, k], image, looks, k, is_difference=True)
        _name_bands(axes[-1, k], image)
    axes[0, 0].set_ylabel(image.scene.unit)
    if has_reference:
        axes[1, 0].set_ylabel(f"difference ({image.scene.unit})")
    figure.align_ylabels(axes[:, 0])
    lines, names = axes[0, 0].get_legend_handles_labels()
    columns = max(1, min(5, _LETTERS // (max(map(len, names)) + _SAMPLE)))
    figure.legend(lines, names, loc="outside upper center", ncols=columns, handlelength=2.4)
    others = [layer.name for layer in image.methods if layer.id not in looks]
    if others:
        footnote(figure, wrapped(f"Grey: {', '.join(others)}."))
    return figure


def _draw(
    axis: Axes, image: ShownImage, looks: Mapping[str, Look], k: int, *, is_difference: bool
) -> None:
    where = _positions(image)
    truth = None if image.reference is None else image.reference.spectra[k]
    base = truth if is_difference and truth is not None else np.zeros(len(where), np.float32)
    axis.grid(visible=True)
    for layer in image.methods:
        look = looks.get(layer.id)
        if look is None:
            axis.plot(where, layer.spectra[k] - base, color=FAINT, linewidth=0.7, zorder=1)
            continue
        axis.plot(
            where,
            layer.spectra[k] - base,
            color=look.colour,
            linestyle=look.line,
            marker=look.marker if len(where) <= _MANY else None,
            markersize=2.8,
            linewidth=1.0,
            zorder=3,
            label=layer.name,
        )
    if truth is not None:
        name = "reference"
        axis.plot(where, truth - base, color=INK, linewidth=1.6, zorder=2, label=name)


def _positions(image: ShownImage) -> np.ndarray:
    scene = image.scene
    if scene.wavelengths is None:
        return np.arange(len(scene.bands), dtype=float)
    return np.array(scene.wavelengths)


def _name_bands(axis: Axes, image: ShownImage) -> None:
    scene = image.scene
    if scene.wavelengths is not None:
        axis.set_xlabel("wavelength (nm)")
        return
    axis.set_xticks(range(len(scene.bands)), scene.bands, rotation=45, ha="right")
