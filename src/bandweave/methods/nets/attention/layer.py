"""Attention of all pixels of a tile to all, and the one place that chooses how it is computed.

What computes it is a matter of the run and not of the weights: no network knows more of it than
`SpatialAttention`, which holds no parameters.

| device | `fp32` | `bf16` |
|---|---|---|
| CPU, from 512 pixels on | `attend_compiled` or PyTorch's kernel | that or `attend_bf16` |
| CPU, fewer pixels | PyTorch's kernel | PyTorch's kernel, in float32 |
| others | PyTorch's kernel | PyTorch's kernel, in the type of its arguments |

The compiled loops are taken where llvmlite is installed (extra `fast`) and the processor has what
they are made of: AVX-512, and for `bf16` AVX512-BF16.

On a CUDA device arguments that are bfloat16 or float16 themselves go to the kernels of
`attend_triton`, where Triton is installed and the heads are narrow enough.
"""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from bandweave.methods.nets.attention.bf16 import attend_bf16
from bandweave.methods.nets.attention.compiled import attend_compiled, has_loops

Precision = Literal["fp32", "bf16"]
"""Type of the factors of the attention's products; sums, softmax statistics and results are in
float32 in both."""

# On smaller maps the calls take longer than the products.
_FEWEST_PIXELS = 512


# Heads up to this width take less time as they are than padded to what other kernels are made for.
_NARROW_HEAD = 32


def spatial_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    precision: Precision = "fp32",
    *,
    factor: Tensor | None = None,
    matrix: Tensor | None = None,
) -> Tensor:
    """Return softmax(q kᵀ / √S) v for each head, times f m if given, without the P x P matrix.

    Args:
        query: `(B, N, P, S)`: B tiles, N heads, P pixels, S the head width. Any strides.
        key: Of the same shape and type.
        value: Of the same shape and type.
        precision: How the products may be rounded; `fp32` is exact to the rounding of the type.
        factor: f, of the same shape, for the element-wise product with f m, or None.
        matrix: m, `(B, N, S, S)`, given together with f.

    Returns:
        `(B, N, P, S)` of the type given, any strides; differentiable by all three. Each tile and
        head is the same whatever else is in the call, to rounding.
    """
    if _suits_triton(query):
        from bandweave.methods.nets.attention.attend_triton import attend  # noqa: PLC0415  # not for all

        return attend(query, key, value, factor, matrix)
    attended = _attended(query, key, value, precision)
    return attended if factor is None or matrix is None else attended * (factor @ matrix)


def _attended(query: Tensor, key: Tensor, value: Tensor, precision: Precision) -> Tensor:
    is_cpu = query.device.type == "cpu" and query.dtype == torch.float32
    # What records operations for a graph knows PyTorch's kernel alone.
    if is_cpu and query.shape[2] >= _FEWEST_PIXELS and not torch.compiler.is_compiling():
        is_bf16 = precision == "bf16"
        if has_loops(query.shape[-1]) and (has_bf16_products() or not is_bf16):
            return attend_compiled(query, key, value, is_bf16=is_bf16)
        if is_bf16:
            return attend_bf16(query, key, value)
    return functional.scaled_dot_product_attention(query, key, value)


def _suits_triton(query: Tensor) -> bool:
    if query.device.type != "cuda" or query.dtype not in {torch.bfloat16, torch.float16}:
        return False
    return query.shape[-1] <= _NARROW_HEAD and runs_triton(query.device)


@cache
def runs_triton(device: torch.device) -> bool:
    """Tell whether a CUDA device is given Triton's kernels: it is installed, the device suits.

    Before Ampere there is neither bfloat16 nor the shared memory that they are cut for.
    """
    return find_spec("triton") is not None and torch.cuda.get_device_capability(device) >= (8, 0)


class SpatialAttention(nn.Module):
    """`spatial_attention` as a layer, with the precision that `use_precision` sets."""

    def __init__(self) -> None:
        super().__init__()
        self.precision: Precision = "fp32"

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        factor: Tensor | None = None,
        matrix: Tensor | None = None,
    ) -> Tensor:
        """Return `(B, N, P, S)`, see `spatial_attention`."""
        return spatial_attention(query, key, value, self.precision, factor=factor, matrix=matrix)


def use_precision(network: nn.Module, precision: Precision) -> None:
    """Set how a network computes its attention from now on."""
    for layer in network.modules():
        if isinstance(layer, SpatialAttention):
            layer.precision = precision


def has_bf16_products() -> bool:
    """Tell whether this machine's processor multiplies bfloat16 (AVX512-BF16, AMX)."""
    # No public function tells; processors with AMX have AVX512-BF16 too.
    return bool(torch.cpu._is_avx512_bf16_supported())  # noqa: SLF001
