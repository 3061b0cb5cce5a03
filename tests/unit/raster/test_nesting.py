"""Nesting is proven on the ground: where a sample lies follows from the transforms alone."""

from __future__ import annotations

import re

import pytest
import rasterio.crs
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st

from bandweave.errors import GridMismatchError
from bandweave.grid import Grid
from bandweave.raster.nesting import Nesting, nest
from bandweave.window import Window

CRS = "EPSG:32633"
FINE = Affine(0.5, 0, 400_000.0, 0, -0.5, 5_000_000.0)


def pan_grid(height: int = 148, width: int = 124) -> Grid:
    return Grid((height, width), FINE, CRS)


def ms_grid(
    height: int = 37,
    width: int = 31,
    *,
    rows: float = 0.0,
    cols: float = 0.0,
    ratio: float = 4.0,
) -> Grid:
    """Return an MS grid whose corner lies `rows`, `cols` PAN pixels inside the PAN."""
    return Grid((height, width), FINE * Affine.translation(cols, rows) * Affine.scale(ratio), CRS)


def sample_ground(nesting: Nesting, row: int, col: int) -> tuple[float, float]:
    """Return ground (x, y) of coarse sample (row, col) as the nesting states it."""
    fine_row = nesting.ratio * row + nesting.phase[0]
    fine_col = nesting.ratio * col + nesting.phase[1]
    assert nesting.grid.transform is not None
    return nesting.grid.transform * (fine_col + 0.5, fine_row + 0.5)


def pixel_ground(grid: Grid, row: float, col: float) -> tuple[float, float]:
    assert grid.transform is not None
    return grid.transform * (col + 0.5, row + 0.5)


def test_registered_grids_have_the_phase_of_the_corner() -> None:
    nesting = nest(pan_grid(), ms_grid())
    assert nesting.ratio == 4
    assert nesting.phase == (1.5, 1.5)
    assert nesting.pan_window == Window(0, 0, 148, 124)
    assert nesting.ms_window == Window(0, 0, 37, 31)
    assert nesting.resampling is None
    assert nesting.remarks == ()


@pytest.mark.parametrize("ratio", [2, 3, 4, 6, 30])
def test_any_whole_ratio(ratio: int) -> None:
    nesting = nest(pan_grid(ratio * 37, ratio * 31), ms_grid(ratio=ratio))
    assert nesting.ratio == ratio
    assert nesting.phase == ((ratio - 1) / 2, (ratio - 1) / 2)


def test_a_pan_one_or_two_pixels_larger_is_cropped() -> None:
    nesting = nest(pan_grid(149, 126), ms_grid())
    assert nesting.pan_window == Window(0, 0, 148, 124)
    assert nesting.phase == (1.5, 1.5)


def test_a_whole_shift_moves_the_pan_window_only() -> None:
    nesting = nest(pan_grid(), ms_grid(34, 27, rows=1, cols=2))
    assert nesting.pan_window == Window(1, 2, 136, 108)
    assert nesting.ms_window == Window(0, 0, 34, 27)
    assert nesting.phase == (1.5, 1.5)


def test_a_fraction_of_a_pixel_is_carried_by_the_phase() -> None:
    nesting = nest(pan_grid(), ms_grid(35, 29, rows=2.3, cols=3.8))
    assert nesting.pan_window == Window(2, 4, 140, 116)
    assert nesting.phase == pytest.approx((1.8, 1.3))


def test_a_half_pixel_gives_the_phase_of_the_toolboxes() -> None:
    # Landsat's PAN corner lies half a PAN pixel off that of the 30 m bands.
    nesting = nest(pan_grid(), ms_grid(70, 60, rows=0.5, cols=-0.5, ratio=2))
    assert nesting.phase == (1.0, 1.0)
    assert nesting.pan_window.row == 0
    assert nesting.pan_window.col == 1
    assert nesting.ms_window.col == 1


def test_files_simulated_at_phase_ratio_over_two_keep_all_their_pixels() -> None:
    nesting = nest(pan_grid(), ms_grid(35, 31, rows=0.5, cols=0.5))
    assert nesting.phase == (2.0, 2.0)
    assert nesting.pan_window == Window(0, 0, 140, 124)


