"""Blur between exact Gaussians, and which bands the PAN resembles."""

from __future__ import annotations

import numpy as np
import pytest

from bandweave.mosaic.found.relative_sharpness import measure_sharpness
from bandweave.mosaic.found.shift import measure_displacement
from bandweave.pair import ImagePair
from bandweave.source import ArraySource
from oracles.two_instruments import gaussian_field, seen, sigma_of_gain, simulate


@pytest.mark.parametrize("pan_sigma", [0.0, 0.6, 1.2])
@pytest.mark.parametrize("gain", [0.2, 0.35])
def test_relative_sharpness_of_exact_gaussians(rng, pan_sigma, gain) -> None:
    pair = simulate(rng, pan_sigma=pan_sigma, gain=gain, foreign=0.0, displacement=(0.7, -0.3))
    source = ArraySource(pair)
    found = measure_sharpness(source, measure_displacement(source))
    assert found is not None
    expected = np.sqrt(sigma_of_gain(gain, 4) ** 2 - pan_sigma**2)
    assert found.blur == pytest.approx(expected, abs=0.03)
    assert found.unexplained < 1e-3


def test_relative_sharpness_of_a_flat_scene_is_not_known() -> None:
    pair = ImagePair(np.full((1, 400, 400), 7.0), np.full((3, 100, 100), 5.0), 4, (1.5, 1.5))
    source = ArraySource(pair)
    assert measure_sharpness(source, measure_displacement(source)) is None


def test_correlations_tell_which_bands_the_pan_holds(rng) -> None:
    shape, sigma = (296, 248), sigma_of_gain(0.3, 4)
    truth = np.stack([gaussian_field(rng, shape, 3.0) for _ in range(3)])
    lrms = 500 + 100 * seen(truth, sigma, (1.5, 1.5))[:, ::4, ::4]
    pan = 500 + 100 * (0.8 * truth[0] - 0.6 * truth[2])
    source = ArraySource(ImagePair(pan[None], lrms, 4, (1.5, 1.5)))
    found = measure_sharpness(source, measure_displacement(source))
    assert found is not None
    assert [band for band, _ in found.correlations] == [1, 2, 3]
    # Independent fields of one variance: the correlation is the weight, to the scene's sampling.
    assert [share for _, share in found.correlations] == pytest.approx([0.8, 0, -0.6], abs=0.15)
