"""Softmax attention for narrow heads on a CUDA device, in Triton, forward and backward.

At a head width of 16 a score costs 64 operations of the units for matrix products and one
exponential, and the exponentials take several times as long. So everything else is kept out of
their way: powers of 2 with the scale folded into one multiply-add, statistics of the rows in
float32 registers, no width added to a head of 16, and on request part of the powers as a polynomial
on the units that multiply and add, which are idle then.

The kernels lie in `attention_forward_triton` and `attention_backward_triton`, and sum the softmax
block by block of keys as in T. Dao (2023): "FlashAttention-2: Faster Attention with Better
Parallelism and Work Partitioning".
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import torch
import triton
from torch import Tensor
from torch.autograd.function import once_differentiable

from bandweave.methods.nets.attention.backward_triton import by_key_kernel, by_query_kernel
from bandweave.methods.nets.attention.forward_triton import forward_kernel

WIDEST_HEAD = 32
"""Largest head width that the kernels are written for."""

_TYPES = (torch.bfloat16, torch.float16, torch.float32)
_MATRIX_UNIT = 16  # least width of a factor that the units for matrix products take


@dataclass(frozen=True, slots=True)
class Blocks:
    """How the work is cut; benchmarks/bench_gpu.py measures the alternatives."""

    queries: int = 128
    """Queries of a program at a time, a power of two from 16 on."""
    keys: int = 64
    """Keys of a program at a time, a power of two from 16 on."""
    warps: int = 4
    stages: int = 3
    """Blocks that are loaded ahead."""
    polynomial: Literal[0, 2, 4] = 0
    """Of so many powers one is computed as a polynomial of degree 3, whose relative error of 7.5e-5
    is below bfloat16's rounding; 0 for none."""


def attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    factor: Tensor | None = None,
    matrix: Tensor | None = None,
    *,
    blocks: Blocks | None = None,
) -> Tensor:
    """Return softmax(q kᵀ / √S) v, or softmax(q kᵀ / √S) v ⊙ (f m), without the P x P matrix.

    Sums, the row's statistics and the element-wise product are in float32. Differentiable once by
    every tensor.

    Args:
        query: `(B, N, P, S)`, bfloat16, float16 or float32, any strides; S up to `WIDEST_HEAD`, B N
            up to 65,535.
        key: Of the same shape and type.
        value: Of the same shape and type.
        factor: f, of the same shape and type, or None.
        matrix: m, `(B, N, S, S)`, given together with f.
        blocks: How the work is cut, or None for what suits most devices.

    Returns:
        `(B, N, P, S)` of the type given; the heads of a pixel lie side by side in memory.

    Raises:
        ValueError: The head is too wide, or the type is another one.
    """
    if query.shape[-1] > WIDEST_HEAD or query.dtype not in _TYPES:
        raise ValueError(
            f"The kernel takes heads up to {WIDEST_HEAD} wide in bfloat16, float16 or float32, got "
            f"{query.shape[-1]} in {query.dtype}."
        )
    given = [_in_rows(t) for t in (query, key, value)]
    product: tuple[Tensor, Tensor] | tuple[None, None] = (None, None)
    if factor is not None and matrix is not None:
        product = (_in_rows(factor), matrix.to(query.dtype).contiguous())
    fused: Tensor = _Attend.apply(*given, *product, blocks or Blocks())
    return fused


class _Attend(torch.autograd.Function):
    """The kernels as one differentiable function."""

    @staticmethod
    def forward(
        ctx: Any,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        factor: Tensor | None,
        matrix: Tensor | None,
        blocks: Blocks,
    ) -> Tensor:
        """Return the attended values, times f m where that is given."""
        learns = any(ctx.needs_input_grad)
        batch, heads, pixels, _ = query.shape
        fused = _like_rows(query)
        # The gradient by f m needs the other factor, and inference does not.
        keeps = learns and factor is not None
        attended = _like_rows(query) if keeps else fused
        shifts = torch.empty((batch * heads, pixels), device=query.device, dtype=torch.float32)
        right = query if factor is None else factor
        forward_kernel[_grid(query, blocks.queries)](
            query,
            key,
            value,
            right,
            fused if matrix is None else matrix,
            fused,
            attended,
            shifts,
            *_strides(query, key, value, right),
            heads,
            pixels,
            _scale(query),
            is_even=pixels % blocks.keys == 0,
            multiplies=factor is not None,
            keeps=keeps,
            **_constants(query, blocks),
        )
        if learns:
            ctx.save_for_backward(query, key, value, factor, matrix, attended, shifts)
            ctx.blocks = blocks
        return fused

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients by the five tensors; products linear in P are left to torch."""
        query, key, value, factor, matrix, attended, shifts = ctx.saved_tensors
        by_factor = by_matrix = None
        if factor is not None:
            by_product = gradient * attended
            by_factor = by_product @ matrix.mT
            by_matrix = factor.mT @ by_product
            gradient = gradient * (factor @ matrix)
        gradient = _in_rows(gradient)
        mean = (gradient.float() * attended.float()).sum(-1).flatten(0, 1)
        by_query, by_key, by_value = (_like_rows(t) for t in (query, key, value))
        common = (gradient, shifts, mean)
        rest = (*_strides(query, key, value, gradient), *query.shape[1:3], _scale(query))
        blocks, constants = ctx.blocks, _constants(query, ctx.blocks)
        by_key_kernel[_grid(query, blocks.keys)](
            *(query, key, value, *common, by_key, by_value, *rest), **constants
        )
        by_query_kernel[_grid(query, blocks.queries)](
            *(query, key, value, *common, by_query, *rest),
            is_even=query.shape[2] % blocks.keys == 0,
            **constants,
        )
        return by_query, by_key, by_value, by_factor, by_matrix, None


def _in_rows(images: Tensor) -> Tensor:
    """Let the elements of a head lie side by side; everything else may have any stride."""
    return images if images.stride(-1) == 1 else images.contiguous()


def _like_rows(images: Tensor) -> Tensor:
    """Return an empty `(B, N, P, S)` whose heads lie side by side, as the next layer reads them."""
    batch, heads, pixels, width = images.shape
    return images.new_empty((batch, pixels, heads, width)).transpose(1, 2)


def _strides(*images: Tensor) -> tuple[int, ...]:
    return tuple(stride for image in images for stride in image.stride()[:3])


def _grid(query: Tensor, block: int) -> tuple[int, int]:
    return triton.cdiv(query.shape[2], block), query.shape[0] * query.shape[1]


def _scale(query: Tensor) -> float:
    return 1 / math.sqrt(query.shape[-1])


def _constants(query: Tensor, blocks: Blocks) -> dict[str, Any]:
    width = query.shape[-1]
    return {
        "S": width,
        "D": max(_MATRIX_UNIT, triton.next_power_of_2(width)),
        "M": blocks.queries,
        "N": blocks.keys,
        "polynomial": blocks.polynomial,
        # Otherwise float32 is cut to 10 bits of mantissa.
        "rounding": "ieee" if query.dtype == torch.float32 else "tf32",
        "num_warps": blocks.warps,
        "num_stages": blocks.stages,
    }
