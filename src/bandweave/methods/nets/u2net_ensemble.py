"""U2Net on several closed-form estimates at once: it weighs them against each other and refines.

The blocks are those of S. Peng, C. Guo, X. Wu, L.-J. Deng (2023): "U2Net: A General Framework with
Spatial-Spectral-Integrated Double U-Net for Image Fusion", Proc. ACM Int. Conf. on Multimedia.
What surrounds them is ours.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from pydantic import ConfigDict, with_config
from torch import Tensor, nn
from torch.nn import functional

from bandweave.methods.nets.network import split_members
from bandweave.methods.nets.u2net import STRIDE, DoubleUNet, ResBlock
from bandweave.methods.nets.u2net_config import U2NetConfig

# Added to how far the estimates differ: below it, in the unit range, they agree.
_AGREEMENT = 2e-5
# Added to the mean brightness of a tile, so that a black one can be divided by it.
_DARK = 0.01
# Pixels per side over which the difference of the estimates is averaged.
_NEIGHBOURHOOD = 7
# Where one estimate is beside itself it is not allowed to deafen the network.
_LARGEST = 8.0

# The last layer of each branch.
_LAST_LAYERS = ("attention.output", "mlp.2", "head")


@with_config(ConfigDict(extra="forbid"))  # in weight cards, unknown keys are refused
@dataclass(frozen=True, slots=True, kw_only=True)
class EnsembleConfig:
    """Architecture of a U2Net on an ensemble.

    Raises:
        ValueError: The widths do not fit each other, or a count is not positive.
    """

    bands: int
    """Bands C of the spectral image."""
    spatial_bands: int = 3
    """Bands c of the spatial image."""
    ratio: int = 4
    """Spatial pixels per spectral pixel; no layer depends on it."""
    base: str = "regression_ensemble"
    """Key in METHODS: what makes the estimates."""
    members: int = 6
    """Estimates M."""
    width: int = 32
    """Width S of stage 1."""
    head_width: int = 16
    """Width S' of one attention head; divides `width`."""
    residual_blocks: int = 2
    """ResBlocks of the spectral stream before the first stage, and as many behind the last."""

    def __post_init__(self) -> None:
        if self.members < 2:
            raise ValueError(f"An ensemble has 2 members or more, got {self.members}.")
        if self.residual_blocks < 0:
            raise ValueError(f"residual_blocks must be 0 or more, got {self.residual_blocks}.")
        self.streams()  # refuses what does not fit

    def streams(self) -> U2NetConfig:
        """Return what the two U-Nets inside are built from."""
        return U2NetConfig(
            bands=self.bands,
            spatial_bands=self.spatial_bands,
            width=self.width,
            head_width=self.head_width,
            base=self.base,
        )


class EnsembleU2Net(DoubleUNet):
    """Weigh M estimates x_k of one image, band by band and pixel by pixel, and add what is left.

    With their mean x̄, the differences δ_k = x_k − x̄ and their size s, the mean of |δ| over
    estimates, bands and 7 x 7 pixels, the result is

        x̄ + Σ_k α_k ⊙ δ_k + s ⊙ r,

    where α and r come from two U-Nets that see x̄ and the spatial image, divided by the tile's
    brightness g, and δ / s: where the estimates agree, little is changed, whatever the exposure.
    An untrained network returns x̄.
    """

    config_type = EnsembleConfig
    stride = STRIDE

    def __init__(self, config: EnsembleConfig) -> None:
        super().__init__()
        self.config: EnsembleConfig = config
        self.base = config.base
        self.members = config.members
        bands, width = config.bands, config.width
        seen = bands * (1 + config.members) + 2
        self.spectral_input = nn.Conv2d(seen, width, 1)
        self.spatial_input = nn.Conv2d(config.spatial_bands, width, 3, padding=1)
        self.before = _residual_blocks(config)
        self._make_streams(config.streams())
        self.behind = _residual_blocks(config)
        self.head = nn.Conv2d(width, bands * (1 + config.members), 1)
        self._start_at_the_mean()

    def _start_at_the_mean(self) -> None:
        """Let every branch begin with nothing: the mean of the estimates is good already."""
        with torch.no_grad():
            for name, parameter in self.named_parameters():
                if name.rpartition(".")[0].endswith(_LAST_LAYERS):
                    parameter.zero_()

    def forward(self, spatial: Tensor, spectral: Tensor, start: Tensor | None = None) -> Tensor:
        """Return the fused images `(B, C, H, W)`, unit range, not clamped.

        Args:
            spatial: `(B, c, H, W)`, unit range; H and W are multiples of 4.
            spectral: `(B, C, H/ratio, W/ratio)`, unit range; only its shape is used.
            start: `(B, M C, H, W)`, unit range: the estimates one after the other.

        Raises:
            BandCountError: The band counts are not those of the configuration.
            ShapeError: The sizes do not fit the ratio or the network's stride, or `start` is
                missing.
        """
        self.check(spatial, spectral, start)
        assert start is not None
        x_BMCHW = split_members(start, self.config.bands)
        mean_BCHW = x_BMCHW.mean(1)
        delta_BMCHW = x_BMCHW - mean_BCHW[:, None]
        s_B1HW = _size(delta_BMCHW)
        g_B111 = spatial.mean(dim=(1, 2, 3), keepdim=True) + _DARK
        seen = torch.cat(
            [
                mean_BCHW / g_B111,
                (delta_BMCHW / s_B1HW[:, None]).clamp(-_LARGEST, _LARGEST).flatten(1, 2),
                # Of the order of one for the sizes that occur.
                0.3 * torch.log(s_B1HW) + 2,
                0.3 * torch.log(s_B1HW / g_B111) + 1,
            ],
            dim=1,
        )
        # No rectifier behind the spectral input: half of the differences would be lost.
        x = self.before(self.spectral_input(seen))
        y = functional.leaky_relu(self.spatial_input(spatial / g_B111))
        out = self.head(self.behind(self._double_branch(x, y)))
        r_BCHW = out[:, : self.config.bands]
        alpha_BMCHW = split_members(out[:, self.config.bands :], self.config.bands)
        fused: Tensor = mean_BCHW + (alpha_BMCHW * delta_BMCHW).sum(1) + s_B1HW * r_BCHW
        return fused


def _residual_blocks(config: EnsembleConfig) -> nn.Sequential:
    return nn.Sequential(*(ResBlock(config.width) for _ in range(config.residual_blocks)))


def _size(delta_BMCHW: Tensor) -> Tensor:
    """Return how far the estimates differ around each pixel, `(B, 1, H, W)`."""
    side = _NEIGHBOURHOOD // 2
    size = delta_BMCHW.abs().mean(dim=(1, 2))[:, None]
    padded = functional.pad(size, (side, side, side, side), mode="replicate")
    return functional.avg_pool2d(padded, _NEIGHBOURHOOD, 1) + _AGREEMENT
