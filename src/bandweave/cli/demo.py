"""`bandweave demo`: everything once, offline."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click

from bandweave.report.demo import run_demo


@click.command(context_settings={"show_default": True})
@click.option("--out", type=click.Path(path_type=Path), default=Path("demo"), help="Folder.")
@click.option("--size", type=click.IntRange(128, 8192), default=512, help="PAN pixels per side.")
@click.option("--overwrite", is_flag=True, help="Replace the files of an earlier demo.")
@click.option("--json", "as_json", is_flag=True, help="Print the scores as JSON on stdout.")
def command(out: Path, size: int, overwrite: bool, as_json: bool) -> None:
    """Make a synthetic georeferenced scene, fuse it, score it and show it.

    Leaves the GeoTIFFs and demo.png in the folder.
    """
    rows = run_demo(
        out,
        size=size // 4 * 4,
        overwrite=overwrite,
        tell=lambda text: click.echo(text, err=True),
    )
    if as_json:
        click.echo(json.dumps([asdict(row) for row in rows], indent=2))
        return
    click.echo(f"{'':18}{'PSNR dB':>9}{'SAM deg':>9}{'ERGAS':>8}{'seconds':>9}")
    for row in rows:
        click.echo(f"{row.name:18}{row.psnr:9.2f}{row.sam:9.3f}{row.ergas:8.3f}{row.seconds:9.1f}")
    click.echo(f"Look at {out / 'demo.png'}.")
