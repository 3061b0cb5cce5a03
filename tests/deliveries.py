"""Small deliveries as the vendors make them, written when a test needs them."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from affine import Affine

from bandweave.degrade.observe import observe
from scenes import CRS, smooth_truth, write_tif

FINE = Affine(2.0, 0, 400_000, 0, -2.0, 5_000_000)


@dataclass(frozen=True)
class Images:
    """PAN `(1, H, W)` and MS `(C, h, w)` of one place, DN of 11 bits, and their transforms."""

    pan: np.ndarray
    lrms: np.ndarray
    fine: Affine
    coarse: Affine


def images(bands: int = 4, coarse: tuple[int, int] = (37, 31), ratio: int = 4) -> Images:
    """Make a registered pair."""
    truth = smooth_truth(bands, coarse[0] * ratio, coarse[1] * ratio)
    lrms = np.rint(observe(truth, [0.3], ratio, ((ratio - 1) / 2,) * 2)).astype("uint16")
    pan = np.rint(truth.mean(axis=0, keepdims=True)).astype("uint16")
    return Images(pan, lrms, FINE, FINE @ Affine.scale(ratio))


def cut(image: np.ndarray, transform: Affine, columns: int) -> list[tuple[int, np.ndarray, Affine]]:
    """Cut an image into columns; yields the first column, pixels and transform of each."""
    edges = np.linspace(0, image.shape[2], columns + 1).astype(int)
    return [
        (int(a), image[:, :, a:b], transform @ Affine.translation(int(a), 0))
        for a, b in pairwise(edges)
    ]


def imd(
    groups: Sequence[str], image: np.ndarray, transform: Affine, *, satellite: str | None = "WV02",
    time: str = "2015-04-10T10:10:11.123456Z", bits: int = 16, sharpened: str = "None",
) -> str:  # fmt: skip
    """Return the text of an .IMD, as far as programs read it."""
    lines = [
        'version = "28.4";',
        f'bandId = "{"P" if list(groups) == ["P"] else "Multi"}";',
        f'panSharpenAlgorithm = "{sharpened}";',
        f"numRows = {image.shape[1]};",
        f"numColumns = {image.shape[2]};",
        'productLevel = "LV2A";',
        'radiometricLevel = "Corrected";',
        f"bitsPerPixel = {bits};",
    ]
    for group in groups:
        lines += [
            f"BEGIN_GROUP = BAND_{group}",
            "\tULLon = 15.0;",
            "\tabsCalFactor = 1.260825e-02;",
            f"END_GROUP = BAND_{group}",
        ]
    lines.append("BEGIN_GROUP = IMAGE_1")
    if satellite is not None:
        lines.append(f'\tsatId = "{satellite}";')
    lines += [
        f"\tfirstLineTime = {time};",
        "END_GROUP = IMAGE_1",
        "BEGIN_GROUP = MAP_PROJECTED_PRODUCT",
        # The centre of the upper left pixel.
        f"\tULX = {transform.c + transform.a / 2};",
        f"\tULY = {transform.f + transform.e / 2};",
        f"\tcolSpacing = {transform.a};",
        f"\trowSpacing = {-transform.e};",
        "END_GROUP = MAP_PROJECTED_PRODUCT",
        "END;",
    ]
    return "\n".join(lines) + "\n"


def til(tiles: Sequence[tuple[str, int, int, int]]) -> str:
    """Return the text of a .TIL; each tile is name, first column, columns, rows."""
    lines = ['bandId = "P";', f"numTiles = {len(tiles)};", 'tileUnits = "Pixels";']
    for number, (name, left, width, height) in enumerate(tiles, start=1):
        right, bottom = left + width - 1, height - 1
        lines += [
            f"BEGIN_GROUP = TILE_{number}",
            f'\tfilename = "{name}";',
            f"\tULColOffset = {left};", "\tULRowOffset = 0;",
            f"\tURColOffset = {right};", "\tURRowOffset = 0;",
            f"\tLRColOffset = {right};", f"\tLRRowOffset = {bottom};",
            f"\tLLColOffset = {left};", f"\tLLRowOffset = {bottom};",
            f"END_GROUP = TILE_{number}",
        ]  # fmt: skip
    return "\n".join([*lines, "END;"]) + "\n"


def maxar(
    folder: Path,
    *,
    order: str = "054112345010_01_P001",
    groups: Sequence[str] = ("B", "G", "R", "N"),
    tiles: int = 2,
    coarse: tuple[int, int] = (37, 31),
    seconds: tuple[int, int] = (10, 11),
    satellites: tuple[str | None, str | None] = ("WV02", "WV02"),
) -> tuple[Path, Path]:
    """Write a Maxar delivery: PAN and MUL folders with tiles, .TIL and .IMD; returns the .TIL."""
    made = images(len(groups), coarse)
    written = []
    for role, level, image, transform, second, satellite, listed in (
        ("PAN", "P2AS", made.pan, made.fine, seconds[0], satellites[0], ["P"]),
        ("MUL", "M2AS", made.lrms, made.coarse, seconds[1], satellites[1], list(groups)),
    ):
        place = folder / f"{order}_{role}"
        place.mkdir(parents=True)
        stem = f"15APR101010{second:02d}-{level}-{order}"
        parts = []
        for column, (left, pixels, where) in enumerate(cut(image, transform, tiles), start=1):
            name = f"{stem.replace(level, f'{level}_R1C{column}')}.TIF"
            write_tif(place / name, pixels, where)
            parts.append((name, left, pixels.shape[2], pixels.shape[1]))
        time = f"2015-04-10T10:10:{second:02d}.123456Z"
        text = imd(listed, image, transform, satellite=satellite, time=time)
        (place / f"{stem}.IMD").write_text(text)
        (place / f"{stem}.TIL").write_text(til(parts))
        written.append(place / f"{stem}.TIL")
    return written[0], written[1]


def maxar_ard(folder: Path, catid: str = "10300100A1B2C300", platform: str | None = "WV02") -> Path:
    """Write a pair of analysis-ready data; returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    made = images(8)
    write_tif(folder / f"{catid}-pan.tif", made.pan, made.fine)
    write_tif(folder / f"{catid}-ms.tif", made.lrms, made.coarse)
    if platform is not None:
        item = {"properties": {"platform": platform, "datetime": "2020-03-04T05:06:07Z"}}
        (folder / f"{catid}.json").write_text(json.dumps(item))
    return folder


