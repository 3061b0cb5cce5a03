"""What a training run wrote down on its way: `log.jsonl` of `bandweave train`."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path

from bandweave.errors import FileFormatError
from bandweave.parallel.lines import read_lines

LOG = "log.jsonl"


@dataclass(frozen=True, slots=True)
class TrainingLog:
    """Losses and validation scores of a run; of repeated steps the last ones."""

    name: str
    steps: tuple[int, ...]
    losses: tuple[float, ...]
    scores: tuple[tuple[int, dict[str, dict[str, float]]], ...]
    """Step, and scene -> metric -> value."""

    @property
    def scenes(self) -> tuple[str, ...]:
        """Return the scenes of the validation."""
        return tuple(dict.fromkeys(scene for _, found in self.scores for scene in found))

    def validation(self, metric: str) -> tuple[list[int], list[float]]:
        """Return steps and means over the scenes of a metric, where it was computed."""
        steps, means = [], []
        for step, found in self.scores:
            values = [scores[metric] for scores in found.values() if metric in scores]
            if values:
                steps.append(step)
                means.append(math.fsum(values) / len(values))
        return steps, means


def read_training_log(folder: Path) -> TrainingLog:
    """Read the log of a training run.

    Raises:
        FileFormatError: The folder holds none, or nothing is in it yet.
        OutputError: It cannot be read.
    """
    losses: dict[int, float] = {}
    scores: dict[int, dict[str, dict[str, float]]] = {}
    for line in read_lines(folder / LOG):
        step = line.get("step")
        if not isinstance(step, int):
            continue
        if isinstance(line.get("loss"), int | float):
            losses[step] = float(line["loss"])
        if isinstance(line.get("validation"), dict):
            scores[step] = line["validation"]
    if not losses and not scores:
        raise FileFormatError(
            f"{folder} holds no training log: {LOG} of `bandweave train` was looked for."
        )
    return TrainingLog(
        _name(folder),
        tuple(sorted(losses)),
        tuple(losses[step] for step in sorted(losses)),
        tuple(sorted(scores.items())),
    )


def _name(folder: Path) -> str:
    """Return the recipe's name, else the folder's."""
    try:
        found = json.loads((folder / "config.json").read_text(encoding="utf-8"))["name"]
    except (OSError, ValueError, KeyError, TypeError):
        return folder.name
    return str(found)
