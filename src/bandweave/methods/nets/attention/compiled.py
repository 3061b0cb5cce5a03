"""Softmax attention on a CPU with AVX-512, by loops that are compiled when first used.

Shape suffixes: B tiles, N heads, P pixels, filled up to whole vectors, S head width.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional

if TYPE_CHECKING:
    from bandweave.methods.nets.attention.loops import Loop

_LANES = 16
_WIDEST_HEAD = 16
_BYTES_PER_WORD = 4

# Base 2. Scores are shifted so that none exceeds the first: sums of 4,096 powers times values then
# stay far below 2^127. Shifted by the second at most, the largest of a row, which is 0 at least,
# keeps its power far above 2^-126.
_HIGHEST, _DEEPEST = 100.0, 90.0

# Queries whose scores are held at a time where their largest are looked for.
_ROWS = 512


@cache
def has_loops(width: int) -> bool:
    """Tell whether `attend_compiled` takes heads of this width on this machine.

    That needs a processor with AVX-512, and llvmlite (extra `fast`).
    """
    # No public function tells.
    if width > _WIDEST_HEAD or width % 2 or not torch.cpu._is_avx512_supported():  # noqa: SLF001
        return False
    try:
        import llvmlite.binding  # noqa: F401, PLC0415  # an extra
    except ImportError:
        return False
    return True


def attend_compiled(query: Tensor, key: Tensor, value: Tensor, *, is_bf16: bool) -> Tensor:
    """Return softmax(q kᵀ / √S) v as `spatial_attention` does; differentiable once.

    Each pixel is the same whatever else is in the call and however many threads there are.

    Args:
        query: `(B, N, P, S)`, float32, S even and at most 16.
        key: The same.
        value: The same.
        is_bf16: Whether factors of products are rounded to bfloat16, for a processor that
            multiplies it; sums are in float32 in any case.
    """
    attended: Tensor = _Attend.apply(query, key, value, is_bf16)  # type: ignore[no-untyped-call]
    return attended


class _Attend(torch.autograd.Function):
    """Powers of 2 of the scores over their sum in each row, times v."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, is_bf16: bool) -> Tensor:
        """Return `(B, N, P, S)`, float32, the heads of a pixel side by side."""
        q, k, v = _filled(query), _centred(key), _filled(value)
        bound = _bound(q, k)
        unit = 2 if is_bf16 and _is_low(bound) else 1
        start = _starts(q, k, bound)
        # Pixels that the keys are filled up with have scores of zero.
        total = start.exp2() * (key.shape[2] - k.shape[2])
        attended = _like(q)
        tables = _words(q, unit), _words(k, unit), _pairs(v, unit), attended
        _run(_loop("forward", query, unit), (start, total), tables)
        attended = attended[:, :, : query.shape[2]]
        if any(ctx.needs_input_grad):
            ctx.save_for_backward(query, key, value, attended, start - total.log2())
            ctx.unit = unit
        return attended

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        """Return the gradients by q, k and v, from scores computed again."""
        query, key, value, attended, start = ctx.saved_tensors
        unit, pixels = ctx.unit, query.shape[2]
        q, k, v, g = _filled(query), _centred(key), _filled(value), _filled(gradient)
        # The mean of ∂/∂P over a row is taken off all of its slopes.
        level = -(g * _filled(attended)).sum(dim=-1)
        sides = [_words(x, unit) for x in (q, g, k, v)]
        by_q, by_k, by_v = (_like(q) for _ in range(3))
        tables = *sides, _pairs(k, unit), by_q
        _run(_loop("by_query", query, unit), (start, level), tables)
        tables = *sides[2:], *sides[:2], _pairs(g, unit), _pairs(q, unit), by_v, by_k
        _run(_loop("by_key", query, unit), (start, level), tables)
        by_q *= math.log(2)  # d 2^s = ln 2 · 2^s ds
        by_k *= 1 / math.sqrt(query.shape[-1])
        return by_q[:, :, :pixels], by_k[:, :, :pixels], by_v[:, :, :pixels], None


def _filled(x_BNPS: Tensor) -> Tensor:
    """Fill up with zeros to whole vectors of pixels."""
    missing = -x_BNPS.shape[2] % _LANES
    if missing:
        return functional.pad(x_BNPS, (0, 0, 0, missing))
    return x_BNPS if x_BNPS.stride(-1) == 1 else x_BNPS.contiguous()


