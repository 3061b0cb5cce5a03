"""Scenes written and read back with rasterio; what is left when writing fails."""

from __future__ import annotations

import os
import subprocess
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.rpc import RPC

from bandweave.errors import NodataError, OutputError, OutputExistsError
from bandweave.grid import Grid
from bandweave.raster.layout import OutputLayout, output_layout
from bandweave.raster.reader import open_pair
from bandweave.raster.writer import SceneWriter
from bandweave.window import Window
from scenes import CRS, write_tif

PLACE = Affine(0.5, 0, 400_000.0, 0, -0.5, 5_000_000.0)
SHAPE = (301, 277)


def layout(
    dtype: str = "uint16",
    *,
    bands: int = 3,
    shape: tuple[int, int] = SHAPE,
    nodata: float | None = None,
    **more,
) -> OutputLayout:
    return OutputLayout(Grid(shape, PLACE, CRS), bands, np.dtype(dtype), nodata, **more)


def write(
    path: Path, image: np.ndarray, valid=None, *, like=None, rows: int = 50, **options
) -> Path:
    """Write an image in strips of `rows`."""
    bands, height, width = image.shape
    chosen = layout(bands=bands, shape=(height, width)) if like is None else like
    with SceneWriter(path, chosen, **options) as writer:
        for row in range(0, height, rows):
            part = slice(row, row + rows)
            writer.write_rows(image[:, part], None if valid is None else valid[part])
        writer.commit()
    return path


@pytest.fixture
def image(rng) -> np.ndarray:
    """Return whole numbers, so that nothing is rounded."""
    return rng.integers(1, 2000, (3, *SHAPE)).astype("float32")


@pytest.fixture
def valid(rng) -> np.ndarray:
    return rng.random(SHAPE) > 0.2


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("cog", [False, True])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "int32", "float32", "float64"])
def test_pixels_come_back(tmp_path, rng, dtype, cog) -> None:
    data = rng.integers(0, 120, (3, *SHAPE)).astype("float64")
    path = write(tmp_path / "a.tif", data, like=layout(dtype), cog=cog)
    with rasterio.open(path) as file:
        assert file.dtypes == (dtype,) * 3
        assert file.transform == PLACE
        assert file.crs == CRS
        assert np.array_equal(file.read(), data)
        assert file.mask_flag_enums[0] == [MaskFlags.all_valid]
    assert names(tmp_path) == ["a.tif"]


def test_values_are_rounded_half_to_even_and_clipped(tmp_path) -> None:
    values = np.array([[[0.5, 1.5, 2.5, 2.51, -3.0, 70000.0]]])
    path = write(tmp_path / "a.tif", values)
    with rasterio.open(path) as file:
        assert file.read(1).tolist() == [[0, 2, 2, 3, 0, 65535]]


def test_values_are_clipped_at_the_largest_only_if_asked(tmp_path) -> None:
    values = np.array([[[2047.4, 2048.0, 9000.0]]])
    like = layout(bands=1, shape=(1, 3), largest=2047)
    with rasterio.open(write(tmp_path / "a.tif", values, like=like)) as file:
        assert file.read(1).tolist() == [[2047, 2047, 2047]]
    with rasterio.open(write(tmp_path / "b.tif", values)) as file:
        assert file.read(1).tolist() == [[2047, 2048, 9000]]


@pytest.mark.parametrize(
    ("dtype", "nodata", "values", "stored"),
    [
        ("uint16", 0, [0.0, 0.3, 5.0], [1, 1, 5]),
        ("uint16", 65535, [65535.0, 70000.0, 5.0], [65534, 65534, 5]),
        ("uint8", 7, [7.0, 6.0, 8.0], [8, 6, 8]),
        ("int16", -9999, [-9999.0, -9998.6, -5.0], [-9998, -9998, -5]),
        ("int16", 32767, [32767.0, 0.0, -5.0], [32766, 0, -5]),
    ],
)
def test_data_never_equal_nodata(tmp_path, dtype, nodata, values, stored) -> None:
    like = layout(dtype, bands=1, shape=(1, 4), nodata=nodata)
    rows = np.array([[[*values, 1.0]]])
    path = write(tmp_path / "a.tif", rows, np.array([[True, True, True, False]]), like=like)
    with rasterio.open(path) as file:
        assert file.nodata == nodata
        assert file.read(1).tolist() == [[*stored, nodata]]
        assert file.read_masks(1).tolist() == [[255, 255, 255, 0]]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("nodata", [0.0, -9999.0, 1.0, float(np.finfo("float32").min)])
