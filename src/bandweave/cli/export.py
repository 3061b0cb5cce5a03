"""`bandweave export`: networks for other programs."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click


@click.command()
@click.argument("weights", metavar="WEIGHTS")
@click.argument("out", metavar="OUT.onnx", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--overwrite", is_flag=True, help="Replace an existing file.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON on stdout.")
def command(weights: str, out: Path, overwrite: bool, as_json: bool) -> None:
    """Write the network of WEIGHTS (a name or a file) as an ONNX graph, and check it.

    Inputs `spatial`, `spectral` and, for networks that start from a closed form, `start` are
    images of the unit range, and so is the output. Batch, rows and columns are free; networks
    whose result belongs to the tile take that tile only. The weight card travels as metadata.
    """
    # torch is loaded here and not before: help and wrong usage start without it.
    from bandweave.export.onnx import export_onnx  # noqa: PLC0415

    report = export_onnx(weights, out, overwrite=overwrite)
    if as_json:
        click.echo(json.dumps(asdict(report), indent=2))
        return
    inputs = "; ".join(f"{name} {' x '.join(sides)}" for name, sides in report.inputs.items())
    click.echo(
        f"{report.path}: inputs {inputs}. ONNX Runtime differs from torch by at most "
        f"{report.difference:.1g} of the unit range (allowed: {report.tolerance:g})."
    )
