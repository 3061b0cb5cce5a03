"""GaoFen-1 and -2: `GF2_PMS1_E113.6_N23.1_20150215_L1A...-PAN1.tiff` and `-MSS1.tiff`.

PAN and MSS carry the number of their camera, and an XML of the same name that states satellite and
time (CRESDA's delivery format).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from bandweave.errors import ProductError, UnknownSensorError
from bandweave.products.bundle import Finding, ProductImage, read_each
from bandweave.products.folder import is_raster
from bandweave.products.tables import read_xml, text_of, utc
from bandweave.sensors import Sensor, find_sensor

VENDOR = "GaoFen"

_NAME = re.compile(r"^(?P<key>(?P<satellite>GF\d[A-Z]?)_.+)-(?P<role>PAN|MSS)(?P<rest>[^.]*)\.\w+$")


def find_images(files: Sequence[Path]) -> Iterator[Finding]:
    """Yield the images among these files."""
    yield from read_each((f for f in files if is_raster(f) and _NAME.match(f.name)), _read)


def _read(path: Path) -> ProductImage:
    match = _NAME.match(path.name)
    assert match is not None
    satellite, acquired = match["satellite"], None
    metadata = path.with_suffix(".xml")
    if metadata.is_file():
        root = read_xml(metadata)
        stated = text_of(root, "SatelliteID")
        if stated is not None and stated.upper() != satellite:
            raise ProductError(
                f"{path.name} is named as an image of {satellite}, but {metadata.name} says "
                f"{stated}; check which of the two is right."
            )
        acquired = utc(text_of(root, "StartTime") or text_of(root, "ReceiveTime"))
    sensor = _sensor(satellite)
    remarks = () if sensor else (f"The satellite {satellite} is not in the sensor table.",)
    return ProductImage(
        vendor=VENDOR,
        role="spatial" if match["role"] == "PAN" else "spectral",
        key=f"{path.parent}/{match['key']}{match['rest']}",
        name=f"{match['key']}{'-' + match['rest'].lstrip('-_') if match['rest'] else ''}",
        source=path,
        files=(path,),
        sensor=None if sensor is None else sensor.id,
        band_names=None if sensor is None or match["role"] == "PAN" else sensor.band_names,
        full_scale=None if sensor is None else sensor.full_scale,
        acquired=acquired,
        remarks=remarks,
    )


def _sensor(satellite: str) -> Sensor | None:
    try:
        return find_sensor(f"{satellite[:2]}-{satellite[2:]}")
    except UnknownSensorError:
        return None
