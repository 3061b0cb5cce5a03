"""Maxar (DigitalGlobe, Vantor): `.TIL` with `.IMD`, and ARD pairs `<catid>-pan.tif`, `-ms.tif`.

A delivery has folders like `054112345010_01_P001_PAN` and `..._MUL`. Its files are called
`<time>-P2AS-<order>_<item>_P001` (PAN) and `<time>-M2AS-...` (MS), with tiles `-P2AS_R1C1-`; levels
are P1BS, P2AS, P3DS and M1BS, M2AS, M3DS. The times of the two may differ by a second. GDAL opens
the `.TIL`, which makes one image of all tiles. Values, gains and the order of bands are stated in
the `.IMD` (DigitalGlobe, Imagery Support Data documentation).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from bandweave.errors import ProductError, UnknownSensorError
from bandweave.products.bundle import Finding, ProductImage, Role, read_each, require_files
from bandweave.products.tables import read_groups, utc
from bandweave.sensors import Sensor, find_sensor

VENDOR = "Maxar"

_STEM = re.compile(
    r"^(?P<time>\w+)-(?P<kind>[PMS])(?P<level>\w{3})(_R\d+C\d+)?-(?P<part>.+)$", re.IGNORECASE
)
_ARD = re.compile(r"^(?P<catid>[0-9A-F]{16})-(?P<role>pan|ms)\.tiff?$", re.IGNORECASE)
# Groups of an .IMD, in the order of the file's bands, and names in the sensor table.
_BANDS = {
    "BAND_C": "coastal",
    "BAND_B": "blue",
    "BAND_G": "green",
    "BAND_Y": "yellow",
    "BAND_R": "red",
    "BAND_RE": "red edge",
    "BAND_N": "nir1",
    "BAND_N2": "nir2",
}
# ARD pixels are surface reflectance times this; 0 is no data (Maxar, ARD product guide).
_ARD_SCALE = 10_000.0


def find_images(files: Sequence[Path]) -> Iterator[Finding]:
    """Yield the images among these files."""
    tiles = {path.with_suffix("") for path in files if path.suffix.upper() == ".TIL"}
    yield from read_each((path for path in files if path.suffix.upper() == ".TIL"), read_tiles)
    alone = (path for path in files if path.suffix.upper() == ".IMD")
    yield from read_each((path for path in alone if path.with_suffix("") not in tiles), _read_alone)
    yield from read_each((path for path in files if _ARD.match(path.name)), _read_ard)


def read_tiles(path: Path) -> ProductImage:
    """Read the image behind a `.TIL`.

    Raises:
        ProductError: The `.IMD` or a tile is missing, or they contradict each other.
    """
    listed = [path.with_name(value) for _, key, value in read_groups(path) if key == "filename"]
    tiles = require_files(listed, path)
    metadata = _side_file(path)
    if metadata is None:
        raise ProductError(
            f"{path.name} needs its side file {path.stem}.IMD for sensor, bands and place; fetch "
            "the delivery again."
        )
    return replace(_image(path, metadata, path), tiles=tiles)


def _read_alone(metadata: Path) -> ProductImage | None:
    """Read a delivery of one tile without `.TIL`; None where the IMD stands beside no image."""
    rasters = [
        path
        for path in sorted(metadata.parent.iterdir())
        if path.suffix.lower() in {".tif", ".tiff", ".ntf"}
        and re.sub(r"_R\d+C\d+", "", path.stem, flags=re.IGNORECASE) == metadata.stem
    ]
    if len(rasters) > 1:
        raise ProductError(
            f"{metadata.stem} comes in {len(rasters)} tiles, but the {metadata.stem}.TIL that "
            "joins them is missing; fetch the delivery again, or join them with `gdalbuildvrt`."
        )
    return _image(rasters[0], metadata, metadata) if rasters else None


def _side_file(path: Path) -> Path | None:
    for suffix in (".IMD", ".imd"):
        if path.with_suffix(suffix).is_file():
            return path.with_suffix(suffix)
    return None


def _image(raster: Path, metadata: Path, source: Path) -> ProductImage:
    entries = read_groups(metadata)
    stated = {key.lower(): value for _, key, value in reversed(entries)}
    # A dictionary keeps the first place of each group: the order of the bands.
    groups = list(dict.fromkeys(group for group, _, _ in entries if group.startswith("BAND_")))
    if stated.get("pansharpenalgorithm", "None").lower() != "none":
        raise ProductError(
            f"{metadata.name} is of an image that the vendor has sharpened already "
            f"({stated['pansharpenalgorithm']}); give the PAN and the MS it was made of."
        )
    role = _role(metadata, groups)
    sensor, remarks = _sensor(stated.get("satid"), metadata)
    match = _STEM.match(metadata.stem)
    key = metadata.stem if match is None else f"{match['level']}-{match['part']}"
    bits = stated.get("bitsperpixel", "16")
    names = None if role == "spatial" else _names(groups, sensor)
    return ProductImage(
        vendor=VENDOR,
        role=role,
        key=key.upper(),
        name=metadata.stem if match is None else match["part"],
        source=source,
        files=(raster,),
        sensor=None if sensor is None else sensor.id,
        band_names=names,
        # 16 bits are the container of 11-bit values, whose scale the sensor knows.
        full_scale=255.0 if bits == "8" else None if sensor is None else sensor.full_scale,
        acquired=utc(stated.get("firstlinetime") or stated.get("earliestacqtime")),
        remarks=remarks,
    )


def _role(metadata: Path, groups: list[str]) -> Role:
    """Tell PAN from MS by the bands, and check it against the name."""
    if not groups:
        raise ProductError(
            f"{metadata.name} states no bands (groups BAND_P, BAND_B, ...), so that PAN and MS "
            "cannot be told apart; fetch it again."
        )
    role: Role = "spatial" if groups == ["BAND_P"] else "spectral"
    match = _STEM.match(metadata.stem)
    named = {"P": "spatial", "M": "spectral"}.get("" if match is None else match["kind"].upper())
    if named is not None and named != role:
        raise ProductError(
            f"{metadata.name} is named as a {'PAN' if named == 'spatial' else 'MS'} image, but "
            f"states the bands {', '.join(g.removeprefix('BAND_') for g in groups)}; check which "
            "of the two is right."
        )
    return role


def _sensor(satellite: str | None, source: Path) -> tuple[Sensor | None, tuple[str, ...]]:
    """Find the satellite in the sensor table, or say why it is not known."""
    if satellite is None:
        return None, (f"{source.name} does not name its satellite: give --sensor.",)
    try:
        return find_sensor(satellite), ()
    except UnknownSensorError:
        return None, (f"The satellite {satellite} of {source.name} is not in the sensor table.",)


def _names(groups: list[str], sensor: Sensor | None) -> tuple[str, ...]:
    """Name the bands as the sensor table does, where it knows them."""
    known = () if sensor is None else sensor.band_names or ()
    names = [_BANDS.get(group, group.removeprefix("BAND_").lower()) for group in groups]
    return tuple("nir" if name == "nir1" and "nir1" not in known else name for name in names)


def _read_ard(path: Path) -> ProductImage | None:
    """Read an image of analysis-ready data; its STAC item tells the satellite."""
    match = _ARD.match(path.name)
    assert match is not None
    item = path.with_name(f"{match['catid']}.json")
    properties = _stac_properties(item) if item.is_file() else {}
    remarks: tuple[str, ...] = ()
    if item.is_file():
        sensor, remarks = _sensor(properties.get("platform"), item)
    else:
        sensor = None
        remarks = (f"{item.name} is missing, so that the satellite is not known: give --sensor.",)
    return ProductImage(
        vendor=VENDOR,
        role="spatial" if match["role"].lower() == "pan" else "spectral",
        key=f"{path.parent}/{match['catid']}".upper(),
        name=match["catid"],
        source=path,
        files=(path,),
        sensor=None if sensor is None else sensor.id,
        band_names=None,
        full_scale=_ARD_SCALE,
        nodata=0.0,
        acquired=utc(properties.get("datetime")),
        remarks=remarks,
    )


def _stac_properties(item: Path) -> dict[str, Any]:
    try:
        content = json.loads(item.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ProductError(
            f"{item.name} should be a STAC item in JSON, but is not: {error}."
        ) from error
    properties = content.get("properties") if isinstance(content, dict) else None
    return properties if isinstance(properties, dict) else {}
