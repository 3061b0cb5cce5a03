"""DiCNN: three convolutions predict the detail to inject (the paper's DiCNN1).

L. He, Y. Rao, J. Li, J. Chanussot, A. Plaza, J. Zhu, B. Li (2019): "Pansharpening via Detail
Injection Based Convolutional Neural Networks", IEEE JSTARS 12(4), 1188-1204.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from bandweave.methods.nets.architecture import Architecture
from bandweave.methods.nets.blocks import same_conv, start_truncated_normal
from bandweave.methods.nets.network import RefiningNetwork


@dataclass(frozen=True, slots=True, kw_only=True)
class DiCnnConfig(Architecture):
    """Architecture of a DiCNN; the default is that of the published weights."""

    width: int = 64
    """Channels between the convolutions."""


class DiCNN(RefiningNetwork):
    """fused = start + F(start, spatial), where F is three 3x3 convolutions with ReLU between.

    Both images are in the unit range; nothing is clamped.
    """

    config_type = DiCnnConfig
    receptive_radius = 3

    def __init__(self, config: DiCnnConfig) -> None:
        super().__init__()
        self.config: DiCnnConfig = config
        self.layers = nn.Sequential(
            same_conv(config.bands + config.spatial_bands, config.width),
            nn.ReLU(),
            same_conv(config.width, config.width),
            nn.ReLU(),
            same_conv(config.width, config.bands),
        )
        # As the published program draws them.
        start_truncated_normal(self.layers, variance=2.6)

    def refine(self, spatial: Tensor, spectral: Tensor, start: Tensor) -> Tensor:
        """Add the detail that the stacked images predict."""
        del spectral
        fused: Tensor = start + self.layers(torch.cat((start, spatial), dim=1))
        return fused
