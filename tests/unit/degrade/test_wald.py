"""Reduced pairs: parity, windows, masks, noise, records."""

from __future__ import annotations

import numpy as np
import pytest
from affine import Affine
from scipy.io import loadmat

from bandweave.degrade.noise import Noise
from bandweave.degrade.operators import (
    Imresize,
    KernelFilter,
    MtfFilter,
    gaussian_psf,
    given_kernel,
)
from bandweave.degrade.record import DegradationRecord
from bandweave.degrade.sampling import imresize
from bandweave.degrade.srf import nikon_d700
from bandweave.degrade.wald import WaldProtocol, simulate_pair, wald_pair, wald_window
from bandweave.errors import BandCountError, SensorModelError, ShapeError
from bandweave.grid import Grid
from bandweave.pair import ImagePair
from bandweave.sensors import find_sensor
from bandweave.source import ArraySource
from bandweave.window import Window


def native_pair(rng, *, h=37, w=31, ratio=4, **more):
    spatial = rng.uniform(0, 2047, (1, h * ratio, w * ratio))
    spectral = rng.uniform(0, 2047, (4, h, w))
    fields = {"sensor": find_sensor("qb"), **more}
    return ImagePair(spatial, spectral, ratio, (1.5, 1.5), **fields)


@pytest.mark.golden
def test_worldview3_sample_as_a_pair(shared, rng):
    sample = loadmat(shared("data/pan/wv3_cdif_rr.mat"))
    gt, lrms = (np.moveaxis(sample[key], 2, 0) * 2047.0 for key in ("gt", "lrms"))
    pan = rng.uniform(0, 2047, (1, 1024, 1024))
    pair = ImagePair(pan, gt, 4, (2.0, 2.0), sensor=find_sensor("wv3"))
    reduced = wald_pair(pair, WaldProtocol.of_sensor(pair.profile))
    assert np.abs(reduced.pair.spectral - lrms).max() <= 1e-9
    assert np.array_equal(reduced.gt, gt)
    assert reduced.pair.phase == (2.0, 2.0)


def test_shapes_and_reference(rng):
    pair = native_pair(rng)
    reduced = wald_pair(pair, WaldProtocol.of_sensor(pair.profile))
    assert reduced.gt.shape == (4, 36, 28)
    assert reduced.pair.spatial.shape == (1, 36, 28)
    assert reduced.pair.spectral.shape == (4, 9, 7)
    assert reduced.ms_up.shape == (4, 36, 28)
    assert np.array_equal(reduced.gt, pair.spectral[:, :36, :28])
    assert reduced.pair.spatial == pytest.approx(imresize(pair.spatial[:, :144, :112], 1 / 4))


def test_pan_by_mtf_is_sampled_where_the_multispectral_pixels_lie():
    # A cosine along the rows of the PAN; the native phase says where MS pixel k lies in it.
    height = 4 * 80
    wave = 2 * np.pi * 4 / height
    spatial = np.cos(wave * np.arange(height))[None, :, None] * np.ones((1, height, 32))
    pair = ImagePair(spatial, np.zeros((4, 80, 8)), 4, (1.5, 1.5), sensor=find_sensor("qb"))
    protocol = WaldProtocol.of_sensor(pair.profile, spatial=MtfFilter((0.15,), is_normalised=True))
    line = wald_pair(pair, protocol).pair.spatial[0, 10:-10, 4]
    expected = np.cos(wave * (4 * np.arange(80) + 1.5))[10:-10]
    assert line == pytest.approx(expected * (line @ expected / (expected @ expected)), abs=3e-4)


@pytest.mark.parametrize(
    "protocol",
    [
        WaldProtocol(MtfFilter((0.34, 0.32, 0.30, 0.22))),
        WaldProtocol(MtfFilter((0.30,), is_normalised=True), MtfFilter((0.15,)), (1.5, 1.5)),
        WaldProtocol(gaussian_psf(2.0, 7), Imresize("bilinear")),
    ],
)
@pytest.mark.parametrize(
    "window", [Window(0, 0, 8, 12), Window(40, 36, 16, 8), Window(80, 60, 8, 12)]
)
def test_a_window_is_the_whole(rng, protocol, window):
    pair = native_pair(rng, h=90, w=75)
    whole = wald_pair(pair, protocol).crop(window)
    part = wald_window(ArraySource(pair), window, protocol)
    assert part.pair.spatial == pytest.approx(whole.pair.spatial, abs=1e-9)
    assert part.pair.spectral == pytest.approx(whole.pair.spectral, abs=1e-9)
    assert np.array_equal(part.gt, whole.gt)
    assert part.record == whole.record


def test_grid_follows(rng):
    grid = Grid((148, 124), Affine(0.5, 0, 100, 0, -0.5, 200), "EPSG:32633")
    pair = native_pair(rng, grid=grid)
    reduced = wald_pair(pair, WaldProtocol.of_sensor(pair.profile))
    assert reduced.pair.grid == Grid((36, 28), Affine(2.0, 0, 100, 0, -2.0, 200), "EPSG:32633")


