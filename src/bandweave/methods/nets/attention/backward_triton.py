"""The kernels of `attend_triton` for the gradients.

They are summed in a fixed order: a block of keys and a block of queries each belong to one program,
at the price of computing the powers twice.

Names: M queries and N keys of a block, S head width, D its width in registers.
"""

from __future__ import annotations

import triton
import triton.language as tl

from bandweave.methods.nets.attention.powers_triton import powers
from bandweave.methods.nets.attention.rows_triton import load_rows, store_rows


@triton.jit
def by_key_kernel(
    query,
    key,
    value,
    gradient,
    shifts,
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
    k = load_rows(key + b * k_b + n * k_n, columns, k_p, pixels, S, D)
    v = load_rows(value + b * v_b + n * v_n, columns, v_p, pixels, S, D)
    in_base_2 = scale * 1.4426950408889634

    slope_k = tl.zeros((N, D), tl.float32)
    slope_v = tl.zeros((N, D), tl.float32)
    for start in range(0, pixels, M):
        rows = start + tl.arange(0, M)
        inside = rows < pixels
        q = load_rows(query + b * q_b + n * q_n, rows, q_p, pixels, S, D)
        g = load_rows(gradient + b * g_b + n * g_n, rows, g_p, pixels, S, D)
        shift = tl.load(shifts + index * pixels + rows, mask=inside, other=0.0)
        average = tl.load(mean + index * pixels + rows, mask=inside, other=0.0)
        score = tl.dot(k, tl.trans(q), input_precision=rounding)
        # Keys behind the last one get powers too, perhaps infinite ones: nobody stores their rows.
        power = powers(tl.fma(score, in_base_2, shift[None, :]), N, M, polynomial)
        slope_v = tl.dot(power.to(g.dtype), g, slope_v, input_precision=rounding)
        slope = tl.dot(v, tl.trans(g), input_precision=rounding) - average[None, :]
        slope_k = tl.dot((power * slope).to(q.dtype), q, slope_k, input_precision=rounding)

    out = (b * pixels * heads + n) * S
    store_rows(by_key + out, columns, heads * S, pixels, slope_k * scale, S, D)
    store_rows(by_value + out, columns, heads * S, pixels, slope_v, S, D)


@triton.jit
def by_query_kernel(
    query,
    key,
    value,
    gradient,
    shifts,
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
    is_even: tl.constexpr,
):
    """Sum the gradient by one block of queries over all keys.

    Where all blocks of keys are full (`is_even`), there is an instruction less per power.
    """
    index = tl.program_id(1).to(tl.int64)
    b, n = index // heads, index % heads
    rows = tl.program_id(0) * M + tl.arange(0, M)
    inside = rows < pixels
    q = load_rows(query + b * q_b + n * q_n, rows, q_p, pixels, S, D)
    g = load_rows(gradient + b * g_b + n * g_n, rows, g_p, pixels, S, D)
    shift = tl.load(shifts + index * pixels + rows, mask=inside, other=0.0)
    average = tl.load(mean + index * pixels + rows, mask=inside, other=0.0)
    in_base_2 = scale * 1.4426950408889634

    slope_q = tl.zeros((M, D), tl.float32)
    for start in range(0, pixels, N):
        columns = start + tl.arange(0, N)
        k = load_rows(key + b * k_b + n * k_n, columns, k_p, pixels, S, D)
        v = load_rows(value + b * v_b + n * v_n, columns, v_p, pixels, S, D)
        score = tl.dot(q, tl.trans(k), input_precision=rounding)
        if not is_even:
            score = tl.where(columns[None, :] < pixels, score, float("-inf"))
        power = powers(tl.fma(score, in_base_2, shift[:, None]), M, N, polynomial)
        slope = tl.dot(g, tl.trans(v), input_precision=rounding) - average[:, None]
        slope_q = tl.dot((power * slope).to(k.dtype), k, slope_q, input_precision=rounding)

    out = (b * pixels * heads + n) * S
    store_rows(by_query + out, rows, heads * S, pixels, slope_q * scale, S, D)
