"""BDPN: details of the PAN at two scales are added while the bands are enlarged twice by two.

Y. Zhang, C. Liu, M. Sun, Y. Ou (2019): "Pan-sharpening using an efficient bidirectional pyramid
network", IEEE TGRS 57(8), 5549-5563. The published program also creates one activation that it
never uses; our class does not.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional

from bandweave.methods.nets.architecture import Architecture
from bandweave.methods.nets.blocks import (
    Residual,
    learned_upsampling,
    residual_block,
    same_conv,
    start_truncated_normal,
)
from bandweave.methods.nets.network import EnlargingNetwork


@dataclass(frozen=True, slots=True, kw_only=True)
class BdpnConfig(Architecture):
    """Architecture of a BDPN; the defaults are those of the published program.

    Raises:
        ValueError: A number is below 1, or the ratio is not 4.
    """

    width: int = 64
    """Channels of the details."""
    blocks: int = 10
    """Residual blocks of each of the two levels."""

    def __post_init__(self) -> None:
        Architecture.__post_init__(self)
        if self.ratio != 4:
            raise ValueError(f"BDPN enlarges twice by 2, so its ratio is 4, got {self.ratio}.")


class BDPN(EnlargingNetwork):
    """A pyramid down for the PAN's details and a pyramid up for the bands.

    * p₁ = f + R₁(f) with f = conv(spatial), and p₂ = q + R₂(q) with q = maxpool 2x2(p₁); R₁ and R₂
      are chains of residual blocks.
    * half = up₁(spectral) + D(p₂) and fused = up₂(half) + D(p₁); D is one convolution for both
      levels, up a convolution with pixel shuffle by 2.

    Both images are in the unit range; nothing is clamped. Untrained, twenty residual blocks add up
    to results of the order of 10⁴.
    """

    config_type = BdpnConfig
    stride = 4

    def __init__(self, config: BdpnConfig) -> None:
        super().__init__()
        self.config: BdpnConfig = config
        bands, width, blocks = config.bands, config.width, config.blocks
        # In half pixels: the blocks of the second level, D and up₂. A half pixel starts up to one
        # fine pixel aside. In fine pixels: the first convolution and the blocks of level one.
        self.receptive_radius = 2 * (2 * blocks + 2) + 1 + (1 + 2 * blocks)
        self.features = same_conv(config.spatial_bands, width)
        self.fine_blocks, self.half_blocks = (
            Residual(*(residual_block(width, nn.PReLU(init=0.2)) for _ in range(blocks)))
            for _ in range(2)
        )
        self.details = same_conv(width, bands)
        self.up_to_half, self.up_to_full = (learned_upsampling(bands, 2) for _ in range(2))
        # As the published program draws them.
        start_truncated_normal(self, variance=2.6)

    @property
    def unused_as_published(self) -> int:
        """Return 1: the slope of an activation that the published class creates and never uses."""
        return 1

    def combine(self, spatial: Tensor, spectral: Tensor) -> Tensor:
        """Return the result at full size."""
        return self.pyramid(spatial, spectral)[0]

    def pyramid(self, spatial: Tensor, spectral: Tensor) -> tuple[Tensor, Tensor]:
        """Return both levels, as the published loss compares both.

        Args:
            spatial: `(B, c, H, W)`, unit range; H and W are multiples of 4.
            spectral: `(B, C, H/4, W/4)`, unit range.

        Returns:
            The fused images `(B, C, H, W)` and the level before `(B, C, H/2, W/2)`.
        """
        fine = self.fine_blocks(self.features(spatial))
        half_details = self.details(self.half_blocks(functional.max_pool2d(fine, 2)))
        half: Tensor = self.up_to_half(spectral) + half_details
        fused: Tensor = self.up_to_full(half) + self.details(fine)
        return fused, half

    def loss(
        self,
        spatial: Tensor,
        spectral: Tensor,
        start: Tensor | None,
        gt: Tensor,
        half_weight: float = 0.0,
    ) -> Tensor:
        """Return λ · Ch(half, gt↓2) + (1 - λ) · Ch(fused, gt), the loss of the authors' script.

        Ch(a, b) = mean √((a - b)² + 1e-6), and gt↓2 are rows and columns 0, 2, 4, ... of `gt`.

        Args:
            spatial: As for `forward`.
            spectral: As for `forward`.
            start: None.
            gt: `(B, C, H, W)`, unit range.
            half_weight: λ in [0, 1], see `half_weight_at`; 0 is what most of the training has.

        Raises:
            BandCountError: The band counts are not those of the configuration.
            ShapeError: The sizes do not fit each other or the stride, or `start` is given.
        """
        self.check(spatial, spectral, start)
        fused, half = self.pyramid(spatial, spectral)
        return half_weight * _charbonnier(half, gt[..., ::2, ::2]) + (
            1 - half_weight
        ) * _charbonnier(fused, gt)

    def loss_at(
        self,
        epoch: int,
        spatial: Tensor,
        spectral: Tensor,
        start: Tensor | None,
        gt: Tensor,
    ) -> Tensor:
        """Return `loss` with the weight of the half size that the publication has at `epoch`.

        Args:
            epoch: Counted from 1.
            spatial: As for `forward`.
            spectral: As for `forward`.
            start: None.
            gt: `(B, C, H, W)`, unit range.
        """
        return self.loss(spatial, spectral, start, gt, half_weight_at(epoch))


def half_weight_at(epoch: int) -> float:
    """Return the weight λ of the half size in the loss: from 1 down to 0 in the first 100 epochs.

    λ = 1 - 0.05 · ⌊epoch / 5⌋, not below 0.

    Args:
        epoch: Counted from 1; the published training has 1000.

    Example:
        >>> [half_weight_at(epoch) for epoch in (1, 5, 50, 100, 1000)]
        [1.0, 0.95, 0.5, 0.0, 0.0]
    """
    return max(0.0, 1 - 0.05 * (epoch // 5))


def _charbonnier(actual: Tensor, expected: Tensor) -> Tensor:
    return ((actual - expected).square() + 1e-6).sqrt().mean()
