"""LAGNet against the tester, and its convolution written out with loops."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pytest
import torch

from bandweave.methods.nets.lagnet import LAGConv, LAGNet, LagnetConfig
from unit.methods.nets.tester import NetworkTester


class TestLagnet(NetworkTester):
    network = "lagnet"
    settings: ClassVar = {"width": 6, "blocks": 2}
    ratios = (4, 2, 3)

    @pytest.mark.parametrize(("bands", "count"), [(8, 151_397), (4, 148_457)])
    def test_published_parameter_count(self, bands, count):
        assert sum(p.numel() for p in LAGNet(LagnetConfig(bands=bands)).parameters()) == count

    def test_the_result_depends_on_the_tile(self):
        """The global bias carries one far pixel everywhere."""
        model = self.build()
        spatial, spectral, start = self.inputs(model, (48, 40), batch=1)
        changed = spatial.clone()
        changed[..., -1, -1] += 1
        with torch.no_grad():
            difference = model(changed, spectral, start) - model(spatial, spectral, start)
        assert difference[..., 0, 0].abs().max() > 0


class TestLAGConv:
    def test_equals_the_sum_over_taps(self):
        """One weight per pixel and tap, row by row; zeros outside; a bias from the means."""
        torch.manual_seed(7)
        convolution = LAGConv(3, 2).double()
        x = torch.randn(1, 3, 5, 4, dtype=torch.float64)
        with torch.no_grad():
            actual = convolution(x)[0].numpy()
            weights = convolution.tap_weights(x)[0].numpy()
        expected = _lagconv(convolution, x[0].numpy(), weights)
        np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-14)

    def test_taps_are_weighted_between_zero_and_one(self):
        torch.manual_seed(7)
        with torch.no_grad():
            weights = LAGConv(3, 2).tap_weights(10 * torch.randn(1, 3, 9, 9))
        assert weights.shape == (1, 9, 9, 9)
        assert 0 < weights.min() < weights.max() < 1


def _lagconv(convolution: LAGConv, x: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Go through pixels, channels and taps one by one."""
    channels, height, width = x.shape
    shared = convolution.weight.detach().numpy()
    first, second = convolution.bias[1], convolution.bias[3]
    w_1, w_2 = (layer.weight.detach().numpy()[..., 0, 0] for layer in (first, second))
    b_1, b_2 = (layer.bias.detach().numpy() for layer in (first, second))
    means = np.array([x[n].sum() / (height * width) for n in range(channels)])
    bias = w_2 @ np.maximum(w_1 @ means + b_1, 0) + b_2
    fused = np.zeros((len(shared), height, width))
    for m, row, col in np.ndindex(fused.shape):
        total = bias[m]
        for n, i, j in np.ndindex(channels, 3, 3):
            y, z = row + i - 1, col + j - 1
            if 0 <= y < height and 0 <= z < width:
                total += shared[m, n, i, j] * weights[3 * i + j, row, col] * x[n, y, z]
        fused[m, row, col] = total
    return fused
