"""Layer normalisation and a linear map in one pass over the tokens, in Triton.

The normalised tokens are rounded to the type of the product in registers and never lie in memory:
of three passes over them one is left.

Names in the kernel: M tokens and N outputs of a block, D channels, K their number in registers.
"""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.autograd.function import once_differentiable

_MATRIX_UNIT = 16  # least width of a factor that the units for matrix products take
_TOKENS, _OUTPUTS = 64, 64  # of a block; fewer tokens where they are wide
_WIDE = 128


def project(tokens: Tensor, gain: Tensor, bias: Tensor, weight: Tensor, eps: float) -> Tensor:
    """Return (LN(t) · g + b) Wᵀ; the statistics are in float32. Differentiable once by all four.

    Args:
        tokens: t, `(B, P, D)`.
        gain: g, `(D,)`, float32.
        bias: b, `(D,)`, float32.
        weight: W, `(O, D)`; its type is that of the product's factors.
        eps: Added to the variance.

    Returns:
        `(B, P, O)`, of the type of `weight`.
    """
    rows = tokens.reshape(-1, tokens.shape[-1])
    mapped: Tensor = _Project.apply(rows, gain, bias, weight, eps)
    return mapped.view(*tokens.shape[:-1], -1)


class _Project(torch.autograd.Function):
    """The kernel as a differentiable function."""

    @staticmethod
    def forward(
        ctx: Any, rows: Tensor, gain: Tensor, bias: Tensor, weight: Tensor, eps: float
    ) -> Tensor:
        """Return `(n, O)` from tokens `(n, D)`."""
        rows, weight = rows.contiguous(), weight.contiguous()
        count, width = rows.shape
        mapped = weight.new_empty((count, len(weight)))
        mean, scale = torch.empty((2, count, 1), device=rows.device, dtype=torch.float32)
        wide = max(_MATRIX_UNIT, triton.next_power_of_2(width))
        tokens = _TOKENS if wide <= _WIDE else _TOKENS // 2
        _project_kernel[(triton.cdiv(count, tokens),)](
            rows,
            gain,
            bias,
            weight,
            mapped,
            mean,
            scale,
            count,
            len(weight),
            eps,
            D=width,
            K=wide,
            M=tokens,
            N=_OUTPUTS,
            # Otherwise float32 is cut to 10 bits of mantissa.
            rounding="ieee" if weight.dtype == torch.float32 else "tf32",
        )
        ctx.save_for_backward(rows, gain, bias, weight, mean, scale)
        return mapped

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients by the four tensors, by PyTorch's own products."""
        rows, gain, bias, weight, mean, scale = ctx.saved_tensors
        wide = rows.float()
        normed = ((wide - mean) * scale * gain + bias).to(weight.dtype)
        by_normed = (gradient @ weight).float()
        by_rows, by_gain, by_bias = torch.ops.aten.native_layer_norm_backward(
            by_normed, wide, [rows.shape[1]], mean, scale, gain, bias, [True, True, True]
        )
        return by_rows.to(rows.dtype), by_gain, by_bias, gradient.mT @ normed, None


@triton.jit
def _project_kernel(
    rows,
    gain,
    bias,
    weight,
    mapped,
    mean,
    scale,
    count,
    outputs,
    eps,
    D: tl.constexpr,
    K: tl.constexpr,
    M: tl.constexpr,
    N: tl.constexpr,
    rounding: tl.constexpr,
):
    """Normalise one block of tokens and map it; keep what the gradient needs of the statistics."""
    token = tl.program_id(0).to(tl.int64) * M + tl.arange(0, M)
    channel = tl.arange(0, K)
    is_token, is_channel = token < count, channel < D
    inside = is_token[:, None] & is_channel[None, :]
    x = tl.load(rows + token[:, None] * D + channel[None, :], mask=inside, other=0.0)
    x = x.to(tl.float32)
    average = tl.sum(x, 1) / D
    x = tl.where(is_channel[None, :], x - average[:, None], 0.0)
    factor = tl.rsqrt(tl.sum(x * x, 1) / D + eps)
    tl.store(mean + token, average, mask=is_token)
    tl.store(scale + token, factor, mask=is_token)
    g = tl.load(gain + channel, mask=is_channel, other=0.0)
    b = tl.load(bias + channel, mask=is_channel, other=0.0)
    x = (x * factor[:, None] * g[None, :] + b[None, :]).to(weight.dtype.element_ty)
    for start in range(0, outputs, N):
        output = start + tl.arange(0, N)
        is_output = output < outputs
        w = tl.load(
            weight + output[:, None] * D + channel[None, :],
            mask=is_output[:, None] & is_channel[None, :],
            other=0.0,
        )
        y = tl.dot(x, tl.trans(w), input_precision=rounding).to(weight.dtype.element_ty)
        place = mapped + token[:, None] * outputs + output[None, :]
        tl.store(place, y, mask=is_token[:, None] & is_output[None, :])
