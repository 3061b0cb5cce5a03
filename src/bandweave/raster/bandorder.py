"""Which band of a sensor a band of a file is: by its name, else by its place."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from bandweave.sensors import Band, Sensor


def plain_name(name: str) -> str:
    """Bring a band's name to the form in which names are compared.

    Example:
        >>> plain_name("Band_NIR-1"), plain_name("RedEdge")
        ('nir1', 'rededge')
    """
    bare = re.sub(r"[^a-z0-9]", "", name.lower())
    return bare.removeprefix("band") or bare


def in_file_order(
    sensor: Sensor, names: Sequence[str | None], indexes: Sequence[int], count: int
) -> Sensor | None:
    """Return the sensor with the bands that a file holds, in the file's order.

    Args:
        sensor: As the sensor table has it.
        names: Names of the bands that are read, None where the file gives none.
        indexes: Their numbers in the file, from 1.
        count: All bands of the file.

    Returns:
        By name where each name is one of the sensor's; else by place where the file has as many
        bands as the sensor delivers; else None.
    """
    found = _by_name(sensor, names)
    if found is None and len(sensor.bands) == count:
        found = tuple(sensor.bands[index - 1] for index in indexes)
    if found is None:
        return None
    return sensor if found == sensor.bands else replace(sensor, bands=found)


def _by_name(sensor: Sensor, names: Sequence[str | None]) -> tuple[Band, ...] | None:
    known = {plain_name(band.name): band for band in sensor.bands}
    found = [known.get(plain_name(name)) if name else None for name in names]
    bands = tuple(band for band in found if band is not None)
    is_complete = len(bands) == len(names) and len({band.name for band in bands}) == len(bands)
    return bands if is_complete else None
