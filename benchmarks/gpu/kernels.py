"""Micro-benchmarks of one kind of instruction each."""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from bandweave.methods.nets.attention.powers_triton import polynomial_power

_WIDTH = 1024  # values that a program holds in registers


@triton.jit
def _repeated(out, repeats, width: tl.constexpr, kind: tl.constexpr):  # noqa: ANN001, ANN202
    place = tl.program_id(0) * width + tl.arange(0, width)
    x = place.to(tl.float32) * -1e-9
    for _ in range(repeats):
        # Each result is the next exponent, so that none is left out: they go towards -0.64.
        x = -tl.exp2(x) if kind == "exponentials" else -polynomial_power(x)
    tl.store(out + place, x)


def exponentials(kind: str, programs: int, repeats: int, device: torch.device) -> torch.Tensor:
    """Compute `programs` x `repeats` x 1,024 powers of two.

    Args:
        kind: `exponentials`, one instruction each, or `polynomials`.
        programs: Blocks of values.
        repeats: Powers of each value in turn.
        device: Where to compute.
    """
    out = torch.empty(programs * _WIDTH, device=device)
    _repeated[(programs,)](out, repeats, width=_WIDTH, kind=kind)
    return out
