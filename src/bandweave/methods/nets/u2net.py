"""U2Net: two U-shaped networks side by side, joined by an S2Block at each of five stages.

S. Peng, C. Guo, X. Wu, L.-J. Deng (2023): "U2Net: A General Framework with Spatial-Spectral-
Integrated Double U-Net for Image Fusion", Proc. ACM Int. Conf. on Multimedia. What the paper
leaves open follows the released program. Our class holds no layer that the forward pass skips.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from bandweave.methods.nets.network import FusionNetwork
from bandweave.methods.nets.s2block import S2Block
from bandweave.methods.nets.u2net_config import (
    U2NetConfig,
    Variant,
    parameter_count,
    published_parameter_count,
)

# Two Down halve the map twice, so every tile side is a multiple of this.
STRIDE = 4


class DoubleUNet(FusionNetwork):
    """The five stages of two U-shaped streams; subclasses bring what comes before and behind."""

    def _make_streams(self, config: U2NetConfig) -> None:
        width = config.width
        if config.variant is not Variant.SINGLE_BRANCH:
            self.resblocks = nn.ModuleList(ResBlock(d) for d in config.stage_widths[:4])
        self.s2blocks = nn.ModuleList(S2Block(d, config) for d in config.stage_widths)
        # One set of weights each, used by both streams.
        self.down1, self.down2 = Down(width), Down(2 * width)
        self.up1, self.up2 = Up(2 * width), Up(width)

    def _double_branch(self, x: Tensor, y: Tensor) -> Tensor:
        """Run the five stages; each S2Block takes y before that stage's ResBlock."""
        x_1, y_1 = self.s2blocks[0](x, y), self.resblocks[0](y)
        x, y = self.down1(x_1), self.down1(y_1)
        x_2, y_2 = self.s2blocks[1](x, y), self.resblocks[1](y)
        x, y = self.down2(x_2), self.down2(y_2)
        x, y = self.s2blocks[2](x, y), self.resblocks[2](y)
        x, y = self.up1(x, x_2), self.up1(y, y_2)
        x, y = self.s2blocks[3](x, y), self.resblocks[3](y)
        x, y = self.up2(x, x_1), self.up2(y, y_1)
        last: Tensor = self.s2blocks[4](x, y)
        return last


class U2Net(DoubleUNet):
    """Predict the residual to a learned up-sampling of the spectral image, or to a closed form.

    Attention spans the whole input, so a pixel's result belongs to the tile it was computed in:
    run a network at the tile size it was trained for.

    Both images are in the unit range; nothing is clamped inside.
    """

    config_type = U2NetConfig
    stride = STRIDE
    bears_bf16 = True  # benchmarks/bench_precision.py

    def __init__(self, config: U2NetConfig) -> None:
        super().__init__()
        self.config: U2NetConfig = config
        self.base = config.base
        bands, width = config.bands, config.width
        is_single = config.variant is Variant.SINGLE_BRANCH
        if config.base is None:
            self.upsample = LearnedUpsampling(bands, config.ratio)
        if is_single:
            self.joint_input = _conv(bands + config.spatial_bands, width)
        else:
            self.spectral_input = _conv(bands, width)
            self.spatial_input = _conv(config.spatial_bands, width)
        self._make_streams(config)
        self.head = nn.Sequential(
            _conv(width, width), nn.LeakyReLU(0.01, inplace=True), _conv(width, bands)
        )

    @property
    def unused_as_published(self) -> int:
        """Return the parameters that the published class holds besides these and never uses."""
        if self.config.base is not None or self.config.variant is not Variant.FULL:
            return 0  # the released program knows neither
        return published_parameter_count(self.config) - parameter_count(self.config)

    def forward(self, spatial: Tensor, spectral: Tensor, start: Tensor | None = None) -> Tensor:
        """Return the fused images `(B, C, H, W)`, unit range, not clamped.

        Args:
            spatial: `(B, c, H, W)`, unit range; H and W are multiples of 4.
            spectral: `(B, C, H/ratio, W/ratio)`, unit range.
            start: `(B, C, H, W)`, unit range: what `config.base` makes of the pair, in place of
                the learned up-sampling.

        Raises:
            BandCountError: The band counts are not those of the configuration.
            ShapeError: The sizes do not fit the ratio or the network's stride, or `start` is not
                given exactly where the configuration names a base.
        """
        self.check(spatial, spectral, start)
        u = self.upsample(spectral) if start is None else start
        if self.config.variant is Variant.SINGLE_BRANCH:
            x = self._single_branch(
                _pixel_by_pixel(_activate(self.joint_input(_stack(u, spatial))))
            )
        else:
            x = self._double_branch(
                _pixel_by_pixel(_activate(self.spectral_input(u))),
                _pixel_by_pixel(_activate(self.spatial_input(spatial))),
            )
        fused: Tensor = self.config.residual_scale * self.head(x) + u
        return fused

    def _single_branch(self, x: Tensor) -> Tensor:
        """Run the five stages of ablation V1, where each S2Block correlates x with itself."""
        x_1 = self.s2blocks[0](x, x)
        x = self.down1(x_1)
        x_2 = self.s2blocks[1](x, x)
        x = self.down2(x_2)
        x = self.s2blocks[2](x, x)
        x = self.up1(x, x_2)
        x = self.s2blocks[3](x, x)
        x = self.up2(x, x_1)
        last: Tensor = self.s2blocks[4](x, x)
        return last


