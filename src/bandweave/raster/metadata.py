"""What files state of their sensor and scale; nothing is guessed."""

from __future__ import annotations

from bandweave.errors import UnknownSensorError
from bandweave.raster.bandorder import in_file_order
from bandweave.raster.image import RasterFacts
from bandweave.sensors import Sensor, find_sensor


def stated_sensor(facts: RasterFacts) -> Sensor | None:
    """Return the sensor a file's metadata names, with the bands that are read, in their order.

    None where neither the names nor the number of the file's bands tell which they are. GDAL reads
    vendors' side files (Maxar .IMD, Airbus DIMAP, ...) into the IMAGERY namespace.
    """
    satellite = facts.sensor_tags.get("SATELLITEID", "").strip()
    try:
        sensor = find_sensor(satellite)
    except UnknownSensorError:
        return None
    return in_file_order(sensor, facts.descriptions, facts.indexes, facts.available)


def given_sensor(sensor: Sensor, facts: RasterFacts) -> Sensor:
    """Return a sensor that was named, with the bands that are read where they can be told."""
    if not sensor.bands:
        return sensor
    found = in_file_order(sensor, facts.descriptions, facts.indexes, facts.available)
    return sensor if found is None else found


def stated_full_scale(pan: RasterFacts, ms: RasterFacts, sensor: Sensor | None) -> float | None:
    """Return the value that maps to 1.0 where files or sensor say so.

    The sensor's holds for integers only: floating-point files are radiance or reflectance. The
    files' is 2^bits - 1 where both state the same number of significant bits.
    """
    if pan.dtype.kind == "f" or ms.dtype.kind == "f":
        return None
    if sensor is not None and sensor.full_scale is not None:
        return sensor.full_scale
    if ms.bits is not None and ms.bits == pan.bits:
        return float(2**ms.bits - 1)
    return None
