"""`bandweave weights`: list, show and convert weight files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from bandweave.methods.nets.card import WeightCard, file_sha256, parse_card
from bandweave.methods.nets.table import NETWORKS
from bandweave.methods.nets.zoo import WEIGHTS, card_of, count_parameters, find_file


@click.command()
@click.argument("name_or_file", metavar="[NAME|FILE]", required=False)
@click.option(
    "--convert",
    "out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write a published checkpoint FILE (.pth) as a safetensors file with a card.",
)
@click.option(
    "--card",
    "card_file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="JSON card for --convert, for checkpoints other than the published WorldView-3 one.",
)
@click.option("--overwrite", is_flag=True, help="Let --convert replace an existing file.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON on stdout.")
def command(
    name_or_file: str | None,
    out: Path | None,
    card_file: Path | None,
    overwrite: bool,
    as_json: bool,
) -> None:
    """List the shipped weights, show the card of NAME or FILE, or convert a published FILE."""
    if name_or_file is None:
        if out is not None:
            raise click.UsageError("--convert needs the FILE to convert.")
        _list(as_json)
        return
    if out is not None:
        _convert(name_or_file, out, card_file, overwrite)
        name_or_file = str(out)
    elif card_file is not None:
        raise click.UsageError("--card goes with --convert.")
    _show(name_or_file, as_json)


def _convert(file: str, out: Path, card_file: Path | None, overwrite: bool) -> None:
    # torch is loaded here and not before: listing weights starts without it.
    from bandweave.methods.nets.compat import convert_published  # noqa: PLC0415

    card = None
    if card_file is not None:
        card = parse_card(card_file.read_text(encoding="utf-8"), source=str(card_file))
    convert_published(Path(file), out, card=card, overwrite=overwrite)
    click.echo(f"Written: {out}", err=True)


def _list(as_json: bool) -> None:
    cards = {name: card_of(name) for name in WEIGHTS}
    if as_json:
        rows = [_facts(name, card) for name, card in cards.items()]
        click.echo(json.dumps(rows, indent=2))
        return
    for name, card in cards.items():
        click.echo(
            f"{click.style(name, bold=True)}: {card.sensor}, {card.bands} bands, "
            f"ratio {card.ratio}, {count_parameters(name):,} parameters, {card.licence}"
        )


def _show(name_or_file: str, as_json: bool) -> None:
    card = card_of(name_or_file)
    # Reach and base are the network's own, so that torch is loaded here.
    structure = NETWORKS[card.architecture].describe(card.config, source=f"Card {card.name}")
    row = _facts(name_or_file, card) | structure
    if as_json:
        click.echo(json.dumps(row, indent=2))
        return
    for key, value in row.items():
        click.echo(f"{key + ':':26}{_text(value)}")


def _facts(name_or_file: str, card: WeightCard) -> dict[str, Any]:
    """Return the card with what follows from the file."""
    file = find_file(name_or_file)
    return card.model_dump(mode="json") | {
        "file": str(file),
        "sha256": file_sha256(file),
        "parameters": count_parameters(name_or_file),
    }


def _text(value: Any) -> str:
    """Write a value on one line."""
    if isinstance(value, dict):
        return ", ".join(f"{key} {_text(inner)}" for key, inner in value.items())
    if isinstance(value, list):
        return ", ".join(_text(inner) for inner in value) or "none"
    if isinstance(value, float):
        return f"{value:.6g}"
    return "not known" if value is None else str(value)