_DIM = """<?xml version="1.0" encoding="UTF-8"?>
<Dimap_Document>
 <Metadata_Identification><METADATA_FORMAT version="2.0">DIMAP</METADATA_FORMAT>
 </Metadata_Identification>
 <Coordinate_Reference_System><Projected_CRS>
  <PROJECTED_CRS_CODE>urn:ogc:def:crs:EPSG::32633</PROJECTED_CRS_CODE>
 </Projected_CRS></Coordinate_Reference_System>
 <Geoposition><Geoposition_Insert>
  <ULXMAP>{ulx}</ULXMAP><ULYMAP>{uly}</ULYMAP><XDIM>{gsd}</XDIM><YDIM>{gsd}</YDIM>
 </Geoposition_Insert></Geoposition>
 <Processing_Information><Product_Settings>
  <PROCESSING_LEVEL>ORTHO</PROCESSING_LEVEL><SPECTRAL_PROCESSING>{spectral}</SPECTRAL_PROCESSING>
  <Radiometric_Settings><RADIOMETRIC_PROCESSING>BASIC</RADIOMETRIC_PROCESSING>
  </Radiometric_Settings>
 </Product_Settings></Processing_Information>
 <Raster_Data>
  <Data_Access><DATA_FILE_FORMAT>image/tiff</DATA_FILE_FORMAT>
   <DATA_FILE_TILES>true</DATA_FILE_TILES><Data_Files>{files}</Data_Files></Data_Access>
  <Raster_Dimensions><NROWS>{rows}</NROWS><NCOLS>{cols}</NCOLS><NBANDS>{bands}</NBANDS>
   <Tile_Set><NTILES>{tiles}</NTILES><Regular_Tiling>
    <NTILES_SIZE nrows="{rows}" ncols="{tile_cols}"/>
    <NTILES_COUNT ntiles_R="1" ntiles_C="{tiles}"/>
    <OVERLAP_ROW>0</OVERLAP_ROW><OVERLAP_COL>0</OVERLAP_COL></Regular_Tiling></Tile_Set>
  </Raster_Dimensions>
  <Raster_Encoding><DATA_TYPE>INTEGER</DATA_TYPE><NBITS>16</NBITS><SIGN>UNSIGNED</SIGN>
  </Raster_Encoding>
  <Raster_Display>{indexes}
   <Special_Value><SPECIAL_VALUE_TEXT>NODATA</SPECIAL_VALUE_TEXT>
    <SPECIAL_VALUE_COUNT>0</SPECIAL_VALUE_COUNT></Special_Value></Raster_Display>
 </Raster_Data>
 <Radiometric_Data><Dynamic_Range><ACQUISITION_RANGE>12</ACQUISITION_RANGE></Dynamic_Range>
 </Radiometric_Data>
 <Dataset_Sources><Source_Identification><Strip_Source>
  <MISSION>{mission}</MISSION><MISSION_INDEX>{index}</MISSION_INDEX>
  <IMAGING_DATE>2015-05-15</IMAGING_DATE><IMAGING_TIME>09:{minute:02d}:{second:02d}.0Z</IMAGING_TIME>
 </Strip_Source></Source_Identification></Dataset_Sources>
</Dimap_Document>
"""