def test_only_whole_ms_pixels_inside_the_pan_are_kept() -> None:
    nesting = nest(pan_grid(), ms_grid(80, 80, rows=-9.0, cols=-8.0))
    # Rows -9, -5, -1, 3: the first whole block starts at row 3, MS row 3.
    assert nesting.ms_window == Window(3, 2, 36, 31)
    assert nesting.pan_window == Window(3, 0, 144, 124)


@settings(max_examples=60, deadline=None)
@given(
    ratio=st.integers(2, 6),
    rows=st.floats(-30, 30),
    cols=st.floats(-30, 30),
    extent=st.sampled_from(["intersection", "pan"]),
    offset=st.tuples(st.floats(-6, 6), st.floats(-6, 6)),
)
def test_samples_lie_where_the_transforms_put_them(ratio, rows, cols, extent, offset) -> None:
    pan, coarse = pan_grid(131, 127), ms_grid(29, 23, rows=rows, cols=cols, ratio=ratio)
    nesting = nest(pan, coarse, extent=extent, offset=offset)
    middle = (ratio - 1) / 2
    assert all(abs(phase - middle) <= 0.5 for phase in nesting.phase)
    start = nesting.ms_window
    for row, col in ((0, 0), (nesting.coarse_shape[0] - 1, nesting.coarse_shape[1] - 1)):
        x, y = sample_ground(nesting, row, col)
        # The PAN shows the content of a ground point `offset` pixels further down and right.
        true_x, true_y = pixel_ground(coarse, start.row + row, start.col + col)
        assert x == pytest.approx(true_x + 0.5 * offset[1], abs=0.5e-3)
        assert y == pytest.approx(true_y - 0.5 * offset[0], abs=0.5e-3)
    inside = Window.whole(pan.shape)
    if extent == "intersection":
        assert inside.contains(nesting.pan_window)
        assert Window.whole(coarse.shape).contains(nesting.ms_window)
        assert nesting.output_window == Window.whole(nesting.grid.shape)
    else:
        assert nesting.output_window.shape == pan.shape
        assert nesting.grid.window(nesting.output_window).transform.almost_equals(FINE)
    assert nesting.grid.shape[0] % ratio == nesting.grid.shape[1] % ratio == 0


def test_the_intersection_is_as_large_as_it_can_be() -> None:
    for shift in (-13.0, -4.0, -0.4, 0.0, 0.4, 3.0, 4.0, 17.0):
        nesting = nest(pan_grid(131, 127), ms_grid(29, 23, rows=shift, cols=shift))
        grown = nesting.pan_window.padded(4)
        used = nesting.ms_window
        for fits_more in (
            grown.row >= 0 and used.row > 0,
            grown.row_stop <= 131 and used.row_stop < 29,
            grown.col >= 0 and used.col > 0,
            grown.col_stop <= 127 and used.col_stop < 23,
        ):
            assert not fits_more


def test_degree_grids_with_rounded_digits_count_as_whole() -> None:
    # Eleven decimals of a degree, as deliveries have them.
    pan = Grid((1300, 1300), Affine(2.7e-6, 0, 121.7446092, 0, -2.7e-6, 31.2312159), "EPSG:4326")
    coarse = Grid(
        (325, 325),
        Affine(1.08000003e-5, 0, 121.74460921, 0, -1.07999998e-5, 31.23121591),
        "EPSG:4326",
    )
    nesting = nest(pan, coarse)
    assert nesting.ratio == 4
    assert nesting.resampling is None
    assert nesting.phase == pytest.approx((1.5, 1.5), abs=0.01)
    assert max(nesting.drift) < 0.001


def test_a_small_drift_is_halved_by_fitting_the_middle() -> None:
    ratio = 4 + 0.04 / 37
    nesting = nest(pan_grid(), ms_grid(36, 30, ratio=ratio))
    assert nesting.resampling is None
    assert nesting.drift[0] == pytest.approx(0.02 * 36 / 37)
    first = sample_ground(nesting, 0, 0)[1] - pixel_ground(ms_grid(36, 30, ratio=ratio), 0, 0)[1]
    last = sample_ground(nesting, 35, 0)[1] - pixel_ground(ms_grid(36, 30, ratio=ratio), 35, 0)[1]
    assert first == pytest.approx(-last, abs=0.001)
    assert abs(first) <= 0.5 * 0.021


