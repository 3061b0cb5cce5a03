"""`fuse` and `check` on deliveries: the pixels of the plain pair, with what the metadata say."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio

import bandweave
import deliveries
from bandweave.errors import BandCountError
from bandweave.mosaic.fuse import fuse
from scenes import write_tif

EXP = {"method": "exp", "align": "off"}


def pixels(path: Path) -> np.ndarray:
    with rasterio.open(path) as file:
        return file.read()


def plainly_fused(folder: Path, made: deliveries.Images, **options) -> np.ndarray:
    """Fuse the same images as two plain files."""
    pan = write_tif(folder / "plain_p.tif", made.pan, made.fine)
    ms = write_tif(folder / "plain_m.tif", made.lrms, made.coarse)
    bandweave.fuse(pan, ms, folder / "plain.tif", **{**EXP, **options})
    return pixels(folder / "plain.tif")


@pytest.mark.parametrize("given", ["folder", "til", "two til"])
def test_a_maxar_delivery_gives_the_pixels_of_its_images(tmp_path: Path, given: str) -> None:
    pan, ms = deliveries.maxar(tmp_path / "in", tiles=3)
    out = tmp_path / "out.tif"
    arguments = {"folder": (tmp_path / "in", None), "til": (ms, None), "two til": (pan, ms)}[given]
    report = fuse(*arguments, out, **EXP)
    np.testing.assert_array_equal(pixels(out), plainly_fused(tmp_path, deliveries.images(4)))
    assert "WorldView-2; bands blue, green, red, nir1; full scale 2047" in report.notes[0]
    with rasterio.open(out) as file:
        assert file.descriptions == ("blue", "green", "red", "nir1")
        assert file.transform == deliveries.FINE


def test_a_dimap_delivery_masks_its_nodata(tmp_path: Path) -> None:
    _, ms = deliveries.airbus(tmp_path / "in", tiles=2)
    tile = next(ms.parent.glob("*R1C1.TIF"))
    with rasterio.open(tile, "r+") as file:
        image = file.read()
        image[:, 10:14, 3:8] = 0
        file.write(image)
    out = tmp_path / "out.tif"
    fuse(tmp_path / "in", None, out, **EXP)
    with rasterio.open(out) as file:
        assert file.nodata == 0
        assert file.descriptions == ("red", "green", "blue", "nir")
        valid = file.read_masks(1) > 0
    expected = np.ones((37 * 4, 32 * 4), dtype=bool)
    expected[40:56, 12:32] = False
    np.testing.assert_array_equal(valid, expected)


def test_landsat_grids_half_a_pixel_apart_are_put_together(tmp_path: Path) -> None:
    path = deliveries.landsat(tmp_path / "in")
    out = tmp_path / "out.tif"
    report = fuse(path, None, out, **EXP, uncovered="fuse")
    # MS sample k lies on PAN pixel 2 k: one pixel into the pair of pixels that starts before it.
    assert (report.ratio, report.phase) == (2, (1.0, 1.0))
    with rasterio.open(out) as file, rasterio.open(next((tmp_path / "in").glob("*_B8.TIF"))) as pan:
        assert file.count == 7
        assert file.descriptions[4:] == ("nir", "swir1", "swir2")
        # Cropped to whole MS pixels, on the PAN's own pixels.
        offset = ~pan.transform @ file.transform
        assert (offset.c, offset.f) == (1, 1)
        fused = file.read().astype(float)
    with rasterio.open(next((tmp_path / "in").glob("*_B3.TIF"))) as green:
        samples = green.read(1).astype(float)
    # Interpolation keeps the MS samples where they lie: fused pixel (1, 1) is sample (1, 1).
    inner = fused[2, 1::2, 1::2]
    rows, cols = inner.shape
    np.testing.assert_allclose(inner[5:-5, 5:-5], samples[1:, 1:][:rows, :cols][5:-5, 5:-5], atol=1)


def test_sentinel_2_takes_ten_metre_bands_as_guides(tmp_path: Path) -> None:
    safe = deliveries.sentinel2(tmp_path)
    out = tmp_path / "out.tif"
    report = fuse(safe, None, out, method="exp", align="off")
    assert (report.ratio, report.shape) == (2, (6, 74, 62))
    assert any("offset of 1000" in note for note in report.notes)
    with rasterio.open(out) as file:
        assert file.descriptions == ("b5", "b6", "b7", "b8a", "b11", "b12")
        assert file.tags(ns="BANDWEAVE")["PRODUCT"] == "T32UQD_20200401T101021"


def test_bands_are_selected_and_ordered_by_bidx(tmp_path: Path) -> None:
    deliveries.maxar(tmp_path / "in")
    out = tmp_path / "out.tif"
    fuse(tmp_path / "in", None, out, **EXP, bands=(4, 1))
    with rasterio.open(out) as file:
        assert file.descriptions == ("nir1", "blue")
    whole = plainly_fused(tmp_path, deliveries.images(4))
    np.testing.assert_array_equal(pixels(out), whole[[3, 0]])


def test_options_go_before_the_metadata(tmp_path: Path) -> None:
    deliveries.airbus(tmp_path / "in")
    out = tmp_path / "out.tif"
    fuse(tmp_path / "in", None, out, **EXP, nodata=7)
    with rasterio.open(out) as file:
        assert file.nodata == 7


def test_metadata_that_state_other_bands_than_there_are_stop_it(tmp_path: Path) -> None:
    _, ms = deliveries.maxar(tmp_path / "in")
    metadata = ms.with_suffix(".IMD")
    metadata.write_text(metadata.read_text().replace("BAND_N\n", "BAND_R\n"))
    with pytest.raises(BandCountError, match="state 3 bands"):
        fuse(tmp_path / "in", None, tmp_path / "out.tif", **EXP)


def test_an_input_of_the_product_is_never_the_output(tmp_path: Path) -> None:
    path = deliveries.landsat(tmp_path)
    before = path.with_name(f"{deliveries.LANDSAT}_B3.TIF")
    content = before.read_bytes()
    with pytest.raises(bandweave.errors.OutputExistsError, match="is an input too"):
        fuse(path, None, before, **EXP, overwrite=True)
    assert before.read_bytes() == content


Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run the program; return exit status, stdout and stderr."""
    from bandweave.cli.main import main

    def call(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        with pytest.raises(SystemExit) as left:
            main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        return int(left.value.code or 0), out, err

    return call


def test_the_commands_take_a_folder_or_a_metadata_file(run, tmp_path: Path) -> None:
    pan, _ = deliveries.maxar(tmp_path / "in")
    status, out, err = run("check", pan, "--json")
    assert status == 0, err
    report = json.loads(out)
    assert report["sensor"] == "WorldView-2"
    assert "054112345010_01_P001" in report["remarks"][0]
    status, out, err = run("fuse", tmp_path / "in", tmp_path / "o.tif", "--method", "exp")
    assert status == 0, err
    assert "Product: 054112345010_01_P001 (Maxar)" in err


@pytest.mark.parametrize("verb", ["check", "fuse"])
def test_what_is_no_product_is_one_sentence(run, tmp_path: Path, verb: str) -> None:
    (tmp_path / "empty").mkdir()
    out = [tmp_path / "o.tif"] if verb == "fuse" else []
    for given, words in (
        (tmp_path / "empty", "No product was recognised"),
        (tmp_path / "alone.tif", "stands alone"),
        (tmp_path / "absent.TIL", "no file or folder"),
    ):
        status, stdout, err = run(verb, given, *out)
        assert (status, stdout) == (1, "")
        assert words in err
        assert "Traceback" not in err


def test_swapped_metadata_files_are_one_sentence(run, tmp_path: Path) -> None:
    pan, ms = deliveries.airbus(tmp_path / "in")
    for verb, out in (("fuse", [tmp_path / "o.tif"]), ("check", [])):
        status, _, err = run(verb, ms, pan, *out)
        assert status == 1
        assert "spatial image comes first" in err
