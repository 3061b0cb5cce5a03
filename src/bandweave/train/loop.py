"""The training loop, top to bottom.

Run the same command again to go on after any interruption. One process on a laptop and several
under `accelerate launch` or `torchrun` run this same file.
"""

from __future__ import annotations

import math
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType

import torch
from accelerate import Accelerator
from torch import Tensor

from bandweave.errors import ConfigError, DivergenceError
from bandweave.machine import usable_cores
from bandweave.methods.nets.card import read_card
from bandweave.train.config import TrainConfig
from bandweave.train.files import data_files
from bandweave.train.loss import TensorBatch
from bandweave.train.run_dir import RunDir
from bandweave.train.runtime import Runtime
from bandweave.train.schedule import learning_rate
from bandweave.train.validation import METRICS

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class TrainReport:
    """What a run came to."""

    step: int
    """Steps done."""
    is_finished: bool
    """False after Ctrl-C, or when the time was over."""
    scores: dict[str, dict[str, float]]
    """Scores of the best weights by validation image; empty where the run has none."""
    weights: Path
    """Best weights where the run validates, else the last ones."""


def train(
    config: TrainConfig, out: Path, tell: Tell, *, minutes: float | None = None
) -> TrainReport:
    """Train until the last step, from the newest checkpoint in `out` if there is one.

    On the CPU with a fixed number of processes and threads, an interrupted run ends with the very
    bits of an undisturbed one: a batch follows from the seed and the step, and a checkpoint holds
    the weights, their average and the optimiser's state.

    Args:
        config: The run.
        out: Its folder.
        tell: Receives progress as sentences (on the first process).
        minutes: Time after which to write a checkpoint and stop, for one process; None for none.

    Raises:
        ConfigError: `out` holds another run, the data have changed, or several processes were given
            a time.
        DivergenceError: The loss is not finite; the last checkpoint is kept.
        FolderInUseError: Another process is training in `out`.
        OutputError: A checkpoint could not be written; the last one is kept.
        FusionError: The data are missing, unreadable or do not suit the network.
    """
    begin = time.monotonic()
    # PyTorch counts cores, whatever a container allows of their time.
    torch.set_num_threads(min(torch.get_num_threads(), usable_cores()))
    # On a CPU bfloat16 gains in the attention alone, which the network does by itself.
    is_mixed = config.precision == "bf16" and torch.cuda.is_available()
    accelerator = Accelerator(
        cpu=not torch.cuda.is_available(), mixed_precision="bf16" if is_mixed else "no"
    )
    is_first, run = accelerator.is_main_process, RunDir(out)
    with run.opened(config, data_files(config.data)) if is_first else nullcontext():
        accelerator.wait_for_everyone()
        runtime = Runtime.of(config, accelerator, run)
        step = _trained(runtime, tell if is_first else None, begin, minutes)
    return _result(config, out, step)


def _trained(runtime: Runtime, tell: Tell | None, begin: float, minutes: float | None) -> int:
    """Take the steps that are left; return how many are done then."""
    config, accelerator, run = runtime.config, runtime.accelerator, runtime.run
    done = runtime.restored()
    report = _Reporter(config, run, done.step, tell)

    losses: list[Tensor] = []
    with _stop_signal(accelerator, begin, minutes) as stop:
        for batch, origins in runtime.batches.since(done.step):
            # Only networks that draw numbers themselves need this; it makes resuming exact.
            torch.manual_seed(config.seed + done.step)
            rate = learning_rate(
                config.schedule, config.optimiser.learning_rate, done.step, config.steps
            )
            losses.append(runtime.step(batch, rate))
            done = replace(done, step=done.step + 1)
            if runtime.average is not None:
                runtime.average.update(runtime.network, done.step)
            is_last = done.step == config.steps or stop()
            logs, validates, saves = (
                is_last or done.step % every == 0
                for every in (config.log_every, config.validate_every, config.checkpoint_every)
            )
            # On a GPU looking at the loss waits for it, so that is done seldom.
            if logs or validates or saves or accelerator.device.type == "cpu":
                _require_finite(losses[-1], done.step, batch, origins, run)
            if logs:
                report.loss(done.step, runtime.mean(losses), rate)
                losses = []
            if validates:
                done, scores = runtime.validated(done)
                report.scores(done.step, scores)
            if saves:
                runtime.save(done)
            if is_last:
                break
    accelerator.end_training()
    report.close()
    return done.step


