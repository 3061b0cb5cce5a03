"""Windows, grids, pairs and radiometry refuse what cannot be and keep what they are given."""

from dataclasses import fields

import numpy as np
import pytest
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st

from bandweave.config import FuseConfig
from bandweave.errors import ConfigError, ShapeError
from bandweave.grid import Grid
from bandweave.pair import ImagePair
from bandweave.radiometry import from_unit, to_storage, to_unit
from bandweave.window import Window

windows = st.builds(
    Window, st.integers(-50, 50), st.integers(-50, 50), st.integers(0, 60), st.integers(0, 60)
)


@given(window=windows, ratio=st.integers(1, 6))
def test_snapping_and_scaling_down_then_up_is_the_identity(window: Window, ratio: int) -> None:
    snapped = window.snapped(ratio)
    assert snapped.coarse(ratio).fine(ratio) == snapped
    assert snapped.contains(window)
    assert snapped.height - window.height < 2 * ratio


@given(a=windows, b=windows)
def test_intersection_counts_common_pixels(a: Window, b: Window) -> None:
    def pixels(w: Window) -> set[tuple[int, int]]:
        return {(r, c) for r in range(w.row, w.row_stop) for c in range(w.col, w.col_stop)}

    assert pixels(a.intersection(b)) == pixels(a) & pixels(b)


def test_windows_refuse_negative_sizes_and_slices_before_the_image() -> None:
    with pytest.raises(ValueError, match="must not be negative"):
        Window(0, 0, -1, 3)
    with pytest.raises(ValueError, match="clip it"):
        _ = Window(-1, 0, 3, 3).slices
    with pytest.raises(ValueError, match="multiples of the ratio 4"):
        Window(0, 2, 8, 8).coarse(4)


def test_grid_windows_move_the_corner_and_coarsening_keeps_it() -> None:
    grid = Grid((8, 12), Affine(0.5, 0, 100, 0, -0.5, 200), "EPSG:32633")
    part = grid.window(Window(2, 4, 4, 4))
    assert part.transform is not None
    assert (part.transform.c, part.transform.f, part.shape) == (102.0, 199.0, (4, 4))
    coarse = grid.coarsened(4)
    assert coarse.transform is not None
    assert (coarse.transform.a, coarse.transform.c, coarse.shape) == (2.0, 100.0, (2, 3))
    assert coarse.gsd == (2.0, 2.0)
    assert Grid((4, 4)).window(Window(1, 1, 2, 2)) == Grid((2, 2))


def pair(**changes: object) -> ImagePair:
    fields: dict[str, object] = {
        "spatial": np.zeros((1, 37 * 4, 31 * 4), np.float32),
        "spectral": np.zeros((3, 37, 31), np.float32),
        "ratio": 4,
        "phase": (1.5, 1.5),
    }
    return ImagePair(**{**fields, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"spatial": np.zeros((148, 124), np.float32)}, "bands, rows, columns"),
        ({"spatial": np.zeros((1, 148, 123), np.float32)}, "needs a spatial image of 148 x 124"),
        ({"spatial": np.zeros((1, 148, 124), np.uint16)}, "float32 or float64"),
        ({"spatial": np.zeros((1, 148, 124))}, "one type"),
        ({"ratio": 0}, "1 or more"),
        ({"valid": np.ones((37, 31), bool)}, "spatial shape 148 x 124"),
    ],
)
def test_impossible_pairs_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        pair(**changes)


def test_a_coarse_pixel_counts_where_any_of_its_fine_pixels_does() -> None:
    valid = np.zeros((148, 124), bool)
    valid[4:8, 8:12] = True
    valid[20, 21] = True
    coarse = pair(valid=valid).coarse_valid
    assert coarse is not None
    assert sorted(map(tuple, np.argwhere(coarse))) == [(1, 2), (5, 5)]


def test_cropping_keeps_both_images_aligned() -> None:
    numbers = np.arange(37 * 31, dtype=np.float32).reshape(1, 37, 31)
    whole = pair(spectral=numbers, spatial=numbers.repeat(4, 1).repeat(4, 2))
    part = whole.crop(Window(8, 12, 16, 20))
    assert np.array_equal(part.spectral.repeat(4, 1).repeat(4, 2), part.spatial)
    assert part.spectral[0, 0, 0] == numbers[0, 2, 3]


def test_storage_rounds_half_to_even_and_clips() -> None:
    values = np.array([-3.0, 0.5, 1.5, 2.5, 65534.6, 70000.0, np.nan, np.inf])
    assert to_storage(values, "uint16").tolist() == [0, 0, 2, 2, 65535, 65535, 0, 65535]
    assert to_storage(values, "int16").tolist() == [-3, 0, 2, 2, 32767, 32767, 0, 32767]
    assert to_storage(values, "uint16", largest=2047).max() == 2047
    assert to_storage(np.float32([3e9]), "int32")[0] == 2**31 - 1
    assert np.isnan(to_storage(values, "float32")[6])


def test_unit_scaling_is_fixed_and_keeps_the_type() -> None:
    dn = np.array([0, 1023.5, 2047], np.float32)
    unit = to_unit(dn, 2047)
    assert unit.dtype == np.float32
    np.testing.assert_array_equal(unit, np.float32([0, 0.5, 1]))
    np.testing.assert_array_equal(from_unit(unit, 2047), dn)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"metod": "exp"}, "no option 'metod'; valid ones are method"),
        ({"full_scale": -1}, "full_scale"),
        ({"pan_sharpness": -0.5}, "0 or more"),
        ({"bands": (0, 1)}, "a whole number of 1 or more is expected, got"),
        ({"bands": ()}, "one or more values"),
        ({"mtf_gain": (0.3, 1.0)}, "above 0 and below 1"),
        ({"band_weights": (0.5, -0.5)}, "0 or more"),
        ({"window": (0, 0, 64.5, 64)}, "window"),
        ({"align": "no"}, "auto, off, or 2 values are expected"),
        ({"extent": "union"}, "extent"),
        ({"cog": 1}, "true or false"),
    ],
)
def test_wrong_options_are_named(options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        FuseConfig.checked(**options)


def test_options_come_in_the_type_of_their_field() -> None:
    config = FuseConfig.checked(
        window=[0, 0, np.int64(64), 64], full_scale=2047, align=[1, 0.5], psf=np.float32(0.5)
    )
    assert config.window == (0, 0, 64, 64)
    assert (config.full_scale, config.psf) == (2047.0, 0.5)
    assert config.align == (1.0, 0.5)
    assert FuseConfig.checked(nodata=float("nan")).nodata is not None


def test_every_option_is_checked() -> None:
    for name in (field.name for field in fields(FuseConfig)):
        with pytest.raises(ConfigError, match=f"Option '{name}'"):
            FuseConfig.checked(**{name: object()})
