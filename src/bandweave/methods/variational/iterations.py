"""Report iterations as they happen, and tell when they have settled."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, slots=True)
class Iteration:
    """One outer iteration of a model-based method."""

    number: int
    """1 for the first."""
    change: float
    """‖new − old‖ / ‖old‖ of the estimate (Frobenius norms)."""
    seconds: float
    """Since the start of the iterations."""


Progress = Callable[[Iteration], None]
"""Called after every outer iteration."""


class Monitor:
    """Counts iterations, reports them, and says when the estimate has stopped moving."""

    def __init__(self, tolerance: float = 0.0, progress: Progress | None = None) -> None:
        """Settle below a relative change of `tolerance`; 0 runs all iterations."""
        self._tolerance = tolerance
        self._progress = progress
        self._start = time.perf_counter()
        self._number = 0

    def settled(self, new: Tensor, old: Tensor) -> bool:
        """Record an iteration and return whether its relative change is below the tolerance."""
        self._number += 1
        change = relative_change(new, old)
        if self._progress is not None:
            self._progress(Iteration(self._number, change, time.perf_counter() - self._start))
        return change < self._tolerance


def relative_change(new: Tensor, old: Tensor) -> float:
    """Return ‖new − old‖ / ‖old‖, infinite where `old` is zero."""
    size = float(old.norm())
    return float((new - old).norm()) / size if size > 0 else float("inf")
