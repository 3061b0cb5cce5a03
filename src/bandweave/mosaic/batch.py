"""Fuse every product below a folder; what is done is kept, and one failure stops nothing."""

from __future__ import annotations

import hashlib
import json
import time
import warnings
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from bandweave.config import FuseConfig
from bandweave.errors import (
    AlignmentWarning,
    FusionError,
    OutputError,
    OutputExistsError,
    ProductError,
)
from bandweave.methods.nets.card import file_sha256
from bandweave.methods.nets.zoo import card_of
from bandweave.methods.table import find_method
from bandweave.mosaic.bundles import fuse_bundle, opened
from bandweave.mosaic.georeferenced import RasterScene
from bandweave.mosaic.job import Tell, in_words
from bandweave.mosaic.select import select_method
from bandweave.parallel.executor import Executor, Local
from bandweave.parallel.manifest import Entry, Manifest, State
from bandweave.products.bundle import Bundle
from bandweave.products.plain import NamingRule
from bandweave.products.survey import survey
from bandweave.sensors import find_sensor

MANIFEST = "manifest.jsonl"
"""Name of the manifest in the folder of the results."""
_SUFFIXES = {"GTiff": ".tif", "ENVI": ".img"}
# Options that change how a run goes and not what it writes.
_WITHOUT_EFFECT = {"workers", "max_memory", "device", "dask", "overwrite", "resume"}

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


@dataclass(frozen=True, slots=True)
class _Task:
    """A product, looked at: what will be made of it, or why nothing can be."""

    number: int
    """From 1, in the order of the names."""
    bundle: Bundle
    entry: Entry
    pixels: int
    error: str | None = None


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
    options = _options_hash(config)
    bundles = enumerate(found.bundles, start=1)
    tasks = [_look(number, bundle, out, config, options) for number, bundle in bundles]
    if dry_run:
        return BatchReport(tuple(_planned(task, known, config) for task in tasks), problems)
    _make_folder(out)
    outcomes = _run(tasks, known, config, manifest, tell)
    return BatchReport(tuple(outcomes[task.number] for task in tasks), problems)


def _look(number: int, bundle: Bundle, out: Path, config: FuseConfig, options: str) -> _Task:
    """Open a product once: which method it gets, how large it is, or what is wrong with it."""
    entry = Entry(bundle.name, "started", "", options, _signature(bundle))
    try:
        with (
            warnings.catch_warnings(action="ignore", category=AlignmentWarning),
            opened(bundle) as (spatial, spectral),
            closing(RasterScene(spatial, spectral, config, bundle)) as scene,
        ):
            profile = scene.opened((0.0, 0.0)).profile
            method = select_method(config, profile).entry.id
    except Exception as error:  # noqa: BLE001  # one bad product must not stop the others
        return _Task(number, bundle, entry, 0, _sentence(error))
    output = str(out / f"{bundle.name}_{method}{_SUFFIXES[config.driver]}")
    pixels = profile.shape[0] * profile.shape[1]
    return _Task(number, bundle, replace(entry, output=output, method=method), pixels)


def _planned(task: _Task, known: dict[str, Entry], config: FuseConfig) -> Outcome:
    """Say what a run would do."""
    earlier = known.get(task.entry.output)
    if task.error is not None:
        return Outcome(task.bundle, "failed", error=task.error)
    state: OutcomeState = "skipped" if _is_done(task, earlier, config) else "planned"
    error = None
    if state == "planned" and not _may_write(task, earlier, config):
        state, error = "failed", _exists(task)
    return Outcome(task.bundle, state, task.entry.output, task.entry.method, error=error)


def _run(
    tasks: list[_Task],
    known: dict[str, Entry],
    config: FuseConfig,
    manifest: Manifest,
    tell: Tell | None,
) -> dict[int, Outcome]:
    """Fuse what is not done; failures become outcomes, by the number of their task."""
    say = tell or (lambda _: None)
    clock = _Clock(tasks)
    outcomes: dict[int, Outcome] = {}

    def begin(task: _Task) -> None:
        say(f"[{task.number}/{len(tasks)}] {task.bundle.name}")
        _record(manifest, task.entry, "started")

    def end(task: _Task, outcome: Outcome) -> None:
        outcomes[task.number] = outcome
        if outcome.error is not None:
            say(f"Failed: {task.bundle.name}: {outcome.error}")
        say(clock.after(task, outcome, len(outcomes)))

    wanted = []
    for task in tasks:
        settled = _settled(task, known.get(task.entry.output), config, manifest)
        if settled is None:
            wanted.append(task)
        else:
            end(task, settled)
    if wanted:
        with (
            _executor(config, wanted, manifest.path.parent) as executor,
            closing(executor.map(_work(config, executor, tell), wanted, begun=begin)) as done,
        ):
            for one in done:
                end(one.task, _recorded(one.task, one.result or _Fused(None, one.error), manifest))
    return outcomes


