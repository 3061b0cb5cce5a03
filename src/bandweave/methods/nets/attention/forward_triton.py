"""The kernel of `attend_triton` for the result: one program per block of queries.

Names: M queries and N keys of a block, S head width, D its width in registers.
"""

from __future__ import annotations

import triton
import triton.language as tl

from bandweave.methods.nets.attention.powers_triton import powers
from bandweave.methods.nets.attention.rows_triton import load_rows, store_rows


@triton.jit
def forward_kernel(
    query,
    key,
    value,
    factor,
    matrix,
    fused,
    attended,
    shifts,
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
    is_even: tl.constexpr,
    multiplies: tl.constexpr,
    keeps: tl.constexpr,
):
    """Fuse one block of queries of one head; `shifts` are −log2 of the sums of powers.

    Where all blocks of keys are full (`is_even`), there is an instruction less per exponential.
    """
    index = tl.program_id(1).to(tl.int64)
    b, n = index // heads, index % heads
    rows = tl.program_id(0) * M + tl.arange(0, M)
    q = load_rows(query + b * q_b + n * q_n, rows, q_p, pixels, S, D)
    in_base_2 = scale * 1.4426950408889634

    largest = tl.full((M,), float("-inf"), tl.float32)
    weight = tl.zeros((M,), tl.float32)
    mean = tl.zeros((M, D), tl.float32)
    for start in range(0, pixels, N):
        columns = start + tl.arange(0, N)
        k = load_rows(key + b * k_b + n * k_n, columns, k_p, pixels, S, D)
        v = load_rows(value + b * v_b + n * v_n, columns, v_p, pixels, S, D)
        score = tl.dot(q, tl.trans(k), input_precision=rounding)
        if not is_even:
            score = tl.where(columns[None, :] < pixels, score, float("-inf"))
        now = tl.maximum(largest, tl.max(score, 1) * in_base_2)
        power = powers(tl.fma(score, in_base_2, -now[:, None]), M, N, polynomial)
        shrink = tl.exp2(largest - now)
        weight = weight * shrink + tl.sum(power, 1)
        mean = mean * shrink[:, None]
        mean = tl.dot(power.to(v.dtype), v, mean, input_precision=rounding)
        largest = now

    mean = mean / weight[:, None]
    tl.store(shifts + index * pixels + rows, -largest - tl.log2(weight), mask=rows < pixels)
    out = (b * pixels * heads + n) * S
    if multiplies:
        if keeps:
            store_rows(attended + out, rows, heads * S, pixels, mean, S, D)
        f = load_rows(factor + b * f_b + n * f_n, rows, f_p, pixels, S, D)
        m = load_rows(matrix + index * S * S, tl.arange(0, D), S, S, S, D)
        mean = mean * tl.dot(f, m, input_precision=rounding)
    store_rows(fused + out, rows, heads * S, pixels, mean, S, D)
