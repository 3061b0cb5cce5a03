"""The instruments of a pair are found again."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from bandweave.degrade.identify import identify_instruments
from bandweave.degrade.instrument import Instrument
from bandweave.degrade.psf import gaussian_kernel, gaussian_spread, gaussian_support, uniform_spread
from bandweave.errors import NodataError
from bandweave.instruments import PointSpread
from bandweave.pair import ImagePair

RESPONSE = np.array([[0.0, 0.1, 0.3, 0.6, 0.0, 0.0], [0.5, 0.3, 0.2, 0.0, 0.0, 0.0]])


def make_scene(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Return six related bands with detail at every scale, in the unit range."""
    rough = rng.normal(size=(4, *shape))
    fields = sum(ndimage.gaussian_filter(rough, (0, s, s)) * s for s in (0.7, 2, 6))
    mixed = np.tensordot(rng.uniform(0, 1, (6, 4)), fields, axes=1)
    mixed += 0.2 * ndimage.gaussian_filter(rng.normal(size=mixed.shape), (0, 1, 1))
    return (mixed - mixed.min()) / np.ptp(mixed)


def make_pair(
    rng: np.random.Generator, psf: PointSpread, phase: tuple[float, float], ratio: int, noise=0.0
) -> tuple[ImagePair, np.ndarray]:
    """Return a pair that claims to be registered at the corner, and its scene."""
    scene = make_scene(rng, (41 * ratio, 37 * ratio))
    coarse = Instrument(psf, ratio, phase).observe(scene)
    sharp = np.tensordot(RESPONSE, scene, axes=1)
    sharp = sharp + rng.normal(0, noise, sharp.shape)
    coarse = coarse + rng.normal(0, noise, coarse.shape)
    claimed = ((ratio - 1) / 2, (ratio - 1) / 2)
    return ImagePair(sharp, coarse, ratio, claimed), scene


@pytest.mark.parametrize(
    ("sigma", "size", "phase", "ratio"),
    [
        (0.5, 3, (2.0, 2.0), 4),
        (1.3, 7, (1.8, 2.2), 4),
        (0.8, 5, (1.0, 0.0), 2),
        (1.0, 4, (1.5, 1.5), 3),
    ],
)
def test_without_noise_a_gaussian_is_found_exactly(rng, sigma, size, phase, ratio) -> None:
    psf = gaussian_spread(sigma, size, phase)
    pair, scene = make_pair(rng, psf, phase, ratio)
    found = identify_instruments([pair])
    assert found.model.psf.shape == (size, size)
    assert found.model.psf.start == psf.start
    np.testing.assert_allclose(found.sigma, sigma, atol=1e-6)
    np.testing.assert_allclose(found.model.phase, phase, atol=1e-6)
    np.testing.assert_allclose(found.model.response, RESPONSE, atol=1e-6)
    predicted = np.tensordot(np.array(found.model.response), scene, axes=1)
    assert np.abs(predicted - pair.spatial).max() < 1e-6  # 120 dB
    assert found.confidence > 0.999
    assert all(found.explained)


def test_a_mean_over_a_square_is_told_from_a_gaussian(rng) -> None:
    psf = uniform_spread(4, (1.5, 1.5))
    found = identify_instruments([make_pair(rng, psf, (1.5, 1.5), 4)[0]])
    assert found.sigma is None
    assert found.model.psf.start == psf.start
    assert found.model.phase == (1.5, 1.5)
    np.testing.assert_array_equal(found.model.psf.kernel, psf.kernel)


def test_noise_does_not_widen_the_point_spread(rng) -> None:
    psf = gaussian_spread(0.6, 3, (2.0, 1.0))
    widths = []
    for _ in range(3):
        pair, scene = make_pair(rng, psf, (2.0, 1.0), 4, noise=0.015)  # about 30 dB
        found = identify_instruments([pair])
        widths.append(found.sigma)
        np.testing.assert_allclose(found.model.phase, (2.0, 1.0), atol=0.02)
        clean = np.tensordot(RESPONSE, scene, axes=1)
        error = np.tensordot(np.array(found.model.response), scene, axes=1) - clean
        assert np.sqrt(np.mean(error**2)) < 0.015 / 2
        assert 0.1 < found.confidence < 0.999
    assert abs(np.mean(widths) - 0.6) < 0.04


def test_windows_and_masks_leave_out_what_they_must(rng) -> None:
    psf = gaussian_spread(0.7, 5, (2.0, 2.0))
    pair, _ = make_pair(rng, psf, (2.0, 2.0), 4)
    valid = np.ones(pair.shape, dtype=bool)
    valid[70:95, 40:80] = False
    spoilt = pair.replace(spatial=np.where(valid, pair.spatial, 9e3), valid=valid)
    found = identify_instruments([spoilt])
    np.testing.assert_allclose([found.sigma, *found.model.phase], [0.7, 2, 2], atol=1e-6)
    assert found.samples < identify_instruments([pair]).samples


def test_what_is_known_is_kept(rng) -> None:
    psf = gaussian_spread(0.7, 5, (2.0, 2.0))
    pair, _ = make_pair(rng, psf, (2.0, 2.0), 4)
    only_response = identify_instruments([pair], psf=psf)
    assert only_response.model.psf is psf
    np.testing.assert_allclose(only_response.model.response, RESPONSE, atol=1e-9)
    only_psf = identify_instruments([pair], response=tuple(map(tuple, RESPONSE)))
    np.testing.assert_allclose(only_psf.sigma, 0.7, atol=1e-6)


def test_a_sharp_band_that_the_others_do_not_make_is_left_out(rng) -> None:
    psf = gaussian_spread(0.7, 5, (2.0, 2.0))
    pair, _ = make_pair(rng, psf, (2.0, 2.0), 4)
    foreign = ndimage.gaussian_filter(rng.normal(size=pair.shape), 2) + 0.5
    found = identify_instruments(
        [pair.replace(spatial=np.concatenate([pair.spatial, foreign[None]]))], psf=psf
    )
    assert found.explained == (True, True, False)
    assert not any(found.model.response[2])


def test_too_few_pixels_are_refused(rng) -> None:
    pair = ImagePair(np.ones((1, 32, 32)), np.ones((6, 8, 8)), 4, (1.5, 1.5))
    with pytest.raises(NodataError, match="valid coarse pixels"):
        identify_instruments([pair])


def test_spreads_at_whole_phases_are_the_kernels_of_simulation() -> None:
    spread = gaussian_spread(0.5, 3, (2.0, 2.0))
    np.testing.assert_allclose(spread.kernel, gaussian_kernel(0.5, 3), rtol=1e-15)
    assert spread.start == (1, 1)
    assert gaussian_support(0.5) == 3
    assert uniform_spread(4, (1.5, 1.5)).start == (0, 0)


def test_a_phase_is_whole_where_it_is_by_a_thousandth(rng) -> None:
    phase = (2.0004, 1.2)
    pair, _ = make_pair(rng, gaussian_spread(0.8, 5, phase), phase, 4)
    found = identify_instruments([pair])
    assert found.model.phase[0] == 2.0
    np.testing.assert_allclose(found.model.phase[1], 1.2, atol=1e-6)
    kernel = gaussian_spread(0.8, 5, phase).kernel
    np.testing.assert_allclose(found.model.psf.kernel, kernel, atol=1e-6)
