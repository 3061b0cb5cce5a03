"""Shapes decide where names are ambiguous."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bandweave.datasets.roles import Role, assign_roles
from bandweave.errors import FileFormatError, GridMismatchError

FILE = Path("pair.mat")


@pytest.mark.parametrize(
    ("shapes", "spatial", "spectral", "truth"),
    [
        # The toolbox's reduced-resolution file: I_MS is the interpolated image.
        (
            {"I_GT": (64, 64, 8), "I_MS": (64, 64, 8), "I_MS_LR": (16, 16, 8), "I_PAN": (64, 64)},
            Role("I_PAN", "hw"),
            Role("I_MS_LR", "hwc"),
            Role("I_GT", "hwc"),
        ),
        # Other files: I_MS is the small one.
        (
            {"I_MS": (16, 16, 8), "I_PAN": (64, 64)},
            Role("I_PAN", "hw"),
            Role("I_MS", "hwc"),
            None,
        ),
        ({"gt": (48, 40, 4), "ms": (12, 10, 4), "lms": (48, 40, 4), "pan": (48, 40)}, Role("pan", "hw"), Role("ms", "hwc"), Role("gt", "hwc")),
        ({"I_lrms": (16, 16, 4), "I_pan": (64, 64), "Ref_I_gt": (64, 64, 4)}, Role("I_pan", "hw"), Role("I_lrms", "hwc"), Role("Ref_I_gt", "hwc")),
        # Channels first, written by Python.
        ({"pan": (1, 48, 40), "ms": (4, 12, 10), "gt": (4, 48, 40)}, Role("pan", "chw"), Role("ms", "chw"), Role("gt", "chw")),
        ({"GT": (31, 64, 64), "RGB": (3, 64, 64), "LRHSI": (31, 16, 16), "HSI_up": (31, 64, 64)}, Role("RGB", "chw"), Role("LRHSI", "chw"), Role("GT", "chw")),
        # A reference of another size is none.
        ({"pan": (64, 64), "ms": (16, 16, 4), "gt": (16, 16, 4)}, Role("pan", "hw"), Role("ms", "hwc"), None),
    ],
)  # fmt: skip
def test_roles(shapes, spatial, spectral, truth):
    roles = assign_roles(shapes, FILE)
    assert (roles.spatial, roles.spectral, roles.truth) == (spatial, spectral, truth)
    assert roles.ratio == 4


def test_ratio_comes_from_the_shapes():
    assert assign_roles({"pan": (62, 74), "ms": (31, 37, 3)}, FILE).ratio == 2
    assert assign_roles({"pan": (62, 74), "ms": (31, 37, 3)}, FILE, ratio=2).ratio == 2


@pytest.mark.parametrize(
    ("shapes", "ratio"),
    [
        ({"pan": (62, 74), "ms": (31, 37, 3)}, 4),
        ({"pan": (63, 74), "ms": (31, 37, 3)}, None),
        ({"pan": (62, 111), "ms": (31, 37, 3)}, None),
        ({"pan": (31, 37), "ms": (31, 37, 3)}, None),
    ],
)
def test_images_that_do_not_nest_are_refused(shapes, ratio):
    with pytest.raises(GridMismatchError, match=r"pair.mat.* found pan \("):
        assign_roles(shapes, FILE, ratio=ratio)


@pytest.mark.parametrize(
    ("shapes", "missing"),
    [({"pan": (8, 8)}, "spectral"), ({"ms": (8, 8, 3)}, "spatial"), ({}, "spatial")],
)
def test_a_missing_role_is_named(shapes, missing):
    with pytest.raises(FileFormatError, match=f"holds no {missing} image"):
        assign_roles(shapes, FILE)


def test_images_come_out_channels_first():
    array = np.arange(24).reshape(2, 3, 4)
    assert Role("a", "hwc").image(array).shape == (4, 2, 3)
    assert Role("a", "chw").image(array) is array
    assert Role("a", "hw").image(array[0]).shape == (1, 3, 4)