@pytest.mark.parametrize("extent", ["intersection", "pan"])
def test_a_ratio_near_a_whole_one_is_resampled_and_said(extent) -> None:
    coarse = ms_grid(36, 30, rows=1.3, cols=2.0, ratio=4.08)
    nesting = nest(pan_grid(), coarse, extent=extent, offset=(0.7, 0.0))
    assert nesting.ratio == 4
    assert nesting.phase == (1.5, 1.5)
    assert nesting.resampling is not None
    assert "resampled" in nesting.remarks[0]
    assert "4.08" in nesting.remarks[0]
    rows, cols = nesting.resampling
    for row, col in ((0, 0), (7, 11)):
        x, y = sample_ground(nesting, row, col)
        # Content of a ground point stands 0.7 rows further down in the PAN.
        at = rows.origin + rows.pitch * row, cols.origin + cols.pitch * col
        true_x, true_y = pixel_ground(coarse, *at)
        assert x == pytest.approx(true_x, abs=1e-6)
        assert y == pytest.approx(true_y - 0.35, abs=1e-6)


def test_the_resampled_intersection_stays_inside_both() -> None:
    coarse = ms_grid(36, 30, rows=-3.0, cols=2.2, ratio=3.9)
    nesting = nest(pan_grid(), coarse)
    assert Window.whole((148, 124)).contains(nesting.pan_window)
    assert nesting.resampling is not None
    for axis, count, size in zip(nesting.resampling, nesting.coarse_shape, (36, 30), strict=True):
        # Half a coarse pixel before the first and after the last centre is still MS.
        half = axis.pitch / 2
        assert axis.origin - half >= -0.5 - 1e-9
        assert axis.origin + axis.pitch * (count - 1) + half <= size - 0.5 + 1e-9


def test_south_up_and_turned_grids_nest_when_both_are() -> None:
    for base in (
        Affine(0.5, 0, 10, 0, 0.5, 20),
        Affine.translation(10, 20) * Affine.rotation(30) * Affine.scale(0.5, -0.5),
    ):
        pan = Grid((148, 124), base, CRS)
        coarse = Grid((35, 29), base * Affine.translation(2.3, 1) * Affine.scale(4), CRS)
        nesting = nest(pan, coarse)
        assert nesting.phase == pytest.approx((1.5, 1.8))
        assert nesting.pan_window == Window(1, 2, 140, 116)


def test_without_georeference_corners_are_shared_and_it_is_said() -> None:
    nesting = nest(Grid((148, 124)), Grid((37, 31)), names=("a.tif", "b.tif"))
    assert nesting.ratio == 4
    assert nesting.phase == (1.5, 1.5)
    assert nesting.remarks[0].startswith("a.tif and b.tif have no georeference")
    assert nesting.grid.transform is None


def test_one_file_without_georeference_keeps_the_place_of_the_other() -> None:
    nesting = nest(pan_grid(), Grid((37, 31)), names=("a.tif", "b.tif"))
    assert nesting.remarks[0].startswith("b.tif has no georeference")
    assert nesting.grid == pan_grid()


def test_an_offset_works_without_georeference() -> None:
    nesting = nest(Grid((148, 124)), Grid((37, 31)), offset=(2.8, -1.0))
    assert nesting.phase == pytest.approx((1.3, 1.5))
    # Rows: 3 are skipped and the last MS row falls off; columns: the first MS column does.
    assert nesting.pan_window == Window(3, 3, 144, 120)
    assert nesting.ms_window == Window(0, 1, 36, 30)


def test_one_missing_crs_is_taken_from_the_other_and_said() -> None:
    bare = Grid((37, 31), ms_grid().transform)
    nesting = nest(pan_grid(), bare, names=("a.tif", "b.tif"))
    assert nesting.phase == (1.5, 1.5)
    assert "b.tif has a transform but no coordinate reference system" in nesting.remarks[0]


def test_the_same_crs_written_differently_is_the_same() -> None:
    wkt = rasterio.crs.CRS.from_epsg(32633).to_wkt()
    assert nest(pan_grid(), Grid((37, 31), ms_grid().transform, wkt)).phase == (1.5, 1.5)


