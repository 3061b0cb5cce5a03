"""`bandweave evaluate`: parse, score, print."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np
from rich.console import Console
from rich.table import Table

from bandweave.metrics.accumulate import Spread
from bandweave.metrics.cases import KnownFacts
from bandweave.metrics.error_map import ErrorMap
from bandweave.metrics.files import Evaluated, evaluate_files
from bandweave.metrics.protocol import PROTOCOLS
from bandweave.metrics.scores import Scores, summarise
from bandweave.metrics.table import METRICS
from bandweave.report.quicklook import Panel, error_map, write_sheet, zoomed
from bandweave.sensors import find_sensor
from bandweave.window import Window

_PATH = click.Path(path_type=Path)
_MAP_PIXELS = 1024  # per side of an error map
_MAP_SHARE = 0.05  # of the full scale that an error map shows white
_MARK = "†"  # behind values that say nothing about a consistent image
_WIDTH = 160  # columns of the table where stdout is no terminal


def _numbers(ctx: click.Context, param: click.Parameter, value: str | None) -> Any:
    """Split a list of numbers."""
    try:
        return None if value is None else tuple(float(part) for part in value.split(","))
    except ValueError:
        raise click.BadParameter(f"expected numbers, got {value!r}", ctx, param) from None


def _align(ctx: click.Context, param: click.Parameter, value: str) -> Any:
    """Take a word, or rows and columns."""
    if value in ("auto", "off"):
        return value
    numbers = _numbers(ctx, param, value)
    if len(numbers) != 2:
        raise click.BadParameter(f"expected auto, off or DY,DX, got {value!r}", ctx, param)
    return numbers


def _names(ctx: click.Context, param: click.Parameter, value: str | None) -> Any:
    """Split a list of metric ids."""
    del ctx, param
    return None if value is None else tuple(part.strip() for part in value.split(","))


@click.command(context_settings={"show_default": True})
@click.argument("fused", type=_PATH)
@click.option("--gt", type=_PATH, help="Reference: raster, folder of rasters, .mat or .h5.")
@click.option("--pan", type=_PATH, help="Without reference: PAN, or a .mat or .h5 pair.")
@click.option("--ms", type=_PATH, help="Without reference: MS.")
@click.option("--protocol", type=click.Choice(list(PROTOCOLS)), help="[default: dlpan-rr, -fr]")
@click.option("--metrics", metavar="ID,...", callback=_names, help="Part of the protocol's.")
@click.option("--sensor", help="Sensor id; see `bandweave sensors`.")
@click.option("--full-scale", type=float, help="Value that maps to 1.0 (2047 for 11 bit).")
@click.option("--ratio", type=int, help="GSD ratio for ERGAS; the files' or sensor's, else 4.")
@click.option(
    "--mtf-gain", "gains", metavar="G,...", callback=_numbers, help="MTF at Nyquist, per band."
)
@click.option(
    "--align",
    metavar="auto|off|DY,DX",
    default="auto",
    callback=_align,
    help="Displacement of PAN against MS in PAN pixels; auto: as FUSED notes it.",
)
@click.option("--crop", is_flag=True, help="Leave out what fills no block (without reference).")
@click.option(
    "--mask", type=click.Choice(["auto", "nodata", "internal", "alpha", "none"]), default="auto"
)
@click.option("--nodata", type=float, help="Nodata value of all images.")
@click.option("--error-map", "picture", type=_PATH, help="Write a PNG; a folder for sets.")
@click.option("--error-full", type=float, help="Error shown white; 5 % of full scale by default.")
@click.option("--csv", "table_file", type=_PATH, help="Write the table as CSV.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON on stdout.")
@click.option(
    "--fast", "is_fast", is_flag=True, help="Single precision where numba is absent (with --gt)."
)
@click.option("-q", "--quiet", is_flag=True, help="No progress on stderr.")
@click.option("-j", "threads", type=click.IntRange(min=1), help="Threads; all cores by default.")
def command(
    *,
    fused: Path,
    gt: Path | None,
    pan: Path | None,
    ms: Path | None,
    sensor: str | None,
    full_scale: float | None,
    ratio: int | None,
    align: Any,
    mask: Any,
    nodata: float | None,
    picture: Path | None,
    error_full: float | None,
    table_file: Path | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Score FUSED against a reference (--gt), or without one (--pan and --ms).

    FUSED is any raster, a .mat file, a .h5 set, or a folder of results. Scenes of any size are
    read tile by tile, and pixels that are nodata in any image do not count.

        bandweave evaluate FUSED.tif --gt GT.tif --full-scale 2047
        bandweave evaluate FUSED.tif --pan PAN.tif --ms MS.tif --sensor wv3
        bandweave evaluate RESULTS --gt SET.h5 --csv scores.csv
    """
    if (gt is None) == (pan is None) or (gt is not None and ms is not None):
        raise click.UsageError("Give either --gt, or --pan with --ms (a .mat or .h5 alone).")
    if options["is_fast"] and gt is None:
        raise click.UsageError("--fast needs a reference: give --gt.")
    if picture is not None and gt is None:
        raise click.UsageError("An error map needs a reference: give --gt.")
    known = None if sensor is None else find_sensor(sensor)
    facts = KnownFacts(known, full_scale, ratio, mask, nodata, align)
    rows = []
    for row in evaluate_files(
        fused,
        gt=gt,
        pan=pan,
        ms=ms,
        facts=facts,
        error_pixels=None if picture is None else _MAP_PIXELS,
        **options,
    ):
        rows.append(row)
        if picture is not None and row.error is not None:
            target = picture / f"{row.name}.png" if fused.is_dir() else picture
            click.echo(_draw(target, row, row.error, error_full), err=True)
    if table_file is not None:
        _write_csv(table_file, rows)
    if as_json:
        click.echo(json.dumps(_record(rows), indent=2))
        return
    _print(rows)