def test_floating_point_data_are_moved_off_nodata_by_a_hair(tmp_path, dtype, nodata) -> None:
    like = layout(dtype, bands=1, shape=(1, 2), nodata=nodata)
    path = write(
        tmp_path / "a.tif", np.array([[[nodata, nodata]]]), np.array([[True, False]]), like=like
    )
    with rasterio.open(path) as file:
        found = file.read(1)[0]
        # GDAL itself tells the two apart.
        assert file.read_masks(1).tolist() == [[255, 0]]
    if abs(nodata) < 1e30:
        assert found[0] == pytest.approx(nodata, rel=2e-5, abs=1e-30)
    else:
        # GDAL takes everything near the end of the range for nodata.
        assert found[0] == 0
    assert found[1] == nodata


def test_nan_as_nodata(tmp_path, image, valid) -> None:
    path = write(tmp_path / "a.tif", image, valid, like=layout("float32", nodata=np.nan))
    with rasterio.open(path) as file:
        found = file.read()
    assert np.array_equal(np.isnan(found[0]), ~valid)
    assert np.array_equal(found[:, valid], image[:, valid])


@pytest.mark.parametrize("cog", [False, True])
def test_without_nodata_an_internal_mask_tells_invalid_pixels(tmp_path, image, valid, cog) -> None:
    valid[:260] = True  # the first invalid pixel comes after a row of blocks was written
    path = write(tmp_path / "a.tif", image, valid, cog=cog)
    with rasterio.open(path) as file:
        assert file.mask_flag_enums[0] == [MaskFlags.per_dataset]
        assert np.array_equal(file.read_masks(1) > 0, valid)
        found = file.read()
    assert np.array_equal(found[:, valid], image[:, valid])
    assert not found[:, ~valid].any()
    assert names(tmp_path) == ["a.tif"]


@pytest.mark.parametrize("cog", [False, True])
def test_provenance_has_its_own_namespace(tmp_path, image, cog) -> None:
    provenance = {"METHOD": "exp", "OPTIONS": '{"ratio": 4}'}
    with rasterio.open(write(tmp_path / "a.tif", image, provenance=provenance, cog=cog)) as file:
        assert file.tags(ns="BANDWEAVE") == provenance


def test_a_mask_that_is_true_everywhere_makes_none(tmp_path, image) -> None:
    path = write(tmp_path / "a.tif", image, np.ones(SHAPE, bool))
    with rasterio.open(path) as file:
        assert file.mask_flag_enums[0] == [MaskFlags.all_valid]


@pytest.mark.parametrize("cog", [False, True])
@pytest.mark.parametrize("nodata", [None, 0])
def test_the_same_bytes_however_rows_are_cut(tmp_path, image, valid, cog, nodata) -> None:
    like = layout(nodata=nodata)
    files = {
        write(
            tmp_path / "a.tif", image, valid, like=like, rows=rows, cog=cog, overwrite=True
        ).read_bytes()
        for rows in (1, 37, 256, 301)
    }
    assert len(files) == 1


def test_rows_may_come_without_a_mask_between_others(tmp_path, image, valid) -> None:
    with SceneWriter(tmp_path / "a.tif", layout()) as writer:
        writer.write_rows(image[:, :100], valid[:100])
        writer.write_rows(image[:, 100:200])
        assert writer.next_row == 200
        writer.write_rows(image[:, 200:], valid[200:])
        writer.commit()
    expected = valid.copy()
    expected[100:200] = True
    with rasterio.open(tmp_path / "a.tif") as file:
        assert np.array_equal(file.read_masks(1) > 0, expected)


