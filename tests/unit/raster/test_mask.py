"""Which pixels are usable, and what fills the others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.enums import ColorInterp

from bandweave.errors import BandCountError
from bandweave.raster.image import open_image
from bandweave.raster.mask import FILL_REACH, as_stored, fill_invalid
from bandweave.window import Window
from scenes import write_tif

PLACE = Affine(2, 0, 0, 0, -2, 0)
SHAPE = (37, 31)


def valid_of(path: Path, **options) -> np.ndarray:
    """Return the mask of a whole file."""
    with open_image(path, **options) as image:
        pixels, valid = image.read(Window.whole(image.shape), np.float32)
        alone = image.read_valid(Window.whole(image.shape))
    assert np.isfinite(pixels).all()
    whole = np.ones(SHAPE, bool)
    found = whole if valid is None else valid
    assert np.array_equal(found, whole if alone is None else alone)
    return found


def everywhere_but(*pixels: tuple[int, int]) -> np.ndarray:
    valid = np.ones(SHAPE, bool)
    for pixel in pixels:
        valid[pixel] = False
    return valid


@pytest.mark.parametrize(
    ("dtype", "nodata"),
    [
        ("uint8", 0),
        ("uint16", 65535),
        ("int16", -9999),
        ("int16", -32768),
        ("int32", -(2**31)),
        ("float32", -9999),
        ("float32", float(np.finfo("float32").min)),
        ("float64", -1.7976931348623157e308),
        ("float32", float("nan")),
    ],
)
def test_one_band_with_nodata_spoils_its_pixel_only(tmp_path, rng, dtype, nodata) -> None:
    image = rng.integers(1, 100, (3, *SHAPE)).astype(dtype)
    image[1, 5, 7] = nodata
    path = write_tif(tmp_path / "a.tif", image, PLACE, nodata=nodata)
    assert np.array_equal(valid_of(path), everywhere_but((5, 7)))


def test_limits_of_float32_in_the_digits_of_float64(tmp_path, rng) -> None:
    # QGIS and others write -3.40282e+38 or float64 digits for the smallest float32.
    image = rng.random((1, *SHAPE)).astype("float32")
    image[0, 2, 3] = np.finfo("float32").min
    path = write_tif(tmp_path / "a.tif", image, PLACE, nodata=-3.4028234663852886e38)
    assert np.array_equal(valid_of(path), everywhere_but((2, 3)))


def test_zero_is_data_unless_declared(tmp_path, rng) -> None:
    image = rng.integers(0, 3, (2, *SHAPE)).astype("uint16")
    path = write_tif(tmp_path / "a.tif", image, PLACE)
    assert valid_of(path).all()
    assert np.array_equal(valid_of(path, nodata=0), (image != 0).all(axis=0))


def test_a_given_nodata_value_replaces_the_declared_one(tmp_path, rng) -> None:
    image = rng.integers(0, 3, (2, *SHAPE)).astype("int16")
    path = write_tif(tmp_path / "a.tif", image, PLACE, nodata=0)
    assert np.array_equal(valid_of(path, nodata=2), (image != 2).all(axis=0))


def test_values_that_are_not_finite_are_never_valid(tmp_path, rng) -> None:
    image = rng.random((2, *SHAPE)).astype("float32")
    image[0, 1, 1], image[1, 2, 2], image[1, 3, 3] = np.nan, np.inf, -np.inf
    path = write_tif(tmp_path / "a.tif", image, PLACE, nodata=-1)
    for mode in ("auto", "none", "nodata"):
        assert np.array_equal(valid_of(path, mask=mode), everywhere_but((1, 1), (2, 2), (3, 3)))


def write_masked(path: Path, image: np.ndarray, mask: np.ndarray, **profile) -> Path:
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
        write_tif(path, image, PLACE, **profile)
        with rasterio.open(path, "r+") as file:
            file.write_mask(mask)
    return path


def test_an_internal_mask_counts(tmp_path, rng) -> None:
    image = rng.integers(1, 100, (3, *SHAPE)).astype("uint16")
    mask = rng.random(SHAPE) > 0.3
    path = write_masked(tmp_path / "a.tif", image, mask)
    assert np.array_equal(valid_of(path), mask)
    assert np.array_equal(valid_of(path, mask="internal"), mask)
    for other in ("nodata", "alpha", "none"):
        assert valid_of(path, mask=other).all()


def test_an_internal_mask_and_nodata_count_together(tmp_path, rng) -> None:
    image = rng.integers(0, 4, (2, *SHAPE)).astype("uint16")
    mask = rng.random(SHAPE) > 0.3
    path = write_masked(tmp_path / "a.tif", image, mask, nodata=0)
    has_data = (image != 0).all(axis=0)
    assert np.array_equal(valid_of(path), mask & has_data)
    assert np.array_equal(valid_of(path, mask="nodata"), has_data)
    assert np.array_equal(valid_of(path, mask="internal"), mask)


@pytest.fixture
def with_alpha(tmp_path, rng) -> tuple[Path, np.ndarray]:
    image = rng.integers(1, 100, (5, *SHAPE)).astype("uint8")
    image[3] = rng.integers(0, 2, SHAPE) * 255
    path = write_tif(tmp_path / "alpha.tif", image, PLACE)
    with rasterio.open(path, "r+") as file:
        grey, none = ColorInterp.gray, ColorInterp.undefined
        file.colorinterp = [grey, none, none, ColorInterp.alpha, none]
    return path, image


def test_alpha_is_a_mask_and_never_data(with_alpha) -> None:
    path, image = with_alpha
    for mode in ("auto", "alpha", "none"):
        with open_image(path, mask=mode) as opened:
            assert opened.facts.indexes == (1, 2, 3, 5)
            pixels, _ = opened.read(Window.whole(SHAPE), np.float64)
            assert pixels.shape[0] == 4
    transparent = image[3] > 0
    assert np.array_equal(valid_of(path), transparent)
    assert np.array_equal(valid_of(path, mask="alpha"), transparent)
    assert valid_of(path, mask="none").all()
    assert valid_of(path, mask="internal").all()


def test_asking_for_the_alpha_band_says_how_to_make_it_data(with_alpha) -> None:
    path, _ = with_alpha
    with pytest.raises(BandCountError, match="-colorinterp_4 undefined"):
        open_image(path, bands=[1, 4])


def test_only_the_bands_that_are_read_count(tmp_path, rng) -> None:
    image = rng.integers(1, 100, (3, *SHAPE)).astype("uint16")
    image[1, 5, 7] = 0
    path = write_tif(tmp_path / "a.tif", image, PLACE, nodata=0)
    assert valid_of(path, bands=[1, 3]).all()
    assert not valid_of(path, bands=[2])[5, 7]


def test_nodata_that_a_type_cannot_hold_matches_nothing() -> None:
    assert as_stored(-9999, "uint16") is None
    assert as_stored(0.5, "int16") is None
    assert as_stored(float("nan"), "uint8") is None
    assert as_stored(1e300, "float32") is None
    assert as_stored(255, "uint8") == 255
    assert as_stored(None, "uint8") is None


def nearest_ring(valid: np.ndarray, row: int, col: int) -> int:
    """Return the chessboard distance to the nearest valid pixel, by looking at all of them."""
    rows, cols = np.nonzero(valid)
    return int(np.maximum(abs(rows - row), abs(cols - col)).min())


def test_a_gap_is_filled_from_a_nearest_valid_pixel(rng) -> None:
    valid = rng.random(SHAPE) > 0.9
    # Each pixel holds its own place, so that a fill tells where it comes from.
    rows, cols = np.mgrid[: SHAPE[0], : SHAPE[1]]
    image = np.stack([rows, cols]).astype("float32")
    image[:, ~valid] = np.nan
    filled = fill_invalid(image, valid)
    assert np.array_equal(filled[:, valid], image[:, valid])
    for row, col in zip(*np.nonzero(~valid), strict=True):
        from_row, from_col = filled[:, row, col].astype(int)
        assert valid[from_row, from_col]
        distance = max(abs(from_row - row), abs(from_col - col))
        assert distance == nearest_ring(valid, row, col)


def test_beyond_the_reach_stands_zero() -> None:
    image = np.full((1, 5, 40), 7, dtype="int16")
    valid = np.zeros((5, 40), bool)
    valid[:, 0] = True
    filled = fill_invalid(image, valid, reach=10)
    assert (filled[:, :, :11] == 7).all()
    assert (filled[:, :, 11:] == 0).all()


def test_without_a_valid_pixel_all_is_zero() -> None:
    image = np.full((2, 5, 4), np.nan)
    assert not fill_invalid(image, np.zeros((5, 4), bool)).any()


def test_the_original_is_left_as_it_is(rng) -> None:
    image = rng.random((2, *SHAPE))
    before = image.copy()
    fill_invalid(image, rng.random(SHAPE) > 0.5)
    assert np.array_equal(image, before)


def test_a_filled_pixel_does_not_depend_on_the_window(tmp_path, rng) -> None:
    shape = (300, 260)
    image = rng.integers(1, 1000, (2, *shape)).astype("uint16")
    image[:, 40:170, 30:200] = 0  # a gap with a middle beyond the reach
    image[:, rng.random(shape) > 0.97] = 0
    path = write_tif(tmp_path / "a.tif", image, PLACE, nodata=0)
    with open_image(path) as opened:
        whole, _ = opened.read(Window.whole(shape), np.float32)
        assert (whole[:, 40 + FILL_REACH : 170 - FILL_REACH, 110] == 0).all()
        for window in (
            Window(0, 0, 64, 64),
            Window(30, 20, 17, 90),
            Window(90, 60, 200, 3),
            Window(160, 190, 30, 30),
        ):
            rows, cols = window.slices
            part, valid = opened.read(window, np.float32)
            assert valid is not None
            assert np.array_equal(part, whole[:, rows, cols]) or not valid.any()
