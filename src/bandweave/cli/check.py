"""`bandweave check`: parse, measure, print."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import click

from bandweave.mosaic.check.check import check_pair
from bandweave.mosaic.check.report import CheckReport, ImageFacts
from bandweave.mosaic.found.instruments import in_words
from bandweave.sensors import find_sensor


def _bands(ctx: click.Context, param: click.Parameter, value: str | None) -> Any:
    """Split a list of band numbers."""
    try:
        return None if value is None else tuple(int(part) for part in value.split(","))
    except ValueError:
        raise click.BadParameter(f"expected 1,2,..., got {value!r}", ctx, param) from None


def _phase(ctx: click.Context, param: click.Parameter, value: str | None) -> Any:
    """Split the phase into rows and columns."""
    try:
        numbers = None if value is None else tuple(float(part) for part in value.split(","))
    except ValueError:
        numbers = ()
    if numbers is not None and len(numbers) != 2:
        raise click.BadParameter(f"expected ROW,COL, got {value!r}", ctx, param)
    return numbers


@click.command(context_settings={"show_default": True})
@click.argument("spatial", metavar="PAN")
@click.argument("spectral", metavar="[MS]", required=False)
@click.option("--sensor", help="Sensor id; see `bandweave sensors`.")
@click.option("--weights", help="Match the PAN to these weights (takes longer): name or file.")
@click.option("--full-scale", type=float, help="Value that maps to 1.0 (2047 for 11 bit).")
@click.option("--bidx", "bands", metavar="1,2,...", callback=_bands, help="MS bands to look at.")
@click.option(
    "--mask", type=click.Choice(["auto", "nodata", "internal", "alpha", "none"]), default="auto"
)
@click.option("--nodata", type=float, help="Nodata value of both images.")
@click.option("--phase", metavar="ROW,COL", callback=_phase, help="Phase of a .mat or .h5 pair.")
@click.option("--item", type=click.IntRange(min=0), default=0, help="Pair of a .h5 set, from 0.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON on stdout.")
def command(
    spatial: str, spectral: str | None, sensor: str | None, as_json: bool, **options: Any
) -> None:
    """Report how PAN and MS fit together, before anything is fused.

    Of MSI and HSI also the point spread, the phase and the spectral response that link them; --json
    has the response in numbers.

    Any file that rasterio opens will do; a .mat pair, a .h5 set, and the folder or metadata file
    of a vendor's product stand alone.
    """
    known = None if sensor is None else find_sensor(sensor)
    report = check_pair(spatial, spectral, sensor=known, **options)
    if as_json:
        click.echo(json.dumps(report.as_dict(), indent=2))
        return
    for label, text in _rows(report):
        click.echo(f"{click.style(f'{label:13}', bold=True)}{text}")
    for text in (*report.remarks, *report.advice):
        click.echo(f"- {text}")


def _rows(report: CheckReport) -> Iterator[tuple[str, str]]:
    """Yield what was found, label and text."""
    grids = report.grids
    yield "PAN", _image(report.pan)
    yield "MS", _image(report.ms)
    nests = "MS resampled to nest" if grids.is_resampled else "nests"
    yield "Grids", f"ratio {grids.ratio}, phase {grids.phase[0]:g}, {grids.phase[1]:g}: {nests}"
    size = f"{grids.shape[0]} x {grids.shape[1]} PAN pixels"
    shares = f"{_percent(grids.pan_share)} of the PAN, {_percent(grids.ms_share)} of the MS"
    yield "Overlap", f"{size}, {shares}"
    counted = "" if report.is_valid_counted else ", estimated from places spread over the scene"
    yield "Usable", f"{_percent(report.valid_share)} of the pixels{counted}"
    scale = "unknown" if report.full_scale is None else f"{report.full_scale:g}"
    yield "Sensor", f"{report.sensor or 'unknown'}, full scale {scale}"
    found = report.displacement
    scatter = f"{found.windows} windows, scatter {found.scatter[0]:.2f}, {found.scatter[1]:.2f}"
    place = f"{found.rows:.2f} rows, {found.cols:.2f} columns of PAN"
    yield "Displacement", f"{place}; confidence {found.confidence:.2f} ({scatter})"
    if report.instruments is not None:
        yield "Instruments", in_words(report.instruments)
        return
    yield from _sharpness_rows(report)


def _sharpness_rows(report: CheckReport) -> Iterator[tuple[str, str]]:
    sharpness, match = report.sharpness, report.match
    if sharpness is not None:
        blur = f"the MS looks like the PAN blurred by {sharpness.blur:.2f} pixels"
        table = "" if report.table_gain is None else f" (table: {report.table_gain:.2f})"
        yield "Sharpness", f"{blur}, an MTF gain of {sharpness.gain:.2f}{table}"
        bands = ", ".join(f"{band}: {share:.2f}" for band, share in sharpness.correlations)
        explained = f"explain {_percent(1 - sharpness.unexplained)} of the PAN"
        yield "Bands", f"{explained}; correlations {bands}"
    if match is not None:
        errors = ", ".join(f"{sigma:g}: {error:.3g}" for sigma, error in match.errors)
        yield "Weights", f"{report.weights}; reprojection error by blur {errors}"


def _image(facts: ImageFacts) -> str:
    size = f"{facts.shape[0]} x {facts.shape[1]}"
    bands = "1 band" if facts.bands == 1 else f"{facts.bands} bands"
    parts = [size, bands, facts.dtype]
    if facts.pixel is not None:
        parts.append(f"pixel {facts.pixel[1]:.4g} x {facts.pixel[0]:.4g}")
    if facts.crs is not None:
        # Of a WKT the name between its first quotes says enough.
        parts.append(facts.crs.split('"')[1] if '"' in facts.crs else facts.crs)
    if facts.nodata is not None:
        parts.append(f"nodata {facts.nodata:g}")
    return f"{facts.name}: {', '.join(parts)}"


def _percent(share: float) -> str:
    """Return a share in percent; only what is complete is called 100 %."""
    return "100 %" if share >= 1 else f"{min(100 * share, 99.9):.1f} %"
