"""Sentinel-2: four bands at 10 m sharpen six at 20 m, from SAFE folders or files named by band.

Files are called `T32UQD_20200401T101021_B02.jp2` (Level 1C), `..._B02_10m.jp2` (Level 2A), or the
same as GeoTIFF. What belongs together shares the name before the band, and one product folder
(`*.SAFE`). Values are reflectance times 10,000, 0 is no data (ESA, Sentinel-2 Products
Specification); since processing baseline 04.00 they carry an offset of 1000.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from bandweave.products.bundle import Finding, Problem, ProductImage, Role
from bandweave.products.folder import is_raster
from bandweave.products.tables import utc

VENDOR = "Sentinel-2"

_FILE = re.compile(
    r"^(?P<key>T\d\d[A-Z]{3}_(?P<time>\d{8}T\d{6})(_.*)?)_B(?P<band>\d\d|8A)(_(?P<gsd>\d\d)m)?\.\w+$"
)
_BASELINE = re.compile(r"_N(\d{4})_")
_SPATIAL = ("02", "03", "04", "08")
_SPECTRAL = ("05", "06", "07", "8A", "11", "12")
_SCALE = 10_000.0


def find_images(files: Sequence[Path]) -> Iterator[Finding]:
    """Yield the 10 m and the 20 m image of each product among these files."""
    products: dict[tuple[Path, str], dict[str, Path]] = {}
    for path in files:
        match = _FILE.match(path.name)
        if match is None or not is_raster(path):
            continue
        wanted_gsd = "10" if match["band"] in _SPATIAL else "20"
        if match["gsd"] in (None, wanted_gsd):
            # Level 2A keeps the resolutions in folders of their own (R10m, R20m).
            folder = path.parent.parent if match["gsd"] and _is_gsd_folder(path) else path.parent
            products.setdefault((folder, match["key"]), {})[match["band"]] = path
    for (folder, key), bands in products.items():
        yield _image(folder, key, bands, "spatial", _SPATIAL)
        yield _image(folder, key, bands, "spectral", _SPECTRAL)


def _is_gsd_folder(path: Path) -> bool:
    return re.fullmatch(r"R\d\dm", path.parent.name) is not None


def _image(
    folder: Path, key: str, bands: dict[str, Path], role: Role, wanted: tuple[str, ...]
) -> Finding:
    missing = [number for number in wanted if number not in bands]
    source = _metadata(folder) or next(iter(bands.values()))
    if missing:
        gsd = 10 if role == "spatial" else 20
        return Problem(
            source,
            f"{key} needs the {gsd} m bands {', '.join('B' + number for number in wanted)}, but "
            f"B{missing[0]} is missing in {folder}; fetch it.",
        )
    match = _FILE.match(bands[wanted[0]].name)
    assert match is not None
    time = match["time"]
    return ProductImage(
        vendor=VENDOR,
        role=role,
        key=str(folder / key),
        name=key,
        source=source,
        files=tuple(bands[number] for number in wanted),
        sensor="sentinel2",
        band_names=tuple("b" + number.lstrip("0").lower() for number in wanted),
        full_scale=_SCALE,
        nodata=0.0,
        acquired=utc(
            f"{time[:4]}-{time[4:6]}-{time[6:8]}T{time[9:11]}:{time[11:13]}:{time[13:15]}"
        ),
        remarks=_remarks(folder),
    )


def _safe(folder: Path) -> Path | None:
    """Return the product's SAFE folder, or None where the files lie elsewhere."""
    return next((place for place in folder.parents if place.suffix.upper() == ".SAFE"), None)


def _metadata(folder: Path) -> Path | None:
    safe = _safe(folder)
    return None if safe is None else next(iter(sorted(safe.glob("MTD_MSI*.xml"))), None)


def _remarks(folder: Path) -> tuple[str, ...]:
    safe = _safe(folder)
    match = None if safe is None else _BASELINE.search(safe.name)
    if match is None or int(match[1]) < 400:
        return ()
    remark = (
        "Values carry an offset of 1000 (processing baseline 04.00 or later): methods that take "
        "quotients of bands, such as brovey, see it as light."
    )
    return (remark,)
