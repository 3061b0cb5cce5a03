"""Spectral responses, point spread functions, noise."""

from __future__ import annotations

import numpy as np
import pytest

from bandweave.degrade.noise import add_noise, mean_power, noise_sigma
from bandweave.degrade.psf import gaussian_kernel, uniform_kernel
from bandweave.degrade.srf import SpectralResponse, box_response, nikon_d700, read_response
from bandweave.errors import BandCountError, FileFormatError, SensorModelError


def test_nikon_rows_have_the_published_sums():
    # Sums of the integer table are 255, 203, 251; red's largest weight is 22 at 610 nm.
    weights = nikon_d700().weights
    assert weights.shape == (3, 31)
    assert weights.sum(axis=1) == pytest.approx([1, 1, 1])
    assert weights[:, 21] == pytest.approx([22 / 255, 3 / 203, 1 / 251])


@pytest.mark.golden
def test_nikon_table_is_the_shared_one(shared):
    ours = read_response(shared("data/cave/nikon_d700_3x31_int.csv"))
    assert ours.weights == pytest.approx(nikon_d700().weights, abs=1e-15)
    assert ours.band_names == ("r", "g", "b")


def test_integration_is_a_weighted_mean(rng):
    cube = rng.uniform(0, 1, (3, 5, 4))
    response = SpectralResponse("mine", ("a", "b"), np.array([[1.0, 3.0, 0.0], [0.0, 0.0, 2.0]]))
    broad = response.integrate(cube)
    assert broad[0] == pytest.approx((cube[0] + 3 * cube[1]) / 4)
    assert np.array_equal(broad[1], cube[2])


def test_adjoint(rng):
    x, y = rng.normal(size=(31, 6, 5)), rng.normal(size=(3, 6, 5))
    response = nikon_d700()
    assert np.vdot(response.integrate(x), y) == pytest.approx(np.vdot(x, response.adjoint(y)))


def test_type_is_kept(rng):
    assert nikon_d700().integrate(rng.random((31, 2, 2)).astype(np.float32)).dtype == np.float32


def test_box_takes_the_bands_inside():
    box = box_response(
        {"green": (500, 520), "nir": (800, 900)}, [500, 510, 520, 600, 850], name="x"
    )
    assert box.weights == pytest.approx(np.array([[1 / 3] * 3 + [0, 0], [0, 0, 0, 0, 1]]))
    with pytest.raises(SensorModelError, match="band swir of 1500 to 1700 nm holds none"):
        box_response({"swir": (1500, 1700)}, [500, 600], name="x")


@pytest.mark.parametrize("weights", [[[0.0, 0.0]], [[-1.0, 2.0]], [[np.nan, 1.0]]])
def test_impossible_weights_are_refused(weights):
    with pytest.raises(SensorModelError, match="at least one above 0"):
        SpectralResponse("bad", ("a",), np.array(weights))


@pytest.mark.parametrize("text", ["red,1,x\n", "red,1,2\ngreen,1\n", "", "band_nm,400,410\n"])
def test_broken_table_is_refused(tmp_path, text):
    path = tmp_path / "srf.csv"
    path.write_text(text)
    with pytest.raises(FileFormatError, match="one row per broad band"):
        read_response(path)


def test_gaussian_kernel_is_the_cave_protocols():
    line = gaussian_kernel(0.5, 3).sum(axis=0)
    assert line == pytest.approx([0.10651, 0.78699, 0.10651], abs=1e-5)


def test_even_gaussian_lies_between_its_taps():
    kernel = gaussian_kernel(2.0, 8)
    assert kernel == pytest.approx(kernel[::-1, ::-1])
    assert kernel.sum() == pytest.approx(1)


def test_uniform_kernel_is_the_mean():
    assert uniform_kernel(4) == pytest.approx(np.full((4, 4), 1 / 16))


@pytest.mark.parametrize("make", [lambda: gaussian_kernel(0, 3), lambda: uniform_kernel(0)])
def test_impossible_kernels_are_refused(make):
    with pytest.raises(ValueError, match="positive"):
        make()


def test_noise_gives_the_ratio_it_states(rng):
    image = rng.uniform(100, 1000, (2, 300, 200))
    sigma = noise_sigma(mean_power(image), 30.0)
    noise = add_noise(image, sigma, rng) - image
    measured = 10 * np.log10((image**2).mean(axis=(1, 2)) / (noise**2).mean(axis=(1, 2)))
    assert measured == pytest.approx([30, 30], abs=0.1)  # 60,000 samples scatter by 0.03 dB


def test_noise_levels_must_fit(rng):
    with pytest.raises(BandCountError, match="image of 2 bands"):
        add_noise(np.zeros((2, 3, 3)), (1.0,), rng)
