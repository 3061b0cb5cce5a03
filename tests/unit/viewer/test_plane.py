"""Placement, coordinates and the scale, against closed forms."""

from __future__ import annotations

import math

import pytest
from affine import Affine

from bandweave.errors import GridMismatchError
from bandweave.grid import Grid
from bandweave.viewer.plane import Plane, require_same_datum

UTM = "EPSG:32633"


def test_a_coarse_grid_lies_where_its_transform_says() -> None:
    plane = Plane(Grid((40, 60), Affine(0.5, 0, 500000, 0, -0.5, 5000000), UTM))
    placed = plane.placement(Grid((9, 14), Affine(2, 0, 500003, 0, -2, 4999999), UTM), "ms")
    assert list(placed)[:6] == pytest.approx([4, 0, 6, 0, 4, 2])
    assert plane.ground(6, 2) == (500003, 4999999)


@pytest.mark.parametrize("shape", [(325, 325), (326, 325)])
def test_without_georeference_the_shapes_give_the_ratio(shape: tuple[int, int]) -> None:
    plane = Plane(Grid((1302, 1300)))
    assert list(plane.placement(Grid(shape), "ms"))[:6] == [4, 0, 0, 0, 4, 0]
    assert plane.ground(3, 4) is None
    assert plane.geographic(3, 4) is None
    assert plane.metres_per_pixel is None


def test_the_first_file_may_be_the_coarse_one() -> None:
    placed = Plane(Grid((325, 325))).placement(Grid((1300, 1300)), "pan")
    assert placed.a == placed.e == 0.25


def test_other_shapes_are_another_scene() -> None:
    with pytest.raises(GridMismatchError, match=r"b\.tif has 400 x 325"):
        Plane(Grid((1300, 1300))).placement(Grid((400, 325)), "b.tif")


def test_georeference_on_one_of_two_is_refused() -> None:
    plane = Plane(Grid((40, 60), Affine(0.5, 0, 0, 0, -0.5, 0), UTM))
    with pytest.raises(GridMismatchError, match=r"b\.tif and the first file"):
        plane.placement(Grid((40, 60)), "b.tif")


@pytest.mark.parametrize("latitude", [0.0, 31.23, 60.0])
def test_a_pixel_in_degrees_is_as_wide_as_its_parallel_is_long(latitude: float) -> None:
    step = 1e-5
    grid = Grid((3, 3), Affine(step, 0, 20, 0, -step, latitude + 1.5 * step), "EPSG:4326")
    # Prime vertical radius of the WGS 84 ellipsoid, from its semi-axes.
    a, b = 6378137.0, 6356752.314245
    cos, sin = math.cos(math.radians(latitude)), math.sin(math.radians(latitude))
    parallel = 2 * math.pi * a**2 * cos / math.hypot(a * cos, b * sin)
    assert Plane(grid).metres_per_pixel == pytest.approx(parallel * step / 360, rel=1e-9)


def test_a_pixel_in_metres_has_the_scale_of_its_projection() -> None:
    # On the central meridian UTM shrinks by 0.9996, on both axes.
    grid = Grid((4, 4), Affine(10, 0, 500000 - 20, 0, -10, 5000000), UTM)
    assert Plane(grid).metres_per_pixel == pytest.approx(10 / 0.9996, rel=1e-6)


def test_the_corner_of_a_utm_zone_is_its_central_meridian_on_the_equator() -> None:
    plane = Plane(Grid((4, 4), Affine(10, 0, 500000, 0, -10, 0), UTM))
    assert plane.geographic(0, 0) == pytest.approx((15.0, 0.0), abs=1e-9)


def test_datums_are_compared_not_projections() -> None:
    require_same_datum("EPSG:32634", UTM, "b.tif")
    require_same_datum("EPSG:4326", UTM, "b.tif")
    with pytest.raises(GridMismatchError, match=r"b\.tif is on European_Terrestrial"):
        require_same_datum("EPSG:25833", UTM, "b.tif")
