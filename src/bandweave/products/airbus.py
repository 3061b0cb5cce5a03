"""Airbus: Pleiades, Pleiades Neo and SPOT 6 and 7 in DIMAP version 2.

Each image has a `DIM_*.XML`, which GDAL opens, over pixels in `IMG_*` tiles. Mission, order of the
bands, range of the values and nodata are read from it (Astrium, Pleiades Imagery User Guide;
Airbus, Pleiades Neo User Guide).
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

from bandweave.errors import ProductError, UnknownSensorError
from bandweave.products.bundle import Finding, ProductImage, Role, read_each, require_files
from bandweave.products.tables import elements, read_xml, text_of, utc
from bandweave.sensors import Sensor, find_sensor

VENDOR = "Airbus"

_NAME = re.compile(r"^DIM_.*\.XML$", re.IGNORECASE)
_SPATIAL = ("P", "PAN")
_SPECTRAL = ("MS", "XS", "MS-N", "MS-X", "MS-FS")
_BANDS = {
    "B0": "blue", "B1": "green", "B2": "red", "B3": "nir",  # Pleiades, SPOT 6 and 7
    "DB": "deep blue", "B": "blue", "G": "green", "R": "red", "RE": "red edge", "NIR": "nir",
}  # fmt: skip
# Values of a reflectance product are reflectance times this.
_REFLECTANCE_SCALE = 10_000.0


def find_images(files: Sequence[Path]) -> Iterator[Finding]:
    """Yield the images among these files."""
    yield from read_each((path for path in files if is_dimap(path)), read_dimap)


def is_dimap(path: Path) -> bool:
    """Tell by its name whether a file is the metadata of a DIMAP image."""
    return _NAME.match(path.name) is not None


def read_dimap(path: Path) -> ProductImage:
    """Read the image behind a `DIM_*.XML`.

    Raises:
        ProductError: The file is damaged, a tile is missing, or PAN and MS cannot be told apart.
    """
    root = read_xml(path)
    if root.tag.rsplit("}", 1)[-1] != "Dimap_Document":
        raise ProductError(f"{path.name} should be a DIMAP document, but its root is {root.tag}.")
    tiles = [path.parent / (tile.get("href") or "") for tile in elements(root, "DATA_FILE_PATH")]
    role = _role(path, root)
    sensor, remarks = _sensor(path, root)
    # One order keeps the folders of its images side by side; stereo images share all but the time.
    place = path.resolve().parent.parent
    satellite = sensor.id if sensor is not None else text_of(root, "MISSION") or ""
    level = text_of(root, "PROCESSING_LEVEL") or ""
    return ProductImage(
        vendor=VENDOR,
        role=role,
        key=f"{place} {satellite} {level}",
        name=re.sub(r"_(P|PAN|MS|XS|MS-\w+)_", "_", path.stem.removeprefix("DIM_"), count=1),
        source=path,
        files=(path,),
        tiles=require_files(tiles, path),
        sensor=None if sensor is None else sensor.id,
        band_names=None if role == "spatial" else _names(root),
        full_scale=_full_scale(root),
        nodata=_nodata(root),
        acquired=_acquired(root),
        remarks=remarks,
    )


def _role(path: Path, root: ET.Element) -> Role:
    stated = (text_of(root, "SPECTRAL_PROCESSING") or "").upper()
    if stated in _SPATIAL:
        return "spatial"
    if stated in _SPECTRAL:
        return "spectral"
    raise ProductError(
        f"{path.name} should hold a PAN (P) or an MS image, but its SPECTRAL_PROCESSING is "
        f"{stated or 'not stated'}"
        + ("; it was sharpened by the vendor already." if stated.startswith("PMS") else ".")
    )


def _sensor(path: Path, root: ET.Element) -> tuple[Sensor | None, tuple[str, ...]]:
    mission, index = text_of(root, "MISSION"), text_of(root, "MISSION_INDEX")
    if mission is None:
        return None, (f"{path.name} does not name its satellite: give --sensor.",)
    satellite = f"{mission} {index or ''}".strip()
    try:
        return find_sensor(satellite), ()
    except UnknownSensorError:
        return None, (f"The satellite {satellite} of {path.name} is not in the sensor table.",)


def _names(root: ET.Element) -> tuple[str, ...] | None:
    """Return the band names by index, through all files of a tile (Neo has RGB and NED)."""
    names: list[str] = []
    for listed in elements(root, "Raster_Index_List"):
        indexed = sorted(
            (int(text_of(entry, "BAND_INDEX") or 0), text_of(entry, "BAND_ID") or "")
            for entry in elements(listed, "Raster_Index")
        )
        names += [_BANDS.get(band.upper(), band.lower()) for _, band in indexed]
    return tuple(names) or None


def _full_scale(root: ET.Element) -> float | None:
    if text_of(root, "NBITS") == "8":
        return 255.0
    if (text_of(root, "RADIOMETRIC_PROCESSING") or "").upper() == "REFLECTANCE":
        return _REFLECTANCE_SCALE
    bits = text_of(root, "PRODUCT_RANGE") or text_of(root, "ACQUISITION_RANGE")
    return float(2 ** int(bits) - 1) if bits is not None and bits.isdigit() else None


def _nodata(root: ET.Element) -> float | None:
    for value in elements(root, "Special_Value"):
        if (text_of(value, "SPECIAL_VALUE_TEXT") or "").upper() == "NODATA":
            count = text_of(value, "SPECIAL_VALUE_COUNT")
            return None if count is None else float(count)
    return None


def _acquired(root: ET.Element) -> datetime | None:
    date, time = text_of(root, "IMAGING_DATE"), text_of(root, "IMAGING_TIME")
    return None if date is None or time is None else utc(f"{date}T{time}")
