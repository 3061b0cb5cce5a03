"""Fuse every product below a folder; what is done is kept, and one failure stops nothing."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from bandweave.config import FuseConfig
from bandweave.errors import OutputError, ProductError
from bandweave.methods.nets.zoo import card_of
from bandweave.methods.table import find_method
from bandweave.mosaic.batch.report import BatchReport, Clock, Outcome, OutcomeState
from bandweave.mosaic.batch.work import (
    Task,
    exists_already,
    is_done,
    look_at,
    may_write,
    options_hash,
    sentence_of,
)
from bandweave.mosaic.bundles import fuse_bundle
from bandweave.mosaic.job import Tell
from bandweave.parallel.executor import Executor, Local
from bandweave.parallel.manifest import Entry, Manifest, State
from bandweave.products.plain import NamingRule
from bandweave.products.survey import survey
from bandweave.sensors import find_sensor

MANIFEST = "manifest.jsonl"
"""Name of the manifest in the folder of the results."""


def fuse_batch(
    folder: Path,
    out: Path,
    config: FuseConfig,
    *,
    rule: NamingRule | None = None,
    resume: bool = True,
    dry_run: bool = False,
    tell: Tell | None = None,
) -> BatchReport:
    """Fuse the products below a folder to `out/<name>_<method>.tif` (`.img` for ENVI).

    Each result is recorded in `out/manifest.jsonl`. A product whose inputs, options and output are
    those of a finished entry is passed over; one that was interrupted is done again, from its
    finished tiles where the method keeps them.

    Args:
        folder: Where to look for products.
        out: Folder of the results; made if missing.
        config: Options of all products; those of a product's metadata stand behind them.
        rule: How names tell PAN and MS apart; then nothing else is recognised.
        resume: Go on from the manifest; otherwise everything is done anew.
        dry_run: List what would be done, write nothing.
        tell: Receives each decision as one sentence; also turns the progress on stderr on.

    Raises:
        ProductError: Nothing was recognised.
        UnknownNameError: There is no such method, sensor or weight file.
        OutputError: The folder of the results or the manifest cannot be written.
        ClusterError: The workers of `config.dask` cannot be reached, or cannot do the work.
    """
    # Absolute, as workers elsewhere read the files by these paths.
    found = survey(folder.absolute(), rule=rule, skip=[out.absolute()])
    if not (found.bundles or found.problems):
        raise ProductError(
            f"No product was recognised below {folder}; see docs/products.md for what is, or give "
            "a naming rule (--rule '*_pan.tif' '*_ms.tif')."
        )
    _check_names(config)
    problems = tuple(problem.sentence for problem in found.problems)
    manifest = Manifest(out / MANIFEST)
    known = manifest.standing()
    config = replace(config, resume=resume)
    options = options_hash(config)
    bundles = enumerate(found.bundles, start=1)
    tasks = [look_at(number, bundle, out, config, options) for number, bundle in bundles]
    if dry_run:
        return BatchReport(tuple(_planned(task, known, config) for task in tasks), problems)
    _make_folder(out)
    outcomes = _run(tasks, known, config, manifest, tell)
    return BatchReport(tuple(outcomes[task.number] for task in tasks), problems)


def _planned(task: Task, known: dict[str, Entry], config: FuseConfig) -> Outcome:
    """Say what a run would do."""
    earlier = known.get(task.entry.output)
    if task.error is not None:
        return Outcome(task.bundle, "failed", error=task.error)
    state: OutcomeState = "skipped" if is_done(task, earlier, config) else "planned"
    error = None
    if state == "planned" and not may_write(task, earlier, config):
        state, error = "failed", exists_already(task)
    return Outcome(task.bundle, state, task.entry.output, task.entry.method, error=error)


def _run(
    tasks: list[Task],
    known: dict[str, Entry],
    config: FuseConfig,
    manifest: Manifest,
    tell: Tell | None,
) -> dict[int, Outcome]:
    """Fuse what is not done; failures become outcomes, by the number of their task."""
    say = tell or (lambda _: None)
    clock = Clock([task.pixels for task in tasks])
    outcomes: dict[int, Outcome] = {}

    def begin(task: Task) -> None:
        say(f"[{task.number}/{len(tasks)}] {task.bundle.name}")
        _record(manifest, task.entry, "started")

    def end(task: Task, outcome: Outcome) -> None:
        outcomes[task.number] = outcome
        if outcome.error is not None:
            say(f"Failed: {task.bundle.name}: {outcome.error}")
        say(clock.after(task.pixels, outcome.state, len(outcomes)))

    wanted = []
    for task in tasks:
        settled = _settled(task, known.get(task.entry.output), config, manifest)
        if settled is None:
            wanted.append(task)
        else:
            end(task, settled)
    if wanted:
        with (
            _executor(config, wanted, manifest.path.parent, say) as executor,
            closing(executor.map(_work(config, executor, tell), wanted, begun=begin)) as done,
        ):
            for one in done:
                end(one.task, _recorded(one.task, one.result or _Fused(None, one.error), manifest))
    return outcomes


def _settled(
    task: Task, earlier: Entry | None, config: FuseConfig, manifest: Manifest
) -> Outcome | None:
    """Return the outcome of a product that is done or cannot be fused, else None."""
    if is_done(task, earlier, config):
        assert earlier is not None
        entry = task.entry
        return Outcome(task.bundle, "skipped", entry.output, entry.method, earlier.seconds)
    error = task.error
    if error is None and not may_write(task, earlier, config):
        error = exists_already(task)
    return None if error is None else _recorded(task, _Fused(None, error), manifest)


@contextmanager
def _executor(config: FuseConfig, tasks: list[Task], out: Path, say: Tell) -> Iterator[Executor]:
    """Yield what computes the products: this process, or the workers of a cluster."""
    if config.dask is None:
        yield Local()
        return
    from bandweave.parallel.cluster import connected  # noqa: PLC0415  # rarely asked for

    weights = [] if config.weights is None else [Path(config.weights)]
    # Files of the first product stand for all: those of thousands would be looked for by everyone.
    files = [*tasks[0].bundle.files, *weights]
    with connected(config.dask, files=files, folders=[out], tell=say) as cluster:
        yield cluster


def _work(config: FuseConfig, executor: Executor, tell: Tell | None) -> _FuseProduct:
    # What lies there is replaced: it was allowed, or is ours and was being replaced before.
    config = replace(config, overwrite=True)
    if config.dask is None:
        return _FuseProduct(config, Path(), tell)
    if config.weights is not None and Path(config.weights).is_file():
        config = replace(config, weights=str(Path(config.weights).absolute()))
    return _FuseProduct(replace(config, dask=None, workers=executor.threads), Path.cwd(), None)


@dataclass(frozen=True, slots=True)
class _Fused:
    """What came of fusing a product."""

    seconds: float | None
    error: str | None


@dataclass(frozen=True, slots=True)
class _FuseProduct:
    """The task: fuse one product, here or on a worker."""

    config: FuseConfig
    folder: Path
    """Folder that outputs are relative to."""
    tell: Tell | None

    def __call__(self, task: Task) -> _Fused:
        start = time.perf_counter()
        error = None
        try:
            fuse_bundle(task.bundle, self.folder / task.entry.output, self.config, tell=self.tell)
        except Exception as reason:  # noqa: BLE001  # the next product may well succeed
            error = sentence_of(reason)
        return _Fused(round(time.perf_counter() - start, 3), error)


def _recorded(task: Task, fused: _Fused, manifest: Manifest) -> Outcome:
    """Record the end of a product; return it as an outcome."""
    bundle, entry = task.bundle, task.entry
    if fused.error is not None:
        _record(manifest, replace(entry, error=fused.error, seconds=fused.seconds), "failed")
        return Outcome(bundle, "failed", None, entry.method, fused.seconds, fused.error)
    _record(manifest, replace(entry, seconds=fused.seconds), "done")
    return Outcome(bundle, "done", entry.output, entry.method, fused.seconds)


def _record(manifest: Manifest, entry: Entry, state: State) -> None:
    manifest.record(replace(entry, state=state, when=f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"))


def _check_names(config: FuseConfig) -> None:
    """Say once, not for every product, that there is no such method, sensor or weight file."""
    if config.method is not None:
        find_method(config.method)
    if config.sensor is not None:
        find_sensor(config.sensor)
    if config.weights is not None:
        card_of(config.weights)


def _make_folder(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"The folder {out} could not be made: {error.strerror}.") from error
