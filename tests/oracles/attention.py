"""The S2Block's product of attentions by explicit matrices in double precision."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def attended_explicitly(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    factor: Tensor | None = None,
    matrix: Tensor | None = None,
) -> Tensor:
    """Form every P x P matrix and normalise its rows; differentiable, float64."""
    q, k, v = query.double(), key.double(), value.double()
    scores = torch.einsum("bnps,bnks->bnpk", q, k) / math.sqrt(q.shape[-1])
    powers = torch.exp(scores - scores.detach().amax(-1, keepdim=True))
    attended = torch.einsum("bnpk,bnks->bnps", powers / powers.sum(-1, keepdim=True), v)
    if factor is None or matrix is None:
        return attended
    return attended * torch.einsum("bnps,bnst->bnpt", factor.double(), matrix.double())
