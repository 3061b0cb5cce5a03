"""Optimiser steps that are recorded once and then played, see `methods.nets.recording`."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from bandweave.methods.nets.recording import recorded
from bandweave.train.loss import TensorBatch

Take = Callable[[TensorBatch], Tensor]
"""Takes an optimiser step and returns its loss."""

# Steps of each shape that are taken plainly: kernels are compiled and chosen in them, and the
# optimiser's state is made.
_PLAIN = 3


class RecordedStep:
    """Take steps, each exactly once, those on batches of a known shape by a recording."""

    def __init__(self, device: torch.device) -> None:
        """Begin without recordings; on a CPU a recording is the step itself."""
        self._device = device
        # torch has no annotations there.
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None  # type: ignore[no-untyped-call]
        self._taken: Counter[torch.Size] = Counter()
        self._recordings: dict[torch.Size, tuple[TensorBatch, Callable[[], Tensor]]] = {}

    def __call__(self, take: Take, batch: TensorBatch) -> Tensor:
        """Take a step and return its loss, a tensor of its own.

        Args:
            take: The step. It depends on nothing but the batch's images and on tensors that stay
                where they are.
            batch: Its tiles.
        """
        with self._beside():
            batch, shape = batch.to(self._device), batch.gt.shape
            if shape not in self._recordings:
                self._taken[shape] += 1
                if self._taken[shape] <= _PLAIN:
                    return _plainly(take, batch)
                held = batch.mapped(torch.clone)
                self._recordings[shape] = held, recorded(lambda: take(held), self._stream)
            held, replay = self._recordings[shape]
            for mine, given in zip(held.images, batch.images, strict=True):
                mine.copy_(given)
            return replay().clone()

    @contextmanager
    def _beside(self) -> Iterator[None]:
        """Go over to the stream of the recordings, in order with what comes before and behind."""
        if self._stream is None:
            yield
            return
        before = torch.cuda.current_stream(self._device)
        self._stream.wait_stream(before)
        with torch.cuda.stream(self._stream):
            yield
        before.wait_stream(self._stream)


def _plainly(take: Take, batch: TensorBatch) -> Tensor:
    with warnings.catch_warnings():
        # An optimiser that can be recorded says that it is slower where it is not.
        warnings.filterwarnings("ignore", message="This instance was constructed with capturable")
        return take(batch)
