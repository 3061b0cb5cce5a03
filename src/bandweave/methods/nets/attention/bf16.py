"""Softmax attention on a CPU with its products in bfloat16, for processors that multiply it.

PyTorch's own kernel gains nothing from bfloat16 at a head width of 16: here the products are those
of oneDNN, in blocks of queries, and 2 is the base of the exponential.

Shape suffixes: H heads of all batch entries, P queries, K keys with padding, S head width.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
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
    with torch.no_grad():
        factors = _Factors.of(query, key, value)
    if factors is None:
        return functional.scaled_dot_product_attention(query, key, value)
    attended: Tensor = _Attend.apply(query, key, value, factors)  # type: ignore[no-untyped-call]
    return attended


@dataclass(frozen=True, slots=True, eq=False)
class _Factors:
    """What is multiplied, in bfloat16."""

    query: Tensor
    """`(H, P, T)`: T is S, or S + 2 where scores are shifted; so scaled that 2 is the base."""
    key: Tensor
    """`(H, K, T)`, without their mean."""
    value: Tensor
    """`(H, K, S)`."""

    @classmethod
    def of(cls, query: Tensor, key: Tensor, value: Tensor) -> _Factors | None:
        """Round the factors, or return None where the powers could overflow."""
        q_HPS, k_HPS, v_HPS = (t.contiguous().flatten(0, 1) for t in (query, key, value))
        # In each row of scores the mean is taken off: the softmax does not see it, the scores are
        # smaller, hence finer in bfloat16, and the largest one in a row is at least zero.
        k_HPS = k_HPS - k_HPS.mean(dim=1, keepdim=True)
        q_HPS = q_HPS * (math.log2(math.e) / math.sqrt(query.shape[-1]))
        bound = _longest(q_HPS) * _longest(k_HPS)
        if not bound <= _HIGHEST + _DEEPEST:  # NaN included
            return None
        q_HPT, k_HKT = q_HPS.bfloat16(), _padded(k_HPS)
        if bound > _HIGHEST:
            # The shift is one more term of each score's sum: no pass over the scores is needed.
            q_HPT = _with_columns(q_HPT, _HIGHEST - bound, 0.0)
            k_HKT = _with_columns(k_HKT, 1.0, 0.0)
        return cls(q_HPT, k_HKT, _padded(v_HPS))


def _longest(vectors: Tensor) -> float:
    """Return the largest norm over the last axis."""
    return float(torch.linalg.vector_norm(vectors, dim=-1).amax())


class _Attend(torch.autograd.Function):
    """Powers of 2 of the scores over their sum in each row, times v."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, factors: _Factors) -> Tensor:
        """Return `(B, N, P, S)`, float32."""
        heads, pixels = factors.query.shape[:2]
        attended = torch.empty((heads, pixels, value.shape[-1]))
        total = torch.empty((heads, pixels, 1))
        scores = _buffer(factors.key)
        for part, rows in _blocks(heads, pixels):
            power = _powers(factors.query[part, rows], factors.key[part], scores)
            total[part, rows] = power[..., :pixels].sum(dim=-1, keepdim=True)
            attended[part, rows] = power @ factors.value[part]
        attended /= total
        # The arguments are kept by others anyway: rounding them again saves memory.
        ctx.save_for_backward(query, key, value, attended, total)
        return attended.view(query.shape)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        """Return the gradients by q, k and v, from scores computed again."""
        query, key, value, attended, total = ctx.saved_tensors
        factors = _Factors.of(query, key, value)
        assert factors is not None
        heads, pixels, width = attended.shape
        by_power = gradient.reshape(attended.shape) / total
        # The mean of ∂/∂P over a row is subtracted by two more columns of the product: the second
        # holds what bfloat16 loses of the first, since it is the difference that counts.
        mean = (by_power * attended).sum(dim=-1, keepdim=True)
        coarse = mean.bfloat16().float()
        g_HPT = torch.cat((by_power, -coarse, coarse - mean), dim=-1).bfloat16()
        v_HKT = _with_columns(factors.value, 1.0, 1.0)
        q_HPS, k_HKS, g_HPS = (
            t[..., :width].contiguous() for t in (factors.query, factors.key, g_HPT)
        )
        by_q = torch.empty((heads, pixels, width))
        by_k, by_v = (torch.zeros((heads, width, k_HKS.shape[1])) for _ in range(2))
        scores, slopes = _buffer(k_HKS), _buffer(k_HKS)
        for part, rows in _blocks(heads, pixels):
            power = _powers(factors.query[part, rows], factors.key[part], scores)
            by_v[part] += g_HPS[part, rows].mT @ power
            slope = _product(g_HPT[part, rows], v_HKT[part], slopes).mul_(power)
            by_q[part, rows] = slope @ k_HKS[part]
            by_k[part] += q_HPS[part, rows].mT @ slope
        by_q *= 1 / math.sqrt(width)
        by_k *= math.log(2)  # d 2^s = ln 2 · 2^s ds
        shape = query.shape
        return (
            by_q.view(shape),
            by_k[..., :pixels].mT.reshape(shape),
            by_v[..., :pixels].mT.reshape(shape),
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


def _blocks(heads: int, pixels: int) -> list[tuple[slice, slice]]:
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
