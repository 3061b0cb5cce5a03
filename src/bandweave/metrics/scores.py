"""What an evaluation gives: values that never stand without their protocol."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from bandweave.metrics.accumulate import Spread
from bandweave.metrics.protocol import Protocol


@dataclass(frozen=True, slots=True)
class Scores:
    """The scores of one image."""

    protocol: Protocol
    """How they were computed."""
    values: dict[str, float]
    """Value by metric id; nan where the metric is not defined for this image."""
    conditions: dict[str, Any]
    """What the protocol leaves open: ratio, full scale, MTF gains, scored pixels."""
    notes: tuple[str, ...] = ()
    """What a reader of the values has to know: parts left out, metrics without a value."""

    def noted(self, *remarks: str) -> Scores:
        """Return the scores with further notes."""
        return replace(self, notes=(*self.notes, *remarks)) if remarks else self

    def record(self) -> dict[str, Any]:
        """Return values, protocol and conditions as they are written into records."""
        return {
            "values": dict(self.values),
            "protocol": self.protocol.record(),
            "conditions": dict(self.conditions),
            "notes": list(self.notes),
        }


def summarise(scores: Sequence[Scores]) -> dict[str, Spread]:
    """Return mean and standard deviation (n − 1) over images, by metric id.

    Raises:
        ValueError: The images were scored by different protocols, or there are none.
    """
    if len({one.protocol.id for one in scores}) != 1:
        raise ValueError(
            "A mean needs images scored by one protocol, got "
            f"{sorted({one.protocol.id for one in scores})}."
        )
    return {name: Spread.of([one.values[name] for one in scores]) for name in scores[0].values}