def test_the_defaults_are_tiles_with_fast_compression(tmp_path, image) -> None:
    with rasterio.open(write(tmp_path / "a.tif", image)) as file:
        structure = file.tags(ns="IMAGE_STRUCTURE")
        assert structure["COMPRESSION"] == "ZSTD"
        assert structure["PREDICTOR"] == "2"
        assert file.block_shapes[0] == (256, 256)
    with rasterio.open(write(tmp_path / "b.tif", image, like=layout("float32"))) as file:
        assert file.tags(ns="IMAGE_STRUCTURE")["PREDICTOR"] == "3"


def test_blocks_are_not_larger_than_the_raster(tmp_path, rng) -> None:
    data = rng.integers(0, 9, (2, 37, 31)).astype("float32")
    with rasterio.open(write(tmp_path / "a.tif", data)) as file:
        assert file.block_shapes[0] == (48, 32)
    options = {"BLOCKXSIZE": "512", "BLOCKYSIZE": "16"}
    path = write(tmp_path / "b.tif", data, creation_options=options)
    with rasterio.open(path) as file:
        assert file.block_shapes[0] == (16, 32)
        assert np.array_equal(file.read(), data)


def test_creation_options_go_before_the_defaults(tmp_path, image) -> None:
    path = write(tmp_path / "a.tif", image, creation_options={"compress": "DEFLATE", "ZLEVEL": "1"})
    with rasterio.open(path) as file:
        assert file.tags(ns="IMAGE_STRUCTURE")["COMPRESSION"] == "DEFLATE"
        assert file.tags(ns="IMAGE_STRUCTURE")["PREDICTOR"] == "2"
        assert np.array_equal(file.read(), image)
    path = write(
        tmp_path / "b.tif",
        image,
        creation_options={"COMPRESS": "NONE", "TILED": "NO", "INTERLEAVE": "BAND"},
    )
    with rasterio.open(path) as file:
        assert "COMPRESSION" not in file.tags(ns="IMAGE_STRUCTURE")
        assert file.block_shapes[0][1] == SHAPE[1]
        assert np.array_equal(file.read(), image)
    path = write(tmp_path / "c.tif", image, creation_options={"NBITS": "11"})
    with rasterio.open(path) as file:
        assert file.tags(1, ns="IMAGE_STRUCTURE")["NBITS"] == "11"
        assert np.array_equal(file.read(), image)


def test_creation_options_of_a_cog_are_those_of_its_driver(tmp_path, image) -> None:
    options = {"COMPRESS": "DEFLATE", "LEVEL": "9", "BLOCKSIZE": "128"}
    path = write(tmp_path / "a.tif", image, cog=True, creation_options=options)
    with rasterio.open(path) as file:
        assert file.tags(ns="IMAGE_STRUCTURE")["COMPRESSION"] == "DEFLATE"
        assert file.block_shapes[0] == (128, 128)


def test_wrong_creation_options_are_one_sentence(tmp_path, image) -> None:
    with pytest.raises(OutputError, match=r"a\.tif could not be written .*creation options"):
        write(tmp_path / "a.tif", image, creation_options={"BLOCKXSIZE": "100"})
    assert names(tmp_path) == []


def test_tiles_of_many_bands_are_smaller(tmp_path) -> None:
    # 230 bands of 6000 columns: a row of 256-pixel tiles would take 1.4 GB.
    like = layout("float32", bands=230, shape=(6000, 6000))
    with SceneWriter(tmp_path / "a.tif", like) as writer:
        assert writer._pixels.nbytes <= 2**29
    assert names(tmp_path) == []


