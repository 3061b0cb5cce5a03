"""MUCNN: a U-Net that takes in both images at every scale and gives a result at every scale.

Y. Wang, L.-J. Deng, T.-J. Zhang, X. Wu (2021): "SSconv: Explicit Spectral-to-Spatial Convolution
for Pansharpening", Proc. ACM Int. Conf. on Multimedia, 4472-4480. The released program does not
run as published; this is the architecture that it and its later copies agree on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from bandweave.methods.nets.architecture import Architecture
from bandweave.methods.nets.blocks import learned_upsampling, same_conv, start_truncated_normal
from bandweave.methods.nets.network import EnlargingNetwork

# Standard deviation of a standard normal law cut at two: the start has fan-in · variance = 1.
_CUT_DEVIATION = 0.8796256610


@dataclass(frozen=True, slots=True, kw_only=True)
class MucnnConfig(Architecture):
    """Architecture of a MUCNN; the encoder's widths follow from the bands.

    Raises:
        ValueError: A band count or a width is below 1, or the ratio is not 4.
    """

    ratio: Literal[4] = 4
    """The three scales are those of ratio 4."""
    half_width: int = 144
    """Channels of the decoder at half size, whatever the bands."""
    full_width: int = 36
    """Channels of the decoder at full size, whatever the bands."""

    def __post_init__(self) -> None:
        Architecture.__post_init__(self)
        if self.ratio != 4:
            raise ValueError(f"The ratio of a MUCNN is 4, got {self.ratio}.")


class Pyramid(NamedTuple):
    """Fused images at three scales, unit range."""

    full: Tensor
    """`(B, C, H, W)`: the result."""
    half: Tensor
    """`(B, C, H/2, W/2)`."""
    quarter: Tensor
    """`(B, C, H/4, W/4)`."""


class MUCNN(EnlargingNetwork):
    """Encode at full, half and quarter size, decode back, with a 1x1 convolution per scale on top.

    With n = C + c the encoder has 4n, 16n and 17n channels. Nothing is added to the result, and
    nothing is clamped. Both images are in the unit range.
    """

    config_type = MucnnConfig
    stride = 4
    # The farthest path is `spectral_full`, the encoder, `up_half` and the decoder. Its convolutions
    # reach 2 full, 3 half and 3 quarter pixels: 20, and one more by where a pixel lies in those.
    receptive_radius = 21

    def __init__(self, config: MucnnConfig) -> None:
        super().__init__()
        self.config: MucnnConfig = config
        bands, spatial_bands = config.bands, config.spatial_bands
        n, half_width, full_width = bands + spatial_bands, config.half_width, config.full_width
        self.spectral_half = learned_upsampling(bands, 2)
        self.spectral_full = learned_upsampling(bands, 4)
        self.spatial_half = nn.Conv2d(spatial_bands, spatial_bands, 2, stride=2)
        self.spatial_quarter = nn.Conv2d(spatial_bands, spatial_bands, 4, stride=4)
        self.encode_full = same_conv(n, 4 * n)
        self.encode_half = same_conv(4 * n + n, 16 * n)
        self.encode_quarter = same_conv(16 * n + n, 17 * n)
        self.up_half = learned_upsampling(17 * n, 2)
        self.decode_half = same_conv(17 * n + 16 * n, half_width)
        self.up_full = learned_upsampling(half_width, 2)
        self.decode_full = same_conv(half_width + 4 * n, full_width)
        self.head_quarter = nn.Conv2d(17 * n, bands, 1)
        # As released, these two keep PyTorch's initialisation.
        start_truncated_normal(self, variance=1 / _CUT_DEVIATION**2)
        self.head_half = nn.Conv2d(half_width, bands, 1)
        self.head_full = nn.Conv2d(full_width, bands, 1)

    def combine(self, spatial: Tensor, spectral: Tensor) -> Tensor:
        """Return the result at full size."""
        return self.pyramid(spatial, spectral).full

    def pyramid(self, spatial: Tensor, spectral: Tensor) -> Pyramid:
        """Return the fused images of all three scales; arguments as for `forward`, not checked."""
        full = self._step(self.encode_full, spatial, self.spectral_full(spectral))
        half = self._step(
            self.encode_half,
            functional.max_pool2d(full, 2),
            self.spectral_half(spectral),
            self.spatial_half(spatial),
        )
        quarter = self._step(
            self.encode_quarter,
            functional.max_pool2d(half, 2),
            spectral,
            self.spatial_quarter(spatial),
        )
        half = self._step(self.decode_half, self.up_half(quarter), half)
        full = self._step(self.decode_full, self.up_full(half), full)
        return Pyramid(self.head_full(full), self.head_half(half), self.head_quarter(quarter))

    def loss(self, spatial: Tensor, spectral: Tensor, start: Tensor | None, gt: Tensor) -> Tensor:
        """Return 0.5 · L1(full) + 0.3 · L1(half) + 0.2 · L1(quarter), the paper's loss.

        The references of the smaller scales are every second and every fourth row and column of
        `gt`, from the first on.

        Args:
            spatial: As for `forward`.
            spectral: As for `forward`.
            start: None.
            gt: `(B, C, H, W)`, unit range.

        Raises:
            BandCountError: The band counts are not those of the configuration.
            ShapeError: The sizes do not fit the ratio.
        """
        self.check(spatial, spectral, start)
        full, half, quarter = self.pyramid(spatial, spectral)
        return (
            0.5 * functional.l1_loss(full, gt)
            + 0.3 * functional.l1_loss(half, gt[..., ::2, ::2])
            + 0.2 * functional.l1_loss(quarter, gt[..., ::4, ::4])
        )

    @staticmethod
    def _step(convolution: nn.Module, *images: Tensor) -> Tensor:
        """Convolve stacked images and cut below zero."""
        return functional.relu(convolution(torch.cat(images, dim=1)))
