"""What is minimised: every loss by name, and the module that joins network, layer and loss."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from bandweave.methods.nets.network import FusionNetwork, base_of
from bandweave.methods.nets.recording import sent
from bandweave.train.config import LossName, TrainConfig
from bandweave.train.layer import ConsistencyLayer

# Added to the base's error, in the unit range: tiles that the base solves to better than this do
# not outweigh all others.
RELATIVE_FLOOR = 3e-4


@dataclass(frozen=True, slots=True, eq=False)
class TensorBatch:
    """Tiles as tensors of the unit range."""

    spatial: Tensor
    """`(B, c, H, W)`."""
    spectral: Tensor
    """`(B, C, h, w)`."""
    start: Tensor | None
    """`(B, M C, H, W)`, or None."""
    gt: Tensor
    """`(B, C, H, W)`."""
    operator: Tensor
    """`(B,)`: index of the sensor model."""
    epoch: int | None = None
    """Number of the epoch, from 1, where the run counts them."""

    @property
    def base(self) -> Tensor:
        """Return what the network starts from `(B, C, H, W)`, the mean where it is an ensemble."""
        assert self.start is not None
        return base_of(self.start, self.gt.shape[1])

    @property
    def images(self) -> list[Tensor]:
        """Return all images that there are."""
        images = (self.spatial, self.spectral, self.start, self.gt)
        return [image for image in images if image is not None]

    def mapped(self, change: Callable[[Tensor], Tensor]) -> TensorBatch:
        """Change every image."""
        return replace(
            self,
            spatial=change(self.spatial),
            spectral=change(self.spectral),
            start=None if self.start is None else change(self.start),
            gt=change(self.gt),
        )

    def part(self, first: int, stop: int) -> TensorBatch:
        """Return some of the tiles."""
        part = self.mapped(lambda image: image[first:stop])
        return replace(part, operator=self.operator[first:stop])

    def to(self, device: torch.device) -> TensorBatch:
        """Return the tiles on a device; the operators' numbers stay on the CPU."""
        return self.mapped(lambda image: sent(image, device))


class Objective(nn.Module):
    """From a batch to the loss: what a process group has to wrap as one module."""

    def __init__(
        self, network: FusionNetwork, config: TrainConfig, layers: dict[int, ConsistencyLayer]
    ) -> None:
        """Join the parts.

        Args:
            network: Is trained.
            config: Loss and border.
            layers: Tile size -> consistency layer; empty for none.
        """
        super().__init__()
        self.network = network
        self.border = config.border
        self._loss = LOSSES[config.loss]
        self.layers = nn.ModuleDict({str(tile): layer for tile, layer in layers.items()})

    def forward(self, batch: TensorBatch) -> Tensor:
        """Return the mean loss over a batch."""
        return self._loss(self, batch)

    def fused(self, batch: TensorBatch) -> Tensor:
        """Return what the network, and the layer after it, make of a batch."""
        fused: Tensor = self.network(batch.spatial, batch.spectral, batch.start)
        if not self.layers:
            return fused.float()
        layer = self.layers[str(fused.shape[-1])]
        consistent: Tensor = layer(fused.float(), batch.base, batch.operator)
        return consistent

    def error(self, batch: TensorBatch) -> Tensor:
        """Return fused − gt `(B, C, H, W)`, without the border."""
        error = self.fused(batch) - batch.gt
        inside = slice(self.border, error.shape[-1] - self.border)
        return error[..., inside, inside]


def _l1(objective: Objective, batch: TensorBatch) -> Tensor:
    """Mean absolute error over all elements."""
    return objective.error(batch).abs().mean()


def _mse(objective: Objective, batch: TensorBatch) -> Tensor:
    """Mean squared error over all elements."""
    return objective.error(batch).square().mean()


def _relative_l1(objective: Objective, batch: TensorBatch) -> Tensor:
    """Mean over tiles of the L1 error over the base's: quiet tiles count as much as busy ones."""
    error = (objective.fused(batch) - batch.gt).abs().mean(dim=(1, 2, 3))
    base = (batch.base - batch.gt).abs().mean(dim=(1, 2, 3))
    return (error / (base + RELATIVE_FLOOR)).mean()


def _own(objective: Objective, batch: TensorBatch) -> Tensor:
    """The loss of the network's paper: only the network knows its intermediate results."""
    network: Any = objective.network
    images = (batch.spatial, batch.spectral, batch.start, batch.gt)
    loss: Tensor = (
        network.loss(*images) if batch.epoch is None else network.loss_at(batch.epoch, *images)
    )
    return loss


LOSSES: dict[LossName, Callable[[Objective, TensorBatch], Tensor]] = {
    "l1": _l1,
    "mse": _mse,
    "relative_l1": _relative_l1,
    "own": _own,
}
"""Name -> loss."""


class Average:
    """Exponential running average of the weights: avg ← d·avg + (1 − d)·now.

    The decay grows from 0 with the steps, min(d, (1 + k) / (10 + k)), so that the start is
    forgotten as fast as it is left.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self._decay = decay
        self._tensors = [p.detach().clone() for p in network.parameters()]
        self._names = [name for name, _ in network.named_parameters()]

    @torch.no_grad()
    def update(self, network: nn.Module, step: int) -> None:
        """Take in the weights after `step` steps."""
        decay = min(self._decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(self._tensors, list(network.parameters()), 1 - decay)

    def state(self) -> dict[str, Tensor]:
        """Return name -> tensor, in the order of memory that files have."""
        tensors = (tensor.contiguous() for tensor in self._tensors)
        return dict(zip(self._names, tensors, strict=True))

    @torch.no_grad()
    def restore(self, state: dict[str, Tensor]) -> None:
        """Take back what `state` gave."""
        for name, tensor in zip(self._names, self._tensors, strict=True):
            tensor.copy_(state[name])
