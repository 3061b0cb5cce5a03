"""`bandweave batch`: parse, fuse every product below a folder, report."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import click

from bandweave.cli.fuse import command as fuse_command
from bandweave.config import FuseConfig
from bandweave.mosaic.batch.report import BatchReport, Outcome, OutcomeState
from bandweave.mosaic.batch.run import fuse_batch
from bandweave.mosaic.job import in_words
from bandweave.products.bundle import ProductImage
from bandweave.products.plain import NamingRule

# The options of `fuse`, but a part of a scene means nothing for many; --resume is declared here.
_SHARED = {field.name for field in fields(FuseConfig)} - {"window", "bbox", "resume"}


@click.command(context_settings={"show_default": True})
@click.argument("folder", type=click.Path(path_type=Path))
@click.argument("out", type=click.Path(path_type=Path))
@click.option(
    "--rule", nargs=2, metavar="PAN MS", help="Pair by these patterns only, one * in each."
)
@click.option("--resume/--no-resume", default=True, help="Pass over what the manifest has as done.")
@click.option("--dry-run", is_flag=True, help="List pairs and problems, write nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON on stdout.")
@click.option("-q", "--quiet", is_flag=True, help="No progress and notes on stderr.")
def command(
    folder: Path,
    out: Path,
    *,
    rule: tuple[str, str] | None,
    resume: bool,
    dry_run: bool,
    as_json: bool,
    quiet: bool,
    **options: Any,
) -> None:
    """Fuse every product below FOLDER to OUT/<name>_<method>.tif.

    Deliveries of Maxar, Airbus, Landsat, Sentinel-2 and GaoFen are recognised by their metadata,
    other files by their names. OUT/manifest.jsonl keeps what was done: the same command again goes
    on where it ended. Exit 1 if anything that was recognised could not be fused.
    """
    try:
        report = fuse_batch(
            folder,
            out,
            FuseConfig.checked(**options),
            rule=None if rule is None else NamingRule(*rule),
            resume=resume,
            dry_run=dry_run,
            tell=None if quiet else lambda text: click.echo(text, err=True),
        )
    except KeyboardInterrupt:
        click.echo("What is done is kept: the same command goes on from there.", err=True)
        raise
    if as_json:
        click.echo(json.dumps(report.as_dict(), indent=2))
    else:
        for line in _lines(report):
            click.echo(line)
    if not report.is_complete:
        click.get_current_context().exit(1)


command.params += [option for option in fuse_command.params if option.name in _SHARED]


def _lines(report: BatchReport) -> Iterator[str]:
    for outcome in report.outcomes:
        yield _line(outcome)
    for sentence in report.problems:
        yield f"problem  {sentence}"
    states: tuple[OutcomeState, ...] = ("planned", "done", "skipped", "failed")
    counts = [f"{report.count(state)} {state}" for state in states if report.count(state)]
    if report.problems:
        counts.append(f"{len(report.problems)} images without a product")
    yield f"{', '.join(counts)}."


def _line(outcome: Outcome) -> str:
    start = f"{outcome.state:8} {outcome.bundle.name}"
    if outcome.error is not None:
        return f"{start}: {outcome.error}"
    if outcome.state == "planned":
        pan, ms = (_files(i) for i in (outcome.bundle.spatial, outcome.bundle.spectral))
        return f"{start}: {pan} + {ms} -> {outcome.output}"
    took = "" if outcome.seconds is None else f" ({in_words(outcome.seconds)})"
    return f"{start} -> {outcome.output}{took}"


def _files(image: ProductImage) -> str:
    more = len(image.files) - 1
    return image.files[0].name + (f" and {more} more" if more else "")
