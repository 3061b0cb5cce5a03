"""`bandweave report`: one HTML page, and figures, from a run's folder."""

from __future__ import annotations

from pathlib import Path

import click

from bandweave.errors import MissingExtraError


@click.command(name="report")
@click.argument("run", metavar="RUN", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The page. [default: RUN/report.html]",
)
@click.option(
    "--figures",
    type=click.Path(path_type=Path, file_okay=False),
    help="Write every figure as PDF and PNG into this folder too.",
)
@click.option(
    "--training",
    "trainings",
    multiple=True,
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Training run whose learning curve is shown too; may be repeated.",
)
@click.option(
    "--pixel",
    "pixels",
    multiple=True,
    nargs=2,
    type=click.IntRange(min=0),
    metavar="ROW COLUMN",
    help="Draw the spectra of this pixel of every image; may be repeated. [default: three that "
    "differ]",
)
@click.option("-q", "--quiet", is_flag=True, help="No progress on stderr.")
def command(
    run: Path,
    *,
    out: Path | None,
    figures: Path | None,
    trainings: tuple[Path, ...],
    pixels: tuple[tuple[int, int], ...],
    quiet: bool,
) -> None:
    """Show the folder RUN of `bandweave benchmark` or `bandweave train` on one HTML page.

    The page needs no network and no other file: tables, ranks and tests, pictures with a swipe
    between any two methods, spectra, what the numbers come from, how to get them again.

        bandweave benchmark smoke --out runs/smoke
        bandweave report runs/smoke --figures figures
    """
    # Late: `--help` loads none of this, and the extra is needed only here.
    try:
        from bandweave.bench.report import make_report  # noqa: PLC0415
    except ModuleNotFoundError as error:
        if error.name != "matplotlib":
            raise
        raise MissingExtraError(
            f"Figures need the package {error.name}; install it with "
            "`pip install 'bandweave[plots]'`."
        ) from error

    def tell(text: str) -> None:
        if not quiet:
            click.echo(text, err=True)

    written = make_report(
        run,
        out or run / "report.html",
        figures=figures,
        trainings=trainings,
        pixels=pixels,
        tell=tell,
    )
    click.echo("\n".join(str(path) for path in written))
