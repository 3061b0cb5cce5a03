"""`bandweave datasets`: what can be read."""

from __future__ import annotations

import json
from dataclasses import asdict

import click

from bandweave.datasets.table import DATASETS


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON on stdout.")
def command(as_json: bool) -> None:
    """List the data sets and containers that can be read, with citation and terms."""
    if as_json:
        click.echo(json.dumps([asdict(entry) for entry in DATASETS.values()], indent=2))
        return
    for entry in DATASETS.values():
        click.echo(f"{click.style(entry.id, bold=True)}: {entry.name} ({entry.task})")
        for label in ("container", "content", "values", "citation", "licence"):
            click.echo(f"    {label + ':':12}{getattr(entry, label)}")
