"""From a run's folder to its page and figures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from bandweave.bench.folder import read_benchmark
from bandweave.report.content import Content
from bandweave.report.figures.files import write_figures
from bandweave.report.page import write_page
from bandweave.report.shown import shown_images
from bandweave.report.training import LOG, read_training_log


def make_report(
    run: Path,
    page: Path,
    *,
    figures: Path | None = None,
    trainings: Sequence[Path] = (),
    pixels: Sequence[tuple[int, int]] = (),
    tell: Callable[[str], None] | None = None,
) -> list[Path]:
    """Write the page of a benchmark's or a training's folder.

    Args:
        run: Folder.
        page: File to write.
        figures: Folder for every figure as PDF and PNG, or None for the page alone.
        trainings: Folders of training runs whose learning curves are shown too.
        pixels: Row and column of the pixels whose spectra are drawn; none for a choice.
        tell: Receives progress.

    Returns:
        The files written, the page first.

    Raises:
        FileFormatError: A folder holds no run, or a kept image is damaged.
        OutputError: A file cannot be written.
    """
    say = tell or (lambda _: None)
    is_training = (run / LOG).is_file() and not (run / "suite.json").is_file()
    logs = [read_training_log(path) for path in ((run, *trainings) if is_training else trainings)]
    content = Content(run, None if is_training else read_benchmark(run), logs)
    images = []
    if content.benchmark is not None:
        images = shown_images(content.benchmark.images, content.benchmark.records, pixels=pixels)
        say(f"{len(images)} images with kept results")
    write_page(content, images, page)
    say(f"{page}: {page.stat().st_size / 2**20:.1f} MiB")
    if figures is None:
        return [page]
    return [page, *write_figures(content, images, figures, say)]
