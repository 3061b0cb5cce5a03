"""Fusformer: a transformer over all pixels of a patch predicts the residual to the interpolation.

J.-F. Hu, T.-Z. Huang, L.-J. Deng, H.-X. Dou, D. Hong, G. Vivone (2022): "Fusformer: A Transformer-
Based Fusion Network for Hyperspectral Image Super-Resolution", IEEE Geosci. Remote Sens. Lett. 19,
1-5. The tables of positions that the released class holds are used by none of its layers, and
ours does not have them.

Shape suffixes: B batch, P pixels of the map (HW), N heads, S head width, D = N S width.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from bandweave.methods.nets.architecture import Architecture
from bandweave.methods.nets.attention.layer import SpatialAttention
from bandweave.methods.nets.blocks import Residual, same_conv
from bandweave.methods.nets.network import EnlargingNetwork

# Attentions per layer: the decoder has two in a row, without any between encoder and decoder.
_ENCODER, _DECODER = 1, 2


@dataclass(frozen=True, slots=True, kw_only=True)
class FusformerConfig(Architecture):
    """Architecture of a Fusformer; the defaults are the released program's.

    Raises:
        ValueError: A count is below 1, or the heads do not divide the width.
    """

    spatial_bands: int = 3
    """Bands c of the spatial image."""
    width: int = 48
    """Channels of a pixel inside."""
    heads: int = 3
    """Heads of each attention; divide `width`."""
    layers: int = 2
    """Layers of the encoder, and of the decoder."""
    clamp: bool = True
    """Clamp the result to [0, 1], as released, which takes the gradient away outside. False leaves
    that to who uses the network."""

    def __post_init__(self) -> None:
        Architecture.__post_init__(self)
        if self.width % self.heads:
            raise ValueError(f"{self.heads} heads do not divide the width {self.width}.")


class Fusformer(EnlargingNetwork):
    """Tokens are the pixels of the stacked images; two encoder and two decoder layers refine them.

    Attention spans the whole input, so a pixel's result belongs to the tile it was computed in:
    run a network at the tile size it was trained for. Positions are not coded: only the last two
    convolutions know which pixels are neighbours.

    Both images are in the unit range. The spectral image is interpolated bicubically and clamped.
    """

    config_type = FusformerConfig

    def __init__(self, config: FusformerConfig) -> None:
        super().__init__()
        self.config: FusformerConfig = config
        self.stride = config.ratio
        width = config.width
        self.embedding = nn.Linear(config.bands + config.spatial_bands, width)
        kinds = (_ENCODER,) * config.layers + (_DECODER,) * config.layers
        self.layers = nn.Sequential(*(_layer(width, config.heads, kind) for kind in kinds))
        self.head = nn.Sequential(
            same_conv(width, width), nn.LeakyReLU(0.01), same_conv(width, config.bands)
        )

    @property
    def unused_as_published(self) -> int:
        """Return the size of two tables of positions, one vector for each pixel of a 64² patch."""
        return 2 * 64 * 64 * self.config.width

    def combine(self, spatial: Tensor, spectral: Tensor) -> Tensor:
        """Add the detail that the transformer predicts."""
        enlarged = functional.interpolate(
            spectral, scale_factor=self.config.ratio, mode="bicubic", align_corners=False
        ).clamp(0, 1)
        stacked = torch.cat((enlarged, spatial), dim=1)
        x_BPD = self.layers(self.embedding(stacked.flatten(2).transpose(1, 2)))
        detail = self.head(x_BPD.transpose(1, 2).unflatten(2, spatial.shape[2:]))
        fused: Tensor = enlarged + detail
        return fused.clamp(0, 1) if self.config.clamp else fused


class SelfAttention(nn.Module):
    """Multi-head attention of all pixels to all: softmax(q kᵀ / √S) v, heads side by side."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query_key_value = nn.Linear(width, 3 * width, bias=False)
        self.attend = SpatialAttention()
        self.output = nn.Linear(width, width)

    def forward(self, x_BPD: Tensor) -> Tensor:
        """Return `(B, P, D)` from `(B, P, D)`."""
        split = self.query_key_value(x_BPD).unflatten(-1, (3, self.heads, -1))
        q_BNPS, k_BNPS, v_BNPS = split.permute(2, 0, 3, 1, 4)
        attended_BNPS = self.attend(q_BNPS, k_BNPS, v_BNPS)
        fused: Tensor = self.output(attended_BNPS.transpose(1, 2).flatten(2))
        return fused


def _layer(width: int, heads: int, attentions: int) -> nn.Sequential:
    """Return attentions and an MLP, each on normalised pixels and around an identity."""
    return nn.Sequential(
        *(Residual(nn.LayerNorm(width), SelfAttention(width, heads)) for _ in range(attentions)),
        Residual(
            nn.LayerNorm(width),
            nn.Linear(width, width),
            nn.LeakyReLU(0.01),
            nn.Linear(width, width),
        ),
    )
