"""Filtering, decimation, interpolation and resizing against slow versions and closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as PillowImage
from scipy.io import loadmat

from bandweave.degrade.mtf import lowpass_kernel, mtf_kernel
from bandweave.degrade.sampling import (
    blur_gaussian,
    correlate,
    correlate_adjoint,
    correlate_decimate,
    correlate_decimate_adjoint,
    decimate,
    decimate_adjoint,
    imresize,
    imresize_adjoint,
    interpolate,
    interpolate_adjoint,
    interpolation_apron,
)
from bandweave.errors import BandCountError
from oracles import degradation

BORDERS = ["replicate", "symmetric", "circular"]


@pytest.fixture
def image(rng):
    return rng.uniform(0, 2047, (3, 37, 31))


@pytest.mark.parametrize("border", BORDERS)
@pytest.mark.parametrize("shape", [(3, 3), (4, 4), (7, 5)])
def test_correlate_equals_the_four_loops(rng, shape, border):
    image = rng.uniform(0, 100, (2, 13, 11))
    kernels = rng.normal(size=(2, *shape))
    expected = [degradation.correlate(image[b], kernels[b], border) for b in range(2)]
    assert correlate(image, kernels, border=border) == pytest.approx(np.array(expected), abs=1e-10)


def test_correlate_takes_one_kernel_for_all_bands(image):
    kernel = mtf_kernel(0.3, 4)
    together = correlate(image, kernel[None])
    alone = [correlate(image[b : b + 1], kernel[None])[0] for b in range(3)]
    assert together == pytest.approx(np.array(alone), abs=1e-10)


def test_correlate_refuses_other_numbers_of_kernels(image):
    with pytest.raises(BandCountError, match="needs 1 or 3 kernels, got 2"):
        correlate(image, np.zeros((2, 3, 3)))


def test_correlate_in_float32_is_float64_rounded(image):
    kernel = mtf_kernel(0.2, 4)[None]
    single = correlate(image.astype(np.float32), kernel)
    assert single.dtype == np.float32
    assert single == pytest.approx(correlate(image, kernel), rel=1e-5)


@pytest.mark.parametrize("phase", [(0, 0), (2, 1), (-1, 5)])
def test_correlate_decimate_computes_the_kept_pixels(image, phase):
    kernels = np.stack([mtf_kernel(g, 4, size=21) for g in (0.2, 0.3, 0.3)])
    kept = correlate_decimate(image, kernels, 4, phase)
    if phase == (-1, 5):
        # A start outside the first cell: sample k is still the filter at 4 k + phase.
        wide = np.pad(image, [(0, 0), (8, 8), (8, 8)], mode="edge")
        full = decimate(correlate(wide, kernels)[:, 8 + phase[0] :, 8 + phase[1] :], 4, (0, 0))
        full = full[:, : kept.shape[1], : kept.shape[2]]
    else:
        full = decimate(correlate(image, kernels), 4, phase)
    assert kept == pytest.approx(full, abs=1e-9)


@pytest.mark.golden
@pytest.mark.parametrize("scene", ["wv3_8b", "qb_4b"])
def test_toolbox_filters_and_interpolation(shared, scene):
    golden = loadmat(shared(f"golden/classical/{scene}_components.mat"))
    x = golden["x"][None]
    assert np.abs(correlate(x, lowpass_kernel(4)[None])[0] - golden["x_lpgauss"]).max() <= 1e-8
    small = x[:, :16, :12]
    for ratio in (2, 4):
        centre = (ratio / 2, ratio / 2)
        ours = interpolate(small, ratio, centre, border="circular")[0]
        assert np.abs(ours - golden[f"x_interp{ratio}"]).max() <= 1e-8
    for method in ("bicubic", "bilinear", "nearest"):
        ours = imresize(x, 1 / 4, method=method)[0]
        assert np.abs(ours - golden[f"x_down_{method}"]).max() <= 1e-8
    for method in ("bicubic", "bilinear"):
        ours = imresize(small, 4, method=method)[0]
        assert np.abs(ours - golden[f"x_up_{method}"]).max() <= 1e-8


@pytest.mark.golden
def test_toolbox_mtf_filter(shared):
    golden = loadmat(shared("golden/classical/wv3_8b_components.mat"))
    gains = (0.325, 0.355, 0.360, 0.350, 0.365, 0.360, 0.335, 0.315)
    x = np.repeat(golden["x"][None], 8, axis=0)
    ours = correlate(x, np.stack([mtf_kernel(gain, 4) for gain in gains]))
    assert np.abs(np.moveaxis(ours, 0, 2) - golden["mtf_x_WV3"]).max() <= 1e-8


@pytest.mark.golden
@pytest.mark.parametrize("scene", ["wv3_8b", "qb_4b"])
def test_toolbox_interpolated_image(shared, scene):
    given_ = loadmat(shared(f"golden/classical/{scene}_input.mat"))["ms"]
    golden = loadmat(shared(f"golden/classical/{scene}_EXP.mat"))["fused"]
    ours = interpolate(np.moveaxis(given_, 2, 0), 4, (2.0, 2.0), border="circular")
    assert np.abs(ours - np.moveaxis(golden, 2, 0)).max() <= 1e-8


@pytest.mark.parametrize("ratio", [2, 4, 8])
def test_default_phase_is_the_cascade(rng, ratio):
    band = rng.uniform(0, 2047, (13, 9))
    ours = interpolate(band[None], ratio, (ratio / 2, ratio / 2), border="circular")[0]
    assert np.abs(ours - degradation.cascade(band, ratio)).max() <= 1e-9


def test_corner_phase_reads_the_same_kernel_between(rng):
    band = rng.uniform(0, 1, (13, 9))
    # At ratio 4, phase 1.5, fine pixel m lies where pixel 2 m + 1 of the ratio-8 cascade lies.
    finer = degradation.cascade(band, 8)[1::2, 1::2]
    ours = interpolate(band[None], 4, (1.5, 1.5), border="circular")[0]
    assert ours == pytest.approx(finer, abs=3e-9)  # the cascade's taps sum to 1 - 4e-10


@pytest.mark.parametrize(("ratio", "phase"), [(1, 0.0), (2, 0.5), (3, 1.0), (4, 1.5), (6, 3.2)])
def test_interpolation_puts_samples_where_the_phase_says(ratio, phase):
    n = 40
    coarse = np.cos(2 * np.pi * 3 / n * np.arange(n))
    band = np.outer(coarse, coarse)[None]
    fine = np.cos(2 * np.pi * 3 / n * (np.arange(n * ratio) - phase) / ratio)
    ours = interpolate(band, ratio, (phase, phase), border="circular")[0]
    # The half-band filter passes 0.075 cycles per pixel to 1e-5.
    assert ours == pytest.approx(np.outer(fine, fine), abs=2e-5)


@given(ratio=st.integers(1, 9), row=st.floats(0, 8), col=st.floats(0, 8))
@settings(max_examples=25, deadline=None)
def test_interpolation_keeps_constants(ratio, row, col):
    band = np.full((1, 6, 5), 812.0)
    ours = interpolate(band, ratio, (row, col), border="symmetric")
    assert ours == pytest.approx(np.full((1, 6 * ratio, 5 * ratio), 812.0), rel=3e-9)


@pytest.mark.parametrize(("ratio", "phase"), [(2, 1.0), (4, 1.5), (3, 1.0)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_tile_with_its_apron_is_the_whole(rng, ratio, phase, dtype):
    coarse = rng.uniform(0, 2047, (1, 60, 50)).astype(dtype)
    apron = interpolation_apron(ratio) // ratio
    whole = interpolate(coarse, ratio, (phase, phase), border="symmetric")
    row, col, size = 25, 20, 9
    tile = coarse[:, row - apron : row + size + apron, col - apron : col + size + apron]
    ours = interpolate(tile, ratio, (phase, phase), border="symmetric")
    cut = slice(apron * ratio, (apron + size) * ratio)
    expected = whole[:, row * ratio : (row + size) * ratio, col * ratio : (col + size) * ratio]
    tolerance = 2047 * (1e-11 if dtype is np.float64 else 1e-6)
    assert ours[:, cut, cut] == pytest.approx(expected, abs=tolerance)


def _inner(a, b):
    return float(np.vdot(a, b))


def _operators():
    kernels = np.random.default_rng(5).normal(size=(2, 5, 6))
    for border in BORDERS:
        yield (
            f"correlate-{border}",
            lambda x, b=border: correlate(x, kernels, border=b),
            lambda y, b=border: correlate_adjoint(y, kernels, border=b),
        )
    for phase in ((0, 0), (2, 1), (-1, 5)):
        yield (
            f"correlate_decimate-{phase}",
            lambda x, p=phase: correlate_decimate(x, kernels, 3, p),
            lambda y, p=phase: correlate_decimate_adjoint(y, kernels, 3, p, (36, 30)),
        )
    yield (
        "decimate",
        lambda x: decimate(x, 3, (2, 1)),
        lambda y: decimate_adjoint(y, 3, (2, 1), (36, 30)),
    )
    for border in ("circular", "symmetric"):
        for ratio, phase in ((2, (1.0, 1.0)), (3, (1.0, 0.3))):
            yield (
                f"interpolate-{border}-{ratio}",
                lambda x, b=border, r=ratio, p=phase: interpolate(x, r, p, border=b),
                lambda y, b=border, r=ratio, p=phase: interpolate_adjoint(y, r, p, border=b),
            )
    for scale in (0.25, 1.7, (5, 71)):
        yield (
            f"imresize-{scale}",
            lambda x, s=scale: imresize(x, s),
            lambda y, s=scale: imresize_adjoint(y, s, (36, 30)),
        )
    # A symmetric kernel with a mirrored border is its own transpose.
    yield ("blur_gaussian", lambda x: blur_gaussian(x, 1.3), lambda y: blur_gaussian(y, 1.3))


@pytest.mark.parametrize(("name", "forward", "adjoint"), list(_operators()))
def test_adjoint(rng, name, forward, adjoint):
    x = rng.normal(size=(2, 36, 30))
    y = rng.normal(size=forward(x).shape)
    left, right = _inner(forward(x), y), _inner(x, adjoint(y))
    assert adjoint(y).shape == x.shape
    assert left == pytest.approx(right, abs=1e-11 * np.linalg.norm(x) * np.linalg.norm(y))


def test_imresize_gives_the_ceiling_of_the_scaled_size(image):
    assert imresize(image, 0.3).shape == (3, 12, 10)
    assert imresize(image, (5, 80)).shape == (3, 5, 80)


@pytest.mark.parametrize(("size", "method"), [((31, 33), "bicubic"), ((12, 10), "bilinear")])
def test_imresize_agrees_with_pillow_inside(rng, size, method):
    band = rng.uniform(0, 1, (62, 66)).astype(np.float32)
    kinds = {"bicubic": PillowImage.Resampling.BICUBIC, "bilinear": PillowImage.Resampling.BILINEAR}
    theirs = np.asarray(PillowImage.fromarray(band).resize(size[::-1], kinds[method]))
    ours = imresize(band[None], size, method=method)[0]
    # The border rules differ: pillow cuts the kernel, MATLAB mirrors the image.
    assert ours[3:-3, 3:-3] == pytest.approx(theirs[3:-3, 3:-3], abs=1e-5)


def test_imresize_nearest_keeps_the_index_in_the_middle(image):
    assert np.array_equal(
        imresize(image[:, :36, :28], 1 / 4, method="nearest"), image[:, 2:36:4, 2:28:4]
    )


def test_blur_of_an_impulse_is_the_gaussian():
    band = np.zeros((1, 41, 41))
    band[0, 20, 20] = 1.0
    blurred = blur_gaussian(band, 2.0)
    distance = np.arange(-20, 21) ** 2
    expected = np.exp(-(distance[:, None] + distance) / 8) / (8 * np.pi)
    # Cut at 4 sigma and normalised: 1e-4 of the sum moves.
    assert blurred[0, 14:27, 14:27] == pytest.approx(expected[14:27, 14:27], rel=3e-4)


def test_blur_by_nothing_is_the_image(image):
    assert np.array_equal(blur_gaussian(image, 0.0), image)


def test_negative_blur_is_refused(image):
    with pytest.raises(ValueError, match="must not be negative"):
        blur_gaussian(image, -0.1)
