"""Pairs read from files: where pixels come from, and what happens to bad files."""

from __future__ import annotations

import itertools
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.control import GroundControlPoint
from rasterio.rpc import RPC

from bandweave.errors import (
    AlignmentWarning,
    BandCountError,
    FileFormatError,
    FusionError,
    GridMismatchError,
    NodataError,
)
from bandweave.raster.reader import RasterPair, open_image, open_pair
from bandweave.sensors import find_sensor
from bandweave.window import Window
from scenes import write_tif

FINE = Affine(0.5, 0, 400_000.0, 0, -0.5, 5_000_000.0)


def plane(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return a plane over the ground: what is linear survives any sound interpolation."""
    return 3.0 * (x - 400_000) + 5.0 * (5_000_000 - y) + 1000


def plane_image(shape: tuple[int, int], transform: Affine, dtype: str = "float64") -> np.ndarray:
    """Sample the plane at pixel centres."""
    rows, cols = np.mgrid[: shape[0], : shape[1]]
    x, y = transform * (cols + 0.5, rows + 0.5)
    return plane(x, y)[None].astype(dtype)


def write_planes(
    folder: Path,
    *,
    rows: float = 0.0,
    cols: float = 0.0,
    ratio: float = 4.0,
    pan_shape: tuple[int, int] = (150, 126),
    ms_shape: tuple[int, int] = (37, 31),
    content: tuple[float, float] = (0.0, 0.0),
) -> tuple[Path, Path]:
    """Write a PAN and an MS that show the same plane.

    The corner of the MS lies `rows`, `cols` PAN pixels inside the PAN; the PAN's content is
    displaced by `content` pixels against what its grid says.
    """
    coarse = FINE * Affine.translation(cols, rows) * Affine.scale(ratio)
    displaced = FINE * Affine.translation(-content[1], -content[0])
    pan = plane_image(pan_shape, displaced)
    spectral = plane_image(ms_shape, coarse)
    return (
        write_tif(folder / "pan.tif", pan, FINE),
        write_tif(folder / "ms.tif", np.concatenate([spectral, 2 * spectral]), coarse),
    )


def read_whole(pair: RasterPair, dtype=np.float64):
    return pair.read(Window.whole(pair.profile.shape), dtype)


def spectral_from_pan(pair: RasterPair) -> np.ndarray:
    """Read the plane off the spatial image at the places that the phase states."""
    whole = read_whole(pair)
    places = [
        pair.profile.ratio * np.arange(size) + phase
        for size, phase in zip(whole.spectral.shape[1:], pair.profile.phase, strict=True)
    ]
    spatial = whole.spatial[0]
    slope_rows, slope_cols = spatial[1, 0] - spatial[0, 0], spatial[0, 1] - spatial[0, 0]
    return spatial[0, 0] + slope_rows * places[0][:, None] + slope_cols * places[1][None]


@pytest.mark.parametrize("shift", [(0.0, 0.0), (1.0, 2.0), (0.3, 1.8), (-2.6, -5.5)])
@pytest.mark.parametrize("content", [(0.0, 0.0), (2.8, -0.7)])
@pytest.mark.parametrize("ratio", [2, 3, 4, 4.08])
def test_the_phase_says_where_the_spectral_samples_lie(tmp_path, shift, content, ratio) -> None:
    paths = write_planes(tmp_path, rows=shift[0], cols=shift[1], ratio=ratio, content=content)
    is_resampled = ratio != round(ratio)
    with warnings.catch_warnings():
        if is_resampled:
            warnings.simplefilter("ignore", AlignmentWarning)
        pair = open_pair(*paths, offset=content)
    with pair:
        whole = read_whole(pair)
        expected = spectral_from_pan(pair)
    assert whole.valid is None
    # Phases are kept to a thousandth of a pixel, over which the plane changes by 0.004.
    found = whole.spectral
    if is_resampled:
        # At its rim the resampling repeats the outermost MS pixels.
        found, expected = found[:, 2:-2, 2:-2], expected[2:-2, 2:-2]
    np.testing.assert_allclose(found[0], expected, atol=0.004)
    np.testing.assert_allclose(found[1], 2 * expected, atol=0.008)


def test_pan_pixels_are_never_moved(tmp_path) -> None:
    paths = write_planes(tmp_path, rows=1.3, cols=2.7)
    with open_pair(*paths) as pair, rasterio.open(paths[0]) as pan:
        whole = read_whole(pair)
        origin = pair.nesting.pan_window
        rows, cols = origin.slices
        assert np.array_equal(whole.spatial, pan.read()[:, rows, cols])
        assert pair.grid is not None
        assert pair.grid.transform == pan.transform * Affine.translation(origin.col, origin.row)


@pytest.mark.parametrize("ratio", [4, 4.08])
@pytest.mark.parametrize("extent", ["intersection", "pan"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_window_holds_the_pixels_of_the_whole(tmp_path, ratio, extent, dtype) -> None:
    paths = write_planes(tmp_path, rows=-5.4, cols=9.7, ratio=ratio)
    with rasterio.open(paths[1], "r+") as file:
        spectral = file.read()
        spectral[0, 10:20, 5:9] = np.nan
        file.write(spectral)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AlignmentWarning)
        pair = open_pair(*paths, extent=extent, offset=(0.6, 0.0))
    with pair:
        whole = read_whole(pair, dtype)
        assert whole.spatial.dtype == dtype
        height, width = pair.profile.shape
        for row, col in itertools.product(range(0, height, 36), range(0, width, 28)):
            window = Window(row, col, 36, 28).intersection(Window.whole((height, width)))
            part, cut = pair.read(window, dtype), whole.crop(window)
            valid = np.ones(part.shape, bool) if part.valid is None else part.valid
            assert np.array_equal(valid, True if cut.valid is None else cut.valid)
            if valid.any():
                assert np.array_equal(part.spatial, cut.spatial)
                assert np.array_equal(part.spectral, cut.spectral)
            assert part.grid == cut.grid
            alone = pair.read_valid(window)
            assert np.array_equal(valid, np.ones(part.shape, bool) if alone is None else alone)


def test_extent_pan_covers_all_of_the_pan_and_marks_what_has_no_ms(tmp_path) -> None:
    paths = write_planes(tmp_path, rows=6, cols=3, ms_shape=(30, 25))
    with open_pair(*paths, extent="pan") as pair:
        whole = read_whole(pair)
        assert pair.output_window.shape == (150, 126)
        assert pair.nesting.grid.window(pair.output_window).transform == FINE
        rows, cols = pair.output_window.slices
    assert whole.valid is not None
    expected = np.zeros((150, 126), bool)
    expected[6 : 6 + 120, 3 : 3 + 100] = True
    assert np.array_equal(whole.valid[rows, cols], expected)
    assert not np.delete(whole.valid, np.r_[rows], axis=0).any()
    assert np.isfinite(whole.spatial).all()
    assert np.isfinite(whole.spectral).all()


def test_a_bad_pan_pixel_spoils_itself_and_a_bad_ms_pixel_its_block(tmp_path) -> None:
    paths = write_planes(tmp_path)
    for path, place in zip(paths, ((0, 50, 60), (1, 3, 2)), strict=True):
        with rasterio.open(path, "r+") as file:
            image = file.read()
            image[place] = np.nan
            file.write(image)
    with open_pair(*paths) as pair:
        whole = read_whole(pair)
    expected = np.ones(whole.shape, bool)
    expected[50, 60] = False
    expected[12:16, 8:12] = False
    assert np.array_equal(whole.valid, expected)


def test_uint16_is_exact(tmp_path, rng) -> None:
    pan = rng.integers(0, 65536, (1, 64, 48)).astype("uint16")
    spectral = rng.integers(0, 65536, (3, 16, 12)).astype("uint16")
    paths = (
        write_tif(tmp_path / "pan.tif", pan, FINE),
        write_tif(tmp_path / "ms.tif", spectral, FINE * Affine.scale(4)),
    )
    with open_pair(*paths) as pair:
        for dtype in (np.float32, np.float64):
            whole = read_whole(pair, dtype)
            assert np.array_equal(whole.spatial, pan)
            assert np.array_equal(whole.spectral, spectral)
        assert whole.valid is None


def test_bands_are_chosen_from_one(tmp_path) -> None:
    paths = write_planes(tmp_path)
    with open_pair(*paths, bands=[2]) as pair, open_pair(*paths) as both:
        assert pair.profile.bands == 1
        assert np.array_equal(read_whole(pair).spectral, read_whole(both).spectral[1:])
    with pytest.raises(BandCountError, match=r"ms\.tif has bands 1 to 2"):
        open_pair(*paths, bands=[3])


def test_a_spatial_image_may_have_several_bands(tmp_path, rng) -> None:
    paths = (
        write_tif(tmp_path / "msi.tif", rng.random((3, 64, 48)), FINE),
        write_tif(tmp_path / "hsi.tif", rng.random((31, 16, 12)), FINE * Affine.scale(4)),
    )
    with open_pair(*paths) as pair:
        assert pair.profile.spatial_bands == 3
        assert pair.profile.bands == 31


def test_threads_read_the_same_pixels(tmp_path) -> None:
    paths = write_planes(tmp_path)
    with open_pair(*paths) as pair:
        whole = read_whole(pair)
        windows = [Window(4 * k, 4 * k, 16, 20) for k in range(20)] * 5
        with ThreadPoolExecutor(4) as pool:
            parts = list(pool.map(lambda window: pair.read(window, np.float64), windows))
    for window, part in zip(windows, parts, strict=True):
        assert np.array_equal(part.spectral, whole.crop(window).spectral)


def test_a_closed_pair_reads_no_more(tmp_path) -> None:
    with open_pair(*write_planes(tmp_path)) as pair:
        pass
    with pytest.raises(ValueError, match="closed"):
        read_whole(pair)


def test_without_georeference_one_warning_of_ours_is_given(tmp_path, rng) -> None:
    paths = (
        write_tif(tmp_path / "pan.tif", rng.random((1, 64, 48)), None),
        write_tif(tmp_path / "ms.tif", rng.random((4, 16, 12)), None),
    )
    with pytest.warns(AlignmentWarning, match=r"pan\.tif and ms\.tif have no georef") as caught:
        pair = open_pair(*paths)
    assert len(caught) == 1
    with pair:
        assert pair.grid is None
        assert pair.profile.phase == (1.5, 1.5)
        assert read_whole(pair).grid is None


def camera(line_off: float = 100.0, samp_off: float = 50.0) -> RPC:
    """Return a camera model with numbers of no meaning."""
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


def test_rpcs_and_control_points_are_said_to_be_of_no_use_here(tmp_path, rng) -> None:
    points = [GroundControlPoint(0, 0, 15, 45), GroundControlPoint(10, 10, 15.1, 44.9)]
    paths = (
        write_tif(tmp_path / "pan.tif", rng.random((1, 64, 48)), None, rpcs=camera()),
        write_tif(tmp_path / "ms.tif", rng.random((4, 16, 12)), None, gcps=points, crs="EPSG:4326"),
    )
    with pytest.warns(AlignmentWarning) as caught:
        open_pair(*paths).close()
    said = sorted(str(warning.message) for warning in caught)
    assert said[0].startswith("ms.tif carries ground control points but no affine transform")
    assert said[1].startswith("pan.tif and ms.tif have no georeference")
    assert said[2].startswith("pan.tif carries RPCs but no affine transform")


def test_a_pixel_is_point_file_lies_where_gdal_puts_it(tmp_path, rng) -> None:
    paths = write_planes(tmp_path)
    with rasterio.open(paths[0], "r+") as file:
        file.update_tags(AREA_OR_POINT="Point")
    with open_pair(*paths) as pair:
        assert pair.profile.phase == (1.5, 1.5)
        assert pair.nesting.pan_window.row == 0


def test_the_sensor_comes_from_metadata_only_where_the_bands_fit(tmp_path, rng) -> None:
    pan = write_tif(tmp_path / "pan.tif", np.ones((1, 64, 48), "uint16"), FINE)
    for bands in (8, 4):
        write_tif(
            tmp_path / f"{bands}.tif", np.ones((bands, 16, 12), "uint16"), FINE * Affine.scale(4)
        )
        # What GDAL's reader of Maxar deliveries needs to see.
        (tmp_path / f"{bands}.IMD").write_text(
            'version = "R";\nbandId = "Multi";\nBEGIN_GROUP = IMAGE_1\n\tsatId = "WV03";\n'
            "\tfirstLineTime = 2015-10-10T10:10:10.000000Z;\nEND_GROUP = IMAGE_1\nEND;\n"
        )
    with open_pair(pan, tmp_path / "8.tif") as pair:
        assert pair.profile.sensor == find_sensor("wv3")
        assert pair.profile.full_scale == 2047
    with open_pair(pan, tmp_path / "4.tif") as pair:
        assert pair.profile.sensor is None
        assert pair.profile.full_scale is None


def test_the_scale_is_given_stated_or_the_sensors_but_never_guessed(tmp_path) -> None:
    def paths(dtype: str, **profile):
        return (
            write_tif(tmp_path / "pan.tif", np.ones((1, 64, 48), dtype), FINE, **profile),
            write_tif(
                tmp_path / "ms.tif", np.ones((8, 16, 12), dtype), FINE * Affine.scale(4), **profile
            ),
        )

    def scale(files, **options) -> float | None:
        with open_pair(*files, **options) as pair:
            return pair.profile.full_scale

    assert scale(paths("uint16")) is None
    assert scale(paths("uint16", nbits=12)) == 4095
    assert scale(paths("uint16", nbits=12), full_scale=3000.0) == 3000
    assert scale(paths("uint16"), sensor=find_sensor("wv3")) == 2047
    # Radiance and reflectance do not share the scale of the sensor's DN.
    assert scale(paths("float32"), sensor=find_sensor("wv3")) is None


def good_pair(folder: Path) -> dict[str, Path]:
    pan, ms = write_planes(folder)
    return {"pan": pan, "ms": ms}


@pytest.mark.parametrize("role", ["pan", "ms"])
@pytest.mark.parametrize("compress", [None, "deflate", "zstd"])
@pytest.mark.parametrize("kept", [0.02, 0.5, 0.98])
def test_a_truncated_file_is_told_before_any_work(tmp_path, rng, role, compress, kept) -> None:
    paths = good_pair(tmp_path)
    with rasterio.open(paths[role]) as file:
        profile, image = file.profile, rng.random(file.read().shape)
    with rasterio.open(paths[role], "w", **{**profile, "compress": compress}) as file:
        file.write(image)
    whole = paths[role].read_bytes()
    paths[role].write_bytes(whole[: int(len(whole) * kept)])
    with pytest.raises(FileFormatError, match=rf"{role}\.tif.*damaged"):
        open_pair(paths["pan"], paths["ms"])


def test_damage_in_the_middle_is_told_with_its_place(tmp_path, rng) -> None:
    path = write_tif(
        tmp_path / "a.tif",
        rng.random((1, 512, 256)),
        FINE,
        compress="zstd",
        tiled=True,
        blockxsize=256,
        blockysize=256,
    )
    data = bytearray(path.read_bytes())
    middle = len(data) // 4
    data[middle : middle + 5000] = bytes(5000)
    path.write_bytes(data)
    with open_image(path) as image, pytest.raises(FileFormatError, match="rows 0 to 256"):
        image.read(Window(0, 0, 256, 256), np.float32)


@pytest.mark.parametrize("role", ["pan", "ms"])
def test_files_that_are_no_raster_are_told(tmp_path, role) -> None:
    paths = good_pair(tmp_path)
    missing = {**paths, role: tmp_path / "none.tif"}
    folder = {**paths, role: tmp_path}
    text = tmp_path / "notes.txt"
    text.write_text("not a raster")
    for files, message in (
        (missing, r"there is no file .*none\.tif"),
        (folder, "is a folder"),
        ({**paths, role: text}, r"cannot open .*notes\.txt"),
    ):
        with pytest.raises(FileFormatError, match=message):
            open_pair(files["pan"], files["ms"])


def test_complex_values_are_refused(tmp_path) -> None:
    path = write_tif(tmp_path / "a.tif", np.ones((1, 8, 8), "complex64"), FINE)
    with pytest.raises(FileFormatError, match="complex64"):
        open_image(path)


def test_a_container_of_several_images_names_its_parts(tmp_path) -> None:
    import h5py

    with h5py.File(tmp_path / "two.h5", "w") as file:
        file["one"], file["two"] = np.ones((8, 8)), np.ones((8, 8))
    with pytest.raises(FileFormatError, match="//one"):
        open_image(tmp_path / "two.h5")


@pytest.mark.parametrize("role", ["pan", "ms"])
@pytest.mark.parametrize("value", [np.nan, -9999.0])
def test_a_scene_without_a_usable_pixel_is_refused(tmp_path, role, value) -> None:
    paths = good_pair(tmp_path)
    with rasterio.open(paths[role], "r+") as file:
        file.nodata = -9999
        file.write(np.full((file.count, *file.shape), value))
    with pytest.raises(NodataError, match="every pixel"):
        open_pair(paths["pan"], paths["ms"])


def test_one_usable_pixel_in_a_corner_is_enough(tmp_path) -> None:
    paths = good_pair(tmp_path)
    with rasterio.open(paths["pan"], "r+") as file:
        image = np.full((1, *file.shape), np.nan)
        image[0, 0, 0] = 1.0
        file.write(image)
    with open_pair(paths["pan"], paths["ms"]) as pair:
        whole = read_whole(pair)
    assert whole.valid is not None
    assert whole.valid.sum() == 1


def test_data_valid_in_different_places_leave_nothing(tmp_path) -> None:
    paths = good_pair(tmp_path)
    with rasterio.open(paths["pan"], "r+") as file:
        image = file.read()
        image[:, :80] = np.nan
        file.write(image)
    with rasterio.open(paths["ms"], "r+") as file:
        image = file.read()
        image[:, 20:] = np.nan
        file.write(image)
    with pytest.raises(NodataError, match="in one of the two"):
        open_pair(paths["pan"], paths["ms"])


def test_a_mask_that_neither_file_has_is_refused(tmp_path) -> None:
    paths = good_pair(tmp_path)
    with pytest.raises(NodataError, match="`alpha`"):
        open_pair(paths["pan"], paths["ms"], mask="alpha")


def test_swapped_files_are_named(tmp_path) -> None:
    paths = good_pair(tmp_path)
    with pytest.raises(GridMismatchError, match=r"those of ms\.tif .* swapped"):
        open_pair(paths["ms"], paths["pan"])


def test_another_crs_names_the_file_to_warp(tmp_path) -> None:
    paths = good_pair(tmp_path)
    with rasterio.open(paths["ms"], "r+") as file:
        file.crs = "EPSG:32634"
    with pytest.raises(GridMismatchError, match=r"gdalwarp -t_srs EPSG:32633 .* ms\.tif ms_warped"):
        open_pair(paths["pan"], paths["ms"])


def test_errors_leave_no_file_open(tmp_path) -> None:
    paths = good_pair(tmp_path)
    fds = Path("/proc/self/fd")
    if not fds.exists():
        pytest.skip("needs /proc to count open files")
    before = len(list(fds.iterdir()))
    for files in ((paths["ms"], paths["pan"]), (paths["pan"], tmp_path / "none.tif")):
        with pytest.raises(FusionError):
            open_pair(*files)
    assert len(list(fds.iterdir())) == before
