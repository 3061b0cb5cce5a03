"""What a report is made of, read back from a run's folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bandweave.report.kept import KeptImages
from bandweave.report.records import Record
from bandweave.report.table import ScoreTable
from bandweave.report.training import TrainingLog


@dataclass(frozen=True, slots=True)
class Benchmark:
    """A benchmark's run."""

    name: str
    about: str
    suite: str
    """The suite as it was resolved, JSON."""
    is_shipped: bool
    """Whether the suite is the package's own of this name, as it is."""
    tables: tuple[ScoreTable, ...]
    records: tuple[Record, ...]
    images: KeptImages
    kept: Mapping[str, int]
    """Data id -> images of which the suite keeps the results."""
    needs_data: tuple[str, ...] = ()
    """Files and folders that the suite reads, relative to its data folder."""
    needs_weights: tuple[str, ...] = ()
    """Files relative to the weights folder."""


@dataclass(frozen=True, slots=True)
class Content:
    """Everything that a page shows."""

    folder: Path
    benchmark: Benchmark | None
    training: Sequence[TrainingLog] = ()

    @property
    def title(self) -> str:
        """Return the heading."""
        if self.benchmark is not None:
            return self.benchmark.name
        return ", ".join(log.name for log in self.training)
