"""The sensor table: complete, sourced, and what the protocol states."""

from __future__ import annotations

import json
import re
import tomllib
from decimal import Decimal
from importlib.resources import files
from pathlib import Path

import pytest
from click.testing import CliRunner

from bandweave.cli.sensors import command
from bandweave.errors import UnknownSensorError
from bandweave.sensors import find_sensor, sensor_table

# Protocol 1.2.
PROTOCOL_GAINS = {
    "qb": ((0.34, 0.32, 0.30, 0.22), 0.15),
    "ikonos": ((0.26, 0.28, 0.29, 0.28), 0.17),
    "ge1": ((0.23,) * 4, 0.16),
    "wv4": ((0.23,) * 4, 0.16),
    "wv2": ((0.35,) * 7 + (0.27,), 0.11),
    "wv3": ((0.325, 0.355, 0.360, 0.350, 0.365, 0.360, 0.335, 0.315), 0.14),
    "gf2": ((0.30,) * 4, 0.15),
    "sentinel2": ((0.365, 0.33, 0.34, 0.32, 0.205, 0.235), None),
}

WANTED = {
    "wv2", "wv3", "wv4", "qb", "ikonos", "ge1", "gf1", "gf2", "pleiades", "pleiades_neo", "spot6",
    "spot7", "landsat7", "landsat8", "landsat9", "sentinel2", "prisma", "enmap", "none",
}  # fmt: skip

NUMBERS = {
    "ratio", "pan_gsd", "gsd", "pan_limits", "bit_depth", "full_scale", "pan_mtf_gain", "default_mtf_gain",
    "ranges",
}  # fmt: skip

DOCUMENT = Path(__file__).parents[2] / "docs" / "adapting.md"

RAW = tomllib.loads(files("bandweave").joinpath("sensors.toml").read_text(encoding="utf-8"))


def test_all_wanted_sensors_stand_in_the_table():
    assert set(sensor_table()) >= WANTED


@pytest.mark.parametrize("key", sorted(PROTOCOL_GAINS))
def test_gains_are_the_protocols(key):
    gains, pan = PROTOCOL_GAINS[key]
    sensor = find_sensor(key)
    assert sensor.mtf_gains(len(gains)) == gains
    assert sensor.pan_mtf_gain == pan


@pytest.mark.parametrize("key", sorted(RAW))
def test_every_number_has_a_source(key):
    entry = RAW[key]
    present = NUMBERS & set(entry)
    for band in entry.get("bands", []) + entry.get("spatial_bands", []):
        present |= {"wavelength", "limits", "mtf_gain"} & set(band)
    sourced = set()
    for source in entry["sources"]:
        named, _, citation = source.partition(": ")
        assert citation, source
        sourced |= {name.strip() for name in named.split(",")}
    assert present == sourced


@pytest.mark.parametrize("key", sorted(RAW))
def test_numbers_are_possible(key):
    sensor = sensor_table()[key]
    for band in (*sensor.bands, *sensor.spatial_bands):
        assert band.name == band.name.lower()
        assert band.mtf_gain is None or 0 < band.mtf_gain < 1
        assert band.wavelength is None or 300 < band.wavelength < 15_000  # thermal bands
        if band.limits and band.wavelength:
            assert band.limits[0] < band.wavelength < band.limits[1]
    for part in sensor.ranges:
        assert part.name == part.name.lower()
        assert 300 < part.limits[0] < part.limits[1] < 15_000
        assert part.bands > 1
    if sensor.full_scale and sensor.bit_depth and sensor.full_scale != 10000:
        assert sensor.full_scale == 2**sensor.bit_depth - 1
    assert len({band.name for band in sensor.bands}) == len(sensor.bands)


@pytest.mark.parametrize("key", sorted(key for key in RAW if "pan_gsd" in RAW[key]))
def test_the_ratio_is_that_of_the_gsds_to_their_last_digit(key):
    entry = RAW[key]
    pan, spectral = (Decimal(str(entry[field])) for field in ("pan_gsd", "gsd"))
    pan_half, half = (Decimal(5).scaleb(gsd.as_tuple().exponent - 1) for gsd in (pan, spectral))
    assert abs(entry["ratio"] * pan - spectral) <= entry["ratio"] * pan_half + half


@pytest.mark.parametrize("key", sorted(RAW))
def test_every_source_can_be_found_again(key):
    """An address, a repository, a paper with its year, the toolbox, or what follows from a field."""
    for source in RAW[key]["sources"]:
        _, _, citation = source.partition(": ")
        assert not re.search(r"unverified|quoted in open|memory", source)
        assert re.search(
            r"\w\.\w+/|(19|20)\d\d|toolbox|Handbook|Products Specification", citation
        ) or (citation.startswith("largest DN of ")), source


