"""The labelled picture: panels where they should be, pixel by pixel, and nothing half-written."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image as Picture

from bandweave.report.quicklook import (
    Panel,
    Stretch,
    framed,
    natural_colour,
    write_sheet,
    zoomed,
)
from bandweave.window import Window


def panel(colour: tuple[int, int, int], shape: tuple[int, int] = (37, 31)) -> Panel:
    return Panel("x", np.broadcast_to(np.uint8(colour), (*shape, 3)).copy())


def test_the_sheet_holds_every_panel_whole(tmp_path) -> None:
    colours = [(200, 10, 10), (10, 200, 10), (10, 10, 200), (200, 10, 200)]
    rows = [[panel(c) for c in colours[:2]], [panel(c) for c in colours[2:]]]
    write_sheet(tmp_path / "sheet.png", rows, "title", "one\ntwo")
    pixels = np.asarray(Picture.open(tmp_path / "sheet.png"))
    places = []
    for colour in colours:
        hits = np.argwhere((pixels == colour).all(axis=2))
        assert len(hits) == 37 * 31
        assert np.array_equal(np.ptp(hits, axis=0) + 1, (37, 31))
        places.append(hits.min(axis=0))
    assert places[0][0] == places[1][0] < places[2][0] == places[3][0]
    assert places[0][1] == places[2][1] < places[1][1] == places[3][1]


def test_a_broken_panel_leaves_no_file(tmp_path) -> None:
    with pytest.raises((TypeError, ValueError)):
        write_sheet(tmp_path / "sheet.png", [[Panel("x", np.zeros((5, 5, 7)))]], "t", "c")
    assert list(tmp_path.iterdir()) == []


def test_a_stretch_spans_its_quantiles_band_by_band() -> None:
    ramp = np.linspace(0, 1000, 1001)
    reference = np.stack([ramp, 2 * ramp + 5, -ramp]).reshape(3, 7, 143)
    stretch = Stretch.of(reference)
    assert stretch.low == pytest.approx((5, 15, -995))
    assert stretch.high == pytest.approx((995, 1995, -5))
    middle = np.array([500.0, 1005.0, -500.0]).reshape(3, 1, 1)
    # Half of the span, gamma 0.8: 0.5 ** 0.8 of 255.
    assert stretch.applied(middle).ravel().tolist() == [146, 146, 146]
    assert "5 to 995" in stretch.in_words()


def test_a_constant_image_can_be_shown() -> None:
    image = np.full((1, 5, 4), 7.0)
    assert Stretch.of(image).applied(image).shape == (5, 4, 3)


def test_zooming_repeats_pixels() -> None:
    pixels = np.arange(37 * 31 * 3, dtype=np.uint8).reshape(37, 31, 3)
    large = zoomed(pixels, Window(10, 5, 4, 6), 60)
    assert large.shape == (40, 60, 3)
    assert np.array_equal(large[::10, ::10], pixels[10:14, 5:11])
    assert np.array_equal(large[9::10, 9::10], pixels[10:14, 5:11])


def test_a_frame_marks_the_window_and_nothing_inside() -> None:
    pixels = np.zeros((37, 31, 3), np.uint8)
    marked = framed(pixels, Window(10, 5, 12, 9)).any(axis=2)
    expected = np.zeros((37, 31), bool)
    expected[10:22, 5:14] = True
    expected[12:20, 7:12] = False
    assert np.array_equal(marked, expected)
    assert not pixels.any()


@pytest.mark.parametrize(
    ("bands", "shown"), [(8, (4, 2, 1)), (4, (2, 1, 0)), (3, (2, 1, 0)), (1, (0, 0, 0))]
)
def test_natural_colour_of_the_band_counts(bands, shown) -> None:
    assert natural_colour(bands) == shown
