"""Landsat 7, 8 and 9, Collection 2 Level 1: one GeoTIFF per band beside `*_MTL.txt` or `.json`.

Band 8 is the PAN at 15 m; the reflective bands at 30 m are stacked. Band 9 of Landsat 8 and 9
(cirrus) is left out: it sees the upper atmosphere, of which the PAN shows nothing. The corner of
the PAN lies half a PAN pixel inside that of the other bands (centres coincide), which the grids
say themselves. Fill pixels are 0: valid values start at QUANTIZE_CAL_MIN, 1 (USGS, Landsat 8-9
Level 1 Data Format Control Book).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from bandweave.errors import ProductError
from bandweave.products.bundle import Finding, Problem, ProductImage, Role, require_files
from bandweave.products.tables import read_groups, utc
from bandweave.sensors import find_sensor

VENDOR = "Landsat"

_NAME = re.compile(r"^(?P<product>.+)_MTL\.(?P<kind>txt|json)$", re.IGNORECASE)
_PAN = "8"
# Bands of the sensor table, in its order, by the numbers that the files carry.
_BANDS = {
    "LANDSAT_7": ("1", "2", "3", "4", "5", "7"),
    "LANDSAT_8": ("1", "2", "3", "4", "5", "6", "7"),
    "LANDSAT_9": ("1", "2", "3", "4", "5", "6", "7"),
}


def find_images(files: Sequence[Path]) -> Iterator[Finding]:
    """Yield PAN and MS of each scene among these files."""
    seen: set[tuple[Path, str]] = set()
    # Both kinds say the same: `.txt` is taken where both are there.
    for path in sorted(files, key=lambda path: path.suffix.lower(), reverse=True):
        match = _NAME.match(path.name)
        if match is None or (path.parent, match["product"]) in seen:
            continue
        seen.add((path.parent, match["product"]))
        try:
            yield from read_scene(path)
        except ProductError as error:
            yield Problem(path, str(error))


def read_scene(path: Path) -> tuple[ProductImage, ProductImage]:
    """Read PAN and MS behind an `MTL` file.

    Raises:
        ProductError: The file is damaged, its product has no PAN, or a band is missing.
    """
    stated = _stated(path)
    satellite = stated.get("SPACECRAFT_ID", "")
    if satellite not in _BANDS:
        raise ProductError(
            f"{path.name} is of {satellite or 'an unnamed satellite'}; Landsat scenes with a PAN "
            f"are those of {', '.join(_BANDS)}."
        )
    # The metadata of Level 2 products repeat those of Level 1, whose files are not there.
    is_level_1 = stated.get("PROCESSING_LEVEL", "L1").startswith("L1")
    if not is_level_1 or f"FILE_NAME_BAND_{_PAN}" not in stated:
        raise ProductError(
            f"{path.name} is of a product without band {_PAN}, the PAN, as all of Level 2 are; "
            "fetch the Level 1 product (L1TP) of this scene."
        )
    return (
        _image(path, stated, "spatial", (_PAN,)),
        _image(path, stated, "spectral", _BANDS[satellite]),
    )


def _image(
    path: Path, stated: dict[str, str], role: Role, numbers: tuple[str, ...]
) -> ProductImage:
    listed = [stated.get(f"FILE_NAME_BAND_{number}") for number in numbers]
    unnamed = [number for number, name in zip(numbers, listed, strict=True) if name is None]
    if unnamed:
        raise ProductError(f"{path.name} should name the file of band {unnamed[0]}, but does not.")
    sensor = find_sensor(stated["SPACECRAFT_ID"].replace("_", " "))
    product = path.name.rsplit("_MTL", 1)[0]
    largest = stated.get(f"QUANTIZE_CAL_MAX_BAND_{numbers[0]}")
    smallest = stated.get(f"QUANTIZE_CAL_MIN_BAND_{numbers[0]}", "1")
    return ProductImage(
        vendor=VENDOR,
        role=role,
        key=str(path.parent / product),
        name=product,
        source=path,
        files=require_files((path.with_name(name) for name in listed if name), path),
        sensor=sensor.id,
        band_names=None if role == "spatial" else sensor.band_names,
        full_scale=None if largest is None else float(largest),
        nodata=0.0 if float(smallest) > 0 else None,
        acquired=utc(f"{stated.get('DATE_ACQUIRED')}T{stated.get('SCENE_CENTER_TIME')}"),
    )


def _stated(path: Path) -> dict[str, str]:
    """Return keys and values, the first of each key."""
    if path.suffix.lower() == ".txt":
        return _first((key, value) for _, key, value in read_groups(path))
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ProductError(f"{path.name} should be JSON, but cannot be read: {error}.") from error
    return _first(_leaves(content))


def _first(entries: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Keep the first value of each key: later groups tell of what the product was made of."""
    stated: dict[str, str] = {}
    for key, value in entries:
        stated.setdefault(key, value)
    return stated


def _leaves(content: Any) -> Iterator[tuple[str, str]]:
    if isinstance(content, dict):
        for key, value in content.items():
            if isinstance(value, dict):
                yield from _leaves(value)
            else:
                yield key, str(value)
