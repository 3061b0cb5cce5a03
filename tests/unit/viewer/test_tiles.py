"""Tiles equal what a slow loop makes of the file's pixels."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from PIL import Image as Picture
from rasterio.enums import Resampling

from bandweave.errors import ConfigError, FileFormatError, GridMismatchError
from bandweave.viewer.difference import DifferenceLayer
from bandweave.viewer.layers import FileLayer
from bandweave.viewer.overviews import build_beside
from bandweave.viewer.tiles import Look, render_tile
from bandweave.window import Window
from oracles.slow_tiles import block_means, grey
from scenes import write_tif

PLACE = Affine(2, 0, 500000, 0, -2, 5000000)


def decoded(tile: bytes) -> np.ndarray:
    """Return `(H, W, 3 or 4)`."""
    return np.asarray(Picture.open(io.BytesIO(tile)))


def layer_of(path: Path, image: np.ndarray, **profile: object) -> FileLayer:
    return FileLayer("0", str(write_tif(path, image, PLACE, **profile)), path.name)


def test_tiles_of_the_image_itself_hold_its_pixels(tmp_path: Path, rng) -> None:
    image = rng.integers(0, 2048, (4, 300, 517), dtype=np.uint16)
    layer = layer_of(tmp_path / "a.tif", image)
    look = Look((3, 2, 1), ((100, 1800), (0, 2047), (500, 600)))
    shown = decoded(render_tile(layer, 0, 1, 2, look))
    assert shown.shape == (44, 5, 3)
    for row in range(44):
        for col in range(5):
            values = image[[2, 1, 0], 256 + row, 512 + col]
            expected = [grey(v, *pair) for v, pair in zip(values, look.limits, strict=True)]
            assert shown[row, col].tolist() == expected


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint32", "float32", "float64"])
def test_every_type_is_stretched_by_the_same_line(tmp_path: Path, rng, dtype: str) -> None:
    image = rng.integers(0, 120, (1, 31, 37)).astype(dtype)
    layer = layer_of(tmp_path / "a.tif", image)
    shown = decoded(render_tile(layer, 0, 0, 0, Look((1,), ((10, 110),))))
    expected = [[grey(float(value), 10, 110) for value in row] for row in image[0]]
    assert np.array_equal(shown[..., 0], expected)
    assert np.array_equal(shown[..., 0], shown[..., 2])


def test_large_integers_are_exact(tmp_path: Path) -> None:
    image = (2**31 + np.arange(256, dtype=np.uint32)).reshape(1, 16, 16)
    layer = layer_of(tmp_path / "a.tif", image)
    shown = decoded(render_tile(layer, 0, 0, 0, Look((1,), ((2**31, 2**31 + 255),))))
    assert np.array_equal(shown[..., 0].ravel(), np.arange(256))


@pytest.mark.parametrize("with_overviews", [True, False])
def test_coarse_levels_are_block_means_of_data(
    tmp_path: Path, rng, *, with_overviews: bool
) -> None:
    # Sides that all levels divide: what a block is at the edge of others is GDAL's own affair.
    image = rng.integers(1, 2048, (2, 40, 1040), dtype=np.uint16)
    image[:, 9:31, 103:350] = 0
    path = tmp_path / "a.tif"
    layer = layer_of(path, image, nodata=0, tiled=True, blockxsize=128, blockysize=128)
    if with_overviews:
        layer.close()
        assert build_beside(str(path)) == tmp_path / "a.tif.ovr"
        layer = FileLayer("0", str(path), "a.tif")
        assert layer.overviews == (2, 4, 8)
    for level in (1, 2, 3):
        values, valid = layer.read((1, 2), level, Window.whole(layer.pyramid.level_shape(level)))
        has_data = (image != 0).all(axis=0)
        means, known = block_means(image, has_data, 2**level)
        assert np.array_equal(valid, known)
        # Integers, rounded once per level that was averaged from the one before; there, half-empty
        # blocks weigh as much as full ones.
        rounds = level if with_overviews else 1
        shares, _ = block_means(has_data[None], np.ones_like(has_data), 2**level)
        compared = shares[0] == 1 if with_overviews else known
        assert np.abs(values - means)[:, compared].max() <= 0.5 * rounds + 1e-6


def test_an_overview_is_shown_as_it_is_stored(tmp_path: Path, rng) -> None:
    image = rng.integers(0, 2048, (1, 1001, 777), dtype=np.uint16)
    path = write_tif(tmp_path / "a.tif", image, PLACE)
    build_beside(str(path))
    layer = FileLayer("0", str(path), "a.tif")
    for level in (1, 2):
        with rasterio.open(path, overview_level=level - 1) as reduced:
            stored = reduced.read()
        assert stored.shape[1:] == layer.pyramid.level_shape(level)
        for row in range(2):
            for col in range(2):
                window = layer.pyramid.tile(level, row, col)
                if window is not None:
                    rows, cols = window.slices
                    read = layer.read((1,), level, window)[0]
                    assert np.array_equal(read, stored[:, rows, cols])


def test_pixels_without_data_are_transparent(tmp_path: Path, rng) -> None:
    image = rng.integers(1, 200, (3, 37, 31)).astype(np.float32)
    image[1, 3, 4] = np.nan
    image[0, 5, 6] = -9999
    layer = layer_of(tmp_path / "a.tif", image, nodata=-9999)
    three = decoded(render_tile(layer, 0, 0, 0, Look((1, 2, 3), ((0, 200),) * 3)))
    hidden = np.argwhere(three[..., 3] == 0).tolist()
    assert hidden == [[3, 4], [5, 6]]
    one = decoded(render_tile(layer, 0, 0, 0, Look((2,), ((0, 200),))))
    assert np.argwhere(one[..., 3] == 0).tolist() == [[3, 4]]


def test_mask_and_alpha_bands_count(tmp_path: Path, rng) -> None:
    image = rng.integers(1, 255, (2, 37, 31)).astype(np.uint8)
    image[1] = 255
    image[1, 10:20, 5:9] = 0
    path = write_tif(tmp_path / "alpha.tif", image, PLACE, alpha="yes")
    with_alpha = FileLayer("0", str(path), "alpha.tif")
    assert list(with_alpha.bands) == [1]
    masked = tmp_path / "mask.tif"
    write_tif(masked, image[:1], PLACE)
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(masked, "r+") as file:
        file.write_mask(image[1])
    for layer in (with_alpha, FileLayer("0", str(masked), "mask.tif")):
        shown = decoded(render_tile(layer, 0, 0, 0, Look((1,), ((0, 255),))))
        assert np.array_equal(shown[..., 3], image[1])


def test_a_difference_is_averaged_after_it_is_taken(tmp_path: Path, rng) -> None:
    # Means of the two are equal everywhere: a difference of means would be 0.
    first = np.full((3, 16, 768), 1000, np.uint16)
    second = first.copy()
    second[:, ::2, ::2] += 40
    second[:, 1::2, ::2] -= 40
    second[2] += 30
    layers = [layer_of(tmp_path / f"{k}.tif", im) for k, im in enumerate((first, second))]
    difference = DifferenceLayer(*layers)
    exact = np.abs(first.astype(float) - second)
    everything = np.ones(first.shape[1:], bool)
    for level in (0, 1, 2):
        window = Window.whole(difference.pyramid.level_shape(level))
        values, valid = difference.read((0, 1, 3), level, window)
        assert valid.all()
        means, _ = block_means(exact, everything, 2**level)
        assert np.allclose(values[0], means.mean(axis=0), atol=1e-3)
        assert np.allclose(values[1:], means[[0, 2]], atol=1e-3)


def test_differences_do_not_wrap_around(tmp_path: Path) -> None:
    low, high = np.zeros((1, 31, 37), np.uint8), np.full((1, 31, 37), 250, np.uint8)
    layers = [layer_of(tmp_path / f"{k}.tif", image) for k, image in enumerate((low, high))]
    values, _ = DifferenceLayer(*layers).read((1,), 0, Window(0, 0, 31, 37))
    assert (values == 250).all()


def test_a_difference_is_known_where_both_files_are(tmp_path: Path) -> None:
    images = [np.full((1, 31, 37), 9, np.uint8) for _ in range(2)]
    images[0][0, 3, 4] = images[1][0, 7, 8] = 0
    layers = [layer_of(tmp_path / f"{k}.tif", im, nodata=0) for k, im in enumerate(images)]
    _, valid = DifferenceLayer(*layers).read((0,), 0, Window(0, 0, 31, 37))
    assert np.argwhere(~valid).tolist() == [[3, 4], [7, 8]]


def test_differences_need_one_grid(tmp_path: Path) -> None:
    image = np.ones((1, 31, 37), np.uint8)
    first = layer_of(tmp_path / "a.tif", image)
    path = write_tif(tmp_path / "b.tif", image[:, :30], PLACE)
    other = FileLayer("1", str(path), "b.tif", first.plane)
    with pytest.raises(GridMismatchError, match=r"31 x 37 pixels and 1 band and b\.tif 30"):
        DifferenceLayer(first, other)


def test_the_heat_palette_runs_from_dark_to_bright(tmp_path: Path) -> None:
    image = np.arange(256, dtype=np.uint8).reshape(1, 16, 16)
    layer = layer_of(tmp_path / "a.tif", image)
    tile = decoded(render_tile(layer, 0, 0, 0, Look((1,), ((0, 255),), "heat"))).reshape(-1, 3)
    assert tile[0].tolist() == [10, 10, 30]
    assert tile[-1].tolist() == [255, 250, 225]
    brightness = tile @ np.array([0.299, 0.587, 0.114])
    assert (np.diff(brightness) > -0.7).all()
    assert len(np.unique(tile, axis=0)) == 256


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ({"limits": "0:1"}, "got none"),
        ({"bands": "1,2", "limits": "0:1,0:1"}, "got 1,2"),
        ({"bands": "4", "limits": "0:1"}, "one band or three of 1 to 3"),
        ({"bands": "-1", "limits": "0:1"}, "got -1"),
        ({"bands": "1", "limits": "1:1"}, "low below high"),
        ({"bands": "1", "limits": "0:inf"}, "low below high"),
        ({"bands": "1", "limits": "0:1,0:1"}, "each of 1 bands"),
        ({"bands": "1", "limits": "zero:1"}, "low:high"),
        ({"bands": "1", "limits": "0:1", "palette": "/etc"}, "grey, heat"),
    ],
)
def test_impossible_looks_are_refused(tmp_path: Path, query: dict[str, str], words: str) -> None:
    layer = layer_of(tmp_path / "a.tif", np.ones((3, 31, 37), np.uint8))
    with pytest.raises(ConfigError, match=words):
        Look.parse(query, layer)


def test_a_damaged_file_is_told_in_a_sentence(tmp_path: Path, rng) -> None:
    image = rng.integers(0, 255, (1, 600, 600), dtype=np.uint8)
    layer = layer_of(tmp_path / "a.tif", image, tiled=True, blockxsize=256, blockysize=256)
    with (tmp_path / "a.tif").open("r+b") as file:
        file.truncate(100_000)
    with pytest.raises(FileFormatError, match=r"a\.tif could not be read at rows 512 to 600"):
        render_tile(layer, 0, 2, 2, Look((1,), ((0, 255),)))


def test_overviews_leave_the_file_alone(tmp_path: Path, rng) -> None:
    path = write_tif(tmp_path / "a.tif", rng.integers(0, 255, (2, 600, 300), np.uint8), PLACE)
    before = path.read_bytes()
    path.chmod(0o444)
    assert build_beside(str(path)) == tmp_path / "a.tif.ovr"
    assert path.read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.tif", "a.tif.ovr"]
    assert build_beside(str(path)) is None
    with rasterio.open(path) as dataset:
        assert dataset.overviews(1) == [2, 4]
        assert dataset.read(1, out_shape=(300, 150), resampling=Resampling.nearest).any()
