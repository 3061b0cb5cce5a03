"""Powers of 2 in Triton: by the units for them, or in part as polynomials on others, idle then.

The polynomials follow the idea of J. Shah et al. (2024): "FlashAttention-3".
"""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def polynomial_power(x):
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
def powers(x, M: tl.constexpr, N: tl.constexpr, polynomial: tl.constexpr):
    """Return 2^x, x `(M, N)`; the last columns by polynomial."""
    if polynomial == 0:
        power = tl.exp2(x)
    else:
        left, right = _halves(x, M, N)
        if polynomial == 2:
            right = polynomial_power(right)
        else:
            third, last = _halves(right, M, N // 2)
            right = _beside(tl.exp2(third), polynomial_power(last), M, N // 2)
        power = _beside(tl.exp2(left), right, M, N)
    return power