def _centred(key: Tensor) -> Tensor:
    """Take the mean off and scale so that 2 is the base of the powers.

    The softmax does not see that mean; scores without it are smaller, hence finer in bfloat16, and
    the largest one in a row is at least zero.
    """
    scale = math.log2(math.e) / math.sqrt(key.shape[-1])
    return _filled(torch.add(key.mean(dim=2, keepdim=True) * -scale, key, alpha=scale))


def _bound(q_BNPS: Tensor, k_BNPS: Tensor) -> Tensor:
    """Return what no score of a row exceeds, `(B, N, P)`."""
    longest = torch.linalg.vector_norm(k_BNPS, dim=-1).amax(dim=-1, keepdim=True)
    bound: Tensor = torch.linalg.vector_norm(q_BNPS, dim=-1) * longest
    return bound


def _is_low(bound: Tensor) -> bool:
    """Tell whether shifting by the bound is enough; scores beyond are too coarse in bfloat16."""
    return float(bound.amax()) <= _HIGHEST + _DEEPEST  # not if NaN


def _starts(q_BNPS: Tensor, k_BNPS: Tensor, bound_BNP: Tensor) -> Tensor:
    """Return what the scores of a row are added to, `(B, N, P)`: it keeps their powers in range."""
    starts = (_HIGHEST - bound_BNP).clamp(max=0)
    for b, n in torch.cartesian_prod(*(torch.arange(size) for size in bound_BNP.shape[:2])):
        if not _is_low(bound_BNP[b, n]):
            for first in range(0, q_BNPS.shape[2], _ROWS):
                rows = slice(first, first + _ROWS)
                starts[b, n, rows] = -(q_BNPS[b, n, rows] @ k_BNPS[b, n].T).amax(dim=-1)
    return starts


def _words(x_BNPS: Tensor, unit: int) -> Tensor:
    """Lay out vectors as one factor of a score, the pixels of a head side by side."""
    # Rows with gaps of a power of two between them would all fall into a few sets of the cache.
    kind = torch.bfloat16 if unit == 2 else torch.float32
    return x_BNPS.to(kind, memory_format=torch.contiguous_format)


def _pairs(x_BNPS: Tensor, unit: int) -> Tensor:
    """Lay out what is weighed: the same element of neighbouring pixels is one word of two."""
    words = _words(x_BNPS, unit)
    if unit == 1:
        return words
    batch, heads, pixels, width = words.shape
    pairs = words.new_empty((batch, heads, pixels // 2, width, 2))
    pairs[..., 0], pairs[..., 1] = words[:, :, ::2], words[:, :, 1::2]
    return pairs.flatten(3)


def _like(x_BNPS: Tensor) -> Tensor:
    """Return room for a result, the heads of a pixel side by side."""
    batch, heads, pixels, width = x_BNPS.shape
    return x_BNPS.new_empty((batch, pixels, heads, width)).transpose(1, 2)


def _loop(name: Loop, query: Tensor, unit: int) -> Callable[..., None]:
    from bandweave.methods.nets.attention.loops import compiled_loop  # noqa: PLC0415  # an extra

    return compiled_loop(name, query.shape[-1], unit)


def _run(loop: Callable[..., None], vectors: Sequence[Tensor], tables: Sequence[Tensor]) -> None:
    """Run a loop for each head, on as many threads as torch would use.

    Args:
        loop: See `compiled_loop`.
        vectors: `(B, N, P)` each.
        tables: `(B, N, rows, elements)` each, the elements of a row side by side.
    """
    batch, heads, pixels = vectors[0].shape

    def run_head(head: tuple[int, int]) -> None:
        addresses = [vector[head].data_ptr() for vector in vectors]
        for table in tables:
            words = table.stride(2) * table.element_size() // _BYTES_PER_WORD
            addresses += [table[head].data_ptr(), words]
        loop(*addresses, pixels)

    threads = torch.get_num_threads()
    each = map if threads == 1 else _pool(threads).map
    list(each(run_head, itertools.product(range(batch), range(heads))))


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="attention")