def test_memory_is_a_row_of_blocks_and_not_the_scene(tmp_path) -> None:
    shape = (4096, 1024)
    row_of_blocks = 2 * 256 * 1024 * 2
    rows = np.zeros((2, 16, 1024), dtype="float32")
    tracemalloc.start()
    with SceneWriter(tmp_path / "a.tif", layout(bands=2, shape=shape), overviews=False) as writer:
        for _ in range(shape[0] // 16):
            writer.write_rows(rows)
        writer.commit()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3 * row_of_blocks + 2 * 2**20  # beside a strip in float64 and the interpreter's


# Overviews and COG


def block_means(image: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Average 2 x 2 pixels over the valid ones, with loops."""
    bands, height, width = image.shape
    means = np.zeros((bands, height // 2, width // 2))
    for row in range(height // 2):
        for col in range(width // 2):
            cell = slice(2 * row, 2 * row + 2), slice(2 * col, 2 * col + 2)
            if valid[cell].any():
                means[:, row, col] = image[:, *cell][:, valid[cell]].mean(axis=1)
    return means


@pytest.mark.parametrize("cog", [False, True])
@pytest.mark.parametrize("nodata", [None, 0])
def test_overviews_average_valid_pixels_only(tmp_path, rng, cog, nodata) -> None:
    shape = (300, 260)
    data = rng.integers(1, 2000, (2, *shape)).astype("float32")
    valid = rng.random(shape) > 0.4
    like = layout(bands=2, shape=shape, nodata=nodata)
    path = write(tmp_path / "a.tif", data, valid, like=like, cog=cog)
    with rasterio.open(path) as file:
        assert file.overviews(1) == [2]
    with rasterio.open(path, overview_level=0) as overview:
        assert overview.tags(ns="IMAGE_STRUCTURE")["COMPRESSION"] == "ZSTD"
        found, mask = overview.read(), overview.read_masks(1) > 0
    assert np.array_equal(mask, valid.reshape(150, 2, 130, 2).any(axis=(1, 3)))
    np.testing.assert_allclose(found[:, mask], block_means(data, valid)[:, mask], atol=0.5001)


def test_overviews_halve_until_one_fits_a_block(tmp_path) -> None:
    data = np.ones((1, 1100, 300), dtype="float32")
    with rasterio.open(write(tmp_path / "a.tif", data)) as file:
        assert file.overviews(1) == [2, 4, 8]
    with rasterio.open(write(tmp_path / "b.tif", data, overviews=False)) as file:
        assert file.overviews(1) == []
    with rasterio.open(write(tmp_path / "c.tif", data, overviews=False, cog=True)) as file:
        assert file.overviews(1) == []
    with rasterio.open(write(tmp_path / "d.tif", data[:, :200, :250])) as file:
        assert file.overviews(1) == []


def test_a_cog_has_its_directories_before_its_pixels_and_small_images_first(tmp_path, rng) -> None:
    tifffile = pytest.importorskip("tifffile")
    shape = (700, 600)
    data = rng.integers(1, 2000, (2, *shape)).astype("float32")
    valid = rng.random(shape) > 0.1
    like = layout(bands=2, shape=shape)
    path = write(tmp_path / "a.tif", data, valid, like=like, cog=True)
    with rasterio.open(path) as file:
        assert file.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
    with tifffile.TiffFile(path) as file:
        pages = list(file.pages)
        first_data = [min(page.dataoffsets) for page in pages]
        assert max(page.offset for page in pages) < min(first_data)
        assert all(page.is_tiled for page in pages)
        images = [page for page in pages if page.samplesperpixel == 2]
        assert [page.shape[:2] for page in images] == [(700, 600), (350, 300), (175, 150)]
        starts = [min(page.dataoffsets) for page in images]
        assert starts == sorted(starts, reverse=True)


# Metadata


def camera(line_off: float, samp_off: float) -> RPC:
    return RPC(
        height_off=10.0,
        height_scale=500.0,
        lat_off=45.0,
        lat_scale=0.1,
        line_den_coeff=[1.0] + [0.0] * 19,
        line_num_coeff=[0.0, 1.0] + [0.25] * 18,
        line_off=line_off,
        line_scale=100.0,
        long_off=15.0,
        long_scale=0.1,
        samp_den_coeff=[1.0] + [0.0] * 19,
        samp_num_coeff=[0.0, 0.0, 1.0] + [0.5] * 17,
        samp_off=samp_off,
        samp_scale=50.0,
    )


@pytest.fixture
def described_pair(tmp_path, rng) -> tuple[Path, Path]:
    """Return a pair with all the metadata a vendor may write; the MS starts at PAN (3, 2)."""
    folder = tmp_path / "in"
    folder.mkdir()
    pan = write_tif(
        folder / "pan.tif",
        rng.integers(1, 2000, (1, 70, 60)).astype("uint16"),
        PLACE,
        rpcs=camera(100.0, 50.0),
    )
    with rasterio.open(pan, "r+") as file:
        file.update_tags(AREA_OR_POINT="Point", VENDOR_PAN="yes")
    ms = write_tif(
        folder / "ms.tif",
        rng.integers(-500, 2000, (4, 16, 14)).astype("int16"),
        PLACE * Affine.translation(2, 3) * Affine.scale(4),
        nodata=-9999,
    )
    with rasterio.open(ms, "r+") as file:
        file.colorinterp = [
            ColorInterp.blue,
            ColorInterp.green,
            ColorInterp.red,
            ColorInterp.undefined,
        ]
        file.descriptions = ("blue", "green", "red", "near infrared")
        file.scales, file.offsets = (1e-4,) * 4, (-0.1, 0.0, 0.1, 0.2)
        file.units = ("sr-1",) * 4
        file.update_tags(2, wavelength="560", STATISTICS_MEAN="12")
        file.update_tags(PRODUCT="reflectance")
    return pan, ms


@pytest.mark.parametrize("cog", [False, True])
def test_place_of_the_pan_and_bands_of_the_ms(tmp_path, described_pair, cog) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    provenance = {"METHOD": "exp", "VERSION": "1", "OPTIONS": '{"ratio": 4}'}
    with open_pair(*described_pair) as pair:
        whole = pair.read(Window.whole(pair.profile.shape), np.float64)
        fused = whole.spectral.repeat(4, axis=1).repeat(4, axis=2)
        path = write(
            folder / "a.tif", fused, like=output_layout(pair), cog=cog, provenance=provenance
        )
    with (
        rasterio.open(path) as file,
        rasterio.open(described_pair[0]) as pan,
        rasterio.open(described_pair[1]) as ms,
    ):
        assert file.shape == (64, 56)
        assert file.transform.almost_equals(PLACE * Affine.translation(2, 3))
        assert file.crs == CRS
        assert file.dtypes == ms.dtypes
        assert file.nodata == -9999
        assert file.colorinterp == ms.colorinterp
        assert file.descriptions == ms.descriptions
        assert file.scales == ms.scales
        assert file.offsets == ms.offsets
        assert file.units == ms.units
        assert file.tags(2) == {"wavelength": "560"}
        assert file.tags()["PRODUCT"] == "reflectance"
        assert file.tags()["AREA_OR_POINT"] == "Point"
        if cog:  # see copy_as_cog
            assert {key: file.tags()[f"BANDWEAVE_{key}"] for key in provenance} == provenance
        else:
            assert file.tags(ns="BANDWEAVE") == provenance
        # The camera's lines and samples are counted from the first pixel that was written.
        moved = {"line_off": 97.0, "samp_off": 48.0}
        assert file.rpcs.to_dict() == {**pan.rpcs.to_dict(), **moved}
        assert np.array_equal(file.read(), fused)
    assert names(folder) == ["a.tif"]


def test_extent_pan_writes_the_grid_of_the_pan(tmp_path, described_pair) -> None:
    with open_pair(*described_pair, extent="pan") as pair:
        whole = pair.read(Window.whole(pair.profile.shape), np.float64)
        rows, cols = pair.output_window.slices
        fused = whole.spectral.repeat(4, axis=1).repeat(4, axis=2)[:, rows, cols]
        assert whole.valid is not None
        path = write(tmp_path / "a.tif", fused, whole.valid[rows, cols], like=output_layout(pair))
    with rasterio.open(path) as file, rasterio.open(described_pair[0]) as pan:
        assert file.shape == pan.shape
        assert file.transform == pan.transform
        assert file.rpcs.line_off == pan.rpcs.line_off
        covered = file.read_masks(1) > 0
    assert covered[3:67, 2:58].all()
    assert covered.sum() == 64 * 56


def test_a_window_is_placed_by_itself(described_pair) -> None:
    with open_pair(*described_pair) as pair:
        part = output_layout(pair, window=Window(8, 4, 20, 12))
    assert part.grid.shape == (20, 12)
    assert part.grid.transform is not None
    assert part.grid.transform.almost_equals(PLACE * Affine.translation(2 + 4, 3 + 8))
    assert part.rpcs is not None
    assert (part.rpcs.line_off, part.rpcs.samp_off) == (100 - 11, 50 - 6)


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("cog", [False, True])
def test_a_fourth_band_is_not_taken_for_alpha(tmp_path, rng, dtype, cog) -> None:
    data = rng.integers(0, 200, (4, *SHAPE)).astype("float32")
    red_first = (ColorInterp.red, ColorInterp.green, ColorInterp.blue, ColorInterp.undefined)
    for colours in (
        red_first,
        red_first[2::-1] + red_first[3:],
        (ColorInterp.gray,) + red_first[3:] * 3,
    ):
        like = layout(dtype, bands=4, colours=colours)
        path = write(tmp_path / "a.tif", data, like=like, cog=cog, overwrite=True)
        with rasterio.open(path) as file:
            assert file.colorinterp == colours
            assert file.mask_flag_enums[3] == [MaskFlags.all_valid]
        assert names(tmp_path) == ["a.tif"]


def test_nodata_follows_the_type(described_pair) -> None:
    with open_pair(*described_pair) as pair:
        assert output_layout(pair).nodata == -9999
        assert output_layout(pair, nodata=0).nodata == 0
        assert output_layout(pair, dtype="float32").nodata == -9999
        with pytest.raises(NodataError, match=r"uint16, which cannot hold the nodata value -9999"):
            output_layout(pair, dtype="uint16")
        assert output_layout(pair, dtype="uint16", nodata=0).nodata == 0
    with open_pair(described_pair[0], described_pair[1], mask="none") as pair:
        assert output_layout(pair).nodata == -9999


def test_floating_point_files_without_nodata_get_nan(tmp_path, rng) -> None:
    paths = (
        write_tif(tmp_path / "pan.tif", rng.random((1, 16, 16)).astype("float32"), PLACE),
        write_tif(
            tmp_path / "ms.tif", rng.random((2, 4, 4)).astype("float32"), PLACE * Affine.scale(4)
        ),
    )
    with open_pair(*paths) as pair:
        assert np.isnan(output_layout(pair).nodata)
        assert output_layout(pair, dtype="uint16").nodata is None


# What is left when writing fails


def test_an_existing_file_is_kept_without_overwrite(tmp_path, image) -> None:
    path = tmp_path / "a.tif"
    path.write_text("precious")
    with pytest.raises(OutputExistsError, match=r"a\.tif exists; .*--overwrite"):
        SceneWriter(path, layout())
    assert path.read_text() == "precious"
    write(path, image, overwrite=True)
    with rasterio.open(path) as file:
        assert np.array_equal(file.read(), image)


def test_side_files_of_an_overwritten_raster_go_with_it(tmp_path, image) -> None:
    for name in ("a.tif", "a.tif.aux.xml", "a.tif.ovr", "a.tif.msk", "b.tif.ovr"):
        (tmp_path / name).write_text("old")
    write(tmp_path / "a.tif", image, overwrite=True)
    assert names(tmp_path) == ["a.tif", "b.tif.ovr"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_an_interrupted_run_leaves_nothing(tmp_path, image, error) -> None:
    old = tmp_path / "a.tif"
    old.write_text("old")

    def run() -> None:
        with SceneWriter(old, layout(), overwrite=True) as writer:
            writer.write_rows(image[:, :290])
            assert len(names(tmp_path)) == 2
            raise error

    with pytest.raises(error):
        run()
    assert names(tmp_path) == ["a.tif"]
    assert old.read_text() == "old"


def test_a_file_that_is_not_committed_does_not_appear(tmp_path, image) -> None:
    with SceneWriter(tmp_path / "a.tif", layout()) as writer:
        writer.write_rows(image)
    assert names(tmp_path) == []


def test_a_file_that_appears_meanwhile_is_kept(tmp_path, image) -> None:
    path = tmp_path / "a.tif"
    with SceneWriter(path, layout()) as writer:
        writer.write_rows(image)
        path.write_text("somebody else's")
        with pytest.raises(OutputExistsError):
            writer.commit()
    assert names(tmp_path) == ["a.tif"]
    assert path.read_text() == "somebody else's"


def test_rows_have_to_fit_and_be_complete(tmp_path, image) -> None:
    with SceneWriter(tmp_path / "a.tif", layout()) as writer:
        for rows in (image[:2], image[:, :, 1:], np.concatenate([image, image], axis=1)):
            with pytest.raises(ValueError, match="Rows must be"):
                writer.write_rows(rows)
        writer.write_rows(image[:, :300])
        with pytest.raises(ValueError, match="All 301 rows"):
            writer.commit()
    assert names(tmp_path) == []


def test_places_that_cannot_be_written_are_told_at_once(tmp_path) -> None:
    with pytest.raises(OutputError, match="does not exist"):
        SceneWriter(tmp_path / "none" / "a.tif", layout())
    with pytest.raises(OutputError, match="is a folder"):
        SceneWriter(tmp_path, layout(), overwrite=True)


@contextmanager
def small_disk(folder: Path, options: str) -> Iterator[Path]:
    """Mount a file system in memory."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        pytest.skip("needs root to mount a small file system")
    folder.mkdir(exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    if subprocess.run(command, check=False, capture_output=True).returncode != 0:
        pytest.skip("may not mount a small file system here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_a_folder_without_permission_is_told_at_once(tmp_path) -> None:
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        # Permissions do not bind root, but a file system that is read-only does.
        with (
            small_disk(tmp_path / "disk", "ro") as folder,
            pytest.raises(OutputError, match="may not be written to"),
        ):
            SceneWriter(folder / "a.tif", layout())
        return
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(OutputError, match="may not be written to"):
            SceneWriter(tmp_path / "a.tif", layout())
    finally:
        tmp_path.chmod(0o700)


def failure_of(path: Path, *args, **options) -> str | None:
    """Return the sentence with which writing fails, or None."""
    try:
        write(path, *args, **options)
    except OutputError as error:
        return str(error)
    return None


@pytest.mark.parametrize("cog", [False, True])
@pytest.mark.parametrize("nodata", [None, 0])
def test_a_full_disk_leaves_a_whole_file_or_one_sentence(
    tmp_path, image, valid, cog, nodata
) -> None:
    like = layout(nodata=nodata)
    whole = write(tmp_path / "whole.tif", image, valid, like=like, cog=cog).read_bytes()
    # GDAL reports a full disk at a write, at closing, or not at all, depending on where the file
    # ends: sizes around every part of it are tried.
    outcomes = set()
    needed = len(whole) * (3 if cog else 1)
    for size in range(8, needed // 1024 + 64, max(needed // 1024 // 16, 4)):
        with small_disk(tmp_path / "disk", f"size={size}k") as folder:
            path = folder / "a.tif"
            said = failure_of(path, image, valid, like=like, cog=cog)
            if said is None:
                assert names(folder) == ["a.tif"]
                assert path.read_bytes() == whole
            else:
                assert "the disk is full" in said
                assert names(folder) == []
            outcomes.add("whole" if said is None else "full")
    assert outcomes == {"full", "whole"}
