"""PanNet: a residual network on high-pass images predicts the detail that the bands lack.

J. Yang, X. Fu, Y. Hu, Y. Huang, X. Ding, J. Paisley (2017): "PanNet: A Deep Network Architecture
for Pan-Sharpening", ICCV, 1753-1761.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from bandweave.methods.nets.architecture import Architecture
from bandweave.methods.nets.blocks import high_pass, residual_trunk, start_truncated_normal
from bandweave.methods.nets.network import RefiningNetwork


@dataclass(frozen=True, slots=True, kw_only=True)
class PanNetConfig(Architecture):
    """Architecture of a PanNet; the defaults are those of the published weights.

    Raises:
        ValueError: A number is below 1, or the ratio is odd.
    """

    width: int = 32
    """Channels between the first and the last convolution."""
    blocks: int = 4
    """Residual blocks."""

    def __post_init__(self) -> None:
        Architecture.__post_init__(self)
        if self.ratio % 2:
            raise ValueError(
                f"PanNet's transposed convolution needs an even ratio, got {self.ratio}."
            )


class PanNet(RefiningNetwork):
    """fused = start + F(up(hp(spectral)), hp(spatial)).

    hp subtracts the 5x5 box mean, up is a transposed convolution with a kernel of two coarse
    pixels, and F is a residual network. The high-pass is taken over the whole input: of the patch
    in training, of the whole image otherwise. It needs 3 coarse rows and columns.

    Both images are in the unit range; nothing is clamped.
    """

    config_type = PanNetConfig

    def __init__(self, config: PanNetConfig) -> None:
        super().__init__()
        self.config: PanNetConfig = config
        bands, ratio = config.bands, config.ratio
        self.stride = ratio
        # 2 · blocks + 2 convolutions, then the coarse path: half the transposed kernel, and two
        # coarse pixels of the box.
        self.receptive_radius = 2 * config.blocks + 2 + ratio // 2 + 2 * ratio
        self.up = nn.ConvTranspose2d(bands, bands, 2 * ratio, stride=ratio, padding=ratio // 2)
        self.trunk = residual_trunk(
            bands + config.spatial_bands, config.width, config.blocks, bands
        )
        # As the published program draws them; the transposed convolution keeps PyTorch's default.
        start_truncated_normal(self.trunk, variance=2.6)

    def refine(self, spatial: Tensor, spectral: Tensor, start: Tensor) -> Tensor:
        """Add the detail that the high-pass images predict."""
        details = torch.cat((self.up(high_pass(spectral)), high_pass(spatial)), dim=1)
        fused: Tensor = start + self.trunk(details)
        return fused