def _result(config: TrainConfig, out: Path, step: int) -> TrainReport:
    best = out / "best.safetensors"
    if not best.is_file():
        return TrainReport(step, step == config.steps, {}, out / "last.safetensors")
    scores = {score.data: score.values for score in read_card(best).scores}
    return TrainReport(step, step == config.steps, scores, best)


def _require_finite(
    loss: Tensor, step: int, batch: TensorBatch, origins: tuple[str, ...], run: RunDir
) -> None:
    if torch.isfinite(loss):
        return
    spoilt = [
        origin
        for k, origin in enumerate(origins)
        if not all(torch.isfinite(image[k]).all() for image in batch.images)
    ]
    where = (
        f"as these tiles hold values that are none: {'; '.join(spoilt)}"
        if spoilt
        else f"on these tiles: {'; '.join(origins)}"
    )
    remedy = "data that are mended there" if spoilt else "a lower learning rate"
    raise DivergenceError(
        f"The loss is no finite number at step {step}, {where}. In {run.path} {run.kept}; begin "
        f"anew with another --out and {remedy}."
    )


class _Reporter:
    """Progress as sentences, as JSON lines, and for TensorBoard; nothing on other processes."""

    def __init__(self, config: TrainConfig, run: RunDir, step: int, tell: Tell | None) -> None:
        self._steps, self._first, self._run, self._tell = config.steps, step, run, tell
        self._digest = config.digest
        self._start = time.monotonic()
        if tell is None:
            return
        # Late: it takes a second to load.
        from torch.utils.tensorboard import SummaryWriter  # noqa: PLC0415

        run.forget_after(step)
        with run.writing("The log"):
            self._board = SummaryWriter(str(run.path / "tensorboard"), purge_step=step + 1)
        if step:
            tell(f"Going on at step {step} of {config.steps}.")

    def loss(self, step: int, loss: float, rate: float) -> None:
        """Report the mean loss since the last report, with rate and time left."""
        if self._tell is None:
            return
        self._run.record(step, loss=loss, learning_rate=rate)
        self._draw({"loss": loss, "learning rate": rate}, step)
        pace = (step - self._first) / max(time.monotonic() - self._start, 1e-9)
        self._tell(
            f"Step {step} of {self._steps}: loss {loss:.5g}, {pace:.2f} steps/s, "
            f"{(self._steps - step) / pace / 60:.0f} min left"
        )

    def scores(self, step: int, scores: dict[str, dict[str, float]]) -> None:
        """Report a validation."""
        if self._tell is None or not scores:
            return
        self._run.record(step, config=self._digest, validation=scores)
        for name, values in scores.items():
            shown = ", ".join(f"{metric} {values[metric]:.3f}" for metric in METRICS)
            self._tell(f"Step {step}, {name}: {shown}")
            self._draw({f"{metric}/{name}": values[metric] for metric in METRICS}, step)

    def _draw(self, values: dict[str, float], step: int) -> None:
        with self._run.writing("The log"):
            for name, value in values.items():
                self._board.add_scalar(name, value, step)

    def close(self) -> None:
        """Close the log."""
        if self._tell is not None:
            with self._run.writing("The log"):
                self._board.close()


@contextmanager
def _stop_signal(
    accelerator: Accelerator, begin: float, minutes: float | None
) -> Iterator[Callable[[], bool]]:
    """Turn the first Ctrl-C into a checkpoint and an orderly end; the second one stops at once.

    So does the end of the time that is given from `begin` on.
    """
    asked: list[int] = []
    # Processes would leave the loop at different steps, and wait for each other for ever.
    if accelerator.num_processes > 1:
        if minutes is not None:
            raise ConfigError(
                "Several processes cannot stop after some minutes by themselves; leave --minutes "
                "out, or train in one process."
            )
        yield lambda: False
        return

    def remember(number: int, frame: FrameType | None) -> None:
        del frame
        asked.append(number)
        signal.signal(signal.SIGINT, signal.default_int_handler)

    before = signal.signal(signal.SIGINT, remember)
    try:
        end = math.inf if minutes is None else begin + 60 * minutes
        yield lambda: bool(asked) or time.monotonic() > end
    finally:
        signal.signal(signal.SIGINT, before)