class LearnedUpsampling(nn.Module):
    """B^U: convolution 3x3 from C to ratio² C channels without bias, then pixel shuffle."""

    def __init__(self, bands: int, ratio: int) -> None:
        super().__init__()
        self.ratio = ratio
        self.conv = nn.Conv2d(bands, ratio**2 * bands, 3, padding=1, bias=False)

    def forward(self, spectral: Tensor) -> Tensor:
        """Return `(B, C, ratio h, ratio w)` from `(B, C, h, w)`, in the type given."""
        if torch.is_autocast_enabled(spectral.device.type):
            # The network predicts what is added to this: bfloat16 would leave 8 bits of it.
            with torch.autocast(spectral.device.type, enabled=False):
                return self.forward(spectral)
        return functional.pixel_shuffle(self.conv(spectral), self.ratio)


class Down(nn.Module):
    """Halve the map and double the width, from d to 2d channels."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.halve = nn.Conv2d(width, width, 2, stride=2)
        self.widen = nn.Conv2d(width, 2 * width, 1)
        self.depthwise = nn.Conv2d(2 * width, 2 * width, 3, padding=1, groups=2 * width)

    def forward(self, features: Tensor) -> Tensor:
        """Return `(B, 2d, H/2, W/2)` from `(B, d, H, W)`."""
        features = _activate(self.halve(features))
        return _activate(self.depthwise(self.widen(features)))


class Up(nn.Module):
    """Double the map and halve the width, from 2d to d channels, and add a skip connection."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.enlarge = nn.ConvTranspose2d(2 * width, width, 2, stride=2)
        self.merge = _conv(width, width)

    def forward(self, features: Tensor, skip: Tensor) -> Tensor:
        """Return `(B, d, 2H, 2W)` from features `(B, 2d, H, W)` and skip `(B, d, 2H, 2W)`."""
        return _activate(self.merge(_activate(self.enlarge(features)) + skip))


class ResBlock(nn.Module):
    """Two convolutions with half the width between them, around an identity."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.narrow = _conv(width, width // 2)
        self.widen = _conv(width // 2, width)

    def forward(self, y: Tensor) -> Tensor:
        """Return the new y, of the same shape `(B, d, H, W)`."""
        residual: Tensor = self.widen(_activate(self.narrow(y)))
        return y + residual


def _conv(channels_in: int, channels_out: int) -> nn.Conv2d:
    """Return a 3x3 convolution with bias and zero padding that keeps the size."""
    return nn.Conv2d(channels_in, channels_out, 3, padding=1)


def _activate(features: Tensor) -> Tensor:
    """Apply LeakyReLU in place: no convolution needs its result again for its gradient."""
    return functional.leaky_relu(features, inplace=True)


def _pixel_by_pixel(features: Tensor) -> Tensor:
    """Lay the channels of a pixel side by side, so that tokens and maps are the same memory."""
    return features.contiguous(memory_format=torch.channels_last)


def _stack(u: Tensor, spatial: Tensor) -> Tensor:
    """Concatenate the up-sampled spectral and the spatial bands, in this order."""
    return torch.cat((u, spatial), dim=1)
