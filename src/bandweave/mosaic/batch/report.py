"""What became of the products of a batch, and how far it is."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from bandweave.mosaic.job import in_words
from bandweave.products.bundle import Bundle

OutcomeState = Literal["done", "skipped", "failed", "planned"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a product."""

    bundle: Bundle
    state: OutcomeState
    """`skipped` was done by an earlier run, `planned` is what a dry run would do."""
    output: str | None = None
    method: str | None = None
    seconds: float | None = None
    error: str | None = None
    """The sentence, where it failed."""

    def as_dict(self) -> dict[str, Any]:
        """Return the outcome for JSON."""
        content = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {**content, "bundle": self.bundle.as_dict()}


@dataclass(frozen=True, slots=True)
class BatchReport:
    """What became of all products, in the order of their names."""

    outcomes: tuple[Outcome, ...]
    problems: tuple[str, ...]
    """Images that were recognised and make no product, one sentence each."""

    def count(self, state: OutcomeState) -> int:
        """Return how many products have a state."""
        return sum(outcome.state == state for outcome in self.outcomes)

    @property
    def is_complete(self) -> bool:
        """Tell whether everything that was recognised is fused, or would be."""
        return self.count("failed") == 0 and not self.problems

    def as_dict(self) -> dict[str, Any]:
        """Return the report for JSON."""
        return {
            "products": [outcome.as_dict() for outcome in self.outcomes],
            "problems": self.problems,
        }


class Clock:
    """Says how far a batch is, and estimates the rest from the pixels that are done."""

    def __init__(self, pixels: Sequence[int]) -> None:
        """Start.

        Args:
            pixels: PAN pixels of each product.
        """
        self._total = len(pixels)
        self._left = sum(pixels)
        self._done = 0
        self._start = time.monotonic()
        self._failed = 0

    def after(self, pixels: int, state: OutcomeState, count: int) -> str:
        """Return the sentence after a product.

        Args:
            pixels: Its PAN pixels.
            state: What became of it.
            count: Products that are settled, it included.
        """
        self._left -= pixels
        self._failed += state == "failed"
        if state == "done":
            self._done += pixels
        text = f"{count} of {self._total} products"
        if self._failed:
            text += f", {self._failed} failed"
        if self._left and self._done:
            rate = self._done / max(time.monotonic() - self._start, 1e-9)
            text += f", {rate / 1e6:.2g} MPix/s, about {in_words(self._left / rate)} left"
        return f"{text}."
