"""All figures of a run as files: PDF and PNG, and what each shows in `captions.md`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from matplotlib.figure import Figure

from bandweave.report.content import Content
from bandweave.report.figures.choice import Look, looks
from bandweave.report.figures.errors import error_panels
from bandweave.report.figures.learning import learning_curves
from bandweave.report.figures.panels import natural_colour_panels
from bandweave.report.figures.spectra import spectra_figure
from bandweave.report.figures.style import write_figure
from bandweave.report.figures.tradeoff import COSTS, has_costs, tradeoff_figure
from bandweave.report.kept import file_name
from bandweave.report.shown import ShownImage

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class _Plan:
    name: str
    """File name without ending."""
    caption: str
    draw: Callable[[], Figure]


def write_figures(
    content: Content, images: Sequence[ShownImage], folder: Path, tell: Tell | None = None
) -> list[Path]:
    """Write every figure that the content allows, and `captions.md`.

    Args:
        content: Of the run.
        images: Its pictures.
        folder: Made if it does not exist.
        tell: Receives the name of each figure.

    Raises:
        OutputError: A file cannot be written.
    """
    written: list[Path] = []
    lines = [f"# Figures of {content.title}", ""]
    for plan in _plans(content, images):
        (tell or (lambda _: None))(f"figure {plan.name}")
        written += write_figure(plan.draw, folder / plan.name)
        lines += [f"## {plan.name}", "", plan.caption, ""]
    captions = folder / "captions.md"
    folder.mkdir(parents=True, exist_ok=True)
    captions.write_text("\n".join(lines), encoding="utf-8")
    return [*written, captions]


def _plans(content: Content, images: Sequence[ShownImage]) -> Iterator[_Plan]:
    tables = () if content.benchmark is None else content.benchmark.tables
    for table in tables:
        of_data = [image for image in images if image.scene.data == table.id]
        coloured, metric = looks(table), table.metrics[0]
        for image in of_data:
            yield from _image_plans(image, coloured, metric)
        for cost in COSTS:
            if has_costs(table, cost):
                yield _Plan(
                    f"{file_name(table.id)}_{cost}",
                    f"{table.title}: quality against {COSTS[cost]}. The line joins the methods "
                    "that no other one beats in both.",
                    partial(tradeoff_figure, table, cost),
                )
    if content.training:
        yield _Plan(
            "learning-curves",
            "Training loss, and mean validation score, against the step.",
            lambda: learning_curves(content.training),
        )


def _image_plans(image: ShownImage, coloured: dict[str, Look], metric: str) -> Iterator[_Plan]:
    stem = f"{file_name(image.scene.data)}_{file_name(image.scene.image)}"
    yield _Plan(
        f"{stem}_natural-colour",
        f"{image.title} in natural colour, the framed part enlarged. {image.stretch_in_words}",
        lambda: natural_colour_panels(image, metric),
    )
    if image.reference is not None:
        yield _Plan(
            f"{stem}_errors",
            f"{image.title}. {image.errors_in_words}",
            lambda: error_panels(image, metric),
        )
    if image.picked:
        yield _Plan(
            f"{stem}_spectra",
            f"Spectra of {len(image.picked)} pixels of {image.title}.",
            lambda: spectra_figure(image, coloured),
        )