def test_invalid_pixels_spoil_the_samples_that_see_them(rng):
    valid = np.ones((40 * 4, 40 * 4), dtype=bool)
    valid[80, 80] = False  # within MS pixel (20, 20), coarse cell (5, 5)
    pair = native_pair(rng, h=40, w=40, valid=valid)
    protocol = WaldProtocol.of_sensor(pair.profile)
    reduced = wald_pair(pair, protocol)
    changed = pair.replace(spectral=pair.spectral.copy(), spatial=pair.spatial.copy())
    changed.spectral[:, 20, 20] += 1000
    changed.spatial[:, 80:84, 80:84] += 1000
    moved = np.abs(wald_pair(changed, protocol).pair.spectral - reduced.pair.spectral).max(axis=0)
    coarse = reduced.pair.coarse_valid
    assert not coarse[5, 5]
    assert coarse.sum() >= 75
    assert moved[coarse].max() < 0.01 * 1000
    spatial = np.abs(wald_pair(changed, protocol).pair.spatial - reduced.pair.spatial)[0]
    assert spatial[reduced.pair.valid].max() == 0


def test_noise_has_the_stated_deviation_and_seed(rng):
    pair = native_pair(rng, h=160, w=160)
    quiet = WaldProtocol.of_sensor(pair.profile)
    noisy = WaldProtocol(quiet.spectral, noise=Noise((5.0,), (1.0, 2.0, 3.0, 4.0), seed=3))
    clean, first, again = wald_pair(pair, quiet), wald_pair(pair, noisy), wald_pair(pair, noisy)
    difference = first.pair.spectral - clean.pair.spectral
    # 1600 samples: the standard deviation scatters by 1.8 %.
    assert difference.std(axis=(1, 2)) == pytest.approx([1, 2, 3, 4], rel=0.08)
    assert (first.pair.spatial - clean.pair.spatial).std() == pytest.approx(5, rel=0.03)
    assert np.array_equal(first.pair.spectral, again.pair.spectral)
    assert first.record.noise_spectral == (1.0, 2.0, 3.0, 4.0)
    assert first.record.seed == 3


def test_record_survives_json(rng):
    pair = native_pair(rng, sensor=find_sensor("gf2"))
    reduced = wald_pair(
        pair, WaldProtocol.of_sensor(pair.profile, spatial=given_kernel(np.eye(4) / 4, "mine"))
    )
    record = DegradationRecord.model_validate_json(reduced.record.model_dump_json())
    assert record == reduced.record
    assert record.spectral.gains == (0.30,) * 4
    assert record.spatial.taps[1] == (0.0, 0.25, 0.0, 0.0)
    assert "convention" in record.assumptions[0]


def test_own_gains_are_no_assumption(rng):
    pair = native_pair(rng, sensor=find_sensor("gf2"))
    assert wald_pair(pair, WaldProtocol(MtfFilter((0.25,)))).record.assumptions == ()


def test_unknown_sensor_is_not_guessed(rng):
    for sensor in (None, find_sensor("pleiades")):
        with pytest.raises(SensorModelError, match="MTF gains of 4 bands are needed"):
            WaldProtocol.of_sensor(native_pair(rng, sensor=sensor).profile)


@pytest.mark.parametrize(("size", "phase"), [(4, 1.5), (3, 2.0), (8, 0.5)])
def test_given_kernel_is_centred_on_the_phase(size, phase):
    ramp = np.arange(64.0)[None, :, None] + 100 * np.arange(64.0)
    taps = KernelFilter(np.full((size, size), size**-2), "mean")
    ours = taps.apply(ramp, 4, (phase, phase))[0]
    centre = 4 * np.arange(16) + phase
    expected = centre[:, None] + 100 * centre
    assert ours[2:-2, 2:-2] == pytest.approx(expected[2:-2, 2:-2])


@pytest.mark.parametrize(("size", "phase"), [(3, 1.5), (4, 2.0), (4, 1.25)])
def test_given_kernel_refuses_phases_between(size, phase):
    with pytest.raises(SensorModelError, match="cannot be sampled at phase"):
        given_kernel(np.ones((size, size)), "mine").apply(np.zeros((1, 8, 8)), 4, (phase, phase))


def test_tiny_images_are_refused(rng):
    with pytest.raises(ShapeError, match="cannot be reduced by 4"):
        wald_pair(native_pair(rng, h=3, w=9), WaldProtocol(MtfFilter((0.3,))))


def test_given_kernel_must_be_a_table():
    with pytest.raises(SensorModelError, match="table of finite numbers"):
        given_kernel([[np.nan]], "bad")


def test_hyperspectral_pair(rng):
    cube = rng.uniform(0, 1, (31, 22, 18))
    reduced = simulate_pair(cube, nikon_d700(), gaussian_psf(0.5, 3), 4, full_scale=1.0)
    assert reduced.gt.shape == (31, 20, 16)
    assert reduced.pair.spatial.shape == (3, 20, 16)
    assert reduced.pair.phase == (2.0, 2.0)
    # The protocol's 1-D taps are about .10651 .78699 .10651; sample 1 lies at index 6.
    line = np.array([0.10651, 0.78699, 0.10651])
    around = cube[3, 5:8, 5:8]
    assert reduced.pair.spectral[3, 1, 1] == pytest.approx(line @ around @ line, abs=1e-5)
    with pytest.raises(BandCountError, match="is for 31 bands, the image has 5"):
        simulate_pair(cube[:5], nikon_d700(), gaussian_psf(0.5, 3), 4)


@pytest.mark.golden
def test_hyperspectral_pair_of_the_reference_cases(shared):
    for case in ("A", "B"):
        given = np.load(shared(f"golden/hisr/inputs/case_{case}.npz"))
        reduced = simulate_pair(given["gt"], nikon_d700(), gaussian_psf(0.5, 3), 4)
        assert reduced.pair.spectral == pytest.approx(given["lrhsi"], abs=1e-14)
        assert reduced.pair.spatial == pytest.approx(given["msi"], abs=1e-14)
