"""Softmax attention on a CPU with its products in bfloat16, for processors that multiply it.

PyTorch's own kernel gains nothing from bfloat16 at a head width of 16: here the products are those
of oneDNN, in blocks of queries, and 2 is the base of the exponential.

Shape suffixes: H heads of all batch entries, P queries, K keys with padding, S head width.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

# Heads and queries whose scores are held at a time: 4 MB of them at 4,096 keys. Fewer queries leave
# the products small, more heads leave the cache.
_HEADS, _QUERIES = 2, 256

# Keys of zero behind the others: rows whose length is a power of two all fall into the same few
# sets of the cache, which doubles the time of the second product.
_PADDING = 32

# Base 2. Scores are shifted so that none exceeds the first: sums of 4,096 powers times values then
# stay far below 2^127. The largest score of a row is shifted by the second at most, so that its
# power stays far above 2^-126.
_HIGHEST, _DEEPEST = 100.0, 90.0


def attend_bf16(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Return softmax(q kᵀ / √S) v as `spatial_attention` does, to bfloat16; differentiable once.

    Falls back to float32 where the scores could be so large that their powers overflow.

    Args:
        query: `(B, N, P, S)`, float32.
        key: The same.
        value: The same.
    """
    q_HPS, k_HPS, v_HPS = (t.contiguous().flatten(0, 1) for t in (query, key, value))
    # In each row of scores the mean is taken off: the softmax does not see it, the scores are
    # smaller, hence finer in bfloat16, and the largest one in a row is at least zero.
    k_HPS = k_HPS - k_HPS.mean(dim=1, keepdim=True)
    q_HPS = q_HPS * (math.log2(math.e) / math.sqrt(query.shape[-1]))
    bound = _longest(q_HPS) * _longest(k_HPS)
    if not bound <= _HIGHEST + _DEEPEST:  # NaN included
        return functional.scaled_dot_product_attention(query, key, value)
    shift = max(bound - _HIGHEST, 0.0)
    attended: Tensor = _Attend.apply(q_HPS, k_HPS, v_HPS, shift)  # type: ignore[no-untyped-call]
    return attended.view(query.shape)


def _longest(vectors: Tensor) -> float:
    """Return the largest norm over the last axis."""
    return float(torch.linalg.vector_norm(vectors.detach(), dim=-1).amax())


class _Attend(torch.autograd.Function):
    """Powers of 2 of q kᵀ − shift, over their sum in each row, times v."""

    @staticmethod
    def forward(ctx: Any, q_HPS: Tensor, k_HPS: Tensor, v_HPS: Tensor, shift: float) -> Tensor:
        """Return `(H, P, S)`, float32."""
        pixels = k_HPS.shape[1]
        # The shift is one more term of each score's sum: no pass over the scores is needed for it.
        q_HPT, k_HKT, v_HKS = q_HPS.bfloat16(), _padded(k_HPS), _padded(v_HPS)
        if shift:
            q_HPT, k_HKT = _with_columns(q_HPT, -shift, 0.0), _with_columns(k_HKT, 1.0, 0.0)
        attended = torch.empty(v_HPS.shape)
        total = torch.empty((*v_HPS.shape[:2], 1))
        scores = _buffer(k_HKT)
        for heads, rows in _blocks(q_HPS):
            power = _powers(q_HPT[heads, rows], k_HKT[heads], scores)
            total[heads, rows] = power[..., :pixels].sum(dim=-1, keepdim=True)
            attended[heads, rows] = power @ v_HKS[heads]
        attended /= total
        ctx.save_for_backward(q_HPT, k_HKT, v_HKS, attended, total)
        return attended

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        """Return the gradients by q, k and v, from scores computed again."""
        q_HPT, k_HKT, v_HKS, attended, total = ctx.saved_tensors
        width = v_HKS.shape[2]
        by_power = gradient / total
        # The mean of ∂/∂P over a row is subtracted by two more columns of the product: the second
        # holds what bfloat16 loses of the first, since it is the difference that counts.
        mean = (by_power * attended).sum(dim=-1, keepdim=True)
        coarse = mean.bfloat16().float()
        g_HPT = torch.cat((by_power, -coarse, coarse - mean), dim=-1).bfloat16()
        v_HKT = _with_columns(v_HKS, 1.0, 1.0)
        q_HPS, k_HKS = (t[..., :width].contiguous() for t in (q_HPT, k_HKT))
        g_HPS = g_HPT[..., :width].contiguous()
        by_q = torch.empty(q_HPS.shape)
        by_k, by_v = (k_HKS.new_zeros(k_HKS.mT.shape, dtype=torch.float32) for _ in range(2))
        scores, slopes = _buffer(k_HKT), _buffer(k_HKT)
        for heads, rows in _blocks(q_HPS):
            power = _powers(q_HPT[heads, rows], k_HKT[heads], scores)
            by_v[heads] += g_HPS[heads, rows].transpose(1, 2) @ power
            slope = _product(g_HPT[heads, rows], v_HKT[heads], slopes).mul_(power)
            by_q[heads, rows] = slope @ k_HKS[heads]
            by_k[heads] += q_HPS[heads, rows].transpose(1, 2) @ slope
        pixels = attended.shape[1]
        natural = math.log(2)  # d 2^s = ln 2 · 2^s ds
        return (
            natural * by_q,
            natural * by_k[..., :pixels].mT,
            by_v[..., :pixels].mT,
            None,
        )


def _with_columns(vectors: Tensor, *values: float) -> Tensor:
    """Add constants behind the elements; two at a time, since bfloat16 is multiplied in pairs."""
    columns = vectors.new_tensor(values).expand(*vectors.shape[:2], -1)
    return torch.cat((vectors, columns), dim=-1)


def _padded(keys: Tensor) -> Tensor:
    heads, pixels, width = keys.shape
    padded = torch.empty((heads, pixels + _PADDING, width), dtype=torch.bfloat16)
    padded[:, :pixels] = keys
    padded[:, pixels:] = 0
    return padded


def _buffer(k_HKT: Tensor) -> Tensor:
    return k_HKT.new_empty(_HEADS * _QUERIES * k_HKT.shape[1])


def _blocks(q_HPS: Tensor) -> list[tuple[slice, slice]]:
    heads, pixels = q_HPS.shape[:2]
    return [
        (slice(head, head + _HEADS), slice(row, row + _QUERIES))
        for head in range(0, heads, _HEADS)
        for row in range(0, pixels, _QUERIES)
    ]


def _powers(query: Tensor, key: Tensor, buffer: Tensor) -> Tensor:
    return _product(query, key, buffer).exp2_()


def _product(left: Tensor, right: Tensor, buffer: Tensor) -> Tensor:
    """Return left · rightᵀ in the first elements of a buffer, without gaps."""
    shape = (*left.shape[:2], right.shape[1])
    out = buffer[: math.prod(shape)].view(shape)
    return torch.bmm(left, right.transpose(1, 2), out=out)
