"""A scene seen by two instruments whose blur and place are exact.

The scene is periodic and band-limited, so that blur and displacement are products in the Fourier
domain: no kernel, no interpolation, no border, and nothing shared with the code under test.
"""

from __future__ import annotations

import numpy as np

from bandweave.pair import ImagePair


def gaussian_field(rng, shape, width):
    """Return periodic noise smoothed by a Gaussian of `width` pixels, with unit variance."""
    field = seen(rng.normal(size=shape), width)
    return (field - field.mean()) / field.std()


def scene(rng, shape, bands, classes=12):
    """Return radiances `(bands, H, W)`: patches of different spectra, texture within them."""
    height = gaussian_field(rng, shape, 6.0)
    edges = np.quantile(height, np.linspace(0, 1, classes + 1)[1:-1])
    label = rng.permutation(classes)[np.digitize(height, edges)]
    spectra = rng.uniform(100.0, 900.0, size=(bands, classes))
    texture = 1 + 0.1 * gaussian_field(rng, shape, 0.7)
    return spectra[:, label] * texture


def seen(image, sigma, place=(0.0, 0.0)):
    """Blur with a Gaussian of `sigma` pixels and read at pixel + `place`, both exactly."""
    rows = np.fft.fftfreq(image.shape[-2])[:, None]
    cols = np.fft.fftfreq(image.shape[-1])[None, :]
    response = np.exp(-2 * np.pi**2 * sigma**2 * (rows**2 + cols**2))
    response = response * np.exp(2j * np.pi * (rows * place[0] + cols * place[1]))
    return np.real(np.fft.ifft2(np.fft.fft2(image) * response))


def sigma_of_gain(gain, ratio):
    """Return the Gaussian width in fine pixels whose response is `gain` at frequency 1/(2 ratio)."""
    return ratio * np.sqrt(-2 * np.log(gain)) / np.pi


def simulate(
    rng,
    *,
    shape=(296, 248),
    bands=4,
    ratio=4,
    phase=(1.5, 1.5),
    displacement=(0.0, 0.0),
    gain=0.3,
    pan_sigma=0.5,
    noise=0.0,
    foreign=0.1,
):
    """Return a pair whose coarse pixels lie `displacement` fine pixels from where `phase` says.

    `foreign` is the share of the PAN that no combination of the bands explains.
    """
    truth = scene(rng, shape, bands)
    weights = rng.uniform(0.1, 1.0, size=bands)
    intensity = np.tensordot(weights / weights.sum(), truth, 1)
    intensity = intensity + foreign * intensity.std() * gaussian_field(rng, shape, 2.0)
    pan = seen(intensity, pan_sigma)
    place = (phase[0] + displacement[0], phase[1] + displacement[1])
    lrms = seen(truth, sigma_of_gain(gain, ratio), place)[:, ::ratio, ::ratio]
    pan = pan + noise * rng.normal(size=pan.shape)
    lrms = lrms + noise * rng.normal(size=lrms.shape)
    return ImagePair(spatial=pan[None], spectral=lrms, ratio=ratio, phase=phase)
