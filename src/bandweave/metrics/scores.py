"""What an evaluation gives: values that never stand without their protocol."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from bandweave.metrics.accumulate import Spread
from bandweave.metrics.protocol import Protocol

MET_BY_CONSISTENCY = ("d_lambda_k", "hqnr", "r_q2n", "r_uqi", "r_sam", "r_ergas")
"""Metrics that degrade the fused image and compare it with the MS, as the consistency step does.

D_rho of the reprojection group compares with the PAN and keeps its meaning, as D_S does.
"""


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
    meaningless: tuple[str, ...] = ()
    """Ids of metrics whose values say nothing about this image, since it was made to have them."""

    def noted(self, *remarks: str) -> Scores:
        """Return the scores with further notes."""
        return replace(self, notes=(*self.notes, *remarks)) if remarks else self

    def of_consistent(self) -> Scores:
        """Return the scores of an image that was made consistent with its MS, marked as such."""
        return replace(self, meaningless=tuple(n for n in self.values if n in MET_BY_CONSISTENCY))

    def record(self) -> dict[str, Any]:
        """Return values, protocol and conditions as they are written into records."""
        return {
            "values": dict(self.values),
            "protocol": self.protocol.record(),
            "conditions": dict(self.conditions),
            "notes": list(self.notes),
            "meaningless": list(self.meaningless),
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
