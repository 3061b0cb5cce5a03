"""The S2Block: spatial and spectral self-correlation, each applied to the other image's features.

S. Peng, C. Guo, X. Wu, L.-J. Deng (2023): "U2Net: A General Framework with Spatial-Spectral-
Integrated Double U-Net for Image Fusion", Proc. ACM Int. Conf. on Multimedia. Equation numbers
are the paper's; where paper and released program differ, the released program is the default.

Shape suffixes: B batch, N heads, P pixels of the map (HW), S head width S', D = N S' width d.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from bandweave.methods.nets.attention.layer import SpatialAttention
from bandweave.methods.nets.projection import normalised_maps
from bandweave.methods.nets.u2net_config import U2NetConfig, Variant


class S2Block(nn.Module):
    """Update the spectral features x from the spatial features y.

    x ← x + Attention(LN_a(x), LN_a(y)), then x ← x + MLP(LN_m(x)). One layer normalisation LN_a
    serves both inputs. y is read, not changed.
    """

    def __init__(self, width: int, config: U2NetConfig) -> None:
        super().__init__()
        self.norm_attention = nn.LayerNorm(width)
        self.attention: nn.Module = (
            ConcatenationAttention(width)
            if config.variant is Variant.CONCATENATION
            else CorrelationAttention(width, config)
        )
        self.norm_mlp = nn.LayerNorm(width)
        self.mlp = nn.Sequential(
            nn.Linear(width, width // 2),
            nn.LeakyReLU(0.01, inplace=True),
            nn.Linear(width // 2, width),
        )

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the new x `(B, d, H, W)` from x and y of that shape."""
        height, width = x.shape[2:]
        x_BPD, y_BPD = _tokens(x), _tokens(y)
        x_BPD = x_BPD + self.attention(x_BPD, y_BPD, self.norm_attention)
        x_BPD = x_BPD + self.mlp(self.norm_mlp(x_BPD))
        updated: Tensor = x_BPD.reshape(x.shape[0], height, width, -1).permute(0, 3, 1, 2)
        return updated


class CorrelationAttention(nn.Module):
    """Spatial and spectral self-correlation matrices and their product, equations (1) to (3).

    (1) C_spa = softmax(T^a (T^b)ᵀ / √S'),             P x P, from the spatial features;
    (2) C_spe = softmax((T^c)ᵀ T^d · √S' / P),         S' x S', from the spectral features;
    (3) T_fus = (C_spa T^c) ⊙ (T^a C_spe),             P x S',

    for each of the N heads, with T^a = W_a y, T^b = W_b y, T^c = W_c x, T^d = W_d x and softmax
    over the last axis. C_spa T^c is scaled dot-product attention with query T^a, key T^b and value
    T^c, so the P x P matrix is never formed.
    """

    def __init__(self, width: int, config: U2NetConfig) -> None:
        super().__init__()
        self.config = config
        self.heads = width // config.head_width
        self.w_a = nn.Linear(width, width, bias=False)
        if config.variant is not Variant.SPECTRAL_ONLY:
            self.w_b = nn.Linear(width, width, bias=False)
        self.w_c = nn.Linear(width, width, bias=False)
        if config.variant is not Variant.SPATIAL_ONLY:
            self.w_d = nn.Linear(width, width, bias=False)
        self.attend = SpatialAttention()
        self.output = nn.Linear(width, width)

    def forward(self, x_BPD: Tensor, y_BPD: Tensor, norm: nn.Module) -> Tensor:
        """Return the attention output `(B, P, D)` from tokens of that shape, normalised first."""
        variant = self.config.variant
        if variant is Variant.SPATIAL_ONLY:
            (c_BNPS,) = self._mapped(x_BPD, norm, self.w_c)
            a_BNPS, b_BNPS = self._mapped(y_BPD, norm, self.w_a, self.w_b)
            fused_BNPS = self.attend(a_BNPS, b_BNPS, c_BNPS)  # (1), applied
        else:
            c_BNPS, d_BNPS = self._mapped(x_BPD, norm, self.w_c, self.w_d)
            if variant is Variant.SPECTRAL_ONLY:
                (a_BNPS,) = self._mapped(y_BPD, norm, self.w_a)
                fused_BNPS = a_BNPS @ self._c_spe(c_BNPS, d_BNPS)
            else:
                a_BNPS, b_BNPS = self._mapped(y_BPD, norm, self.w_a, self.w_b)
                is_release = self.config.spatial_factor == "release"
                factor_BNPS = a_BNPS if is_release else b_BNPS
                c_spe = self._c_spe(c_BNPS, d_BNPS)
                fused_BNPS = self.attend(a_BNPS, b_BNPS, c_BNPS, factor_BNPS, c_spe)  # (3)
        output: Tensor = self.output(fused_BNPS.transpose(1, 2).flatten(2))
        return output

    def _mapped(self, t_BPD: Tensor, norm: nn.Module, *maps: nn.Linear) -> list[Tensor]:
        """Apply maps of one input as one product; split each into N consecutive groups of columns.

        Returns:
            One `(B, N, P, S')` per map.
        """
        mapped = normalised_maps(t_BPD, norm, maps)
        split = mapped.reshape(*mapped.shape[:2], len(maps), self.heads, -1)
        return [t_BPNS.transpose(1, 2) for t_BPNS in split.unbind(2)]

    def _c_spe(self, c_BNPS: Tensor, d_BNPS: Tensor) -> Tensor:
        """Return the spectral self-correlation matrix of (2), `(B, N, S', S')`."""
        pixels, head_width = c_BNPS.shape[2:]
        scale = (
            math.sqrt(head_width) / pixels
            if self.config.spectral_scaling == "release"
            else self.heads / math.sqrt(head_width**3)
        )
        return torch.softmax(c_BNPS.transpose(2, 3) @ d_BNPS * scale, dim=-1)


class ConcatenationAttention(nn.Module):
    """Ablation V2: a linear map of the concatenated tokens stands in for (1) to (3)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.output = nn.Linear(2 * width, width)

    def forward(self, x_BPD: Tensor, y_BPD: Tensor, norm: nn.Module) -> Tensor:
        """Return `(B, P, D)` from tokens of that shape, normalised first."""
        output: Tensor = self.output(torch.cat((norm(x_BPD), norm(y_BPD)), dim=-1))
        return output


def _tokens(features: Tensor) -> Tensor:
    """See a map `(B, d, H, W)` as a matrix `(B, HW, d)`, pixels in row-major order."""
    return features.permute(0, 2, 3, 1).flatten(1, 2)