def _raster_indexes(band_ids: Sequence[str]) -> str:
    entries = "".join(
        f"<Raster_Index><BAND_ID>{band}</BAND_ID><BAND_INDEX>{k}</BAND_INDEX></Raster_Index>"
        for k, band in enumerate(band_ids, start=1)
    )
    return f"<Raster_Index_List>{entries}</Raster_Index_List>"


def split_by_bands(ms: Path, parts: dict[str, Sequence[str]]) -> None:
    """Turn a DIMAP image of one tile into one of several files with some bands each (MS-FS)."""
    (whole,) = ms.parent.glob("*.TIF")
    with rasterio.open(whole) as file:
        image, transform = file.read(), file.transform
    whole.unlink()
    groups, start = "", 0
    for part, band_ids in parts.items():
        name = whole.name.replace("_R1C1", f"_{part}_R1C1")
        write_tif(ms.parent / name, image[start : start + len(band_ids)], transform)
        start += len(band_ids)
        groups += (
            '<Data_Files><Data_File tile_R="1" tile_C="1">'
            f'<DATA_FILE_PATH href="{name}"/></Data_File>'
            f"<Raster_Display>{_raster_indexes(band_ids)}</Raster_Display></Data_Files>"
        )
    text = re.sub("<Raster_Index_List>.*</Raster_Index_List>", "", ms.read_text())
    text = re.sub("<Data_Files>.*</Data_Files>", groups, text)
    ms.write_text(text.replace(">MS<", ">MS-FS<"))


def airbus(
    folder: Path,
    *,
    mission: tuple[str, str] = ("PHR", "1A"),
    band_ids: Sequence[str] = ("B2", "B1", "B0", "B3"),
    minute: int = 53,
    seconds: tuple[int, int] = (0, 0),
    tiles: int = 1,
    number: int = 1,
) -> tuple[Path, Path]:
    """Write an Airbus delivery of two DIMAP images; returns their DIM_*.XML."""
    made = images(len(band_ids), coarse=(37, 32))
    written = []
    for spectral, image, transform, second, ids, count in (
        ("P", made.pan, made.fine, seconds[0], ["P"], number),
        ("MS", made.lrms, made.coarse, seconds[1], list(band_ids), number + 1),
    ):
        name = f"{''.join(mission)}_{spectral}_2015051509{minute:02d}{second:02d}0"
        name = f"{name}_ORT_1234567-{count:03d}"
        place = folder / f"IMG_{''.join(mission)}_{spectral}_{count:03d}"
        place.mkdir(parents=True)
        files = ""
        for column, (_, pixels, where) in enumerate(cut(image, transform, tiles), start=1):
            tile = f"IMG_{name}_R1C{column}.TIF"
            write_tif(place / tile, pixels, where)
            files += (
                f'<Data_File tile_R="1" tile_C="{column}"><DATA_FILE_PATH href="{tile}"/>'
                "</Data_File>"
            )
        text = _DIM.format(
            ulx=transform.c, uly=transform.f, gsd=transform.a, spectral=spectral, files=files,
            rows=image.shape[1], cols=image.shape[2], bands=len(ids), tiles=tiles,
            tile_cols=image.shape[2] // tiles, indexes=_raster_indexes(ids), mission=mission[0],
            index=mission[1], minute=minute, second=second,
        )  # fmt: skip
        (place / f"DIM_{name}.XML").write_text(text)
        written.append(place / f"DIM_{name}.XML")
    return written[0], written[1]


LANDSAT = "LC08_L1TP_193026_20200401_20200822_02_T1"