def test_conventions_are_named_as_assumptions():
    for sensor in sensor_table().values():
        assert bool(sensor.assumptions) == (sensor.default_mtf_gain is not None)


def test_names_are_unique():
    names = [
        name.lower()
        for s in sensor_table().values()
        for name in {s.id.lower(), s.name.lower(), *(a.lower() for a in s.aliases)}
    ]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    ("name", "key"),
    [("WV3", "wv3"), (" WorldView-3 ", "wv3"), ("GeoEye1", "ge1"), ("Landsat8", "landsat8"),
     ("none", "none"), ("pneo", "pleiades_neo")],
)  # fmt: skip
def test_find_by_id_name_or_alias(name, key):
    assert find_sensor(name).id == key


def test_unknown_sensor_lists_the_known_ones():
    with pytest.raises(UnknownSensorError, match=r"no sensor 'wv9'; known sensors are wv3, .*none"):
        find_sensor("wv9")


def test_an_empty_name_is_no_sensor():
    with pytest.raises(UnknownSensorError):
        find_sensor(" ")


def test_none_takes_any_number_of_bands():
    assert find_sensor("none").mtf_gains(31) == (0.30,) * 31


def test_unknown_gains_are_none_and_not_guessed():
    assert find_sensor("pleiades").mtf_gains(4) is None
    assert find_sensor("wv3").mtf_gains(4) is None


def test_gap_to_the_pan():
    sensor = find_sensor("wv2")
    assert sensor.gap_to_pan(sensor.bands[0]) == 0  # coastal ends where the PAN begins
    assert sensor.gap_to_pan(sensor.bands[6]) == 0
    assert sensor.gap_to_pan(sensor.bands[7]) == 60
    assert find_sensor("landsat8").gap_to_pan(find_sensor("landsat8").bands[0]) == 50
    assert find_sensor("sentinel2").gap_to_pan(find_sensor("sentinel2").bands[0]) is None


def test_bands_are_told_by_number_or_by_name():
    sensor = find_sensor("landsat8")
    assert sensor.bands_named(7, ("anything",) * 7) == sensor.bands
    assert sensor.bands_named(2, ("Red ", "coastal")) == (sensor.bands[3], sensor.bands[0])
    assert sensor.bands_named(2, ("red", "band 2")) is None
    assert sensor.bands_named(2, None) is None


def test_pan_coverage():
    assert find_sensor("landsat8").covered_bands == ("blue", "green", "red")
    assert find_sensor("landsat7").covered_bands == ("green", "red", "nir")
    assert find_sensor("gf2").covered_bands == ("blue", "green", "red", "nir")
    assert find_sensor("sentinel2").covered_bands is None


def test_hyperspectral_sensors_have_ranges_in_place_of_bands():
    prisma = find_sensor("prisma")
    assert [(part.name, part.bands) for part in prisma.ranges] == [("vnir", 66), ("swir", 173)]
    assert prisma.bands == ()
    assert sum(part.bands for part in find_sensor("enmap").ranges) == 224
    assert {s.id for s in sensor_table().values() if s.ranges} == {"prisma", "enmap"}


def test_the_command_shows_all_that_is_known():
    run = CliRunner().invoke
    listed = run(command, []).output.splitlines()
    assert len(listed) == len(sensor_table())
    assert "66 + 173 bands, ratio 6, MTF unknown" in next(x for x in listed if "PRISMA" in x)
    assert "any bands" in next(x for x in listed if x.startswith("none"))
    shown = run(command, ["prisma"]).output
    assert "swir:         173 bands, 920 to 2505 nm" in shown
    told = json.loads(run(command, ["enmap", "--json"]).output)
    assert told["ranges"][0] == {"name": "vnir", "limits": [420, 1000], "bands": 91}
    assert told["sources"] == RAW["enmap"]["sources"]


def sensors_without(field: str) -> set[str]:
    """Names of the sensors whose field is absent, without the variants of a sensor."""
    found = set()
    for key, entry in RAW.items():
        bands = entry.get("bands", [{}])
        known = field in entry or all(field in band for band in bands)
        if field == "mtf_gain":
            known = known or "default_mtf_gain" in entry
        if not known and key not in {"none", "landsat8_all", "landsat9_all", "sentinel2_60"}:
            found.add(entry["name"])
    return found


@pytest.mark.parametrize(
    ("row", "field"),
    [("MTF gains", "mtf_gain"), ("bit depth", "bit_depth"), ("full scale", "full_scale")],
)
def test_the_document_names_what_is_absent(row, field):
    line = next(x for x in DOCUMENT.read_text(encoding="utf-8").splitlines() if f"| {row} |" in x)
    assert set(line.split("|")[2].strip().split(", ")) == sensors_without(field)
