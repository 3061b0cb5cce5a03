"""Images derived on the way: any window equals the same part of the whole."""

from __future__ import annotations

import numpy as np
import pytest

from bandweave.degrade.sampling import correlate, imresize, interpolate
from bandweave.errors import ScaleError
from bandweave.metrics.derived import Filtered, Interpolated, Reduced, mtf_filtered
from bandweave.metrics.images import ArrayImage, Cropped, Masked, UnitRange, both_valid
from bandweave.window import Window

WINDOWS = [
    Window(0, 0, 8, 12),
    Window(12, 20, 16, 24),
    Window(36, 64, 12, 16),
    Window(0, 0, 48, 80),
]


@pytest.fixture
def coarse(rng):
    return rng.uniform(0, 2047, (2, 12, 20))


@pytest.fixture
def fine(rng):
    return rng.uniform(0, 2047, (2, 48, 80))


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("phase", [(2.0, 2.0), (1.5, 1.2)])
def test_interpolated(coarse, window, phase):
    whole = interpolate(coarse, 4, phase, border="circular")
    source = Interpolated(ArrayImage(coarse), 4, phase)
    assert (source.bands, source.shape) == (2, (48, 80))
    pixels, valid = source.read(window, np.float64)
    np.testing.assert_allclose(pixels, whole[:, *window.slices], atol=1e-9)
    assert valid is None


@pytest.mark.parametrize("window", WINDOWS)
def test_filtered(fine, window):
    source = mtf_filtered(ArrayImage(fine), (0.3, 0.25), 4)
    whole = correlate(fine, source.kernels, border="replicate")
    assert (source.bands, source.shape) == (2, (48, 80))
    np.testing.assert_allclose(
        source.read(window, np.float64)[0], whole[:, *window.slices], atol=1e-9
    )


@pytest.mark.parametrize("window", [Window(0, 0, 12, 20), Window(0, 3, 2, 5), Window(7, 11, 5, 9)])
def test_reduced(fine, window):
    source = Reduced(ArrayImage(fine), 4)
    whole = imresize(fine, 0.25)
    assert (source.bands, source.shape) == (2, (12, 20))
    np.testing.assert_allclose(
        source.read(window, np.float64)[0], whole[:, *window.slices], atol=1e-9
    )


def derived(kind, image, valid):
    source = ArrayImage(image, valid)
    if kind == "interpolated":
        return Interpolated(source, 4, (2.0, 2.0))
    if kind == "filtered":
        return Filtered(source, np.ones((1, 5, 5)))
    return Reduced(source, 4)


@pytest.mark.parametrize("kind", ["interpolated", "filtered", "reduced"])
def test_masks_cover_what_a_pixel_changes(kind, rng):
    """Where the mask says valid, an invalid pixel has no influence; elsewhere it would have."""
    shape = (1, 30, 40) if kind == "interpolated" else (1, 48, 80)
    image, valid = rng.uniform(0, 9, shape), np.ones(shape[1:], bool)
    valid[20, 17] = False
    other = np.where(valid, image, np.nan)
    one, two = derived(kind, image, valid), derived(kind, other, valid)
    whole = Window.whole(one.shape)
    (a, mask), (b, _) = one.read(whole, np.float64), two.read(whole, np.float64)
    assert mask.any()
    assert not mask.all()
    np.testing.assert_array_equal(a[:, mask], b[:, mask])
    unmasked, _ = derived(kind, np.where(valid, image, 500.0), None).read(whole, np.float64)
    changed = np.abs(unmasked - derived(kind, image, None).read(whole, np.float64)[0])[0] > 1e-9
    assert not (changed & mask).any()
    part = Window(4, 8, 12, 16) if kind != "reduced" else Window(3, 2, 5, 7)
    assert np.array_equal(one.read(part, np.float64)[1], mask[part.slices])


def test_views_of_a_source(fine):
    valid = np.ones((48, 80), bool)
    valid[5] = False
    source = Cropped(Masked(ArrayImage(fine), valid), Window(4, 10, 20, 30))
    assert (source.bands, source.shape) == (2, (20, 30))
    pixels, mask = source.read(Window(0, 1, 3, 2), np.float32)
    assert pixels.dtype == np.float32
    np.testing.assert_array_equal(pixels, fine[:, 4:7, 11:13].astype(np.float32))
    assert mask.tolist() == [[True, True], [False, False], [True, True]]
    assert both_valid(None, None) is None
    assert both_valid(mask, None) is mask


def test_unit_range(fine):
    source = UnitRange(ArrayImage(fine), 2047.0)
    pixels, _ = source.read(Window(0, 0, 4, 4), np.float64)
    np.testing.assert_array_equal(pixels, fine[:, :4, :4] / 2047)
    clipped = UnitRange(ArrayImage(fine - 1000), 500.0, is_clipped=True)
    assert (clipped.bands, clipped.shape) == (2, (48, 80))
    part, _ = clipped.read(Window(0, 0, 48, 80), np.float64)
    assert part.min() == 0.0
    assert part.max() == 1.0
    with pytest.raises(ScaleError, match=r"has to lie in \[0, 1\]"):
        UnitRange(ArrayImage(fine), 1.0, is_refused_outside=True).read(
            Window(0, 0, 4, 4), np.float64
        )