def _settled(
    task: _Task, earlier: Entry | None, config: FuseConfig, manifest: Manifest
) -> Outcome | None:
    """Return the outcome of a product that is done or cannot be fused, else None."""
    if _is_done(task, earlier, config):
        assert earlier is not None
        entry = task.entry
        return Outcome(task.bundle, "skipped", entry.output, entry.method, earlier.seconds)
    error = task.error
    if error is None and not _may_write(task, earlier, config):
        error = _exists(task)
    return None if error is None else _recorded(task, _Fused(None, error), manifest)


@contextmanager
def _executor(config: FuseConfig, tasks: list[_Task], out: Path) -> Iterator[Executor]:
    """Yield what computes the products: this process, or the workers of a cluster."""
    if config.dask is None:
        yield Local()
        return
    from bandweave.parallel.cluster import connected  # noqa: PLC0415  # rarely asked for

    weights = [] if config.weights is None else [Path(config.weights)]
    # Files of the first product stand for all: those of thousands would be looked for by everyone.
    with connected(config.dask, files=[*tasks[0].bundle.files, *weights], folders=[out]) as cluster:
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

    def __call__(self, task: _Task) -> _Fused:
        start = time.perf_counter()
        error = None
        try:
            fuse_bundle(task.bundle, self.folder / task.entry.output, self.config, tell=self.tell)
        except Exception as reason:  # noqa: BLE001  # the next product may well succeed
            error = _sentence(reason)
        return _Fused(round(time.perf_counter() - start, 3), error)


def _recorded(task: _Task, fused: _Fused, manifest: Manifest) -> Outcome:
    """Record the end of a product; return it as an outcome."""
    bundle, entry = task.bundle, task.entry
    if fused.error is not None:
        _record(manifest, replace(entry, error=fused.error, seconds=fused.seconds), "failed")
        return Outcome(bundle, "failed", None, entry.method, fused.seconds, fused.error)
    _record(manifest, replace(entry, seconds=fused.seconds), "done")
    return Outcome(bundle, "done", entry.output, entry.method, fused.seconds)


def _record(manifest: Manifest, entry: Entry, state: State) -> None:
    manifest.record(replace(entry, state=state, when=f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"))


def _is_done(task: _Task, earlier: Entry | None, config: FuseConfig) -> bool:
    return (
        config.resume
        and task.error is None
        and earlier is not None
        and earlier.state == "done"
        and earlier.is_same_work(task.entry)
        and Path(earlier.output).is_file()
    )


def _may_write(task: _Task, earlier: Entry | None, config: FuseConfig) -> bool:
    """Tell whether the output is free, may be replaced, or is that of this very work."""
    is_ours = earlier is not None and earlier.is_same_work(task.entry)
    return config.overwrite or is_ours or not Path(task.entry.output).exists()


def _exists(task: _Task) -> str:
    return str(
        OutputExistsError(
            f"{task.entry.output} exists and was not made of these inputs with these options; "
            "--overwrite replaces it, or choose another folder."
        )
    )


def _sentence(error: Exception) -> str:
    if isinstance(error, FusionError):
        return str(error)
    return f"unexpected {type(error).__name__}: {error}"


def _signature(bundle: Bundle) -> dict[str, list[int]]:
    """Tell these input files from changed ones."""
    signature = {}
    for path in bundle.files:
        try:
            status = path.stat()
        except OSError:  # opening it will say what is wrong
            continue
        signature[str(path.resolve())] = [status.st_size, status.st_mtime_ns]
    return signature


def _options_hash(config: FuseConfig) -> str:
    content = {key: value for key, value in asdict(config).items() if key not in _WITHOUT_EFFECT}
    if config.weights is not None and Path(config.weights).is_file():
        content["weights"] = file_sha256(Path(config.weights))
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


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


class _Clock:
    """Says how far a batch is, and estimates the rest from the pixels that are done."""

    def __init__(self, tasks: list[_Task]) -> None:
        self._total = len(tasks)
        self._left = sum(task.pixels for task in tasks)
        self._done = 0
        self._start = time.monotonic()
        self._failed = 0

    def after(self, task: _Task, outcome: Outcome, count: int) -> str:
        """Return the sentence after a product."""
        self._left -= task.pixels
        self._failed += outcome.state == "failed"
        if outcome.state == "done":
            self._done += task.pixels
        text = f"{count} of {self._total} products"
        if self._failed:
            text += f", {self._failed} failed"
        if self._left and self._done:
            rate = self._done / max(time.monotonic() - self._start, 1e-9)
            text += f", {rate / 1e6:.2g} MPix/s, about {in_words(self._left / rate)} left"
        return f"{text}."
