"""U2Net against closed forms, the slow oracle and its own definition; needs no reference files."""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from bandweave.errors import BandCountError, ShapeError
from bandweave.methods.nets.compat import PUBLISHED_NAMES
from bandweave.methods.nets.initialise import start_from_base, start_from_interpolation
from bandweave.methods.nets.s2block import CorrelationAttention
from bandweave.methods.nets.u2net import U2Net
from bandweave.methods.nets.u2net_config import (
    U2NetConfig,
    Variant,
    parameter_count,
    published_parameter_count,
)
from fixtures import make_u2net_variants
from oracles import released_u2net
from unit.methods.nets.tester import NetworkTester

SMALL = {"bands": 3, "width": 8, "head_width": 4}


def _inputs(config: U2NetConfig, height: int = 16, width: int = 24, batch: int = 1) -> list[Tensor]:
    r = config.ratio
    return [
        torch.rand(batch, config.spatial_bands, height, width),
        torch.rand(batch, config.bands, height // r, width // r),
    ]


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(20231029)


class TestNetwork(NetworkTester):
    network = "u2net"
    settings: ClassVar = {"width": 8, "head_width": 4}
    ratios = (4, 2)


class TestNetworkThatStartsFromAClosedForm(TestNetwork):
    settings: ClassVar = {"width": 8, "head_width": 4, "base": "bt_h"}


class TestBase:
    def test_it_replaces_the_learned_upsampling(self):
        config = U2NetConfig(bands=8, base="bt_h")
        model = U2Net(config)
        count = sum(p.numel() for p in model.parameters())
        assert count == parameter_count(config) == 536_248 - 9 * 16 * 8 * 8
        assert not any(name.startswith("upsample") for name, _ in model.named_parameters())

    def test_the_residual_is_scaled_and_begins_at_zero(self):
        full = U2Net(U2NetConfig(**SMALL, base="bt_h"))
        scaled = U2Net(U2NetConfig(**SMALL, base="bt_h", residual_scale=0.1))
        scaled.load_state_dict(full.state_dict())
        bands = full.config.bands
        images = torch.rand(1, 1, 16, 16), torch.rand(1, bands, 4, 4), torch.rand(1, bands, 16, 16)
        residuals = [model(*images) - images[2] for model in (full, scaled)]
        torch.testing.assert_close(residuals[1], 0.1 * residuals[0])
        start_from_base(scaled)
        assert torch.equal(scaled(*images), images[2])


class TestParameterCount:
    @pytest.mark.parametrize(
        ("bands", "spatial_bands", "width", "used", "published"),
        [
            (8, 1, 32, 536_248, 642_008),
            (4, 1, 32, 527_028, 632_788),
            (31, 3, 64, 2_254_351, 2_670_671),
            (31, 3, 32, 679_263, 785_023),
        ],
    )
    def test_published_table(self, bands, spatial_bands, width, used, published):
        config = U2NetConfig(bands=bands, spatial_bands=spatial_bands, width=width)
        assert parameter_count(config) == used
        assert published_parameter_count(config) == published
        assert sum(p.numel() for p in U2Net(config).parameters()) == used

    @pytest.mark.parametrize(
        ("variant", "count"),
        [("v1", 305_384), ("v2", 456_376), ("v3", 509_624), ("v4", 509_624)],
    )
    def test_ablations(self, variant, count):
        config = U2NetConfig(bands=8, variant=Variant(variant))
        assert parameter_count(config) == count
        assert sum(p.numel() for p in U2Net(config).parameters()) == count

    @pytest.mark.parametrize(("width", "count"), [(12, 85_658), (10, 62_819), (8, 44_020)])
    def test_light_widths(self, width, count):
        assert parameter_count(U2NetConfig(bands=8, width=width, head_width=width // 2)) == count

    def test_ratio_two_has_a_quarter_of_the_upsampling(self):
        four, two = (parameter_count(U2NetConfig(bands=8, ratio=r)) for r in (4, 2))
        assert four - two == 9 * 8 * 8 * (16 - 4)


class TestConfig:
    @pytest.mark.parametrize(
        ("change", "words"),
        [
            ({"bands": 0}, "bands must be 1 or more"),
            ({"head_width": 3}, "does not divide"),
            ({"width": 7, "head_width": 7}, "even"),
            ({"ratio": 3}, "2 or 4"),
            ({"residual_scale": 0.0}, "residual_scale must be positive"),
            ({"variant": Variant.CONCATENATION, "spectral_scaling": "paper"}, "no equation"),
            ({"variant": Variant.SPATIAL_ONLY, "spatial_factor": "paper"}, "no choice"),
            ({"variant": Variant.SPECTRAL_ONLY, "spatial_factor": "paper"}, "no choice"),
        ],
    )
    def test_refuses_what_has_no_meaning(self, change, words):
        with pytest.raises(ValueError, match=words):
            U2NetConfig(**(SMALL | change))


class TestForward:
    @pytest.mark.parametrize("variant", list(Variant))
    @pytest.mark.parametrize("ratio", [2, 4])
    def test_every_parameter_gets_a_gradient(self, variant, ratio):
        config = U2NetConfig(**SMALL, variant=variant, ratio=ratio)
        model = U2Net(config)
        fused = model(*_inputs(config))
        assert fused.shape == (1, 3, 16, 24)
        (fused * torch.rand_like(fused)).sum().backward()
        for name, parameter in model.named_parameters():
            assert parameter.grad is not None, name
            assert parameter.grad.abs().max() > 0, name

    @pytest.mark.parametrize("size", [(16, 24), (20, 12)])
    def test_equals_the_oracle_in_float64(self, size):
        """The oracle forms every softmax matrix; in float64 the two differ by rounding only."""
        config = U2NetConfig(bands=3, width=32)
        model = U2Net(config).double()
        state = model.state_dict()
        published = {theirs: state[ours] for theirs, ours in PUBLISHED_NAMES.items()}
        spatial, spectral = (image.double() for image in _inputs(config, *size, batch=2))
        expected = released_u2net.u2net(published, spatial, spectral)
        torch.testing.assert_close(model(spatial, spectral), expected, rtol=0, atol=1e-13)

    @pytest.mark.parametrize(("height", "width"), [(37, 31), (18, 16), (16, 30)])
    def test_odd_sizes_are_refused(self, height, width):
        model = U2Net(U2NetConfig(**SMALL, ratio=2))
        with pytest.raises(ShapeError, match=f"multiples of 4, got {height} x {width}"):
            model(torch.rand(1, 1, height, width), torch.rand(1, 3, height // 2, width // 2))

    def test_a_wrong_ratio_is_refused(self):
        model = U2Net(U2NetConfig(**SMALL))
        with pytest.raises(ShapeError, match=r"needs a spectral image of 4 x 6, got 8 x 12"):
            model(torch.rand(1, 1, 16, 24), torch.rand(1, 3, 8, 12))

    def test_wrong_band_counts_are_refused(self):
        model = U2Net(U2NetConfig(**SMALL))
        with pytest.raises(BandCountError, match="1 spatial and 3 spectral bands, got 3 and 1"):
            model(torch.rand(1, 3, 16, 24), torch.rand(1, 1, 4, 6))

    def test_memory_does_not_grow_with_the_square_of_the_tile(self):
        """No step of the forward pass makes a tensor as large as the P x P matrix of (1)."""
        config = U2NetConfig(**SMALL)
        pixels = 64 * 64
        with torch.inference_mode(), _LargestTensor() as largest:
            U2Net(config)(*_inputs(config, 64, 64))
        assert 0 < largest.numel < pixels**2 / 50


class TestCorrelationAttention:
    """Equations (1) to (3) written out with loops, for each way to read them."""

    @pytest.mark.parametrize(
        ("switches", "count"),
        [
            ({}, 24),
            ({"spectral_scaling": "paper"}, 24),
            ({"spatial_factor": "paper"}, 24),
            ({"spectral_scaling": "paper", "spatial_factor": "paper"}, 20),
            ({"variant": Variant.SPATIAL_ONLY}, 24),
            ({"variant": Variant.SPECTRAL_ONLY}, 24),
            ({"variant": Variant.SPECTRAL_ONLY, "spectral_scaling": "paper"}, 24),
        ],
    )
    def test_equals_the_equations(self, switches, count):
        config = U2NetConfig(bands=3, width=8, head_width=4, **switches)
        attention = CorrelationAttention(8, config).double()
        x, y = torch.randn(2, count, 8).double().numpy()
        with torch.no_grad():
            given = (torch.from_numpy(tokens)[None] for tokens in (x, y))
            actual = attention(*given, nn.Identity())[0].numpy()
        np.testing.assert_allclose(actual, _equations(attention, x, y), rtol=0, atol=1e-13)


def _equations(attention: CorrelationAttention, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Go through heads one by one with explicit matrices."""
    config, width = attention.config, 4
    maps = {n: p.detach().numpy() for n, p in attention.named_parameters()}
    pixels, fused = len(x), []
    for head in range(2):
        columns = slice(head * width, (head + 1) * width)

        def t(letter: str, source: np.ndarray, columns=columns) -> np.ndarray | None:
            weight = maps.get(f"w_{letter}.weight")
            return None if weight is None else (source @ weight.T)[:, columns]

        t_a, t_b, t_c, t_d = t("a", y), t("b", y), t("c", x), t("d", x)
        # V4 has no W_b, V3 no W_d; (1) and (2):
        spatial = 1.0 if t_b is None else _softmax(t_a @ t_b.T / math.sqrt(width)) @ t_c
        spectral = 1.0
        if t_d is not None:
            # √S'/(HW) in the release, division by √(S'³)/N in the paper.
            scale = math.sqrt(width) / pixels
            if config.spectral_scaling == "paper":
                scale = 1 / (math.sqrt(width**3) / 2)
            factor = t_b if config.spatial_factor == "paper" else t_a
            spectral = factor @ _softmax(t_c.T @ t_d * scale)
        fused.append(spatial * spectral)  # (3)
    return np.hstack(fused) @ maps["output.weight"].T + maps["output.bias"]


def _softmax(scores: np.ndarray) -> np.ndarray:
    return np.array([np.exp(row) / np.exp(row).sum() for row in scores])


class TestStartFromInterpolation:
    @pytest.mark.parametrize("ratio", [2, 4])
    @pytest.mark.parametrize("phase", [(1.5, 0.5), (2.0, 2.0)])
    def test_a_quadratic_surface_is_reproduced(self, ratio, phase):
        model = U2Net(U2NetConfig(**SMALL, ratio=ratio))
        start_from_interpolation(model, phase)
        rows, cols = np.mgrid[0:32.0, 0:24.0]

        def surface(r: np.ndarray, c: np.ndarray) -> np.ndarray:
            return np.stack([0.3 + 0 * r, r / 40 - c / 60, (r * c + c**2) / 2000])

        at = (rows[: 32 // ratio, : 24 // ratio], cols[: 32 // ratio, : 24 // ratio])
        coarse = surface(ratio * at[0] + phase[0], ratio * at[1] + phase[1])
        with torch.no_grad():
            fused = model(
                torch.rand(1, 1, 32, 24), torch.from_numpy(coarse[None].astype(np.float32))
            )
        inner = (slice(None), slice(ratio, -ratio), slice(ratio, -ratio))
        np.testing.assert_allclose(fused[0].numpy()[inner], surface(rows, cols)[inner], atol=1e-6)

    def test_training_can_leave_it(self):
        model = U2Net(U2NetConfig(**SMALL))
        start_from_interpolation(model, (1.5, 1.5))
        model(*_inputs(model.config)).square().mean().backward()
        assert model.head[-1].weight.grad.abs().max() > 0
        assert model.upsample.conv.weight.grad.abs().max() > 0


class _LargestTensor(TorchDispatchMode):
    """Watch every operation for the largest result."""

    numel = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for item in result if isinstance(result, tuple | list) else (result,):
            if isinstance(item, Tensor):
                self.numel = max(self.numel, item.numel())
        return result


@pytest.fixture(scope="module")
def golden() -> dict[str, np.ndarray]:
    return dict(np.load(make_u2net_variants.GOLDEN))


class TestStoredOutputs:
    """A network still is what it was; whether that is right is shown above and by the release."""

    @pytest.mark.parametrize("name", make_u2net_variants.CONFIGURATIONS)
    def test_every_variant_gives_its_stored_output(self, name, golden):
        model = make_u2net_variants.build(name).float()
        with torch.no_grad():
            fused = model(*(image.float() for image in make_u2net_variants.images(name)))[0]
        # float32 against float64, through up to twenty layers.
        largest = np.abs(golden[name]).max()
        assert np.abs(fused.numpy() - golden[name]).max() <= 2e-5 * largest

    def test_no_two_are_alike(self, golden):
        names = list(golden)
        assert names == list(make_u2net_variants.CONFIGURATIONS)
        for k, one in enumerate(names):
            for other in names[k + 1 :]:
                apart = np.abs(golden[one] - golden[other]).max()
                assert apart > 1e-3 * np.abs(golden[one]).max(), (one, other)
