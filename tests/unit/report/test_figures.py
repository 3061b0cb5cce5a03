"""Figures: one scale in all panels, names that can be read, curves that say what was logged."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bandweave.pair import ImagePair
from bandweave.report.kept import KeptImages
from bandweave.report.records import Record
from bandweave.report.shown import ShownImage, shown_images
from bandweave.report.table import ScoreTable, score_table
from bandweave.report.training import read_training_log
from bandweave.window import Window

pytest.importorskip("matplotlib", reason="needs the extra plots")

from matplotlib.backends.backend_agg import FigureCanvasAgg

from bandweave.report.figures.choice import looks
from bandweave.report.figures.errors import error_panels
from bandweave.report.figures.learning import learning_curves
from bandweave.report.figures.panels import natural_colour_panels, panel_grid
from bandweave.report.figures.spectra import spectra_figure
from bandweave.report.figures.style import house_style, svg_text, write_figure
from bandweave.report.figures.tradeoff import has_costs, tradeoff_figure

METHODS = ("exp", "gsa", "bt_h", "gs", "pca", "sfim", "awlp", "tv")


def make_record(method: str, k: int, image: str) -> Record:
    return Record(
        "rr",
        method,
        image,
        "done",
        "abc",
        method,
        method.upper(),
        values={"psnr": 30.0 + k, "sam": 5.0 - 0.1 * k},
        seconds=0.01 * 2 ** (k % 5),
        parameters=None if k % 2 else 1000 * (k + 1),
    )


@pytest.fixture
def table() -> ScoreTable:
    records = [make_record(m, k, image) for image in "ab" for k, m in enumerate(METHODS)]
    return score_table(records, id="rr", title="T", protocol="dlpan-rr", metrics=("psnr", "sam"))


@pytest.fixture
def image(rng: np.random.Generator, tmp_path: Path) -> ShownImage:
    kept = KeptImages(tmp_path)
    gt = rng.uniform(0.1, 0.9, (6, 40, 48))
    pair = ImagePair(gt[:3], gt[:, 2::4, 2::4], ratio=4, phase=(2.0, 2.0), full_scale=1)
    waves = (450.0, 500.0, 550.0, 600.0, 650.0, 700.0)
    scene = kept.keep_scene("rr", "a", pair, gt, wavelengths=waves)
    for k, method in enumerate(METHODS):
        kept.keep_fused(scene, method, gt + rng.normal(0, 0.01 * (k + 1), gt.shape), "abc")
    records = [make_record(method, k, "a") for k, method in enumerate(METHODS)]
    (found,) = shown_images(kept, records)
    return found


def test_error_maps_share_one_scale(image: ShownImage) -> None:
    with house_style():
        figure = error_panels(image, "psnr")
    *panels, bar = figure.axes
    assert len(panels) == len(METHODS)
    norms = {panel.images[0].norm for panel in panels}
    assert len(norms) == 1
    assert next(iter(norms)).vmax == image.error_full
    assert {panel.images[0].get_cmap().name for panel in panels} == {"inferno"}
    assert "reflectance" in bar.get_ylabel()
    assert [panel.get_title(loc="left") for panel in panels][:2] == [
        "EXP  30.00\N{NO-BREAK SPACE}dB",
        "GSA  31.00\N{NO-BREAK SPACE}dB",
    ]
    for panel, layer in zip(panels, image.methods, strict=True):
        assert np.array_equal(panel.images[0].get_array(), layer.errors)


def test_long_titles_keep_off_their_neighbours_and_the_row_above() -> None:
    titles = ["regression ensemble, consistent  50.89 dB", "LTTR  44.59 dB"] * 9
    with house_style():
        figure, axes = panel_grid(titles, (90, 100), foot=0.3, bar=0.8)
        draw = FigureCanvasAgg(figure).get_renderer()
        boxes = [
            box
            for axis in axes
            for box in (axis.get_window_extent(draw), axis._left_title.get_window_extent(draw))
        ]
    assert {axis._left_title.get_fontsize() for axis in axes} == {6.5}
    for k, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[k + 1 :])
        assert box.y1 <= figure.bbox.y1 + 1


def test_every_panel_has_the_same_part_enlarged(image: ShownImage) -> None:
    with house_style():
        figure = natural_colour_panels(image)
    layers = (*image.inputs, *image.methods, image.reference)
    assert len(figure.axes) == len(layers)
    for axis, layer in zip(figure.axes, layers, strict=True):
        (inset,) = axis.child_axes
        assert np.array_equal(inset.images[0].get_array(), layer.pixels[image.zoom.slices])
    notes = " ".join(text.get_text() for text in figure.texts)
    assert "gamma 0.8" in notes


@pytest.mark.parametrize(
    ("zoom", "picked", "corner"),
    [
        ((0, 0), (), (0.6, 0.0)),  # farthest from the upper left: lower right
        ((0, 0), ((36, 44),), (0.6, 0.6)),  # a pixel lies there
        ((32, 0), ((4, 4), (4, 44)), (0.6, 0.0)),  # lower left: pixels in both corners above
        ((0, 0), ((36, 44), (36, 4), (4, 44)), (0.6, 0.0)),  # one everywhere
    ],
)
def test_the_enlarged_part_leaves_the_picked_pixels_free(
    image: ShownImage,
    zoom: tuple[int, int],
    picked: tuple[tuple[int, int], ...],
    corner: tuple[float, float],
) -> None:
    at = replace(image, zoom=Window(*zoom, 8, 8), picked=picked)
    with house_style():
        figure = natural_colour_panels(at)
    (inset,) = figure.axes[0].child_axes
    box = inset.get_position()
    frame = figure.axes[0].get_position()
    place = (box.x0 - frame.x0) / frame.width, (box.y0 - frame.y0) / frame.height
    assert place == pytest.approx(corner, abs=0.01)


def test_spectra_are_those_of_the_pixels(image: ShownImage, table: ScoreTable) -> None:
    coloured = looks(table)
    assert len(coloured) == 6
    assert next(iter(coloured)) == "tv"  # the best in both metrics
    assert len({look.colour for look in coloured.values()}) == 6
    with house_style():
        figure = spectra_figure(image, coloured)
    above, below = figure.axes[:3], figure.axes[3:]
    assert [axis.get_xlabel() for axis in below] == ["wavelength (nm)"] * 3
    for k, (upper, lower) in enumerate(zip(above, below, strict=True)):
        row, col = image.pixel_in_image(image.picked[k])
        assert upper.get_title() == f"pixel {k + 1}: row {row}, column {col}"
        drawn = {line.get_label(): line for line in upper.lines}
        assert np.array_equal(drawn["reference"].get_ydata(), image.reference.spectra[k])
        assert list(drawn["reference"].get_xdata()) == list(image.scene.wavelengths)
        best = next(layer for layer in image.methods if layer.id == "tv")
        assert np.array_equal(drawn["TV"].get_ydata(), best.spectra[k])
        gaps = {line.get_label(): line.get_ydata() for line in lower.lines}
        assert np.allclose(gaps["TV"], best.spectra[k] - image.reference.spectra[k])
        assert len(upper.lines) == len(METHODS) + 1


def test_names_of_points_cover_neither_each_other_nor_the_frame(table: ScoreTable) -> None:
    with house_style():
        figure = tradeoff_figure(table, "seconds")
        figure.draw_without_rendering()
        (axis,) = figure.axes
        boxes = [text.get_window_extent() for text in axis.texts]
        assert sorted(text.get_text() for text in axis.texts) == sorted(m.upper() for m in METHODS)
        for k, box in enumerate(boxes):
            assert not any(box.overlaps(other) for other in boxes[k + 1 :])
            assert axis.get_window_extent().overlaps(box)
    (front,) = [line for line in axis.lines if line.get_linewidth() == 2 and len(line.get_xdata())]
    # 0.01 s: the best of k = 0, 5; 0.02 s: 1, 6; 0.04 s: 2, 7; the others are beaten in both.
    assert list(front.get_ydata()) == [35.0, 36.0, 37.0]
    assert axis.get_xscale() == "log"


def test_only_known_costs_are_drawn(table: ScoreTable) -> None:
    assert has_costs(table, "parameters")
    with house_style():
        (axis,) = tradeoff_figure(table, "parameters").axes
    assert len(axis.texts) == 4
    few = score_table(
        [make_record("gsa", 1, "a")], id="x", title="T", protocol="p", metrics=("psnr",)
    )
    assert not has_costs(few, "parameters")


def test_learning_curves_say_what_was_logged(tmp_path: Path) -> None:
    lines = [
        {"step": 50, "loss": 0.5},
        {"step": 100, "loss": 0.25},
        {"step": 100, "validation": {"a": {"psnr": 30.0}, "b": {"psnr": 34.0}}},
        {"step": 50, "loss": 0.4},  # run again after a kill
        {"note": "x"},
    ]
    (tmp_path / "log.jsonl").write_text("\n".join(map(json.dumps, lines)) + '\n{"step": 150, "lo')
    log = read_training_log(tmp_path)
    assert (log.steps, log.losses) == ((50, 100), (0.4, 0.25))
    assert log.validation("psnr") == ([100], [32.0])
    assert log.validation("sam") == ([], [])
    assert log.name == tmp_path.name
    with house_style():
        figure = learning_curves([log])
    left, right = figure.axes
    assert list(left.lines[0].get_ydata()) == [0.4, 0.25]
    assert list(right.lines[0].get_ydata()) == [32.0]
    assert math.isclose(right.lines[0].get_xdata()[0], 100)


def test_files_are_the_same_every_time(table: ScoreTable, tmp_path: Path) -> None:
    def draw():
        return tradeoff_figure(table, "seconds")

    first = [path.read_bytes() for path in write_figure(draw, tmp_path / "one")]
    second = [path.read_bytes() for path in write_figure(draw, tmp_path / "two")]
    assert first == second
    assert svg_text(draw).startswith("<svg")
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "one.pdf",
        "one.png",
        "two.pdf",
        "two.png",
    ]


def test_a_legend_of_long_names_stays_within_the_figure(
    image: ShownImage, table: ScoreTable
) -> None:
    long = "regression ensemble, consistent, window"
    methods = tuple(replace(layer, name=f"{long} {k}") for k, layer in enumerate(image.methods))
    with house_style():
        figure = spectra_figure(replace(image, methods=methods), looks(table))
        figure.draw_without_rendering()
        (legend,) = figure.legends
        box = legend.get_window_extent()
    assert figure.bbox.x0 <= box.x0
    assert box.x1 <= figure.bbox.x1
