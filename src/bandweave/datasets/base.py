"""What a data set gives: pairs by number, each with its reference where there is one."""

from __future__ import annotations

from typing import Protocol

from bandweave.degrade.record import DegradationRecord
from bandweave.pair import ImagePair
from bandweave.radiometry import Image

Item = tuple[ImagePair, Image | None]
"""A pair, and `gt` `(C, H, W)` in the same unit or None (full resolution)."""


class PairSet(Protocol):
    """Pairs that are read one at a time."""

    @property
    def record(self) -> DegradationRecord | None:
        """Return how the pairs were simulated, where their file says so."""
        ...

    def __len__(self) -> int:
        """Return the number of pairs."""
        ...

    def item(self, k: int) -> Item:
        """Read pair `k`, counted from 0."""
        ...
