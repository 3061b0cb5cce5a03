"""Shared layers against other libraries and closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.ndimage
import scipy.stats
import torch
from torch import nn

from bandweave.errors import ShapeError
from bandweave.methods.nets.architecture import Architecture
from bandweave.methods.nets.blocks import (
    bilinear_radius,
    enlarge_bilinear,
    high_pass,
    learned_upsampling,
    residual_trunk,
    start_truncated_normal,
)


class TestHighPass:
    def test_equals_a_box_filter_with_mirrored_border(self, rng):
        image = rng.random((2, 3, 37, 31))
        box = scipy.ndimage.uniform_filter(image, size=(1, 1, 5, 5), mode="mirror")
        np.testing.assert_allclose(high_pass(torch.from_numpy(image)), image - box, atol=1e-14)

    @pytest.mark.parametrize("size", [(3, 3), (3, 31)])
    def test_the_smallest_image(self, size):
        assert high_pass(torch.ones(1, 1, *size)).abs().max() < 1e-6

    @pytest.mark.parametrize("size", [(2, 9), (9, 1)])
    def test_smaller_ones_are_refused(self, size):
        with pytest.raises(ShapeError, match=f"or more, got {size[0]} x {size[1]}"):
            high_pass(torch.ones(1, 1, *size))


class TestTruncatedNormal:
    def test_the_distribution(self):
        torch.manual_seed(1)
        layer = nn.Conv2d(16, 400, 3)
        start_truncated_normal(nn.Sequential(layer), variance=2.6)
        deviation = math.sqrt(2.6 / (16 * 9))
        drawn = layer.weight.detach().numpy().ravel() / deviation
        assert scipy.stats.kstest(drawn, scipy.stats.truncnorm(-2, 2).cdf).pvalue > 0.01
        assert not layer.bias.any()

    def test_transposed_convolutions_and_activations_are_left_alone(self):
        module = nn.Sequential(
            nn.ConvTranspose2d(3, 2, 4), nn.PReLU(), nn.Conv2d(2, 2, 3, bias=False)
        )
        before = [p.clone() for p in module.parameters()]
        start_truncated_normal(module, variance=1.0)
        unchanged = [torch.equal(p, b) for p, b in zip(module.parameters(), before, strict=True)]
        assert unchanged == [True, True, True, False]


class TestEnlargeBilinear:
    @pytest.mark.parametrize("ratio", [2, 3, 4])
    def test_equals_linear_interpolation_between_pixel_centres(self, rng, ratio):
        image = rng.random((2, 7, 5))
        rows, cols = ((np.arange(ratio * n) - (ratio - 1) / 2) / ratio for n in image.shape[1:])
        expected = [
            scipy.ndimage.map_coordinates(
                band, np.meshgrid(rows, cols, indexing="ij"), order=1, mode="nearest"
            )
            for band in image
        ]
        enlarged = enlarge_bilinear(torch.from_numpy(image)[None], ratio)
        np.testing.assert_allclose(enlarged[0], expected, rtol=0, atol=1e-14)

    @pytest.mark.parametrize("ratio", [1, 2, 3, 4, 5, 8])
    def test_the_radius_is_that_of_one_bright_pixel(self, ratio):
        image = torch.zeros(1, 1, 5, 5)
        image[..., 2, 2] = 1
        lit = np.flatnonzero(enlarge_bilinear(image, ratio)[0, 0].sum(dim=0))
        assert (lit[0], lit[-1]) == (
            2 * ratio - bilinear_radius(ratio),
            3 * ratio - 1 + bilinear_radius(ratio),
        )


def test_learned_upsampling_spreads_channels_over_a_pixel():
    layer = learned_upsampling(2, 2)
    with torch.no_grad():
        layer[0].weight.zero_()
        layer[0].bias.copy_(torch.arange(8.0))
        enlarged = layer(torch.rand(1, 2, 3, 4))
    expected = torch.tensor([[[0.0, 1], [2, 3]], [[4, 5], [6, 7]]]).repeat(1, 3, 4)
    assert torch.equal(enlarged[0], expected)


def test_a_trunk_without_weights_is_its_last_bias():
    trunk = residual_trunk(3, 8, 2, 5)
    assert sum(isinstance(m, nn.Conv2d) for m in trunk.modules()) == 6
    with torch.no_grad():
        for parameter in trunk.parameters():
            parameter.zero_()
        trunk[-1].bias.fill_(0.25)
    assert torch.equal(trunk(torch.rand(1, 3, 7, 9)), torch.full((1, 5, 7, 9), 0.25))


@pytest.mark.parametrize("name", ["bands", "spatial_bands", "ratio"])
def test_counts_below_one_are_refused(name):
    with pytest.raises(ValueError, match=f"{name} must be 1 or more, got 0"):
        Architecture(**({"bands": 4} | {name: 0}))
