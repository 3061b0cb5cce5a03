"""Displacements of simulated pairs, whose truth is exact, and of real ones."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from scipy.io import loadmat

from bandweave.degrade.mtf import mtf_kernel
from bandweave.degrade.sampling import blur_gaussian
from bandweave.mosaic.found.probe import (
    Regression,
    default_gain,
    kernel_gain,
    kernel_sigma,
    probe_windows,
    read_probes,
)
from bandweave.mosaic.found.shift import (
    Displacement,
    decide_alignment,
    default_search,
    measure_displacement,
)
from bandweave.pair import ImagePair
from bandweave.raster.reader import open_pair
from bandweave.sensors import find_sensor
from bandweave.source import ArraySource
from oracles.two_instruments import simulate

PRECISION = 0.1
"""PAN pixels: the bar for known displacements."""


def error(pair: ImagePair, truth: tuple[float, float]) -> float:
    found = measure_displacement(ArraySource(pair))
    assert found.confidence > 0.5
    return float(np.hypot(found.rows - truth[0], found.cols - truth[1]))


@pytest.mark.parametrize(
    "displacement",
    [(0.0, 0.0), (0.25, -0.4), (2.7, 0.0), (-3.05, -2.8), (5.3, -6.7), (-8.0, 8.0)],
)
def test_known_displacements_are_found(rng, displacement) -> None:
    pair = simulate(rng, displacement=displacement)
    assert error(pair, displacement) < PRECISION


@pytest.mark.parametrize("pan_sigma", [0.0, 0.8, 1.6])
def test_sharp_and_soft_pans_do_not_draw_the_answer(rng, pan_sigma) -> None:
    pair = simulate(rng, displacement=(1.3, -0.6), pan_sigma=pan_sigma)
    assert error(pair, (1.3, -0.6)) < PRECISION


@pytest.mark.parametrize("noise", [5.0, 40.0])
def test_noise_in_both_images(rng, noise) -> None:
    pair = simulate(rng, displacement=(-1.7, 0.9), noise=noise)
    assert error(pair, (-1.7, 0.9)) < PRECISION


@pytest.mark.parametrize("gain", [0.2, 0.45])
def test_the_mtf_need_not_be_known(rng, gain) -> None:
    pair = simulate(rng, displacement=(0.6, 1.1), gain=gain)
    assert error(pair, (0.6, 1.1)) < PRECISION


@pytest.mark.parametrize(
    ("ratio", "shape", "phase"),
    [(2, (124, 148), (0.5, 0.5)), (3, (186, 222), (1.0, 1.0)), (4, (296, 248), (2.0, 2.0))],
)
def test_other_ratios_and_phases(rng, ratio, shape, phase) -> None:
    pair = simulate(rng, ratio=ratio, shape=shape, phase=phase, displacement=(-1.2, 0.7))
    found = measure_displacement(ArraySource(pair))
    assert np.hypot(found.rows + 1.2, found.cols - 0.7) < PRECISION
    assert found.phase == (phase[0] + found.rows, phase[1] + found.cols)


def test_a_sensor_gives_the_gain(rng) -> None:
    pair = simulate(rng, bands=8)
    assert default_gain(ArraySource(pair)) == pytest.approx(0.30)
    known = pair.replace(sensor=find_sensor("wv3"))
    # Mean of protocol.md's eight gains.
    assert default_gain(ArraySource(known)) == pytest.approx(0.345625)


@pytest.mark.parametrize(("gain", "ratio"), [(0.3, 4), (0.2, 4), (0.35, 2)])
def test_the_blur_is_that_of_the_mtf_kernel(gain, ratio) -> None:
    kernel = mtf_kernel(gain, ratio, normalised=True)
    impulse = np.zeros((1, 41, 41))
    impulse[0, 20, 20] = 1.0
    sigma = kernel_sigma(gain, ratio)
    # The kernel's Kaiser window takes up to a few percent off its rim.
    np.testing.assert_allclose(blur_gaussian(impulse, sigma)[0], kernel, atol=0.01 * kernel.max())
    assert kernel_gain(sigma, ratio) == pytest.approx(gain)


def test_masked_pixels_are_left_out(rng) -> None:
    pair = simulate(rng, displacement=(1.3, -0.6))
    valid = rng.random(pair.shape) > 0.001
    valid[:90, :120] = False
    spatial = np.where(valid, pair.spatial, 0.0)
    spoilt = pair.replace(spatial=spatial, valid=valid)
    assert error(spoilt, (1.3, -0.6)) < PRECISION


def test_a_moved_patch_does_not_draw_the_answer(rng) -> None:
    """A cloud seen at another place by the second instrument spoils its own windows only."""
    pair = simulate(rng, displacement=(1.0, 0.0), shape=(488, 488))
    spatial, spectral = pair.spatial.copy(), pair.spectral.copy()
    spatial[:, 90:170, 80:160] = 2000 + 50 * rng.normal(size=(1, 80, 80))
    spectral[:, 20:40, 18:38] = 2000.0
    found = measure_displacement(ArraySource(pair.replace(spatial=spatial, spectral=spectral)))
    assert np.hypot(found.rows - 1.0, found.cols) < PRECISION


def test_flat_windows_are_ignored(rng) -> None:
    pair = simulate(rng, displacement=(1.0, -0.5), shape=(488, 488))
    flat_pan, flat_lrms = pair.spatial.copy(), pair.spectral.copy()
    flat_pan[:, :244] = 500 + rng.normal(size=(244, 488))
    flat_lrms[:, :61] = 500 + rng.normal(size=(4, 61, 122))
    half = ArraySource(pair.replace(spatial=flat_pan, spectral=flat_lrms))
    found = measure_displacement(half)
    assert np.hypot(found.rows - 1.0, found.cols + 0.5) < PRECISION
    assert found.confidence > 0.8
    assert 0 < found.windows < measure_displacement(ArraySource(pair)).windows


def test_unrelated_images_are_not_believed(rng) -> None:
    pair = simulate(rng)
    other = simulate(np.random.default_rng(5))
    found = measure_displacement(ArraySource(pair.replace(spatial=other.spatial)))
    assert found.confidence < 0.25
    assert decide_alignment(found, 4) is None


def test_noise_has_no_content(rng) -> None:
    pair = simulate(rng)
    for spatial in (rng.normal(500, 30, pair.spatial.shape), np.full(pair.spatial.shape, 7.0)):
        assert measure_displacement(ArraySource(pair.replace(spatial=spatial))).windows == 0


def test_a_displacement_beyond_the_search_is_not_believed(rng) -> None:
    pair = simulate(rng, displacement=(20.0, 0.0))
    assert measure_displacement(ArraySource(pair)).confidence < 0.25
    found = measure_displacement(ArraySource(pair), search=24)
    assert found.rows == pytest.approx(20.0, abs=PRECISION)


def test_a_single_window_has_a_third_of_the_confidence(rng) -> None:
    pair = simulate(rng, shape=(128, 128))
    found = measure_displacement(ArraySource(pair))
    assert found.windows == 1
    assert 0.2 < found.confidence <= 1 / 3


@pytest.mark.parametrize("shape", [(16, 16), (48, 400)])
def test_too_small_a_scene_gives_no_answer(rng, shape) -> None:
    found = measure_displacement(ArraySource(simulate(rng, shape=shape)))
    assert (found.rows, found.cols, found.confidence, found.windows) == (0.0, 0.0, 0.0, 0)


def test_constant_images_give_no_answer() -> None:
    pair = ImagePair(np.full((1, 400, 400), 7.0), np.full((3, 100, 100), 5.0), 4, (1.5, 1.5))
    assert measure_displacement(ArraySource(pair)).confidence == 0.0


def test_hyperspectral_pairs_use_some_bands_and_the_mean_of_the_spatial_ones(rng) -> None:
    pair = simulate(rng, bands=40, displacement=(0.8, -0.3))
    several = np.concatenate([pair.spatial, pair.spatial * 0.5])
    (first, *_) = read_probes(ArraySource(pair.replace(spatial=several)), default_search(4))
    assert first.bands.shape[0] == 16
    assert error(pair.replace(spatial=several), (0.8, -0.3)) < PRECISION


def test_windows_cover_a_small_scene_and_spread_over_a_large_one() -> None:
    small = probe_windows((256, 256), 4, 5)
    covered = np.zeros((64, 64), dtype=bool)
    for window in small:
        rows, cols = window.coarse(4).padded(-5).slices
        covered[rows, cols] = True
    assert covered[5:-6, 5:-6].mean() > 0.9
    large = probe_windows((20000, 10000), 4, 5)
    assert len(large) == 25
    assert {w.shape for w in large} == {((64 + 10) * 4, (64 + 10) * 4)}
    assert max(w.row_stop for w in large) == 20000
    assert max(w.col_stop for w in large) == 10000


def test_regression_agrees_with_numpy(rng) -> None:
    bands, values = rng.normal(size=(3, 50)), rng.normal(size=(2, 50))
    design = np.vstack([bands, np.ones(50)]).T
    fit = design @ np.linalg.lstsq(design, values.T, rcond=None)[0]
    residual = values - fit.T
    expected = (residual**2).sum(1) / ((values - values.mean(1, keepdims=True)) ** 2).sum(1)
    regression = Regression(bands)
    np.testing.assert_allclose(regression.residual(values), residual, atol=1e-12)
    np.testing.assert_allclose(regression.unexplained(values), expected, rtol=1e-10)


def test_regression_on_repeated_bands_and_constant_values(rng) -> None:
    band = rng.normal(size=(1, 50))
    regression = Regression(np.concatenate([band, band]))
    np.testing.assert_allclose(regression.unexplained(band), 0, atol=1e-12)
    np.testing.assert_array_equal(regression.unexplained(np.full((1, 50), 3.0)), 1.0)


def found(rows: float, cols: float, confidence: float) -> Displacement:
    return Displacement(rows, cols, confidence, (1.5 + rows, 1.5 + cols), 25, (0.1, 0.1))


@pytest.mark.parametrize(
    ("displacement", "expected"),
    [
        (found(2.7, 0.1, 0.9), (2.7, 0.1)),
        (found(0.4, 0.4, 0.9), (0.4, 0.4)),
        (found(0.2, -0.2, 0.9), None),
        (found(2.7, 0.1, 0.4), None),
    ],
)
def test_small_or_doubtful_displacements_are_left(displacement, expected) -> None:
    assert decide_alignment(displacement, 4) == expected


@pytest.mark.golden
def test_the_raw_spacenet_delivery_is_three_rows_off(shared) -> None:
    folder = shared("data/pan/wv3_spacenet_shanghai_pan.tif").parent
    with warnings.catch_warnings(action="ignore"):
        pair = open_pair(
            folder / "wv3_spacenet_shanghai_pan.tif", folder / "wv3_spacenet_shanghai_ms.tif"
        )
    with pair:
        measured = measure_displacement(pair)
        offset = decide_alignment(measured, 4)
        assert 2.5 < measured.rows < 3.2
        assert abs(measured.cols) < 0.3
        assert measured.confidence > 0.9
        assert offset is not None
    with (
        warnings.catch_warnings(action="ignore"),
        open_pair(pair.pan.path, pair.ms.path, offset=offset) as corrected,
    ):
        left = measure_displacement(corrected)
        assert left.distance < PRECISION
        assert decide_alignment(left, 4) is None


@pytest.mark.golden
def test_the_registered_worldview_2_scene_stays(shared) -> None:
    content = loadmat(shared("data/pan/wv2_grip_fr.mat"))
    pair = ImagePair(
        spatial=content["I_PAN"].astype(np.float64)[None],
        spectral=content["I_MS"].astype(np.float64).transpose(2, 0, 1),
        ratio=4,
        phase=(1.5, 1.5),
    )
    measured = measure_displacement(ArraySource(pair))
    assert abs(measured.rows) < 0.3
    assert abs(measured.cols) < 0.3
    assert measured.confidence > 0.8
    assert decide_alignment(measured, 4) is None


@pytest.mark.golden
@pytest.mark.parametrize(
    ("name", "stated"),
    [
        ("pleiadeslike_dgif2", (-3, -3)),
        ("pleiadeslike_dgif3", (-2, -4)),
        ("pleiades_urban", (-2, -2)),
    ],
)
def test_whole_shifts_stated_for_real_pairs_are_confirmed(shared, name, stated) -> None:
    """The stated shifts are whole pixels to crop by, so half a pixel is what they can promise."""
    folder = shared(f"data/pan/train4/{name}_pan.tif").parent
    with warnings.catch_warnings(action="ignore"):
        pair = open_pair(folder / f"{name}_pan.tif", folder / f"{name}_ms.tif")
    with pair:
        measured = measure_displacement(pair)
    assert abs(measured.rows - stated[0]) < 0.5
    assert abs(measured.cols - stated[1]) < 0.5
