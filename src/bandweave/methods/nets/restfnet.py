"""ResTFNet: an encoder for each image, their features joined, one residual decoder.

X. Liu, Q. Liu, Y. Wang (2020): "Remote Sensing Image Fusion Based on Two-stream Fusion Network",
Information Fusion 55, 1-15, in the residual version that hyperspectral super-resolution compares
with (hw2hwei/SSRNET): no normalisation, the encoders' features handed to the decoder.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from bandweave.methods.nets.architecture import Architecture
from bandweave.methods.nets.blocks import Residual, bilinear_radius, enlarge_bilinear
from bandweave.methods.nets.network import EnlargingNetwork

# Two convolutions of stride 2.
_HALVINGS = 4
# What the layers reach from the fine grid on, worst of the four positions within a quarter pixel.
_LAYER_RADIUS = 25


@dataclass(frozen=True, slots=True, kw_only=True)
class RestfnetConfig(Architecture):
    """Architecture of a ResTFNet; the defaults are the released program's."""

    spatial_bands: int = 3
    """Bands c of the spatial image."""
    width: int = 32
    """Channels of each encoder at full size; deeper layers have 2, 4 and 8 times as many."""


class ResTFNet(EnlargingNetwork):
    """Join the features at half size, go down to a quarter and back to the fine grid.

    The spectral image is interpolated bilinearly, and nothing is added to the last layer's result.
    A PReLU ends the network, so negative values are only damped. Both images are in the unit
    range; nothing is clamped inside.
    """

    config_type = RestfnetConfig

    def __init__(self, config: RestfnetConfig) -> None:
        super().__init__()
        self.config: RestfnetConfig = config
        self.stride = math.lcm(_HALVINGS, config.ratio)
        self.receptive_radius = _LAYER_RADIUS + bilinear_radius(config.ratio)
        n = config.width
        self.spectral_encoder = Encoder(config.bands, n)
        self.spatial_encoder = Encoder(config.spatial_bands, n)
        self.fuse_half = Residual(*_conv_prelu(4 * n, 4 * n), *_conv_prelu(4 * n, 4 * n))
        self.down = _halve(4 * n, 8 * n)
        self.fuse_quarter = Residual(*_conv_prelu(8 * n, 8 * n), *_conv_prelu(8 * n, 8 * n))
        self.up_half = _double(8 * n, 4 * n)
        self.merge_half = nn.Conv2d(8 * n, 4 * n, 1)
        self.restore_half = Residual(*_conv_prelu(4 * n, 4 * n), *_conv_prelu(4 * n, 4 * n))
        self.up_full = _double(4 * n, 2 * n)
        self.merge_full = nn.Conv2d(4 * n, 2 * n, 1)
        self.restore_full = Residual(*_conv_prelu(2 * n, 2 * n), *_conv_prelu(2 * n, 2 * n))
        self.head = nn.Sequential(*_conv_prelu(2 * n, config.bands))

    def combine(self, spatial: Tensor, spectral: Tensor) -> Tensor:
        """Encode both images, join them at half size, and decode."""
        spatial_skip, spatial_half = self.spatial_encoder(spatial)
        spectral_skip, spectral_half = self.spectral_encoder(
            enlarge_bilinear(spectral, self.config.ratio)
        )
        joined = self.fuse_half(torch.cat((spatial_half, spectral_half), dim=1))
        x = self.up_half(self.fuse_quarter(self.down(joined)))
        x = self.restore_half(self.merge_half(torch.cat((joined, x), dim=1)))
        x = self.up_full(x)
        x = self.merge_full(torch.cat((spectral_skip, spatial_skip, x), dim=1))
        fused: Tensor = self.head(self.restore_full(x))
        return fused


class Encoder(nn.Module):
    """Features of one image at full and half size."""

    def __init__(self, bands: int, width: int) -> None:
        super().__init__()
        self.first = nn.Sequential(*_conv_prelu(bands, width))
        self.second = nn.Sequential(*_conv_prelu(width, width), *_conv_prelu(width, width))
        self.down = _halve(width, 2 * width)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Return the decoder's skip `(B, n, H, W)` and the features `(B, 2n, H/2, W/2)`.

        The skip is the second pair of convolutions alone, before the first is added to it.
        """
        first = self.first(image)
        second = self.second(first)
        return second, self.down(first + second)


def _conv_prelu(channels_in: int, channels_out: int) -> tuple[nn.Module, nn.Module]:
    """Return a 3x3 convolution and a PReLU with one slope for all channels."""
    return nn.Conv2d(channels_in, channels_out, 3, padding=1), nn.PReLU()


def _halve(channels_in: int, channels_out: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(channels_in, channels_out, 2, stride=2), nn.PReLU())


def _double(channels_in: int, channels_out: int) -> nn.Sequential:
    return nn.Sequential(nn.ConvTranspose2d(channels_in, channels_out, 2, stride=2), nn.PReLU())
