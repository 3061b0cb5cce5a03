"""Softmax attention for narrow heads on a CUDA device, in Triton, forward and backward.

At a head width of 16 a score costs 64 operations of the units for matrix products and one
exponential, and the exponentials take several times as long. So everything else is kept out of
their way: powers of 2 with the scale folded into one multiply-add, statistics of the rows in
float32 registers, no width added to a head of 16, and on request part of the powers as a polynomial
on the units that multiply and add, which are idle then.

The softmax is summed block by block of keys as in T. Dao (2023): "FlashAttention-2: Faster
Attention with Better Parallelism and Work Partitioning"; powers as polynomials follow the idea of
J. Shah et al. (2024): "FlashAttention-3". The gradients are summed in a fixed order: a block of
keys and a block of queries each belong to one program, at the price of computing the powers twice.

Names in the kernels: M queries and N keys of a block, S head width, D its width in registers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import torch
import triton
import triton.language as tl
from torch import Tensor

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
        query: `(B, N, P, S)`, bfloat16, float16 or float32, any strides; S up to `WIDEST_HEAD`.
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
        total = torch.empty((batch * heads, pixels), device=query.device, dtype=torch.float32)
        right = query if factor is None else factor
        _forward_kernel[_grid(query, blocks.queries)](
            query,
            key,
            value,
            right,
            fused if matrix is None else matrix,
            fused,
            attended,
            total,
            *_strides(query, key, value, right),
            heads,
            pixels,
            _scale(query),
            multiplies=factor is not None,
            keeps=keeps,
            **_constants(query, blocks),
        )
        if learns:
            ctx.save_for_backward(query, key, value, factor, matrix, attended, total)
            ctx.blocks = blocks
        return fused

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients by the five tensors; products linear in P are left to torch."""
        query, key, value, factor, matrix, attended, total = ctx.saved_tensors
        by_factor = by_matrix = None
        if factor is not None:
            by_product = gradient * attended
            by_factor = by_product @ matrix.mT
            by_matrix = factor.mT @ by_product
            gradient = gradient * (factor @ matrix)
        gradient = _in_rows(gradient)
        mean = (gradient.float() * attended.float()).sum(-1).flatten(0, 1)
        by_query, by_key, by_value = (_like_rows(t) for t in (query, key, value))
        common = (gradient, total, mean)
        rest = (*_strides(query, key, value, gradient), *query.shape[1:3], _scale(query))
        constants = _constants(query, ctx.blocks)
        _by_key_kernel[_grid(query, ctx.blocks.keys)](
            query, key, value, *common, by_key, by_value, *rest, **constants
        )
        _by_query_kernel[_grid(query, ctx.blocks.queries)](
            query, key, value, *common, by_query, *rest, **constants
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


@triton.jit
def _polynomial_power(x):
    """Return 2^x for x <= 0: a power of the nearest integer, times a polynomial of the rest.

    Adding 1.5 · 2^23 leaves that integer in the last bits. The polynomial has degree 3 and the
    least relative error in [−1/2, 1/2].
    """
    x = tl.maximum(x, -126.0)  # below it there is no exponent left
    shifted = x + 12582912.0
    rest = x - (shifted - 12582912.0)
    power = tl.fma(rest, 0.05517167, 0.24261112)
    power = tl.fma(rest, power, 0.69326099)
    power = tl.fma(rest, power, 0.99992807)
    exponent = shifted.to(tl.int32, bitcast=True) << 23
    return (power.to(tl.int32, bitcast=True) + exponent).to(tl.float32, bitcast=True)


@triton.jit
def _halves(x, M: tl.constexpr, N: tl.constexpr):
    """Return the left and the right columns of x `(M, N)`; no value leaves its thread."""
    return tl.split(tl.permute(tl.reshape(x, (M, 2, N // 2)), (0, 2, 1)))


@triton.jit
def _beside(left, right, M: tl.constexpr, N: tl.constexpr):
    """Undo `_halves`."""
    return tl.reshape(tl.permute(tl.join(left, right), (0, 2, 1)), (M, N))


@triton.jit
def _powers(x, M: tl.constexpr, N: tl.constexpr, polynomial: tl.constexpr):
    """Return 2^x, x `(M, N)`; the last columns by polynomial."""
    if polynomial == 0:
        power = tl.exp2(x)
    else:
        left, right = _halves(x, M, N)
        if polynomial == 2:
            right = _polynomial_power(right)
        else:
            third, last = _halves(right, M, N // 2)
            right = _beside(tl.exp2(third), _polynomial_power(last), M, N // 2)
        power = _beside(tl.exp2(left), right, M, N)
    return power


@triton.jit
def _load(base, rows, stride, pixels, S: tl.constexpr, D: tl.constexpr):
    """Load rows of a head, zeros beyond the last pixel and beyond the head's width."""
    columns = tl.arange(0, D)
    inside = rows[:, None] < pixels
    if S != D:
        inside = inside & (columns[None, :] < S)
    return tl.load(base + rows[:, None] * stride + columns[None, :], mask=inside, other=0.0)


@triton.jit
def _store(base, rows, stride, pixels, values, S: tl.constexpr, D: tl.constexpr):
    """Store rows of a head, rounded to the type of the memory."""
    columns = tl.arange(0, D)
    inside = rows[:, None] < pixels
    if S != D:
        inside = inside & (columns[None, :] < S)
    values = values.to(base.dtype.element_ty)
    tl.store(base + rows[:, None] * stride + columns[None, :], values, mask=inside)


@triton.jit
def _forward_kernel(
    query,
    key,
    value,
    factor,
    matrix,
    fused,
    attended,
    total,
    q_b,
    q_n,
    q_p,
    k_b,
    k_n,
    k_p,
    v_b,
    v_n,
    v_p,
    f_b,
    f_n,
    f_p,
    heads,
    pixels,
    scale,
    S: tl.constexpr,
    D: tl.constexpr,
    M: tl.constexpr,
    N: tl.constexpr,
    polynomial: tl.constexpr,
    rounding: tl.constexpr,
    multiplies: tl.constexpr,
    keeps: tl.constexpr,
):
    """Fuse one block of queries of one head; `total` is log2 of the sum of a row's powers."""
    index = tl.program_id(1).to(tl.int64)
    b, n = index // heads, index % heads
    rows = tl.program_id(0) * M + tl.arange(0, M)
    q = _load(query + b * q_b + n * q_n, rows, q_p, pixels, S, D)
    in_base_2 = scale * 1.4426950408889634

    largest = tl.full((M,), float("-inf"), tl.float32)
    weight = tl.zeros((M,), tl.float32)
    mean = tl.zeros((M, D), tl.float32)
    for start in range(0, pixels, N):
        columns = start + tl.arange(0, N)
        k = _load(key + b * k_b + n * k_n, columns, k_p, pixels, S, D)
        v = _load(value + b * v_b + n * v_n, columns, v_p, pixels, S, D)
        score = tl.dot(q, tl.trans(k), input_precision=rounding)
        score = tl.where(columns[None, :] < pixels, score, float("-inf"))
        now = tl.maximum(largest, tl.max(score, 1) * in_base_2)
        power = _powers(tl.fma(score, in_base_2, -now[:, None]), M, N, polynomial)
        shrink = tl.exp2(largest - now)
        weight = weight * shrink + tl.sum(power, 1)
        mean = mean * shrink[:, None]
        mean = tl.dot(power.to(v.dtype), v, mean, input_precision=rounding)
        largest = now

    mean = mean / weight[:, None]
    tl.store(total + index * pixels + rows, largest + tl.log2(weight), mask=rows < pixels)
    out = (b * pixels * heads + n) * S
    if multiplies:
        if keeps:
            _store(attended + out, rows, heads * S, pixels, mean, S, D)
        f = _load(factor + b * f_b + n * f_n, rows, f_p, pixels, S, D)
        m = _load(matrix + index * S * S, tl.arange(0, D), S, S, S, D)
        mean = mean * tl.dot(f, m, input_precision=rounding)
    _store(fused + out, rows, heads * S, pixels, mean, S, D)


@triton.jit
def _by_key_kernel(
    query,
    key,
    value,
    gradient,
    total,
    mean,
    by_key,
    by_value,
    q_b,
    q_n,
    q_p,
    k_b,
    k_n,
    k_p,
    v_b,
    v_n,
    v_p,
    g_b,
    g_n,
    g_p,
    heads,
    pixels,
    scale,
    S: tl.constexpr,
    D: tl.constexpr,
    M: tl.constexpr,
    N: tl.constexpr,
    polynomial: tl.constexpr,
    rounding: tl.constexpr,
):
    """Sum the gradients by one block of keys and values over all queries, transposed: (N, M)."""
    index = tl.program_id(1).to(tl.int64)
    b, n = index // heads, index % heads
    columns = tl.program_id(0) * N + tl.arange(0, N)
    k = _load(key + b * k_b + n * k_n, columns, k_p, pixels, S, D)
    v = _load(value + b * v_b + n * v_n, columns, v_p, pixels, S, D)
    in_base_2 = scale * 1.4426950408889634

    slope_k = tl.zeros((N, D), tl.float32)
    slope_v = tl.zeros((N, D), tl.float32)
    for start in range(0, pixels, M):
        rows = start + tl.arange(0, M)
        inside = rows < pixels
        q = _load(query + b * q_b + n * q_n, rows, q_p, pixels, S, D)
        g = _load(gradient + b * g_b + n * g_n, rows, g_p, pixels, S, D)
        log_sum = tl.load(total + index * pixels + rows, mask=inside, other=float("inf"))
        average = tl.load(mean + index * pixels + rows, mask=inside, other=0.0)
        score = tl.dot(k, tl.trans(q), input_precision=rounding)
        # Keys behind the last one get powers too, perhaps infinite ones: nobody stores their rows.
        power = _powers(tl.fma(score, in_base_2, -log_sum[None, :]), N, M, polynomial)
        slope_v = tl.dot(power.to(g.dtype), g, slope_v, input_precision=rounding)
        slope = tl.dot(v, tl.trans(g), input_precision=rounding) - average[None, :]
        slope_k = tl.dot((power * slope).to(q.dtype), q, slope_k, input_precision=rounding)

    out = (b * pixels * heads + n) * S
    _store(by_key + out, columns, heads * S, pixels, slope_k * scale, S, D)
    _store(by_value + out, columns, heads * S, pixels, slope_v, S, D)


@triton.jit
def _by_query_kernel(
    query,
    key,
    value,
    gradient,
    total,
    mean,
    by_query,
    q_b,
    q_n,
    q_p,
    k_b,
    k_n,
    k_p,
    v_b,
    v_n,
    v_p,
    g_b,
    g_n,
    g_p,
    heads,
    pixels,
    scale,
    S: tl.constexpr,
    D: tl.constexpr,
    M: tl.constexpr,
    N: tl.constexpr,
    polynomial: tl.constexpr,
    rounding: tl.constexpr,
):
    """Sum the gradient by one block of queries over all keys."""
    index = tl.program_id(1).to(tl.int64)
    b, n = index // heads, index % heads
    rows = tl.program_id(0) * M + tl.arange(0, M)
    inside = rows < pixels
    q = _load(query + b * q_b + n * q_n, rows, q_p, pixels, S, D)
    g = _load(gradient + b * g_b + n * g_n, rows, g_p, pixels, S, D)
    log_sum = tl.load(total + index * pixels + rows, mask=inside, other=float("inf"))
    average = tl.load(mean + index * pixels + rows, mask=inside, other=0.0)
    in_base_2 = scale * 1.4426950408889634

    slope_q = tl.zeros((M, D), tl.float32)
    for start in range(0, pixels, N):
        columns = start + tl.arange(0, N)
        k = _load(key + b * k_b + n * k_n, columns, k_p, pixels, S, D)
        v = _load(value + b * v_b + n * v_n, columns, v_p, pixels, S, D)
        score = tl.dot(q, tl.trans(k), input_precision=rounding)
        score = tl.where(columns[None, :] < pixels, score, float("-inf"))
        power = _powers(tl.fma(score, in_base_2, -log_sum[:, None]), M, N, polynomial)
        slope = tl.dot(g, tl.trans(v), input_precision=rounding) - average[:, None]
        slope_q = tl.dot((power * slope).to(k.dtype), k, slope_q, input_precision=rounding)

    out = (b * pixels * heads + n) * S
    _store(by_query + out, rows, heads * S, pixels, slope_q * scale, S, D)
