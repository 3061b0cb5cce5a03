"""Networks that start from a closed form, and networks that are local: as methods on scenes.

What holds for every network by itself stands in `unit.methods.nets.tester`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from bandweave.errors import ConfigError, SensorModelError
from bandweave.methods import learned, preparation
from bandweave.methods.base import FixedTile, Local
from bandweave.methods.consistency import Consistency
from bandweave.methods.learned import FittedLocalNetwork, FittedTileNetwork, LearnedMethod
from bandweave.methods.nets.checkpoint import Weights
from bandweave.methods.nets.network import FusionNetwork
from bandweave.methods.nets.u2net_config import U2NetConfig
from bandweave.methods.table import METHODS
from bandweave.mosaic.runner import ArraySink, RunLimits, fit_method, run_scene
from bandweave.pair import ImagePair
from bandweave.sensors import find_sensor
from bandweave.source import ArraySource
from bandweave.window import Window
from cards import untrained_card
from scenes import smooth_truth


class ReturnsItsStart(FusionNetwork):
    """A network that changes nothing, so that what reaches it shows in the result."""

    def __init__(self, base: str, radius: int | None = 0, stride: int = 1) -> None:
        super().__init__()
        self.config = U2NetConfig(bands=3, base=base)
        self.base, self.receptive_radius, self.stride = base, radius, stride
        self.sizes: list[tuple[int, ...]] = []

    def forward(self, spatial: Tensor, spectral: Tensor, start: Tensor | None = None) -> Tensor:
        self.check(spatial, spectral, start)
        self.sizes.append(tuple(spatial.shape[2:]))
        assert start is not None
        return start

    def __deepcopy__(self, memo: Any) -> ReturnsItsStart:
        return self


def weights(model: FusionNetwork, **changes: Any) -> Weights:
    card = untrained_card(model.config, name="small", **changes)
    return Weights(model, card, "0" * 64)


@pytest.fixture
def pair() -> ImagePair:
    truth = smooth_truth(3, 4 * 23, 4 * 17)
    cells = truth.reshape(3, 23, 4, 17, 4).mean(axis=(2, 4))
    return ImagePair(
        truth.mean(axis=0, keepdims=True), cells, 4, (1.5, 1.5), 1000.0, sensor=find_sensor("none")
    )


def fitted(own: Weights, pair: ImagePair, **options: Any) -> FittedLocalNetwork | FittedTileNetwork:
    method = LearnedMethod(own, device="cpu", threads=1, **options)
    return fit_method(method, ArraySource(pair), RunLimits())


def run(fit: Any, pair: ImagePair, window: Window | None = None) -> np.ndarray:
    sink = ArraySink()
    run_scene(fit, ArraySource(pair), sink, precision=np.float32, window=window)
    return sink.hrms


def closed_form(name: str, pair: ImagePair) -> np.ndarray:
    create = METHODS[name].create
    assert create is not None
    return run(fit_method(create(), ArraySource(pair), RunLimits()), pair).clip(0, 1000)


class TestBase:
    @pytest.mark.parametrize("name", ["exp", "bt_h", "mtf_glp_fs"])
    def test_a_local_network_starts_from_the_closed_form_of_the_scene(self, name, pair):
        fit = fitted(weights(ReturnsItsStart(name)), pair)
        # float32 and the division by the scale.
        assert np.abs(run(fit, pair) - closed_form(name, pair)).max() < 1e-2

    @pytest.mark.parametrize("name", ["exp", "mtf_glp_fs"])
    def test_so_does_one_with_a_fixed_tile(self, name, pair):
        fit = fitted(weights(ReturnsItsStart(name, radius=None)), pair)
        assert isinstance(fit.reach, FixedTile)
        fused, expected = run(fit, pair), closed_form(name, pair)
        # Tiles share the closed form of the scene, which blending leaves as it is.
        assert np.abs(fused - expected).max() < 1e-2

    def test_tiles_share_blocks_of_the_closed_form(self, pair, monkeypatch):
        """Each block is computed once; a window has the very pixels of the full run."""
        for side in ("_FEWEST_ROWS", "_MOST_ROWS", "_BLOCK_COLS"):
            monkeypatch.setattr(preparation, side, 32)
        fit = fitted(weights(ReturnsItsStart("mtf_glp_fs", radius=None), phase=(2, 2)), pair)
        assert isinstance(fit, FittedTileNetwork)
        assert fit.base is not None
        sizes: list[tuple[int, int]] = []
        inner = fit.base.fitted.fuse

        class Counting:
            reach = fit.base.fitted.reach

            def fuse(self, part: ImagePair) -> np.ndarray:
                sizes.append(part.shape)
                return inner(part)

        base = replace(fit.base, fitted=Counting())
        counting = replace(fit, preparation=replace(fit.preparation, base=base))
        whole = run(counting, pair)
        assert len(sizes) == 9
        window = Window(13, 7, 50, 41)
        part = run(counting, pair, window)
        assert np.array_equal(part, whole[(slice(None), *window.slices)])

    def test_the_base_sees_the_pan_that_the_network_sees(self, pair):
        """Blurred by the method, or blurred before: the same, statistics included."""
        from bandweave.degrade.sampling import blur_gaussian

        own = weights(ReturnsItsStart("mtf_glp_fs"))
        soft = pair.replace(spatial=blur_gaussian(pair.spatial, 0.8))
        blurred = run(fitted(own, pair, pan_sigma=0.8), pair)
        assert np.abs(blurred - run(fitted(own, soft), soft)).max() < 1e-2
        assert np.abs(blurred - run(fitted(own, pair), pair)).max() > 1

    def test_the_base_knows_the_phase_itself(self, pair):
        """The coarse image is resampled for the network, not for its base."""
        moved = pair.replace(phase=(2.0, 1.0))
        fit = fitted(weights(ReturnsItsStart("exp")), moved)
        assert np.abs(run(fit, moved) - closed_form("exp", moved)).max() < 1e-2

    def test_a_network_trained_behind_the_step_starts_from_a_consistent_base(self, pair):
        own = weights(ReturnsItsStart("exp"), consistent=True, consistency_noise=1e-3)
        start = closed_form("exp", pair)
        assert pair.sensor is not None
        step = Consistency(pair.sensor.mtf_gains(3) or (), 1e-3)
        expected = step.apply(start.astype(np.float64), pair).clip(0, 1000)
        assert np.abs(run(fitted(own, pair), pair) - expected).max() < 1e-2
        assert np.abs(start - expected).max() > 5

    @pytest.mark.parametrize(("name", "consistent"), [("mtf_glp_fs", False), ("exp", True)])
    def test_without_a_sensor_model_there_is_a_sentence(self, name, consistent, pair):
        own = weights(ReturnsItsStart(name), consistent=consistent)
        with pytest.raises(SensorModelError, match=r"needs the MTF gains .* give --sensor NAME"):
            fitted(own, pair.replace(sensor=None))

    def test_a_base_of_the_whole_scene_is_refused(self, pair):
        with pytest.raises(ConfigError, match="start from tv, which needs the whole scene"):
            fitted(weights(ReturnsItsStart("tv")), pair)

    def test_a_learned_base_is_refused(self, pair):
        with pytest.raises(ConfigError, match="starts from a method without weights"):
            fitted(weights(ReturnsItsStart("u2net")), pair)


class TestBlocks:
    @pytest.mark.parametrize(
        ("radius", "stride", "apron", "side"), [(0, 1, 0, 32), (9, 1, 12, 32), (9, 8, 16, 32)]
    )
    def test_reach_and_blocks_lie_on_the_networks_grid(
        self, radius, stride, apron, side, pair, monkeypatch
    ):
        monkeypatch.setattr(learned, "BLOCK", 35)
        bare = fitted(weights(ReturnsItsStart("exp", radius, stride)), pair)
        base = fitted(weights(ReturnsItsStart("exp", 0, stride)), pair).reach.apron
        assert bare.reach == Local(apron + base, (side, side))

    def test_the_network_sees_multiples_of_its_stride_only(self, pair, monkeypatch):
        """92 x 68 fine pixels at stride 8: the last rows and columns are continued."""
        monkeypatch.setattr(learned, "BLOCK", 32)
        model = ReturnsItsStart("exp", radius=3, stride=8)
        tiled = run(fitted(weights(model), pair), pair)
        assert all(size % 8 == 0 for sizes in model.sizes for size in sizes)
        assert np.abs(tiled - closed_form("exp", pair)).max() < 1e-2

    @pytest.mark.parametrize(("width", "shapes"), [(1600, 1), (1588, 2)])
    def test_blocks_repeat_their_shape(self, width, shapes, monkeypatch):
        """Also at the scene's edge, where mirror images stand in for the context."""
        monkeypatch.setattr(learned, "BLOCK", 32)
        rng = np.random.default_rng(3)
        images = rng.uniform(0, 1000, (1, 96, width)), rng.uniform(0, 1000, (3, 24, width // 4))
        wide = ImagePair(*images, 4, (1.5, 1.5), 1000.0)
        model = ReturnsItsStart("exp", radius=8)
        run(fitted(weights(model), wide), wide)
        assert len(model.sizes) == 150
        assert len(set(model.sizes)) == shapes

    def test_the_network_sees_no_more_than_it_needs(self, pair, monkeypatch):
        """The context of what it starts from is cut off before."""
        monkeypatch.setattr(learned, "BLOCK", 32)
        model = ReturnsItsStart("mtf_glp_fs", radius=7)
        fit = fitted(weights(model), pair)
        assert fit.reach.apron > 60
        run(fit, pair)
        assert max(model.sizes) == (32 + 2 * 8, 32 + 2 * 8)

    def test_masked_blocks_are_left_out(self, pair, monkeypatch):
        monkeypatch.setattr(learned, "BLOCK", 32)
        valid = np.ones(pair.shape, dtype=bool)
        valid[:32, :32] = False
        model = ReturnsItsStart("exp")
        fused = run(fitted(weights(model), pair), pair.replace(valid=valid))
        assert len(model.sizes) == 8
        assert not fused[:, :32, :32].any()

    def test_threads_do_not_change_a_bit(self, pair, monkeypatch):
        monkeypatch.setattr(learned, "BLOCK", 32)
        torch.manual_seed(4)
        own = pnn_weights()
        results = []
        for workers in (1, 3):
            method = LearnedMethod(own, device="cpu", threads=workers)
            sink = ArraySink()
            fit = fit_method(method, ArraySource(pair), RunLimits(workers))
            run_scene(fit, ArraySource(pair), sink, precision=np.float32, limits=RunLimits(workers))
            results.append(sink.hrms)
        assert np.array_equal(*results)


def pnn_weights() -> Weights:
    from bandweave.methods.nets.table import NETWORKS

    settings = {"bands": 3, "spatial_bands": 1, "ratio": 4, "width": 8, "narrow_width": 4}
    model = NETWORKS["pnn"].build(settings, source="The test").eval()
    return weights(model, architecture="pnn")
