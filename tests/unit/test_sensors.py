"""The sensor table: complete, sourced, and what the protocol states."""

from __future__ import annotations

import tomllib
from importlib.resources import files

import pytest

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
}  # fmt: skip

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
    if sensor.ratio and sensor.gsd and sensor.pan_gsd:
        assert sensor.gsd / sensor.pan_gsd == pytest.approx(sensor.ratio, rel=0.01)
    if sensor.full_scale and sensor.bit_depth and sensor.full_scale != 10000:
        assert sensor.full_scale == 2**sensor.bit_depth - 1
    assert len({band.name for band in sensor.bands}) == len(sensor.bands)


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
