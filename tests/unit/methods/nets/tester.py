"""What every network must do, inherited by each network's own test class.

    class TestPnn(NetworkTester):
        network = "pnn"

brings all of it. A network states only what differs: its band counts, small widths that keep the
tests quick, parameters that rightly receive no gradient.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from bandweave.errors import BandCountError, CheckpointMismatchError, ShapeError
from bandweave.export.onnx import export_onnx
from bandweave.methods import learned
from bandweave.methods.base import Fitted
from bandweave.methods.learned import LearnedMethod
from bandweave.methods.nets.checkpoint import Weights, load_weights, save_weights
from bandweave.methods.nets.network import FusionNetwork
from bandweave.methods.nets.table import NETWORKS, settings_of
from bandweave.methods.nets.zoo import count_parameters
from bandweave.mosaic.fuse import fuse
from bandweave.mosaic.runner import ArraySink, RunLimits, fit_method, run_scene
from bandweave.pair import ImagePair
from bandweave.source import ArraySource
from bandweave.window import Window
from cards import untrained_card
from scenes import smooth_truth


class NetworkTester:
    """Tests of one entry of NETWORKS."""

    network: ClassVar[str]
    """Key in NETWORKS."""
    settings: ClassVar[dict[str, Any]] = {}
    """Fields of the configuration besides bands, spatial bands and ratio; small widths."""
    spatial_bands: ClassVar[int] = 1
    ratios: ClassVar[tuple[int, ...]] = (4,)
    """Ratios that the structure allows; the first is used where one is enough."""
    options: ClassVar[dict[str, Any]] = {}
    """What `fuse` has to be told beside the weights."""
    without_gradient: ClassVar[frozenset[str]] = frozenset()
    """Parameters that a loss on the result does not reach, by their names."""

    @pytest.fixture(autouse=True)
    def _seed(self) -> None:
        torch.manual_seed(20231029)

    def build(self, bands: int = 4, ratio: int | None = None) -> FusionNetwork:
        """Make the network at its own initialisation."""
        settings = {
            "bands": bands,
            "spatial_bands": self.spatial_bands,
            "ratio": ratio or self.ratios[0],
            **self.settings,
        }
        return NETWORKS[self.network].build(settings, source="The test")

    def inputs(
        self, model: FusionNetwork, size: tuple[int, int] | None = None, batch: int = 2
    ) -> list[Tensor]:
        """Make random images of the unit range, `start` included where the network takes one."""
        config = model.config
        unit = math.lcm(config.ratio, model.stride)
        height, width = size or (5 * unit, 3 * unit)
        images = [
            torch.rand(batch, config.spatial_bands, height, width),
            torch.rand(batch, config.bands, height // config.ratio, width // config.ratio),
        ]
        if model.base is not None:
            images.append(torch.rand(batch, config.bands * model.members, height, width))
        return images

    def weights(self, bands: int = 4, ratio: int | None = None) -> Weights:
        """Make weights whose results lie in the unit range, so that clamping hides nothing."""
        model = self.build(bands, ratio).eval()
        images = [0.1 + 0.8 * image for image in self.inputs(model, batch=1)]
        with torch.no_grad():
            while _share_in_range(model(*images)) < 0.25:
                for parameter in model.parameters():
                    parameter.mul_(0.9)
        card = untrained_card(model.config, architecture=self.network, tile=4 * _unit(model))
        return Weights(model, card, "0" * 64)

    def scene(self, weights: Weights) -> ImagePair:
        """Make a scene of odd size at another phase than the weights were trained with."""
        config, ratio = weights.model.config, weights.model.config.ratio
        rows, cols = (11, 7) if weights.model.receptive_radius is None else (23, 17)
        truth = smooth_truth(config.bands, ratio * rows, ratio * cols)
        cells = truth.reshape(config.bands, rows, ratio, cols, ratio).mean(axis=(2, 4))
        spatial = truth[: self.spatial_bands]
        images = (image.astype(np.float32) for image in (spatial, cells))
        phase = (ratio - 1) / 2
        return ImagePair(*images, ratio, (phase, phase + 0.25), full_scale=1000.0)

    def test_the_table_tells_the_truth(self) -> None:
        entry, model = NETWORKS[self.network], self.build()
        assert type(model).__name__ == entry.network
        assert (model.receptive_radius is None) == entry.has_fixed_tile
        assert all((entry.name, entry.citation, entry.parity, entry.ratios))

    def test_settings_come_back(self) -> None:
        entry, model = NETWORKS[self.network], self.build()
        settings = settings_of(model.config)
        assert entry.configure(settings, source="The test") == model.config
        assert all(settings[name] == value for name, value in self.settings.items())
        with pytest.raises(CheckpointMismatchError, match="a setting 'colour' that it does not"):
            entry.configure(settings | {"colour": 1}, source="The test")

    @pytest.mark.parametrize("bands", [4, 8, 31])
    def test_any_number_of_bands(self, bands) -> None:
        model = self.build(bands).eval()
        images = self.inputs(model, batch=1)
        with torch.no_grad():
            fused = model(*images)
        assert fused.shape == (1, bands, *images[0].shape[2:])
        assert torch.isfinite(fused).all()

    def test_every_ratio_that_is_promised(self) -> None:
        for ratio in self.ratios:
            model = self.build(ratio=ratio).eval()
            images = self.inputs(model, batch=1)
            with torch.no_grad():
                assert model(*images).shape == (1, 4, *images[0].shape[2:]), ratio

    def test_every_parameter_gets_a_finite_gradient(self) -> None:
        model = self.build()
        fused = model(*self.inputs(model))
        (fused * torch.rand_like(fused)).sum().backward()
        for name, parameter in model.named_parameters():
            if name in self.without_gradient:
                continue
            assert parameter.grad is not None, name
            assert torch.isfinite(parameter.grad).all(), name
            assert parameter.grad.abs().max() > 0, name

    def test_parameters_listed_without_gradient_have_none(self) -> None:
        model = self.build()
        model(*self.inputs(model)).sum().backward()
        parameters = dict(model.named_parameters())
        for name in self.without_gradient:
            gradient = parameters[name].grad
            assert gradient is None or not gradient.any(), name

    def test_a_pair_does_not_know_its_companions(self) -> None:
        """In float64, where only rounding could tell batches apart."""
        model = self.build().double().eval()
        images = [image.double() for image in self.inputs(model, batch=3)]
        with torch.no_grad():
            together = model(*images)
            alone = model(*(image[1:2] for image in images))
        torch.testing.assert_close(together[1:2], alone, rtol=0, atol=1e-11)

    def test_inputs_are_left_alone(self) -> None:
        model = self.build().eval()
        images = self.inputs(model)
        before = [image.clone() for image in images]
        with torch.no_grad():
            model(*images)
        assert all(torch.equal(image, copy) for image, copy in zip(images, before, strict=True))

    def test_impossible_inputs_are_refused_in_words(self) -> None:
        model = self.build()
        spatial, spectral, *start = self.inputs(model)
        with pytest.raises(BandCountError, match="This network fuses"):
            model(torch.cat((spatial, spatial), dim=1), spectral, *start)
        with pytest.raises(ShapeError, match="needs a spectral image of"):
            model(spatial, torch.cat((spectral, spectral), dim=2), *start)
        with pytest.raises(ShapeError, match=r"to start from|starts from"):
            model(spatial, spectral, None if start else torch.rand_like(spatial))

    def test_weights_come_back_from_a_file(self, tmp_path) -> None:
        weights = self.weights()
        path = tmp_path / "own.safetensors"
        save_weights(path, weights.model, weights.card)
        loaded = load_weights(path)
        assert loaded.card == weights.card
        assert type(loaded.model) is type(weights.model)
        assert count_parameters(str(path)) == sum(p.numel() for p in loaded.model.parameters())
        images = self.inputs(weights.model, batch=1)
        with torch.no_grad():
            assert torch.equal(loaded.model(*images), weights.model(*images))

    def test_a_scene_of_odd_size_is_fused(self) -> None:
        """Blocks or tiles, with everything that makes the scene suit the weights."""
        for ratio in self.ratios:
            weights = self.weights(ratio=ratio)
            pair = self.scene(weights)
            fused = _run(self._fitted(weights, pair), pair)
            assert fused.shape == (4, *pair.shape)
            assert np.isfinite(fused).all()

    def test_tiles_equal_the_whole(self, monkeypatch) -> None:
        if NETWORKS[self.network].has_fixed_tile:
            pytest.skip("the result belongs to the tile")
        weights = self.weights()
        pair = self.scene(weights)
        whole = self._fitted(weights, pair).fuse(pair)
        assert _share_in_range(torch.from_numpy(whole / 1000)) > 0.1
        monkeypatch.setattr(learned, "BLOCK", 32)
        tiled = self._fitted(weights, pair)
        assert tiled.reach.block == (32, 32)
        # float32, in another order.
        assert np.abs(_run(tiled, pair) - whole).max() <= 1e-5 * 1000
        window = Window(13, 7, 50, 41)
        part = _run(tiled, pair, window)
        assert np.array_equal(part, _run(tiled, pair)[(slice(None), *window.slices)])

    def test_fuse_needs_the_weights_only(self, tmp_path) -> None:
        """The card says whose they are, and which value is full scale."""
        weights, path = self.weights(), tmp_path / "own.safetensors"
        save_weights(path, weights.model, weights.card)
        pair = self.scene(weights)
        spatial, spectral = (np.rint(image) for image in (pair.spatial, pair.spectral))
        options = {"align": "off", "device": "cpu", "workers": 1, **self.options}
        options["weights"] = str(path)
        fused = fuse(spatial, spectral, **options)
        assert fused.shape == (4, *pair.shape)
        named = fuse(spatial, spectral, method=self.network, **options)
        assert np.array_equal(fused, named)

    @pytest.mark.slow
    def test_the_onnx_graph_agrees(self, tmp_path) -> None:
        """At other sizes than it was traced with, where sizes are free."""
        weights, path = self.weights(), tmp_path / "own.safetensors"
        save_weights(path, weights.model, weights.card)
        report = export_onnx(str(path), tmp_path / "own.onnx")
        assert report.difference <= 1e-4
        names = ["spatial", "spectral"] + ["start"] * (weights.model.base is not None)
        assert list(report.inputs) == names
        is_fixed = NETWORKS[self.network].has_fixed_tile
        assert (report.inputs["spatial"][2] == str(weights.card.tile)) == is_fixed

    def test_a_flat_scene_stays_flat_to_its_edges(self) -> None:
        """The zeros that convolutions pad with must not darken the outermost pixels."""
        if NETWORKS[self.network].has_fixed_tile:
            pytest.skip("tiles at a scene's edge are filled by the mosaic")
        weights = self.weights()
        pair = self.scene(weights)
        flat = pair.replace(
            spatial=np.full_like(pair.spatial, 400), spectral=np.full_like(pair.spectral, 500)
        )
        fused = _run(self._fitted(weights, flat), flat)
        assert ((fused > 0) & (fused < 1000)).any()
        # Steps of enlargement may show, but they repeat.
        unit = _unit(weights.model)
        assert np.abs(fused[:, unit:] - fused[:, :-unit]).max() <= 1e-5 * 1000
        assert np.abs(fused[:, :, unit:] - fused[:, :, :-unit]).max() <= 1e-5 * 1000

    def _fitted(self, weights: Weights, pair: ImagePair) -> Fitted:
        method = LearnedMethod(weights, device="cpu", pan_sigma=0.6, threads=1)
        return fit_method(method, ArraySource(pair), RunLimits())

    @pytest.mark.parametrize("shorter", [0, 1])
    def test_the_receptive_radius_is_exact(self, shorter) -> None:
        """Beyond the radius nothing matters; one pixel less, and something does.

        A coarse pixel counts as within as soon as one of its fine pixels is.
        """
        model = self.build().double().eval()
        if model.receptive_radius is None:
            pytest.skip("the result belongs to the whole tile")
        unit = _unit(model)
        radius = model.receptive_radius - shorter
        size = unit * (2 * (model.receptive_radius // unit) + 5)
        images = [image.double() for image in self.inputs(model, (size, size), batch=1)]
        changes = []
        for offset in range(unit):
            row, col = (size // unit // 2 * unit + k for k in (offset, unit - 1 - offset))
            near = torch.zeros(1, 1, size, size, dtype=torch.float64)
            near[..., row - radius : row + radius + 1, col - radius : col + radius + 1] = 1
            changed = [
                torch.where(_shrunk(near, image.shape[-1]) > 0, image, torch.rand_like(image))
                for image in images
            ]
            with torch.no_grad():
                difference = (model(*images) - model(*changed))[..., row, col]
            changes.append(difference.abs().max().item())
        if shorter:
            assert max(changes) > 0
        else:
            assert max(changes) == 0


def _shrunk(mask: Tensor, size: int) -> Tensor:
    """Bring a mask to a coarser grid: a pixel is on where any of its fine pixels is."""
    return functional.max_pool2d(mask, mask.shape[-1] // size)


def _unit(model: FusionNetwork) -> int:
    """Return what rows and columns are multiples of."""
    return math.lcm(model.config.ratio, model.stride)


def _share_in_range(fused: Tensor) -> float:
    """Return the share of values inside the unit range, not at its ends."""
    return ((fused > 0) & (fused < 1)).float().mean().item()


def _run(fitted: Fitted, pair: ImagePair, window: Window | None = None) -> np.ndarray:
    sink = ArraySink()
    run_scene(fitted, ArraySource(pair), sink, precision=np.float32, window=window)
    return sink.hrms
