"""`bandweave benchmark`: methods x data x protocol, resumable, to records and tables."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click

from bandweave.machine import available_cores


@click.command(name="benchmark")
@click.argument("suite", metavar="SUITE")
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), help="Run; runs/SUITE by default."
)
@click.option(
    "--data",
    type=click.Path(path_type=Path, exists=True),
    help="Folder of the suite's data, or the file where it reads a single one. [default: .]",
)
@click.option(
    "--weights",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    default=Path(),
    help="Folder of the suite's weight files. [default: .]",
)
@click.option(
    "-j",
    "processes",
    type=click.IntRange(min=1),
    help="Tasks at a time, sharing the cores; all cores by default, 1 for clean times.",
)
@click.option(
    "--keep-images",
    type=click.IntRange(min=0),
    metavar="N",
    help="Images of each data whose fused results are kept for figures and report, at most 16 MiB "
    "each before compression. [default: the suite's, mostly 4]",
)
@click.option("--dask", metavar="ADDRESS", help="Run the tasks on the workers of this scheduler.")
@click.option("--dry-run", is_flag=True, help="List what would be run and stop.")
@click.option("--json", "as_json", is_flag=True, help="Print what was done as JSON on stdout.")
@click.option("-q", "--quiet", is_flag=True, help="No progress on stderr.")
def command(
    suite: str,
    out: Path | None,
    data: Path | None,
    weights: Path,
    *,
    processes: int | None,
    keep_images: int | None,
    dask: str | None,
    dry_run: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Run the benchmark SUITE: a shipped name or a TOML file (docs/benchmarks.md).

    Writes records.jsonl, table.md, table.csv, table.tex and some of the fused images into the
    run's folder; `bandweave report` makes figures and a page of them. Run the same command again
    to go on after any interruption; what failed is tried again.

        bandweave benchmark smoke --out runs/smoke
        bandweave benchmark gf2 --data SET.h5 --out runs/gf2

    Exits with 1 when a task failed; the others are done and in the tables.
    """
    # Late: `--help` loads none of this.
    from bandweave.bench.runner import plan_tasks, run_suite  # noqa: PLC0415
    from bandweave.bench.suite import load_suite  # noqa: PLC0415

    def tell(text: str) -> None:
        if not quiet:
            click.echo(text, err=True)

    loaded = load_suite(suite)
    if keep_images is not None:
        loaded = loaded.keeping(keep_images)
    root = data or Path()
    if root.is_file():
        loaded, root = loaded.on_file(root.name), root.parent
    if dry_run:
        for task in plan_tasks(loaded, root=root, weights=weights, tell=tell):
            click.echo("\t".join(task.key))
        return
    report = run_suite(
        loaded,
        out or Path("runs") / loaded.name,
        root=root,
        weights=weights,
        processes=processes or available_cores(),
        dask=dask,
        tell=tell,
    )
    if as_json:
        click.echo(json.dumps(asdict(report), indent=2))
    else:
        click.echo("\n".join(report.files))
    if report.failures:
        for sentence in report.failures:
            click.echo(f"Failed: {sentence}", err=True)
        click.echo(f"Error: {len(report.failures)} of {report.tasks} tasks failed.", err=True)
        raise click.exceptions.Exit(1)