def warped_grid(message: str) -> Grid:
    """Return the grid that the gdalwarp call in a message makes."""
    numbers = r"(-?[\d.e+-]+)"
    found = re.search(rf"-tr {numbers} {numbers} -te {' '.join([numbers] * 4)}", message)
    assert found is not None, message
    x, y, west, south, east, north = map(float, found.groups())
    # As gdalwarp does: the extent is cut into pixels from its upper left corner.
    shape = round((north - south) / y), round((east - west) / x)
    return Grid(shape, Affine(x, 0, west, 0, -y, north), CRS)


def test_another_crs_names_the_call_that_makes_the_grids_nest() -> None:
    # The same place in the neighbouring zone.
    coarse = Grid((37, 31), Affine(2, 0, -61_000.0, 0, -2, 5_020_000.0), "EPSG:32634")
    with pytest.raises(GridMismatchError, match="EPSG:32633") as caught:
        nest(pan_grid(), coarse, names=("a.tif", "b.tif"))
    message = str(caught.value)
    assert "EPSG:32634" in message
    assert "`gdalwarp -t_srs EPSG:32633 -tr 2 2 -te " in message
    assert "b.tif b_warped.tif`" in message
    nesting = nest(pan_grid(), warped_grid(message))
    assert nesting.phase == (1.5, 1.5)
    assert nesting.pan_window == Window(0, 0, 148, 124)


def test_a_crs_that_does_not_reach_the_pan_still_gets_a_call() -> None:
    nowhere = Grid((37, 31), Affine(4, 0, 12.5, 0, -4, 470.0), "EPSG:4326")
    with pytest.raises(GridMismatchError, match="gdalwarp -t_srs EPSG:32633 -tr 2 2"):
        nest(pan_grid(), nowhere)


@pytest.mark.parametrize("ratio", [1.4, 2.5, 3.5, 4.3, 6.6])
def test_a_ratio_far_from_whole_names_the_call_that_makes_the_grids_nest(ratio: float) -> None:
    with pytest.raises(GridMismatchError, match="whole ratio") as caught:
        nest(pan_grid(), ms_grid(20, 18, ratio=ratio))
    nesting = nest(pan_grid(), warped_grid(str(caught.value)))
    assert nesting.resampling is None
    assert nesting.ratio == max(2, int(ratio))


def test_two_ratios_are_refused() -> None:
    coarse = Grid((37, 31), FINE * Affine.scale(4, 2), CRS)
    with pytest.raises(GridMismatchError, match="2 x 4 pixels"):
        nest(pan_grid(), coarse)


def test_turned_and_mirrored_grids_are_refused() -> None:
    assert FINE is not None
    for change in (Affine.rotation(2), Affine.shear(1, 0), Affine.scale(1, -1)):
        coarse = Grid((37, 31), FINE * change * Affine.scale(4), CRS)
        with pytest.raises(GridMismatchError, match="turned, sheared or mirrored"):
            nest(pan_grid(), coarse)


def test_swapped_images_are_named() -> None:
    with pytest.raises(GridMismatchError, match="swapped") as caught:
        nest(ms_grid(), pan_grid(), names=("ms.tif", "pan.tif"))
    assert "those of ms.tif (37 x 31) are 4 times larger" in str(caught.value)
    with pytest.raises(GridMismatchError, match="swapped"):
        nest(Grid((37, 31)), Grid((148, 124)))


def test_equal_pixels_leave_nothing_to_sharpen() -> None:
    with pytest.raises(GridMismatchError, match="nothing to sharpen"):
        nest(pan_grid(), pan_grid())


@pytest.mark.parametrize("extent", ["intersection", "pan"])
@pytest.mark.parametrize("ratio", [4.0, 4.1])
def test_no_overlap_says_where_both_lie(extent, ratio: float) -> None:
    for rows in (5000.0, -5000.0):
        with pytest.raises(GridMismatchError, match="at least one whole MS pixel"):
            nest(pan_grid(), ms_grid(rows=rows, ratio=ratio), extent=extent)


def test_less_than_one_ms_pixel_of_overlap_is_none() -> None:
    with pytest.raises(GridMismatchError, match="at least one whole MS pixel"):
        nest(pan_grid(), ms_grid(rows=145.0))


def test_shapes_that_are_no_multiple_need_georeference() -> None:
    with pytest.raises(GridMismatchError, match=r"575 x 580 and b\.tif 143 x 144"):
        nest(Grid((575, 580)), Grid((143, 144)), names=("a.tif", "b.tif"))
