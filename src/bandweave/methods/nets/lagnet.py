"""LAGNet: convolutions whose nine taps are weighted anew at every pixel.

Z.-R. Jin, T.-J. Zhang, T.-X. Jiang, G. Vivone, L.-J. Deng (2022): "LAGConv: Local-context Adaptive
Convolution Kernels with Global Harmonic Bias for Pansharpening", AAAI Conf. on Artificial
Intelligence.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from bandweave.methods.nets.architecture import Architecture
from bandweave.methods.nets.blocks import Residual, same_conv
from bandweave.methods.nets.network import RefiningNetwork


@dataclass(frozen=True, slots=True, kw_only=True)
class LagnetConfig(Architecture):
    """Architecture of a LAGNet; the defaults are the released program's."""

    width: int = 32
    """Channels of the feature maps."""
    blocks: int = 5
    """Residual blocks, of two convolutions each."""


class LAGNet(RefiningNetwork):
    """Predict the residual to the interpolated spectral image from the stack of both images.

    Every convolution adds a bias made of the mean over the whole map, so a pixel's result belongs
    to the tile it was computed in: run a network at the tile size it was trained for.

    Both images are in the unit range; nothing is clamped inside.
    """

    config_type = LagnetConfig

    def __init__(self, config: LagnetConfig) -> None:
        super().__init__()
        self.config: LagnetConfig = config
        bands, width = config.bands, config.width
        self.layers = nn.Sequential(
            LAGConv(bands + config.spatial_bands, width),
            nn.ReLU(),
            *(
                Residual(LAGConv(width, width), nn.ReLU(), LAGConv(width, width))
                for _ in range(config.blocks)
            ),
            LAGConv(width, bands),
        )

    def refine(self, spatial: Tensor, spectral: Tensor, start: Tensor) -> Tensor:
        """Add the detail that the stacked images predict."""
        del spectral
        fused: Tensor = start + self.layers(torch.cat((spatial, start), dim=1))
        return fused


class LAGConv(nn.Module):
    """Convolution 3x3 with local weights of its taps and a global bias.

    fused(p) = Σ_k a_k(p) W_k x(p + k) + b, for the nine taps k row by row and zeros outside of
    the map. The weights a_k(p) in (0, 1), equal for all channels, come from the surroundings of p;
    the bias b, one per output channel, from the mean of x over the map.
    """

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.tap_weights = nn.Sequential(
            same_conv(channels_in, 9),
            nn.ReLU(),
            nn.Conv2d(9, 9, 1),
            nn.ReLU(),
            nn.Conv2d(9, 9, 1),
            nn.Sigmoid(),
        )
        self.bias = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(channels_in, channels_out, 1),
            nn.ReLU(),
            nn.Conv2d(channels_out, channels_out, 1),
        )
        self.weight = nn.Parameter(torch.empty(channels_out, channels_in, 3, 3))
        # PyTorch's start of a convolution.
        nn.init.kaiming_uniform_(self.weight, a=math.sqrt(5))

    def forward(self, x: Tensor) -> Tensor:
        """Return `(B, m, H, W)` from x `(B, n, H, W)`."""
        batch, channels, height, width = x.shape
        patches = functional.unfold(x, 3, padding=1).reshape(batch, channels, 9, height * width)
        weighted = patches * self.tap_weights(x).flatten(2).unsqueeze(1)
        fused = (self.weight.flatten(1) @ weighted.flatten(1, 2)).reshape(batch, -1, height, width)
        biased: Tensor = fused + self.bias(x)
        return biased
