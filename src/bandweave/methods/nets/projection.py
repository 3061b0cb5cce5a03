"""Layer normalisation and the linear maps behind it, and the one place that chooses how.

On a CUDA device one kernel of `projection_triton` does both where the maps are narrow; everywhere
else PyTorch's layers do one after the other.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from bandweave.methods.nets.attention.layer import runs_triton

# Channels that fit a program's registers beside the weights.
_WIDEST = 256


def normalised_maps(tokens: Tensor, norm: nn.Module, maps: Sequence[nn.Linear]) -> Tensor:
    """Return the linear maps of the normalised tokens, one behind the other, as one product.

    Args:
        tokens: `(B, P, D)`.
        norm: Over D, a layer normalisation as a rule.
        maps: From D to any width, without bias.

    Returns:
        `(B, P, sum of the widths)`, in the type that autocast asks for.
    """
    weight = torch.cat([one.weight for one in maps]) if len(maps) > 1 else maps[0].weight
    if isinstance(norm, nn.LayerNorm) and suits_triton(tokens):
        from bandweave.methods.nets.projection_triton import project  # noqa: PLC0415  # not for all

        kind = torch.get_autocast_dtype("cuda")
        return project(tokens, norm.weight, norm.bias, weight.to(kind), norm.eps)
    return functional.linear(norm(tokens), weight)


def suits_triton(tokens: Tensor) -> bool:
    """Tell whether the kernel computes the maps of these tokens."""
    if tokens.device.type != "cuda" or tokens.shape[-1] > _WIDEST:
        return False
    return torch.is_autocast_enabled("cuda") and runs_triton(tokens.device)
