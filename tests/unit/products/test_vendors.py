"""What is read of each vendor's delivery, and what is said of a broken one."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import rasterio

import deliveries
from bandweave.errors import ProductError
from bandweave.products.survey import describe_pair, find_bundle, survey


def problems(folder: Path) -> list[str]:
    return [problem.sentence for problem in survey(folder).problems]


def rewrite(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


# Maxar


def test_a_maxar_delivery_is_read_from_its_imd(tmp_path: Path) -> None:
    pan, ms = deliveries.maxar(tmp_path)
    bundle = find_bundle(tmp_path)
    assert (bundle.name, bundle.vendor, bundle.sensor) == ("054112345010_01_P001", "Maxar", "wv2")
    assert bundle.band_names == ("blue", "green", "red", "nir1")
    assert bundle.full_scale == 2047
    assert bundle.nodata is None
    assert bundle.acquired == datetime(2015, 4, 10, 10, 10, 10, 123456, tzinfo=UTC)
    assert (bundle.spatial.files, bundle.spectral.files) == ((pan,), (ms,))
    assert len(bundle.spectral.tiles) == 2


def test_a_tile_index_opens_as_one_image(tmp_path: Path) -> None:
    _, ms = deliveries.maxar(tmp_path, tiles=3)
    made = deliveries.images(4)
    with rasterio.open(ms) as file:
        assert file.driver == "TIL"
        np.testing.assert_array_equal(file.read(), made.lrms)
        assert file.transform == made.coarse


@pytest.mark.parametrize("suffix", [".TIL", ".IMD"])
@pytest.mark.parametrize("role", [0, 1])
def test_either_metadata_file_leads_to_its_product(tmp_path: Path, suffix, role) -> None:
    given = deliveries.maxar(tmp_path, tiles=1)[role]
    deliveries.maxar(tmp_path, order="054112345010_02_P001")
    assert find_bundle(given.with_suffix(suffix)).name == "054112345010_01_P001"


def test_a_folder_of_two_products_and_a_foreign_file_name_none(tmp_path: Path) -> None:
    deliveries.maxar(tmp_path)
    deliveries.maxar(tmp_path, order="054112345010_02_P001")
    with pytest.raises(ProductError, match=r"2 products \(054112345010_01_P001, .*batch"):
        find_bundle(tmp_path)
    notes = tmp_path / "notes.txt"
    notes.write_text("nothing")
    with pytest.raises(ProductError, match="No product was recognised"):
        find_bundle(notes)
    with pytest.raises(ProductError, match="no file or folder"):
        find_bundle(tmp_path / "absent.TIL")


def test_one_tile_needs_no_til(tmp_path: Path) -> None:
    for path in deliveries.maxar(tmp_path, tiles=1):
        path.unlink()
        tile = next(path.parent.glob("*.TIF"))
        tile.rename(tile.with_name(tile.name.replace("_R1C1", "")))
    bundle = find_bundle(tmp_path)
    assert bundle.spatial.files[0].suffix == ".TIF"
    assert bundle.sensor == "wv2"


@pytest.mark.parametrize(
    ("satellite", "groups", "names"),
    [
        ("WV03", "C B G Y R RE N N2", "coastal blue green yellow red,red edge nir1 nir2"),
        ("GE01", "B G R N", "blue green red nir"),
        ("QB02", "B G R N", "blue green red nir"),
    ],
)
def test_bands_are_named_as_in_the_sensor_table(tmp_path, satellite, groups, names) -> None:
    deliveries.maxar(tmp_path, satellites=(satellite, satellite), groups=groups.split())
    flat = names.replace(",", " ").replace("red red edge", "red red_edge").split()
    assert find_bundle(tmp_path).band_names == tuple(n.replace("_", " ") for n in flat)


def test_a_missing_tile_imd_or_til_is_said_in_one_sentence(tmp_path: Path) -> None:
    for name, spoil, words in (
        ("tile", lambda til: next(til.parent.glob("*C2*.TIF")).unlink(), "R1C2"),
        ("imd", lambda til: til.with_suffix(".IMD").unlink(), "needs its side file"),
        ("til", lambda til: til.unlink(), "2 tiles"),
        ("empty", lambda til: til.with_suffix(".IMD").write_text(""), "KEY = value"),
    ):
        folder = tmp_path / name
        spoil(deliveries.maxar(folder)[1])
        found = survey(folder)
        assert not found.bundles
        assert any(words in problem.sentence for problem in found.problems), name
        with pytest.raises(ProductError):
            find_bundle(folder)


def test_a_name_that_contradicts_the_bands_is_said(tmp_path: Path) -> None:
    _, ms = deliveries.maxar(tmp_path)
    metadata = ms.with_suffix(".IMD")
    text = metadata.read_text().replace("BAND_B", "BAND_P")
    for band in "GRN":
        text = text.replace(f"BAND_{band}\n", "BAND_P\n")
    metadata.write_text(text)
    assert any("named as a MS image" in text for text in problems(tmp_path))


def test_an_image_that_was_sharpened_already_is_refused(tmp_path: Path) -> None:
    _, ms = deliveries.maxar(tmp_path)
    rewrite(ms.with_suffix(".IMD"), 'Algorithm = "None"', 'Algorithm = "UNB"')
    assert any("sharpened already (UNB)" in text for text in problems(tmp_path))


def test_satellites_that_differ_are_a_contradiction(tmp_path: Path) -> None:
    deliveries.maxar(tmp_path, satellites=("WV02", "WV03"))
    (sentence,) = problems(tmp_path)
    assert "one sensor" in sentence
    assert "wv2" in sentence
    assert "wv3" in sentence


def test_an_unnamed_or_unknown_satellite_is_remarked(tmp_path: Path) -> None:
    deliveries.maxar(tmp_path / "a", satellites=(None, None))
    bundle = find_bundle(tmp_path / "a")
    assert bundle.sensor is None
    assert "does not name its satellite" in bundle.remarks[0]
    deliveries.maxar(tmp_path / "b", satellites=("LG01", "LG01"))
    assert "LG01" in find_bundle(tmp_path / "b").remarks[0]


def test_analysis_ready_data_name_their_satellite_in_the_stac_item(tmp_path: Path) -> None:
    deliveries.maxar_ard(tmp_path)
    bundle = find_bundle(tmp_path)
    assert (bundle.name, bundle.vendor) == ("10300100A1B2C300", "Maxar")
    assert (bundle.sensor, bundle.full_scale, bundle.nodata) == ("wv2", 10_000, 0)
    assert bundle.acquired == datetime(2020, 3, 4, 5, 6, 7, tzinfo=UTC)
    deliveries.maxar_ard(tmp_path / "bare", "10400100A1B2C300", platform=None)
    bare = find_bundle(tmp_path / "bare")
    assert bare.sensor is None
    assert "is missing" in bare.remarks[0]


# Airbus


def test_a_dimap_delivery_is_read_from_its_xml(tmp_path: Path) -> None:
    pan, ms = deliveries.airbus(tmp_path, tiles=2)
    bundle = find_bundle(tmp_path)
    assert (bundle.vendor, bundle.sensor) == ("Airbus", "pleiades")
    assert bundle.name == "PHR1A_201505150953000_ORT_1234567-001"
    assert bundle.band_names == ("red", "green", "blue", "nir")
    assert (bundle.full_scale, bundle.nodata) == (4095, 0)
    assert (bundle.spatial.files, bundle.spectral.files) == ((pan,), (ms,))
    assert find_bundle(ms) == bundle
    with rasterio.open(ms) as file:
        assert file.driver == "DIMAP"
        np.testing.assert_array_equal(file.read(), deliveries.images(4, coarse=(37, 32)).lrms)


@pytest.mark.parametrize(
    ("mission", "ids", "sensor", "names"),
    [
        (("SPOT", "6"), "B2 B1 B0 B3", "spot6", "red green blue nir"),
        (("SPOT", "7"), "B0 B1 B2 B3", "spot7", "blue green red nir"),
        (("PNEO", "3"), "R G B NIR RE DB", "pleiades_neo", "red green blue nir red_edge deep_blue"),
    ],
)
def test_missions_and_band_ids_are_known(tmp_path, mission, ids, sensor, names) -> None:
    deliveries.airbus(tmp_path, mission=mission, band_ids=ids.split())
    bundle = find_bundle(tmp_path)
    assert bundle.sensor == sensor
    assert bundle.band_names == tuple(name.replace("_", " ") for name in names.split())


def test_a_neo_image_in_two_files_has_the_bands_in_gdals_order(tmp_path: Path) -> None:
    ids = {"RGB": ("R", "G", "B"), "NED": ("NIR", "RE", "DB")}
    bands = [band for part in ids.values() for band in part]
    _, ms = deliveries.airbus(tmp_path, mission=("PNEO", "3"), band_ids=bands)
    deliveries.split_by_bands(ms, ids)
    bundle = find_bundle(tmp_path)
    assert len(bundle.spectral.tiles) == 2
    with rasterio.open(ms) as file:
        np.testing.assert_array_equal(file.read(), deliveries.images(6, coarse=(37, 32)).lrms)
        assert bundle.band_names == tuple(name.lower() for name in file.descriptions)


def test_stereo_images_go_to_their_own_partner(tmp_path: Path) -> None:
    first = deliveries.airbus(tmp_path, minute=53, seconds=(0, 1), number=1)
    second = deliveries.airbus(tmp_path, minute=53, seconds=(25, 26), number=3)
    found = survey(tmp_path)
    assert not found.problems
    pairs = {(bundle.spatial.source, bundle.spectral.source) for bundle in found.bundles}
    assert pairs == {first, second}


def test_a_missing_dimap_tile_and_a_sharpened_image_are_said(tmp_path: Path) -> None:
    _, ms = deliveries.airbus(tmp_path / "a", tiles=2)
    next(ms.parent.glob("*R1C2.TIF")).unlink()
    assert any("R1C2.TIF is missing" in text for text in problems(tmp_path / "a"))
    _, ms = deliveries.airbus(tmp_path / "b")
    rewrite(ms, ">MS<", ">PMS<")
    assert any("sharpened by the vendor already" in text for text in problems(tmp_path / "b"))
    _, ms = deliveries.airbus(tmp_path / "c")
    ms.write_text(ms.read_text()[:200])
    assert any("cannot be parsed" in text for text in problems(tmp_path / "c"))


# Landsat


@pytest.mark.parametrize("kind", ["txt", "json"])
def test_a_landsat_scene_is_read_from_its_mtl(tmp_path: Path, kind: str) -> None:
    path = deliveries.landsat(tmp_path, kind=kind)
    bundle = find_bundle(path)
    assert bundle == find_bundle(tmp_path)
    assert (bundle.name, bundle.sensor) == (deliveries.LANDSAT, "landsat8")
    assert [file.stem[-2:] for file in bundle.spatial.files] == ["B8"]
    assert [file.stem[-2:] for file in bundle.spectral.files] == [f"B{k}" for k in range(1, 8)]
    assert bundle.band_names == (
        "coastal", "blue", "green", "red", "nir", "swir1", "swir2",
    )  # fmt: skip
    assert (bundle.full_scale, bundle.nodata) == (65535, 0)
    assert bundle.acquired == datetime(2020, 4, 1, 10, 2, 3, 456789, tzinfo=UTC)


def test_both_kinds_of_mtl_are_one_scene(tmp_path: Path) -> None:
    deliveries.landsat(tmp_path)
    deliveries.landsat(tmp_path, kind="json")
    assert len(survey(tmp_path).bundles) == 1


@pytest.mark.parametrize("kind", ["txt", "json"])
def test_a_level_2_product_is_refused_though_it_repeats_level_1(tmp_path: Path, kind: str) -> None:
    path = deliveries.landsat(tmp_path, kind=kind)
    if kind == "txt":
        level_2 = 'GROUP = PRODUCT_CONTENTS\n    PROCESSING_LEVEL = "L2SP"'
        level_1 = (
            'GROUP = LEVEL1_PROCESSING_RECORD\nPROCESSING_LEVEL = "L1TP"\nEND_GROUP = X\nEND\n'
        )
        rewrite(path, "GROUP = PRODUCT_CONTENTS\n    SPACE", f"{level_2}\n    SPACE")
        rewrite(path, "\nEND\n", f"\n{level_1}")
    else:
        content = json.loads(path.read_text())["LANDSAT_METADATA_FILE"]["PRODUCT_CONTENTS"]
        groups = {
            "PRODUCT_CONTENTS": {"PROCESSING_LEVEL": "L2SP", **content},
            "LEVEL1_PROCESSING_RECORD": {"PROCESSING_LEVEL": "L1TP"},
        }
        path.write_text(json.dumps({"LANDSAT_METADATA_FILE": groups}))
    assert "without band 8, the PAN" in problems(tmp_path)[0]


def test_a_missing_band_or_another_satellite_is_said(tmp_path: Path) -> None:
    path = deliveries.landsat(tmp_path / "a")
    rewrite(path, "FILE_NAME_BAND_8", "FILE_NAME_BAND_X")
    assert "without band 8, the PAN" in problems(tmp_path / "a")[0]
    deliveries.landsat(tmp_path / "b")
    (tmp_path / "b" / f"{deliveries.LANDSAT}_B5.TIF").unlink()
    assert "_B5.TIF is missing" in problems(tmp_path / "b")[0]
    path = deliveries.landsat(tmp_path / "c")
    rewrite(path, "LANDSAT_8", "LANDSAT_5")
    assert "LANDSAT_5" in problems(tmp_path / "c")[0]


# Sentinel-2, GaoFen


@pytest.mark.parametrize("suffix", ["jp2", "tif"])
def test_a_safe_folder_gives_ten_and_twenty_metre_bands(tmp_path: Path, suffix: str) -> None:
    safe = deliveries.sentinel2(tmp_path, suffix=suffix)
    bundle = find_bundle(safe)
    assert (bundle.name, bundle.sensor) == ("T32UQD_20200401T101021", "sentinel2")
    assert [file.stem for file in bundle.spatial.files][-1] == "T32UQD_20200401T101021_B08_10m"
    assert bundle.band_names == ("b5", "b6", "b7", "b8a", "b11", "b12")
    assert "offset of 1000" in bundle.remarks[0]
    assert find_bundle(safe / "MTD_MSIL2A.xml") == bundle


def test_level_1c_names_have_no_resolution_and_lie_in_one_folder(tmp_path: Path) -> None:
    safe = deliveries.sentinel2(tmp_path / "l2", suffix="tif")
    wanted = [
        path for path in safe.rglob("*.tif") if path.name != "T32UQD_20200401T101021_B02_20m.tif"
    ]
    (tmp_path / "flat").mkdir()
    for path in wanted:
        path.rename(tmp_path / "flat" / path.name.replace("_10m", "").replace("_20m", ""))
    bundle = find_bundle(tmp_path / "flat")
    assert len(bundle.spatial.files) == 4
    assert len(bundle.spectral.files) == 6


def test_an_incomplete_sentinel_2_product_is_said(tmp_path: Path) -> None:
    safe = deliveries.sentinel2(tmp_path, suffix="tif", baseline="0214")
    assert not find_bundle(safe).remarks
    next(safe.rglob("*B8A_20m.tif")).unlink()
    assert any("B8A is missing" in text for text in problems(tmp_path))


def test_a_gaofen_pair_is_read_by_name_and_xml(tmp_path: Path) -> None:
    deliveries.gaofen(tmp_path / "a")
    bundle = find_bundle(tmp_path / "a")
    assert (bundle.sensor, bundle.full_scale) == ("gf2", 1023)
    assert bundle.band_names == ("blue", "green", "red", "nir")
    deliveries.gaofen(tmp_path / "b", stated="GF1")
    assert any("GF1" in text for text in problems(tmp_path / "b"))


# Two images given by themselves


def test_two_metadata_files_are_described_in_their_order_only(tmp_path: Path) -> None:
    pan, ms = deliveries.maxar(tmp_path)
    bundle = describe_pair(pan, ms)
    assert bundle is not None
    assert bundle.band_names == ("blue", "green", "red", "nir1")
    with pytest.raises(ProductError, match="spatial image comes first"):
        describe_pair(ms, pan)
    assert describe_pair(tmp_path / "a.tif", tmp_path / "b.tif") is None
