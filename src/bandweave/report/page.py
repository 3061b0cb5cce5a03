"""The report: one HTML page that holds everything it shows."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from bandweave import __version__
from bandweave.errors import OutputError
from bandweave.report import page_tables
from bandweave.report.content import Benchmark, Content
from bandweave.report.encoded import drawing, error_gradient, error_picture, picture
from bandweave.report.figures.choice import Look, looks
from bandweave.report.figures.learning import learning_curves
from bandweave.report.figures.panels import panel_title
from bandweave.report.figures.spectra import spectra_figure
from bandweave.report.figures.style import svg_text
from bandweave.report.figures.tradeoff import COSTS, has_costs, tradeoff_figure
from bandweave.report.formats import SIGNIFICANT
from bandweave.report.kept import file_name
from bandweave.report.provenance import provenance, reproduction, texts
from bandweave.report.shown import ERROR_GAMMA, Layer, ShownImage
from bandweave.report.table import ScoreTable

Context = dict[str, Any]
"""Names and values for a template."""


def write_page(content: Content, images: Sequence[ShownImage], path: Path) -> None:
    """Write the page, beside its name and moved.

    Args:
        content: Of the run.
        images: Its pictures.
        path: Of the page.

    Raises:
        OutputError: It cannot be written.
    """
    text = page_text(content, images)
    beside = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside.write_text(text, encoding="utf-8")
        beside.replace(path)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise OutputError(f"The page {path} could not be written: {error.strerror}.") from error


def page_text(content: Content, images: Sequence[ShownImage]) -> str:
    """Return the page as HTML."""
    environment = Environment(
        loader=PackageLoader("bandweave.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    benchmark = content.benchmark
    context: Context = {
        "title": content.title,
        "about": "" if benchmark is None else benchmark.about,
        "version": __version__,
        "style": _inline(environment, "page.css"),
        "script": _inline(environment, "page.js"),
        "gradient": error_gradient(),
        "facts": list(_facts(content)),
        "sections": [] if benchmark is None else list(_sections(benchmark, images)),
        "failures": [] if benchmark is None else list(_failures(benchmark)),
        "learning": _learning(content),
        "provenance": provenance(content),
        "texts": texts(content),
        "reproduce": reproduction(content),
    }
    return environment.get_template("page.html.j2").render(context).lstrip()


def _inline(environment: Environment, name: str) -> Markup:
    """Return a file of the package as it is: it is ours and holds no `</script>`."""
    assert environment.loader is not None
    source, _, _ = environment.loader.get_source(environment, name)
    return Markup(source)  # noqa: S704 (nothing of the run is in it)


def _facts(content: Content) -> Iterator[tuple[str, str]]:
    if content.benchmark is not None:
        records = content.benchmark.records
        yield str(len({one.row for one in records})), "methods"
        yield str(len({(one.data, one.image) for one in records})), "images"
        yield str(sum(one.state == "done" for one in records)), "results"
        failed = sum(one.state == "failed" for one in records)
        if failed:
            yield str(failed), "failed"
    if content.training:
        yield str(len(content.training)), "training runs"


def _failures(benchmark: Benchmark) -> Iterator[str]:
    for one in benchmark.records:
        if one.state == "failed":
            yield f"{one.name}, {one.data}, {one.image}: {one.error}"


def _sections(benchmark: Benchmark, images: Sequence[ShownImage]) -> Iterator[Context]:
    """Yield what the page shows of every data of the suite."""
    for table in benchmark.tables:
        own = [image for image in images if image.scene.data == table.id]
        coloured = looks(table)
        yield {
            "id": f"data-{file_name(table.id)}",
            "title": table.title,
            "best": list(page_tables.best_of(table)),
            "sentences": list(_sentences(table)),
            "method": (
                f"Protocol {table.protocol}, {len(table.images)} images: mean ± standard deviation "
                "(n − 1) over the images. The mean rank is over images and metrics, of rows that "
                "have all of both."
            ),
            "notes": list(_notes(table)),
            "results": page_tables.results(table),
            "ranks": page_tables.ranks_by_metric(table),
            "significance": page_tables.significance(table),
            "test": _test_in_words(table),
            "figures": list(_cost_figures(table)),
            "images": [_image(table, image, coloured) for image in own],
            "no_images": _why_no_images(benchmark, table),
        }


def _sentences(table: ScoreTable) -> Iterator[str]:
    """Yield what a reader should know before the numbers."""
    tested = page_tables.least_p(table) <= SIGNIFICANT
    if len(table.compared) > 1 and not tested:
        yield (
            f"{len(table.images)} images are too few for a paired test: differences between "
            "methods may be chance."
        )
    incomplete = [row.name for row in table.rows if row.failures]
    if incomplete:
        yield f"Not complete, and not ranked: {', '.join(incomplete)}."


def _notes(table: ScoreTable) -> Iterator[str]:
    if any(cell.is_meaningless for row in table.rows for cell in row.cells.values()):
        yield (
            "Values in parentheses say nothing: they compare with the MS what the consistency step "
            "has fitted to the MS. They are neither ranked nor tested."
        )
    yield from table.notes


def _test_in_words(table: ScoreTable) -> str:
    if len(table.compared) < 2:
        return ""
    least, count = page_tables.least_p(table), len(table.images)
    if least > SIGNIFICANT:
        return (
            f"No paired tests: over {count} images the p of a Wilcoxon signed-rank test cannot "
            f"fall below {least:.2g}."
        )
    return (
        f"p of the paired Wilcoxon signed-rank test over the {count} images against the best row "
        f"of each metric: two-sided, not corrected for the number of rows; {least:.2g} is the "
        f"least it can be. From {SIGNIFICANT:g} on, the images do not tell a method from the best."
    )


def _cost_figures(table: ScoreTable) -> Iterator[Context]:
    for cost, words in COSTS.items():
        if has_costs(table, cost):
            yield {
                "source": drawing(svg_text(partial(tradeoff_figure, table, cost))),
                "alt": f"Quality of every method against its {words}; the values are in the table.",
                "caption": f"Quality against {words}. No method beats one on the line in both.",
            }


def _why_no_images(benchmark: Benchmark, table: ScoreTable) -> str:
    if not benchmark.kept.get(table.id):
        return "The suite keeps none of these images: see `kept` of its data, or --keep-images."
    return (
        "No fused images of these data are in the run's folder; run the benchmark again, and what "
        "is missing is made."
    )


def _image(table: ScoreTable, image: ShownImage, coloured: dict[str, Look]) -> Context:
    name = f"{file_name(table.id)}-{file_name(image.scene.image)}"
    reference = () if image.reference is None else (image.reference,)
    layers = [
        _layer(f"{name}-{k}", layer, table.metrics[0], image.error_full)
        for k, layer in enumerate((*reference, *image.inputs, *image.methods))
    ]
    order = [one.id for one in (*reference, *image.inputs, *image.methods)]
    left, right = (layers[order.index(one.id)]["id"] for one in _first_pair(table, image))
    height, width = image.window.shape
    return {
        "id": name,
        "title": image.title,
        "description": _where(image),
        "width": width,
        "height": height,
        "layers": layers,
        "left": left,
        "right": right,
        "has_errors": image.reference is not None,
        "stretch": image.stretch_in_words,
        "errors": "" if image.reference is None else image.errors_in_words,
        "error_full": "" if image.error_full is None else f"{image.error_full:.3g}",
        "error_middle": ""
        if image.error_full is None
        else f"{image.error_full * 0.5 ** (1 / ERROR_GAMMA):.3g}",
        "unit": image.scene.unit,
        "spectra": drawing(svg_text(lambda: spectra_figure(image, coloured)))
        if image.picked
        else "",
        "spectra_alt": f"Spectra of {len(image.picked)} pixels in every method's result.",
        "spectra_caption": "Spectra of picked pixels, different materials in even surroundings. In "
        "colour the best methods by mean rank.",
        "scores": page_tables.scores_of_image(table, image),
    }


def _layer(id: str, layer: Layer, metric: str, error_full: float | None) -> Context:  # noqa: A002
    score = panel_title(layer, metric).removeprefix(layer.name).strip()
    errors = ""
    if layer.errors is not None and error_full is not None:
        errors = error_picture(layer.errors, error_full)
    return {
        "id": id,
        "name": layer.name,
        "score": score,
        "colour": picture(layer.pixels),
        "errors": errors,
    }


def _first_pair(table: ScoreTable, image: ShownImage) -> tuple[Layer, Layer]:
    """Return what the swipe begins with: the coarse image, and the method that ranks best."""
    best = next(iter(looks(table)), None)
    method = next((one for one in image.methods if one.id == best), image.methods[0])
    return image.inputs[1], method


def _where(image: ShownImage) -> str:
    scene, part = image.scene, image.window
    size = f"{scene.shape[0]} × {scene.shape[1]} pixels, {len(scene.bands)} bands"
    ratio = f"ratio {scene.ratio}"
    if part.shape == scene.shape:
        return f"{size}, {ratio}."
    return (
        f"{size}, {ratio}; shown are rows {part.row} to {part.row_stop - 1}, columns {part.col} to "
        f"{part.col_stop - 1}, where it has most detail. Scores are of the whole image."
    )


def _learning(content: Content) -> Context | None:
    if not content.training:
        return None
    return {
        "source": drawing(svg_text(lambda: learning_curves(content.training))),
        "alt": "Training loss and validation score against the step.",
        "caption": "Training loss, and mean validation score over the scenes held out.",
    }