def _print(rows: Sequence[Evaluated]) -> None:
    """Print one line per image, mean and spread, and under which conditions."""
    scores = [row.scores for row in rows]
    names = list(scores[0].values)
    table = Table(title=f"protocol {scores[0].protocol.id}", caption=_conditions(scores[0]))
    table.add_column("image")
    for name in names:
        metric = METRICS[name]
        unit = f" {metric.unit}" if metric.unit else ""
        better = "higher" if metric.direction == "higher" else "lower"
        table.add_column(f"{metric.name}{unit}\n{better}", justify="right")
    for one in rows:
        values, marked = one.scores.values, one.scores.meaningless
        table.add_row(one.name, *(_shown(values[name], name in marked) for name in names))
    marked = _meaningless(scores)
    if len(rows) > 1:
        spreads = summarise(scores)
        table.add_section()
        table.add_row("mean", *(_shown(spreads[name].mean, name in marked) for name in names))
        table.add_row("std (n - 1)", *(_shown(spreads[name].std, name in marked) for name in names))
    console = Console()
    (console if console.is_terminal else Console(width=_WIDTH)).print(table)
    for note in dict.fromkeys(note for one in scores for note in one.notes):
        click.echo(f"- {note}")
    if marked:
        click.echo(
            f"{_MARK} says nothing about an image fused with --consistent: it compares with the MS "
            "what that step has fitted to the MS. Score it against a reference, or by D_s."
        )


def _conditions(scores: Scores) -> str:
    protocol, said = scores.protocol, scores.conditions
    parts = [f"ratio {said['ratio']:g}", f"border {protocol.border}", f"block {protocol.block}"]
    if said.get("full_scale") is not None:
        parts.append(f"full scale {said['full_scale']:g}")
    if said.get("phase") is not None:
        parts.append("phase {:g}, {:g}".format(*said["phase"]))
    if any(said.get("cropped", ())):
        parts.append("cropped by {} rows and {} columns".format(*said["cropped"]))
    return ", ".join(parts)


def _shown(value: float, is_meaningless: bool) -> str:
    text = "-" if math.isnan(value) else f"{value:.5g}"
    return f"{text} {_MARK}" if is_meaningless else text


def _meaningless(scores: Sequence[Scores]) -> tuple[str, ...]:
    """Return the metrics that are marked for any of the images."""
    return tuple(dict.fromkeys(name for one in scores for name in one.meaningless))


def _record(rows: Sequence[Evaluated]) -> dict[str, Any]:
    """Return everything that was found, as JSON can hold it."""
    scores = [row.scores for row in rows]
    images = [{"name": row.name, **_of_image(row.scores)} for row in rows]
    spreads = summarise(scores)
    return {
        "protocol": scores[0].protocol.record(),
        "images": images,
        "mean": {name: _jsonable(spread.mean) for name, spread in spreads.items()},
        "std": {name: _jsonable(spread.std) for name, spread in spreads.items()},
    }


def _of_image(scores: Scores) -> dict[str, Any]:
    record = scores.record()
    return {
        "values": {name: _jsonable(value) for name, value in record["values"].items()},
        "conditions": record["conditions"],
        "notes": record["notes"],
        "meaningless": record["meaningless"],
    }


def _jsonable(value: float) -> float | str | None:
    """Return nan as null and infinity as a word: JSON has no numbers for them."""
    if math.isnan(value):
        return None
    return value if math.isfinite(value) else str(value)


def _write_csv(path: Path, rows: Sequence[Evaluated]) -> None:
    scores = [row.scores for row in rows]
    names = list(scores[0].values)
    spreads = summarise(scores)
    protocol = scores[0].protocol.id
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "protocol", *names, "meaningless"])
        for row in rows:
            values = (row.scores.values[name] for name in names)
            writer.writerow([row.name, protocol, *values, " ".join(row.scores.meaningless)])
        marked = " ".join(_meaningless(scores))
        for label, part in (("mean", "mean"), ("std", "std")):
            values = (_part(spreads[name], part) for name in names)
            writer.writerow([label, protocol, *values, marked])


def _part(spread: Spread, part: str) -> float:
    return spread.mean if part == "mean" else spread.std


def _draw(path: Path, row: Evaluated, error: ErrorMap, full: float | None) -> str:
    """Write the error map and say how it is stretched."""
    scale = row.scores.conditions.get("full_scale")
    shown = full or (_MAP_SHARE * scale if scale else float(np.nanquantile(error.values, 0.995)))
    seen = np.nan_to_num(error.values)[None]
    pixels = error_map(seen, np.zeros_like(seen), shown)
    pixels[np.isnan(error.values)] = 128
    cell = "one pixel" if error.cell == 1 else f"{error.cell} x {error.cell} pixels"
    caption = (
        "Mean absolute error over the bands.\n"
        f"Black: 0, white: {shown:.4g} and more, grey: not valid.\n"
        f"One point is {cell}."
    )
    pixels = zoomed(pixels, Window.whole(error.values.shape), _MAP_PIXELS // 2)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_sheet(path, [[Panel(row.name, pixels)]], "Error against the reference", caption)
    return f"{path}: black 0, white {shown:.4g} and more"