def landsat(folder: Path, product: str = LANDSAT, *, kind: str = "txt") -> Path:
    """Write a Landsat 8 scene whose PAN and MS pixels share their first centre; returns the MTL."""
    folder.mkdir(parents=True, exist_ok=True)
    rows, cols = 37, 31
    fine = Affine(15.0, 0, 400_000 - 7.5, 0, -15.0, 5_000_000 + 7.5)
    coarse = Affine(30.0, 0, 400_000 - 15.0, 0, -30.0, 5_000_000 + 15.0)
    # Sample k lies on PAN pixel 2k: the truth is made with that phase, then the PAN loses a line.
    truth = smooth_truth(9, 2 * rows, 2 * cols)
    lrms = np.rint(10 * observe(truth, [0.3], 2, (0.0, 0.0))).astype("uint16")
    pan = np.rint(10 * truth[1:4].mean(axis=0)).astype("uint16")[: 2 * rows - 1, : 2 * cols - 1]
    stated = {"SPACECRAFT_ID": "LANDSAT_8", "DATE_ACQUIRED": "2020-04-01"}
    stated["SCENE_CENTER_TIME"] = "10:02:03.4567890Z"
    for number in range(1, 10):
        name = f"{product}_B{number}.TIF"
        image, where = (pan, fine) if number == 8 else (lrms[number - 1], coarse)
        write_tif(folder / name, image[None], where)
        stated[f"FILE_NAME_BAND_{number}"] = name
        stated[f"QUANTIZE_CAL_MAX_BAND_{number}"] = "65535"
        stated[f"QUANTIZE_CAL_MIN_BAND_{number}"] = "1"
    path = folder / f"{product}_MTL.{kind}"
    if kind == "json":
        path.write_text(json.dumps({"LANDSAT_METADATA_FILE": {"PRODUCT_CONTENTS": stated}}))
        return path
    lines = ["GROUP = LANDSAT_METADATA_FILE", "  GROUP = PRODUCT_CONTENTS"]
    for key, value in stated.items():
        is_text = key.startswith(("SPACECRAFT", "FILE", "SCENE"))
        lines.append(f'    {key} = "{value}"' if is_text else f"    {key} = {value}")
    lines += ["  END_GROUP = PRODUCT_CONTENTS", "END_GROUP = LANDSAT_METADATA_FILE", "END"]
    path.write_text("\n".join(lines) + "\n")
    return path


def sentinel2(folder: Path, *, baseline: str = "0509", suffix: str = "jp2") -> Path:
    """Write a Sentinel-2 Level 2A SAFE folder; returns it."""
    safe = folder / f"S2A_MSIL2A_20200401T101021_N{baseline}_R022_T32UQD_20200401T124512.SAFE"
    data = safe / "GRANULE" / "L2A_T32UQD_A024945_20200401T101022" / "IMG_DATA"
    made = images(10, ratio=2)
    truth = smooth_truth(10, made.pan.shape[1], made.pan.shape[2])
    options: dict[str, Any] = {"driver": "JP2OpenJPEG", "QUALITY": "100", "REVERSIBLE": "YES"}
    for gsd, numbers, pixels, where in (
        (10, ("02", "03", "04", "08"), np.rint(truth[:4]).astype("uint16"), made.fine),
        (20, ("05", "06", "07", "8A", "11", "12", "02"), made.lrms, made.coarse),
    ):
        place = data / f"R{gsd}m"
        place.mkdir(parents=True)
        for k, number in enumerate(numbers):
            path = place / f"T32UQD_20200401T101021_B{number}_{gsd}m.{suffix}"
            write_band(path, pixels[k], where, **(options if suffix == "jp2" else {}))
    (safe / "MTD_MSIL2A.xml").write_text("<Level-2A_User_Product/>")
    return safe


def write_band(path: Path, image: np.ndarray, transform: Affine, **profile: Any) -> None:
    """Write one band `(H, W)` by any driver."""
    height, width = image.shape
    profile.setdefault("driver", "GTiff")
    with rasterio.open(
        path, "w", count=1, height=height, width=width, dtype=image.dtype, crs=CRS,
        transform=transform, **profile,
    ) as file:  # fmt: skip
        file.write(image, 1)


def gaofen(folder: Path, *, stated: str = "GF2") -> Path:
    """Write a GaoFen-2 pair with XML; returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    name = "GF2_PMS1_E113.6_N23.1_20150215_L1A0000647770"
    made = images(4)
    for role, image, where in (("PAN1", made.pan, made.fine), ("MSS1", made.lrms, made.coarse)):
        write_tif(folder / f"{name}-{role}.tiff", image, where)
        text = f"<ProductMetaData><SatelliteID>{stated}</SatelliteID></ProductMetaData>"
        (folder / f"{name}-{role}.xml").write_text(text)
    return folder


def plain(
    folder: Path, names: tuple[str, str] = ("town_pan.tif", "town_ms.tif"), *, bands: int = 4
) -> Path:
    """Write a pair under two names, which may have folders; returns the folder."""
    made = images(bands)
    for name, image, where in (
        (names[0], made.pan, made.fine),
        (names[1], made.lrms, made.coarse),
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        write_tif(folder / name, image, where)
    return folder
