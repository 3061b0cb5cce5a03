"""U2Net on an ensemble: what it starts as, what it is made of, and what it is handed."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pytest
import torch

from bandweave.datasets.cave import BANDS, cave_model, cave_pair
from bandweave.errors import ConfigError, ShapeError
from bandweave.methods.consistency import Consistency
from bandweave.methods.local_regression import LocalRegression, RegressionEnsemble
from bandweave.methods.nets.checkpoint import Weights
from bandweave.methods.nets.network import base_of
from bandweave.methods.nets.u2net import U2Net
from bandweave.methods.nets.u2net_config import U2NetConfig
from bandweave.methods.nets.u2net_ensemble import EnsembleConfig, EnsembleU2Net
from bandweave.methods.preparation import estimates
from bandweave.pair import ImagePair
from bandweave.sensors import Sensor
from bandweave.window import Window
from scenes import smooth_truth
from unit.methods.nets.tester import NetworkTester

BANDS_HERE, MEMBERS = 5, 3
NEUTRAL = Sensor("neutral", "neutral", (), default_mtf_gain=0.3)


def make_network(**settings) -> EnsembleU2Net:
    torch.manual_seed(3)
    return EnsembleU2Net(
        EnsembleConfig(
            bands=BANDS_HERE,
            base="regression_ensemble",
            members=MEMBERS,
            width=8,
            head_width=4,
            **settings,
        )
    )


def make_images(
    size: tuple[int, int] = (16, 24),
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(4)
    height, width = size
    return (
        torch.rand(2, 3, height, width, generator=draw),
        torch.rand(2, BANDS_HERE, height // 4, width // 4, generator=draw),
        torch.rand(2, MEMBERS * BANDS_HERE, height, width, generator=draw),
    )


def disturbed(network: EnsembleU2Net) -> EnsembleU2Net:
    """Return the network with every parameter away from zero."""
    draw = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=draw))
    return network


class TestEnsembleU2Net(NetworkTester):
    network = "u2net_ensemble"
    settings: ClassVar = {"width": 8, "head_width": 4}
    ratios = (4, 2, 3)
    options: ClassVar = {"sensor": "none", "pan_sharpness": "off"}

    def build(self, bands: int = 4, ratio: int | None = None) -> EnsembleU2Net:
        # As it starts, its branches end in zeros.
        return disturbed(super().build(bands, ratio))

    def scene(self, weights: Weights) -> ImagePair:
        # The estimates need to know how the bands were blurred.
        return super().scene(weights).replace(sensor=NEUTRAL)


def test_untrained_it_returns_the_mean_of_the_estimates() -> None:
    spatial, spectral, start = make_images()
    with torch.inference_mode():
        fused = make_network()(spatial, spectral, start)
    expected = start.reshape(2, MEMBERS, BANDS_HERE, 16, 24).mean(1)
    torch.testing.assert_close(fused, expected)
    torch.testing.assert_close(base_of(start, BANDS_HERE), expected)


def test_estimates_that_agree_are_left_alone_whatever_the_weights() -> None:
    spatial, spectral, start = make_images()
    agreed = start[:, :BANDS_HERE].repeat(1, MEMBERS, 1, 1)
    with torch.inference_mode():
        fused = disturbed(make_network())(spatial, spectral, agreed)
    # What is left is the floor of the differences' size times the residual.
    assert (fused - start[:, :BANDS_HERE]).abs().max() < 1e-3


def test_one_shared_weight_of_one_estimate_returns_that_estimate() -> None:
    spatial, spectral, start = make_images()
    network = make_network()
    with torch.no_grad():
        network.head.bias[BANDS_HERE : 2 * BANDS_HERE] = 1.0  # α of the first estimate
    with torch.inference_mode():
        fused = network(spatial, spectral, start)
    torch.testing.assert_close(fused, start[:, :BANDS_HERE])


def test_every_parameter_learns() -> None:
    network = disturbed(make_network())
    network(*make_images()).square().mean().backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in network.parameters())


def test_its_streams_are_those_of_u2net() -> None:
    ours = {name: tuple(p.shape) for name, p in make_network().named_parameters()}
    plain = U2Net(
        U2NetConfig(
            bands=BANDS_HERE, spatial_bands=3, width=8, head_width=4, base="local_regression"
        )
    )
    streams = ("s2blocks.", "resblocks.", "down", "up")
    of_plain = {n: tuple(p.shape) for n, p in plain.named_parameters() if n.startswith(streams)}
    assert of_plain.items() <= ours.items()
    assert len(of_plain) > 50


@pytest.mark.parametrize(
    "settings",
    [{"residual_blocks": -1}, {"members": 1}, {"width": 9}, {"head_width": 3}],
    ids=lambda s: next(iter(s)),
)
def test_impossible_settings_are_refused(settings) -> None:
    known = {"bands": 4, "base": "regression_ensemble", "members": 3, "width": 8, "head_width": 4}
    with pytest.raises(ValueError, match=r"members|residual_blocks|divide|width"):
        EnsembleConfig(**{**known, **settings})


def test_another_number_of_estimates_is_refused() -> None:
    spatial, spectral, start = make_images()
    with pytest.raises(ShapeError, match="must be 15 x 16 x 24"):
        make_network()(spatial, spectral, start[:, :BANDS_HERE])
    pair = _cave()
    fitted = RegressionEnsemble().fit(pair.profile, None)
    with pytest.raises(ConfigError, match="made for 5 estimates, its base makes 6"):
        estimates(fitted, pair, Window.whole(pair.shape), 5, None)


def test_a_network_is_handed_consistent_estimates_one_after_the_other() -> None:
    pair = _cave()
    step = Consistency(pair.sensor.psf, 0.0, pair.sensor.response)
    fitted = RegressionEnsemble().fit(pair.profile, None)
    whole = Window.whole(pair.shape)
    handed = estimates(fitted, pair, whole, 6, step).reshape(6, BANDS, 36, 28)
    for k, variant in enumerate(fitted.variants):
        alone = LocalRegression(variants=(variant,), is_consistent=True)
        np.testing.assert_allclose(
            handed[k], alone.fit(pair.profile, None).fuse(pair), rtol=0, atol=1e-12
        )
    mean = estimates(fitted, pair, whole, 1, step)
    np.testing.assert_allclose(handed.mean(axis=0), mean, rtol=0, atol=1e-12)


def _cave():
    model = cave_model(4)
    sensor = Sensor("cave", "CAVE", (), psf=model.psf, response=model.response)
    return cave_pair(smooth_truth(BANDS, 36, 28) / 2047, 4).pair.replace(sensor=sensor)
