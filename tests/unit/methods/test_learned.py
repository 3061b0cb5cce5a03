"""A network as a method: what is refused, what is prepared, how it is scaled."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import ndimage

from bandweave.errors import BandCountError, GridMismatchError, ScaleError, ShapeError
from bandweave.methods.base import NetworkTile
from bandweave.methods.learned import FittedTileNetwork, LearnedMethod
from bandweave.methods.nets.checkpoint import Weights
from bandweave.methods.nets.initialise import start_from_interpolation
from bandweave.methods.nets.u2net import U2Net
from bandweave.methods.nets.u2net_config import U2NetConfig
from bandweave.pair import ImagePair, PairProfile
from bandweave.window import Window
from cards import untrained_card

PROFILE = PairProfile((64, 96), 1, 3, 4, (2.0, 2.0), full_scale=1023.0)

CONFIG = U2NetConfig(bands=3, width=8, head_width=4)


@pytest.fixture(scope="module")
def weights() -> Weights:
    torch.manual_seed(3)
    card = untrained_card(
        CONFIG, name="small", band_names=("green", "red", "nir"), full_scale=1023, phase=(2, 2)
    )
    model = U2Net(CONFIG).eval()
    with torch.no_grad():
        # An untrained head answers with values around 0: lift them into the unit range.
        model.head[-1].bias += 0.4
    return Weights(model, card, "0" * 64)


def _fit(weights: Weights, profile: PairProfile = PROFILE, **options: float) -> FittedTileNetwork:
    return LearnedMethod(weights, device="cpu", threads=1, **options).fit(profile, None)


def _pair(rng: np.random.Generator, size: tuple[int, int], phase: float = 2.0) -> ImagePair:
    spatial = rng.uniform(0, 1023, (1, *size)).astype(np.float32)
    spectral = rng.uniform(0, 1023, (3, size[0] // 4, size[1] // 4)).astype(np.float32)
    return ImagePair(spatial, spectral, 4, (phase, phase), full_scale=1023.0)


class TestFit:
    @pytest.mark.parametrize(
        ("change", "error", "words"),
        [
            ({"bands": 4}, BandCountError, r"fuse 3 spectral bands \(green, red, nir\).*has 4"),
            ({"spatial_bands": 3}, BandCountError, "got 3; are the two images swapped"),
            ({"ratio": 2}, GridMismatchError, "trained for ratio 4, the pair has ratio 2"),
            ({"full_scale": None}, ScaleError, r"not known .*was 1023 in training.*--full-scale"),
        ],
    )
    def test_refuses_what_the_weights_do_not_fit(self, weights, change, error, words):
        with pytest.raises(error, match=words):
            _fit(weights, replace(PROFILE, **change))

    def test_is_a_float32_method_without_measurement(self, weights):
        method = LearnedMethod(weights)
        assert method.id == "u2net"
        assert method.precision is np.float32
        assert method.measurement(PROFILE) is None

    def test_reach_is_the_tile_of_the_card(self, weights):
        reach = _fit(weights).reach
        assert (reach.size, reach.overlap, reach.apron) == (32, 16, 0)

    @pytest.mark.parametrize("sigma", [0.2, 0.6, 1.2])
    def test_the_apron_holds_the_blur(self, weights, sigma):
        apron = _fit(weights, pan_sigma=sigma).reach.apron
        assert apron % 4 == 0
        assert apron >= int(4 * sigma + 0.5)


class TestPrepare:
    def test_a_pair_as_trained_is_left_alone(self, weights, rng):
        pair = _pair(rng, (32, 32))
        prepared = _fit(weights).prepare(pair)
        assert np.shares_memory(prepared.spatial, pair.spatial)
        assert np.array_equal(prepared.spatial, pair.spatial)
        assert np.array_equal(prepared.spectral, pair.spectral)
        assert prepared.start is None

    def test_a_tile_without_its_apron_is_refused(self, weights, rng):
        with pytest.raises(ShapeError, match=r"tiles of 32 pixels with 0 pixels .* 36 x 32"):
            _fit(weights).prepare(_pair(rng, (36, 32)))

    def test_the_coarse_image_is_moved_to_the_phase_trained_with(self, weights):
        """A slow wave sampled at phase 1.5 becomes the wave sampled at phase 2."""
        fitted = _fit(weights, replace(PROFILE, phase=(1.5, 0.5)))
        size = 32 + 2 * fitted.reach.apron
        rows, cols = np.mgrid[: size // 4, : size // 4]

        def wave(row: np.ndarray, col: np.ndarray) -> np.ndarray:
            return 500 + 300 * np.sin(row / 13) * np.cos(col / 17 + 0.3)

        spectral = np.repeat(wave(4 * rows + 1.5, 4 * cols + 0.5)[None], 3, axis=0)
        pan = np.random.default_rng(4).random((1, size, size)).astype(np.float32)
        pair = ImagePair(pan, spectral.astype(np.float32), 4, (1.5, 0.5), full_scale=1023.0)
        prepared = fitted.prepare(pair)
        a = fitted.reach.apron
        inner = slice(a // 4, a // 4 + 8)
        expected = wave(4 * rows + 2.0, 4 * cols + 2.0)[inner, inner]
        assert prepared.spatial.shape == (1, 32, 32)
        # Well sampled, so the interpolator is off by little; unmoved it would be off by 10.
        np.testing.assert_allclose(prepared.spectral[0], expected, atol=0.2)
        np.testing.assert_array_equal(prepared.spatial, pair.spatial[:, a : a + 32, a : a + 32])

    def test_the_pan_is_blurred_and_nothing_else(self, weights, rng):
        fitted = _fit(weights, pan_sigma=0.7)
        a = fitted.reach.apron
        pair = _pair(rng, (32 + 2 * a, 32 + 2 * a))
        prepared = fitted.prepare(pair)
        blurred = ndimage.gaussian_filter(pair.spatial[0], 0.7)
        np.testing.assert_array_equal(prepared.spatial[0], blurred[a : a + 32, a : a + 32])
        inner = slice(a // 4, a // 4 + 8)
        np.testing.assert_array_equal(prepared.spectral, pair.spectral[:, inner, inner])

    @pytest.mark.parametrize("options", [{"pan_sigma": 1.2}, {}])
    def test_the_apron_is_enough(self, weights, rng, options):
        """A tile prepared with its apron equals the same tile prepared inside a larger scene."""
        fitted = _fit(weights, replace(PROFILE, phase=(1.5, 2.5)), **options)
        a = fitted.reach.apron
        scene = _pair(rng, (32 + 2 * a + 64, 32 + 2 * a + 64), phase=1.5)
        scene = scene.replace(phase=(1.5, 2.5))
        tile = fitted.prepare(scene.crop(Window(32, 32, 32 + 2 * a, 32 + 2 * a)))
        whole = _whole(fitted, scene)
        at = slice(32 + a, 64 + a)
        coarse = slice(at.start // 4, at.stop // 4)
        np.testing.assert_allclose(tile.spatial, whole.spatial[:, at, at], rtol=1e-6)
        np.testing.assert_allclose(tile.spectral, whole.spectral[:, coarse, coarse], rtol=1e-5)


def _whole(fitted: FittedTileNetwork, scene: ImagePair) -> NetworkTile:
    """Prepare a whole scene as one tile."""
    return fitted.preparation(scene)


class TestFuse:
    def test_equals_the_network_on_scaled_images(self, weights, rng):
        pair = _pair(rng, (32, 32))
        with torch.no_grad():
            images = [torch.from_numpy(i / 1023)[None] for i in (pair.spatial, pair.spectral)]
            expected = weights.model(*images)[0].clamp(0, 1).numpy() * 1023
        fused = _fit(weights).fuse(pair)
        assert fused.dtype == np.float32
        assert fused.shape == (3, 32, 32)
        np.testing.assert_allclose(fused, expected, rtol=0, atol=2e-6 * 1023)

    def test_units_cancel(self, weights, rng):
        """Reflectance with full scale 1 is fused like DN with full scale 1023."""
        pair = _pair(rng, (32, 32))
        unit = pair.replace(spatial=pair.spatial / 1023, spectral=pair.spectral / 1023)
        in_unit = _fit(weights, replace(PROFILE, full_scale=1.0)).fuse(unit)
        np.testing.assert_allclose(1023 * in_unit, _fit(weights).fuse(pair), rtol=0, atol=2e-3)

    def test_results_stay_within_the_scale(self, weights, rng):
        pair = _pair(rng, (32, 32))
        far = pair.replace(spectral=pair.spectral * 10 - 5000)
        fused = _fit(weights).fuse(far)
        assert fused.min() == 0
        assert fused.max() == np.float32(1023)

    def test_a_tile_does_not_know_its_companions(self, weights, rng):
        fitted = _fit(weights)
        tiles = [_pair(rng, (32, 32)) for _ in range(fitted.reach.batch + 1)]
        prepared = [fitted.prepare(tile) for tile in tiles]
        together = fitted.fuse_batch(prepared)
        for k in (0, 2, len(tiles) - 1):
            np.testing.assert_array_equal(together[k], fitted.fuse(tiles[k]))
            np.testing.assert_array_equal(together[k], fitted.fuse_batch(prepared[k::-1])[0])

    def test_a_network_that_only_interpolates_follows_the_phase(self, weights):
        """The same ground, sampled at two phases, is fused to the same image."""
        model = U2Net(CONFIG).eval()
        start_from_interpolation(model, weights.card.phase)
        interpolating = Weights(model, weights.card, "0" * 64)
        fused = []
        for phase in (2.0, 1.5):
            fitted = _fit(interpolating, replace(PROFILE, phase=(phase, phase)))
            a = fitted.reach.apron
            at = 4 * np.arange(-a // 4, 8 + a // 4) + phase
            ramp = (500 + 3 * at[:, None] + 5 * at[None, :]).astype(np.float32)
            pan = np.zeros((1, 32 + 2 * a, 32 + 2 * a), np.float32)
            pair = ImagePair(pan, np.stack([ramp] * 3), 4, (phase, phase), full_scale=1023.0)
            fused.append(fitted.fuse(pair)[:, 4:-4, 4:-4])
        rows, cols = np.mgrid[4:28, 4:28]
        np.testing.assert_allclose(fused[0][0], 500 + 3 * rows + 5 * cols, atol=1e-2)
        np.testing.assert_allclose(fused[1][0], 500 + 3 * rows + 5 * cols, atol=1e-2)
