"""An optimiser step as the released program takes it: the rival in two benchmarks."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from bandweave.methods.nets.compat import PUBLISHED_NAMES
from bandweave.methods.nets.u2net import U2Net
from bandweave.methods.nets.u2net_config import U2NetConfig

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from oracles.released_u2net import u2net as released_u2net


def released_step(pan: Tensor, lrms: Tensor, gt: Tensor) -> Callable[[], float]:
    """Return steps of PyTorch's Adam on one batch, where that lies; each returns its loss.

    The network forms the explicit softmax matrix, see `tests/oracles/released_u2net.py`.

    Args:
        pan: `(B, 1, H, W)`, unit range.
        lrms: `(B, C, H / 4, W / 4)`, unit range.
        gt: `(B, C, H, W)`, unit range.
    """
    torch.manual_seed(1)
    state = U2Net(U2NetConfig(bands=gt.shape[1])).to(gt.device).state_dict()
    tensors = {theirs: state[ours].requires_grad_() for theirs, ours in PUBLISHED_NAMES.items()}
    optimiser = torch.optim.Adam(tensors.values(), lr=1e-3)

    def step() -> float:
        loss = (released_u2net(tensors, pan, lrms) - gt).abs().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        return loss.item()

    return step
