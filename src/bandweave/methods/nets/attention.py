"""Attention of all pixels of a tile to all, and the one place that chooses how it is computed.

What computes it is a matter of the run and not of the weights: no network knows more of it than
`SpatialAttention`, which holds no parameters.

| device | `fp32` | `bf16` |
|---|---|---|
| CPU | PyTorch's kernel | from 512 pixels on `attend_bf16`, else as `fp32` |
| others | PyTorch's kernel | PyTorch's kernel, in the type of its arguments |
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from bandweave.methods.nets.attention_bf16 import attend_bf16

Precision = Literal["fp32", "bf16"]
"""Type of the factors of the attention's products; sums, softmax statistics and results are in
float32 in both."""

# On smaller maps the calls take longer than the products.
_FEWEST_PIXELS = 512


def spatial_attention(
    query: Tensor, key: Tensor, value: Tensor, precision: Precision = "fp32"
) -> Tensor:
    """Return softmax(q kᵀ / √S) v for each head, without the P x P matrix.

    Args:
        query: `(B, N, P, S)`: B tiles, N heads, P pixels, S the head width. Any strides.
        key: Of the same shape and type.
        value: Of the same shape and type.
        precision: How the products may be rounded; `fp32` is exact to the rounding of the type.

    Returns:
        `(B, N, P, S)` of the type given, any strides; differentiable by all three. Each tile and
        head is the same whatever else is in the call, to rounding.
    """
    is_long = query.shape[2] >= _FEWEST_PIXELS
    is_cpu = query.device.type == "cpu" and query.dtype == torch.float32
    if precision == "bf16" and is_cpu and is_long:
        return attend_bf16(query, key, value)
    return functional.scaled_dot_product_attention(query, key, value)


class SpatialAttention(nn.Module):
    """`spatial_attention` as a layer, with the precision that `use_precision` sets."""

    def __init__(self) -> None:
        super().__init__()
        self.precision: Precision = "fp32"

    def forward(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Return `(B, N, P, S)`, see `spatial_attention`."""
        return spatial_attention(query, key, value, self.precision)


def use_precision(network: nn.Module, precision: Precision) -> None:
    """Set how a network computes its attention from now on."""
    for layer in network.modules():
        if isinstance(layer, SpatialAttention):
            layer.precision = precision


def has_bf16_products() -> bool:
    """Tell whether this machine's processor multiplies bfloat16 (AVX512-BF16, AMX)."""
    # No public function tells; processors with AMX have AVX512-BF16 too.
    return bool(torch.cpu._is_avx512_bf16_supported())  # noqa: SLF001
