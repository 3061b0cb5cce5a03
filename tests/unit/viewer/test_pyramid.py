"""Tile arithmetic, against counting."""

from __future__ import annotations

import pytest

from bandweave.viewer.pyramid import TILE, Pyramid
from bandweave.window import Window


@pytest.mark.parametrize(
    ("shape", "levels"),
    [((1, 1), 1), ((256, 256), 1), ((257, 3), 2), ((512, 512), 2), ((513, 1), 3), ((40000, 9), 9)],
)
def test_the_last_level_is_the_first_that_fits_a_tile(shape: tuple[int, int], levels: int) -> None:
    pyramid = Pyramid(shape)
    assert pyramid.levels == levels
    assert max(pyramid.level_shape(levels - 1)) <= TILE
    if levels > 1:
        assert max(pyramid.level_shape(levels - 2)) > TILE


@pytest.mark.parametrize("level", [0, 1, 2, 3])
def test_tiles_cover_each_pixel_of_a_level_once(level: int) -> None:
    pyramid = Pyramid((1301, 777))
    height, width = pyramid.level_shape(level)
    seen = 0
    for row in range(9):
        for col in range(9):
            window = pyramid.tile(level, row, col)
            if window is not None:
                assert window.row == row * TILE
                assert window.col == col * TILE
                seen += window.height * window.width
    assert seen == height * width


def test_there_is_no_tile_beside_the_image() -> None:
    pyramid = Pyramid((300, 300))
    assert pyramid.tile(0, 1, 1) == Window(256, 256, 44, 44)
    for place in [(0, 2, 0), (0, 0, 2), (0, -1, 0), (2, 0, 0), (-1, 0, 0)]:
        assert pyramid.tile(*place) is None


def test_a_whole_level_is_the_whole_image() -> None:
    pyramid = Pyramid((1301, 777))
    for level in range(pyramid.levels):
        whole = Window.whole(pyramid.level_shape(level))
        assert pyramid.on_image(level, whole) == pytest.approx((0, 0, 1301, 777))
