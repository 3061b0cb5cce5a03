"""PMACNet: two multi-scale branches whose product decides which band takes the detail.

Y. Liang, P. Zhang, Y. Mei, T. Wang (2022): "PMACNet: Parallel Multiscale Attention Constraint
Network for Pan-Sharpening", IEEE Geosci. Remote Sens. Lett. 19, 1-5.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from bandweave.errors import ShapeError
from bandweave.methods.nets.architecture import Architecture
from bandweave.methods.nets.blocks import Residual
from bandweave.methods.nets.network import FusionNetwork

# Dilations of the parallel convolutions of one block.
_DILATIONS = (1, 2, 3, 4)


@dataclass(frozen=True, slots=True, kw_only=True)
class PmacnetConfig(Architecture):
    """Architecture of a PMACNet; the defaults are the released configuration.

    Raises:
        ValueError: A count is below 1, or there is more than one spatial band.
    """

    spatial_bands: Literal[1] = 1
    """The network works on PAN minus each spectral band."""
    width: int = 32
    """Channels of the feature maps; the default of the released class is 64."""
    blocks: int = 2
    """Multi-receptive-field blocks per branch."""
    interpolation: Literal["exp", "release"] = "exp"
    """How the spectral image comes to the fine grid. The released program lays the corners of both
    images' outermost pixel centres on each other (bicubic, align_corners), which stretches the
    image by up to half a coarse pixel and depends on its size; `exp` keeps the geometry."""

    def __post_init__(self) -> None:
        Architecture.__post_init__(self)
        if self.spatial_bands != 1:
            raise ValueError(f"A PMACNet takes one spatial band, got {self.spatial_bands}.")


class PMACNet(FusionNetwork):
    """fused = m + softmax_bands(A(m) ⊙ B(d)) ⊙ B(d), with d = PAN - m in every band.

    m is the interpolated spectral image; A and B are branches of equal layers. Convolutions reflect
    the image at its border. Both images are in the unit range; nothing is clamped inside.
    """

    config_type = PmacnetConfig

    def __init__(self, config: PmacnetConfig) -> None:
        super().__init__()
        self.config: PmacnetConfig = config
        if config.interpolation == "exp":
            self.base = "exp"
            self.receptive_radius = 2 + config.blocks * max(_DILATIONS)
        self.spectral_branch = _branch(config)
        self.detail_branch = _branch(config)

    def forward(self, spatial: Tensor, spectral: Tensor, start: Tensor | None = None) -> Tensor:
        """Return the fused images `(B, C, H, W)`, unit range, not clamped.

        Args:
            spatial: `(B, 1, H, W)`, unit range; H and W are 5 or more, for the reflection.
            spectral: `(B, C, H/ratio, W/ratio)`, unit range.
            start: `(B, C, H, W)`, unit range: `spectral` on the fine grid; None where the
                configuration interpolates inside.

        Raises:
            BandCountError: The band counts are not those of the configuration.
            ShapeError: The sizes do not fit each other, the image is too small, or `start` is not
                given exactly where it is needed.
        """
        self.check(spatial, spectral, start)
        height, width = spatial.shape[2:]
        if min(height, width) <= max(_DILATIONS):
            raise ShapeError(
                f"A PMACNet reflects {max(_DILATIONS)} pixels at the border, so it needs more rows "
                f"and columns than that, got {height} x {width}."
            )
        if start is None:
            start = functional.interpolate(
                spectral, size=(height, width), mode="bicubic", align_corners=True
            )
        detail = self.detail_branch(spatial - start)
        share = torch.softmax(self.spectral_branch(start) * detail, dim=1)
        fused: Tensor = start + share * detail
        return fused


class MultiReceptiveField(nn.Module):
    """Four dilated convolutions side by side, then a layer normalisation and a pixel-wise MLP."""

    def __init__(self, width: int) -> None:
        super().__init__()
        stacked = len(_DILATIONS) * width
        self.parallel = nn.ModuleList(_reflecting_conv(width, width, d) for d in _DILATIONS)
        self.norm = nn.LayerNorm(stacked)
        self.mlp = nn.Sequential(
            nn.Conv2d(stacked, stacked, 1), nn.GELU(), nn.Conv2d(stacked, width, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return features of the same shape `(B, n, H, W)`."""
        stacked = torch.cat([convolution(x) for convolution in self.parallel], dim=1)
        normed = self.norm(stacked.movedim(1, -1)).movedim(-1, 1)
        mixed: Tensor = self.mlp(normed)
        return mixed


def _branch(config: PmacnetConfig) -> nn.Sequential:
    """Return convolution, blocks, convolution: from C to C channels."""
    return nn.Sequential(
        _reflecting_conv(config.bands, config.width),
        *(Residual(MultiReceptiveField(config.width)) for _ in range(config.blocks)),
        _reflecting_conv(config.width, config.bands),
    )


def _reflecting_conv(channels_in: int, channels_out: int, dilation: int = 1) -> nn.Conv2d:
    """Return a 3x3 convolution that reflects the image at its border and keeps the size."""
    return nn.Conv2d(
        channels_in,
        channels_out,
        3,
        padding=dilation,
        dilation=dilation,
        padding_mode="reflect",
    )
