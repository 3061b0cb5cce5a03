"""`bandweave adapt`: tune weights to one scene without ground truth."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from bandweave.cli.options import list_of, word_or_numbers


def _tell(text: str) -> None:
    click.echo(text, err=True)


@click.command(name="adapt", context_settings={"show_default": True})
@click.argument("spatial", metavar="PAN", type=click.Path(exists=True))
@click.argument("spectral", metavar="[MS]", type=click.Path(exists=True), required=False)
@click.option("-o", "--out", required=True, type=click.Path(), help="Weight file to write.")
@click.option(
    "--from", "weights", help="Weights to start from, name or file; a new network if not."
)
@click.option("--minutes", type=float, default=15.0, help="Time to train.")
@click.option("--seed", type=int, default=1, help="Of tiles and initialisation.")
@click.option("--sensor", help="Sensor id; see `bandweave sensors`.")
@click.option("--full-scale", type=float, help="Value that maps to 1.0 (2047 for 11 bit).")
@click.option(
    "--mtf-gain",
    metavar="G,...",
    callback=list_of(float, "0.3 or one gain per band"),
    help="MTF of the MS, over the sensor's.",
)
@click.option(
    "--align",
    metavar="auto|off|DY,DX",
    default="auto",
    callback=word_or_numbers(("auto", "off"), "DY,DX"),
    help="Displacement of PAN against MS, in PAN pixels.",
)
@click.option(
    "--bidx", "bands", metavar="1,2,...", callback=list_of(int, "1,2,..."), help="MS bands to take."
)
@click.option("--nodata", type=float, help="Nodata value of both images.")
@click.option("--overwrite", is_flag=True, help="Replace OUT.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON on stdout.")
def command(
    spatial: str,
    spectral: str | None,
    out: str,
    *,
    minutes: float,
    seed: int,
    as_json: bool,
    **options: Any,
) -> None:
    """Tune weights to the scene in PAN and MS, and write those that do best on its held-out part.

    Where nothing better is found, the weights it began with are written, and it says so.
    """
    # Late: the help needs no torch.
    from bandweave.config import FuseConfig  # noqa: PLC0415
    from bandweave.train.adapt_files import adapt_files  # noqa: PLC0415

    report = adapt_files(
        Path(spatial),
        None if spectral is None else Path(spectral),
        Path(out),
        FuseConfig.checked(**options),
        minutes=minutes,
        seed=seed,
        tell=_tell,
    )
    if as_json:
        click.echo(json.dumps({**asdict(report), "weights": str(report.weights)}, indent=2))
    else:
        click.echo(str(report.weights))
