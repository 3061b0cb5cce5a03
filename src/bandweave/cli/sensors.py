"""`bandweave sensors`: what is known of each sensor."""

from __future__ import annotations

import json
from dataclasses import asdict

import click

from bandweave.sensors import Band, Sensor, find_sensor, sensor_table


@click.command()
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print JSON on stdout.")
def command(name: str | None, as_json: bool) -> None:
    """List the sensors, or show all that is known of NAME, with sources."""
    sensors = list(sensor_table().values()) if name is None else [find_sensor(name)]
    if as_json:
        shown = [{**asdict(sensor), "covered_bands": sensor.covered_bands} for sensor in sensors]
        click.echo(json.dumps(shown if name is None else shown[0], indent=2))
    elif name is None:
        width = max(len(sensor.name) for sensor in sensors) + 2
        for sensor in sensors:
            click.echo(_line(sensor, width))
    else:
        _show(sensors[0])


def _line(sensor: Sensor, width: int) -> str:
    parts = [_band_count(sensor)]
    if sensor.ratio is not None:
        parts.append(f"ratio {sensor.ratio}")
    return f"{sensor.id:14}{sensor.name:{width}}{', '.join([*parts, _mtf(sensor)])}"


def _band_count(sensor: Sensor) -> str:
    if sensor.ranges:
        return f"{' + '.join(str(part.bands) for part in sensor.ranges)} bands"
    return f"{len(sensor.bands)} bands" if sensor.bands else "any bands"


def _mtf(sensor: Sensor) -> str:
    gains = sensor.mtf_gains(max(len(sensor.bands), 1))
    if gains is None:
        return "MTF unknown"
    low, high = min(gains), max(gains)
    span = f"{low:g}" if low == high else f"{low:g} to {high:g}"
    return f"MTF {span}{' (convention)' if sensor.assumptions else ''}"


def _show(sensor: Sensor) -> None:
    click.echo(f"{click.style(sensor.id, bold=True)}: {sensor.name}")
    facts = {
        "ratio": sensor.ratio,
        "GSD": _gsd(sensor),
        "bits": sensor.bit_depth,
        "full scale": sensor.full_scale,
        "PAN": None if sensor.pan_limits is None else "{:g} to {:g} nm".format(*sensor.pan_limits),
        "PAN MTF": sensor.pan_mtf_gain,
        "default MTF": sensor.default_mtf_gain,
        "PAN covers": ", ".join(sensor.covered_bands or ()) or None,
    }
    for label, value in facts.items():
        if value is not None:
            click.echo(f"    {label + ':':14}{value}")
    for title, bands in (("bands", sensor.bands), ("spatial bands", sensor.spatial_bands)):
        if bands:
            click.echo(f"    {title}:")
        for band in bands:
            click.echo(f"        {_band(band)}")
    for part in sensor.ranges:
        low, high = part.limits
        click.echo(f"    {part.name + ':':14}{part.bands} bands, {low:g} to {high:g} nm")
    for title, texts in (
        ("assumption", sensor.assumptions),
        ("note", sensor.notes),
        ("source", sensor.sources),
    ):
        for text in texts:
            click.echo(f"    {title}: {text}")


def _gsd(sensor: Sensor) -> str | None:
    known = [f"{gsd:g} m" for gsd in (sensor.pan_gsd, sensor.gsd) if gsd is not None]
    return " and ".join(known) or None


def _band(band: Band) -> str:
    parts = [f"{band.name:10}"]
    if band.wavelength is not None:
        parts.append(f"{band.wavelength:g} nm")
    if band.limits is not None:
        parts.append("({:g} to {:g})".format(*band.limits))
    if band.mtf_gain is not None:
        parts.append(f"MTF {band.mtf_gain:g}")
    return " ".join(parts)
