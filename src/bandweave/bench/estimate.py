"""What a method gave before the consistency step, for the row that makes the same image consistent.

Suites have slow methods in both rows, one after the other on each image: fused once, the second row
takes the step alone. Its time is that of both.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from bandweave.bench.cost import Cost
from bandweave.bench.images import BenchImage
from bandweave.config import FuseConfig
from bandweave.radiometry import Image


@dataclass(frozen=True, slots=True)
class Estimate:
    """An image that was fused without the step."""

    image: BenchImage
    config: FuseConfig
    hrms: Image
    cost: Cost


# Of this process: the rows of an image come one after the other.
_last: list[Estimate] = []


def remember(image: BenchImage, config: FuseConfig, hrms: Image, cost: Cost) -> None:
    """Keep an image that was fused without the step, in place of the one before."""
    _last[:] = [Estimate(image, _without_step(config), hrms, cost)]


def remembered(image: BenchImage, config: FuseConfig) -> Estimate | None:
    """Return what the same settings gave without the step, if that was kept last.

    What other settings gave is let go: it would count as memory of the task to come.
    """
    if _last and (_last[0].image, _last[0].config) != (image, _without_step(config)):
        _last.clear()
    return _last[0] if _last else None


def _without_step(config: FuseConfig) -> FuseConfig:
    return replace(config, consistent=None, consistency_noise=None)
