"""`bandweave methods`: what can be fused with."""

from __future__ import annotations

import json
from dataclasses import fields

import click

from bandweave.methods.table import METHODS


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON on stdout.")
def command(as_json: bool) -> None:
    """List the methods with citation, reach, statistics and parity status."""
    rows = [
        {f.name: getattr(entry, f.name) for f in fields(entry) if not f.name.startswith("create")}
        for entry in METHODS.values()
    ]
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    for row in rows:
        click.echo(f"{click.style(row['id'], bold=True)}: {row['name']}, {row['family']}")
        for label in ("reach", "statistics", "ratios", "parity", "citation"):
            click.echo(f"    {label + ':':12}{row[label]}")
