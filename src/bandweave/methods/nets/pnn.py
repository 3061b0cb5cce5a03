"""PNN: three convolutions from the stacked images to the fused one.

G. Masi, D. Cozzolino, L. Verdoliva, G. Scarpa (2016): "Pansharpening by Convolutional Neural
Networks", Remote Sensing 8(7), 594. As in the published WorldView-3 weights, 64 filters stand
where the paper has 48, and no radiometric indices are stacked.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from bandweave.methods.nets.architecture import Architecture
from bandweave.methods.nets.network import RefiningNetwork

# Kernels 9, 5 and 5: what convolutions without padding take from each side.
_MARGIN = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class PnnConfig(Architecture):
    """Architecture of a PNN; the defaults are those of the published weights."""

    width: int = 64
    """Filters of the first convolution."""
    narrow_width: int = 32
    """Filters of the second convolution."""


class PNN(RefiningNetwork):
    """fused = conv 5x5(ReLU(conv 5x5(ReLU(conv 9x9(start, spatial))))).

    The convolutions see no zeros: the input is continued by 8 pixels of its own border. Training
    leaves 8 pixels per side out of the loss, so that nothing continued is learned from.

    Both images are in the unit range; nothing is clamped, and nothing is added to the result.
    """

    config_type = PnnConfig
    receptive_radius = _MARGIN

    def __init__(self, config: PnnConfig) -> None:
        super().__init__()
        self.config: PnnConfig = config
        self.layers = nn.Sequential(
            nn.Conv2d(config.bands + config.spatial_bands, config.width, 9),
            nn.ReLU(),
            nn.Conv2d(config.width, config.narrow_width, 5),
            nn.ReLU(),
            nn.Conv2d(config.narrow_width, config.bands, 5),
        )

    def refine(self, spatial: Tensor, spectral: Tensor, start: Tensor) -> Tensor:
        """Run the three convolutions over the continued images."""
        del spectral
        stacked = torch.cat((start, spatial), dim=1)
        fused: Tensor = self.layers(functional.pad(stacked, (_MARGIN,) * 4, mode="replicate"))
        return fused
