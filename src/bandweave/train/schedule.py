"""The learning rate as a function of the step alone: nothing to save, nothing to restore."""

from __future__ import annotations

import math

from bandweave.train.config import Cosine, Schedule, StepDecay


def learning_rate(schedule: Schedule, initial: float, step: int, steps: int) -> float:
    """Return the learning rate of a step.

    Args:
        schedule: How it changes.
        initial: Learning rate of the configuration.
        step: Counted from 0.
        steps: Length of the run.

    Example:
        >>> [learning_rate(StepDecay(every=10), 1.0, step, 30) for step in (0, 9, 10, 20)]
        [1.0, 1.0, 0.5, 0.25]
    """
    if isinstance(schedule, StepDecay):
        return float(initial * schedule.factor ** (step // schedule.every))
    if isinstance(schedule, Cosine):
        if step < schedule.warm_up:
            return initial * (step + 1) / schedule.warm_up
        done = (step - schedule.warm_up) / max(steps - schedule.warm_up, 1)
        wave = 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))
        return initial * (schedule.final + (1 - schedule.final) * wave)
    return initial
