"""MTF kernels: check values of the toolboxes, frequency response, shift."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.io import loadmat

from bandweave.degrade.mtf import kernel_size, lowpass_kernel, mtf_kernel
from bandweave.errors import SensorModelError

# protocol 1.1: gain, centre tap, sum.
CHECK_VALUES = [
    (0.325, 0.041570, 0.998823),
    (0.355, 0.045114, 0.998914),
    (0.315, 0.040446, 0.998790),
    (0.34, 0.043309, 0.998869),
    (0.22, 0.030857, 0.998420),
    (0.30, 0.038807, 0.998740),
    (0.14, 0.023764, 0.997953),
    (0.11, 0.021167, 0.997705),
]


@pytest.mark.parametrize(("gain", "centre", "total"), CHECK_VALUES)
def test_kernel_has_the_published_centre_and_sum(gain, centre, total):
    kernel = mtf_kernel(gain, 4)
    assert kernel.shape == (41, 41)
    assert kernel[20, 20] == pytest.approx(centre, abs=5e-7)
    assert kernel.sum() == pytest.approx(total, abs=5e-7)


def test_lowpass_has_the_published_centre_and_sum():
    kernel = lowpass_kernel(4)
    assert kernel[20, 20] == pytest.approx(0.040771, abs=5e-7)
    assert kernel.sum() == pytest.approx(0.998800, abs=5e-7)


@pytest.mark.golden
@pytest.mark.parametrize("scene", ["wv3_8b", "qb_4b"])
def test_every_kernel_of_the_toolbox(shared, scene):
    golden = loadmat(shared(f"golden/classical/{scene}_components.mat"))
    gains = {
        "QB": ([0.34, 0.32, 0.30, 0.22], 0.15),
        "IKONOS": ([0.26, 0.28, 0.29, 0.28], 0.17),
        "GeoEye1": ([0.23] * 4, 0.16),
        "WV4": ([0.23] * 4, 0.16),
        "WV2": ([0.35] * 7 + [0.27], 0.11),
        "WV3": ([0.325, 0.355, 0.360, 0.350, 0.365, 0.360, 0.335, 0.315], 0.14),
        "none": ([0.30] * 4, 0.15),
    }
    for name, (bands, pan) in gains.items():
        for band, gain in enumerate(bands):
            assert np.abs(mtf_kernel(gain, 4) - golden[f"mtf_{name}"][..., band]).max() <= 1e-15
        assert np.abs(mtf_kernel(pan, 4) - golden[f"mtfpan_{name}"]).max() <= 1e-15
    assert np.abs(lowpass_kernel(4) - golden["lpgauss"]).max() <= 1e-15


@pytest.mark.parametrize("ratio", [2, 3, 4, 6])
@pytest.mark.parametrize("gain", [0.15, 0.30, 0.6])
def test_frequency_response_is_the_gain_at_the_coarse_nyquist_frequency(gain, ratio):
    kernel = mtf_kernel(gain, ratio, normalised=True)
    # The design puts the gain at (N - 1) / N of the Nyquist frequency 1 / (2 ratio).
    frequency = 40 / 41 / (2 * ratio)
    wave = np.cos(2 * np.pi * frequency * np.arange(-20, 21))
    # The window changes the response by about the part of the kernel that it takes away.
    assert kernel.sum(axis=1) @ wave == pytest.approx(gain, abs=3e-3)


@pytest.mark.parametrize("shift", [(0.5, -0.25), (-0.5, 0.5), (0.1, 0.0)])
def test_shift_moves_the_kernel_towards_higher_indices(shift):
    kernel = mtf_kernel(0.3, 4, shift=shift, normalised=True)
    index = np.arange(-20, 21)
    assert kernel.sum(axis=1) @ index == pytest.approx(shift[0], abs=1e-3)
    assert kernel.sum(axis=0) @ index == pytest.approx(shift[1], abs=1e-3)


def test_whole_shift_is_the_rolled_kernel():
    moved = mtf_kernel(0.35, 4, shift=(1.0, -2.0))
    rolled = np.roll(mtf_kernel(0.35, 4), (1, -2), axis=(0, 1))
    assert moved[5:-5, 5:-5] == pytest.approx(rolled[5:-5, 5:-5], abs=1e-15)


def test_normalised_kernel_sums_to_one():
    assert mtf_kernel(0.11, 4, normalised=True).sum() == pytest.approx(1.0, abs=1e-15)


@pytest.mark.parametrize("ratio", [2, 4, 8, 12, 20])
def test_kernel_size_holds_the_kernel(ratio):
    size = kernel_size(ratio)
    assert size % 2 == 1
    kernel = mtf_kernel(0.3, ratio, size=size)
    assert np.abs(kernel[0]).max() < 1e-4 * kernel.max()


@pytest.mark.parametrize("gain", [0.0, 1.0, -0.3, 2.0])
def test_impossible_gain_is_refused(gain):
    with pytest.raises(SensorModelError, match="between 0 and 1"):
        mtf_kernel(gain, 4)


def test_even_size_is_refused():
    with pytest.raises(ValueError, match="odd number"):
        mtf_kernel(0.3, 4, size=40)
