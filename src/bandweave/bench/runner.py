"""Run a suite: every missing task, each result on the disk at once, tables at the end."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from bandweave.bench.images import images_of
from bandweave.bench.published import published_note, published_rows
from bandweave.bench.suite import BenchData, Suite
from bandweave.bench.task import BenchTask, located_weights, run_task
from bandweave.errors import ConfigError, FileFormatError, OutputError
from bandweave.machine import usable_cores
from bandweave.mosaic.job import in_words
from bandweave.parallel.cluster import connected
from bandweave.parallel.executor import Executor, Local
from bandweave.report.formats import comma_separated, latex, markdown
from bandweave.report.records import Record, RecordFile
from bandweave.report.table import ScoreTable, score_table

Tell = Callable[[str], None]
"""Receives progress as sentences."""


@dataclass(frozen=True, slots=True)
class BenchReport:
    """What a run came to."""

    out: str
    tasks: int
    computed: int
    """Tasks of this call; the others were done before."""
    failures: tuple[str, ...]
    """One sentence per failed task."""
    files: tuple[str, ...]
    """What was written."""


def run_suite(
    suite: Suite,
    out: Path,
    *,
    root: Path,
    weights: Path,
    processes: int = 1,
    dask: str | None = None,
    tell: Tell | None = None,
) -> BenchReport:
    """Run what is missing of a suite, and write `records.jsonl` and `table.md`, `.csv`, `.tex`.

    The fused images of the first few images of each data (`BenchData.kept`) stay in `images`.

    After an interruption of any kind the same call goes on: tasks whose record is there and whose
    settings, weights, data and version are still the same are not run again, failed ones are.

    Args:
        suite: Methods and data.
        out: Folder of the run.
        root: Folder that the data's paths are relative to.
        weights: Folder that the weights' files are relative to.
        processes: Tasks at a time; the cores are divided among them. Does not change the scores.
        dask: Address of a Dask scheduler whose workers compute the tasks; None for this machine.
        tell: Receives progress.

    Raises:
        ConfigError: `out` holds another suite.
        FileFormatError: None of the data exist.
        OutputError: A file cannot be written.
        ClusterError: The workers of `dask` cannot be reached, or cannot do the work.
    """
    say = tell or (lambda _: None)
    images = out / "images"
    tasks = plan_tasks(
        suite, root=root, weights=weights, processes=processes, images=images, tell=say
    )
    _open_folder(suite, out)
    file = RecordFile(out / "records.jsonl")
    known = file.latest()
    wanted = [task for task in tasks if not _is_done(task, known)]
    if len(wanted) < len(tasks):
        say(f"{len(tasks) - len(wanted)} of {len(tasks)} tasks are done already.")
    if dask is None:
        _compute(wanted, Local(processes, _threads(processes)), file, say)
    elif wanted:
        with connected(dask, files=_files(wanted), folders=[out], tell=say) as cluster:
            threads, workers = cluster.threads, cluster.workers
            sized = [replace(task, threads=threads, processes=workers) for task in wanted]
            _compute(sized, cluster, file, say)
    records = _ordered(file, tasks)
    file.rewrite(records)
    tables = tables_of(suite, records)
    written = _write_tables(out, tables)
    failures = tuple(
        f"{one.name}, {one.data} {one.image}: {one.error}"
        for one in records
        if one.state == "failed"
    )
    paths = [file.path, *written]
    if images.is_dir():
        paths.append(images)
    return BenchReport(
        str(out), len(tasks), len(wanted), failures, tuple(str(path) for path in paths)
    )


def _compute(tasks: Sequence[BenchTask], executor: Executor, file: RecordFile, say: Tell) -> None:
    """Run tasks; every record is on the disk before the next one is waited for."""
    start = time.monotonic()
    with closing(executor.map(run_task, tasks)) as outcomes:
        for count, outcome in enumerate(outcomes, start=1):
            record = outcome.result or outcome.task.failed(outcome.error or "")
            file.add(record)
            left = (time.monotonic() - start) / count * (len(tasks) - count)
            say(f"{count} of {len(tasks)}: {_in_words(record)}, about {in_words(left)} left")


def _files(tasks: Sequence[BenchTask]) -> set[Path]:
    """Return every file that tasks read."""
    weights = {Path(task.weights) for task in tasks if task.weights is not None}
    return weights.union(*({*task.image.files} for task in tasks))


def plan_tasks(
    suite: Suite,
    *,
    root: Path,
    weights: Path,
    processes: int = 1,
    images: Path | None = None,
    tell: Tell | None = None,
) -> list[BenchTask]:
    """Return the tasks of the data that are present, image by image.

    Args:
        suite: Methods and data.
        root: Folder that the data's paths are relative to.
        weights: Folder that the weights' files are relative to.
        processes: Tasks at a time.
        images: Folder to keep fused images in, or None.
        tell: Receives what is absent.

    Raises:
        FileFormatError: None of the data exist, or a set cannot be read.
    """
    # Processes elsewhere read the files by these paths.
    root, weights = root.absolute(), weights.absolute()
    images = None if images is None else images.absolute()
    located = {spec.row: located_weights(spec, weights) for spec in suite.methods}
    tasks = []
    missing: list[str] = []
    for data in suite.data:
        present, absent = images_of(data, root)
        missing += absent
        tasks += [
            BenchTask(
                data,
                spec,
                image,
                *located[spec.row],
                _threads(processes),
                processes,
                images if number < data.kept else None,
            )
            for number, image in enumerate(present)
            for spec in suite.methods
        ]
    if not tasks:
        raise FileFormatError(
            f"None of the data of the suite {suite.name} exist below {root}: {missing[0]} Give the "
            "folder that holds them with --data."
        )
    for sentence in missing:
        (tell or (lambda _: None))(sentence)
    return tasks


def tables_of(suite: Suite, records: Sequence[Record]) -> list[ScoreTable]:
    """Return one table per set of images that has records."""
    tables = []
    for data in suite.data:
        own = [record for record in records if record.data == data.id]
        if own:
            tables.append(_table(suite, data, own))
    return tables


def _table(suite: Suite, data: BenchData, records: list[Record]) -> ScoreTable:
    order = {spec.row: k for k, spec in enumerate(suite.methods)}
    compared = {spec.published or spec.method for spec in suite.methods}
    published = [] if data.published is None else published_rows(data.published)
    return score_table(
        sorted(records, key=lambda one: order.get(one.row, len(order))),
        id=data.id,
        title=data.title,
        protocol=data.protocol,
        metrics=data.metrics,
        published=[row for row in published if row.id in compared],
        counterparts={one.row: one.published for one in suite.methods if one.published},
        notes=() if data.published is None else (published_note(data.published),),
    )


def _threads(processes: int) -> int:
    return max(usable_cores() // processes, 1)


def _is_done(task: BenchTask, known: dict[tuple[str, str, str], Record]) -> bool:
    record = known.get(task.key)
    is_recorded = record is not None and record.state == "done" and record.digest == task.digest
    return is_recorded and not task.lacks_image


def _in_words(record: Record) -> str:
    where = f"{record.data}, {record.image}, {record.name}"
    if record.state == "failed":
        return f"{where}: failed: {record.error}"
    values = ", ".join(f"{name} {value:.4g}" for name, value in record.values.items())
    return f"{where}: {values} ({record.seconds:.2g} s)"


def _ordered(file: RecordFile, tasks: Sequence[BenchTask]) -> list[Record]:
    """Return the records in the order of the tasks, then those of data that are absent now."""
    latest = file.latest()
    planned = [latest.pop(task.key) for task in tasks if task.key in latest]
    present = {task.data.id for task in tasks}
    rest = [record for record in latest.values() if record.data not in present]
    return planned + rest


def _open_folder(suite: Suite, out: Path) -> None:
    """Keep the resolved suite in the folder.

    Raises:
        ConfigError: The folder holds another one.
        OutputError: The folder cannot be written.
    """
    path = out / "suite.json"
    try:
        if path.is_file():
            before = Suite.model_validate_json(path.read_text(encoding="utf-8")).name
            if before != suite.name:
                raise ConfigError(
                    f"{out} holds a run of the suite {before}, not of {suite.name}; give another "
                    "--out."
                )
        out.mkdir(parents=True, exist_ok=True)
        _replace(path, suite.model_dump_json(indent=1))
    except OSError as error:
        raise OutputError(f"The folder {out} could not be written: {error.strerror}.") from error


def _write_tables(out: Path, tables: Sequence[ScoreTable]) -> list[Path]:
    contents = {
        out / "table.md": markdown(tables),
        out / "table.csv": comma_separated(tables),
        out / "table.tex": latex(tables),
    }
    try:
        for path, text in contents.items():
            _replace(path, text)
    except OSError as error:
        raise OutputError(f"The tables in {out} could not be written: {error.strerror}.") from error
    return list(contents)


def _replace(path: Path, text: str) -> None:
    beside = path.with_name(f"{path.name}.partial")
    beside.write_text(text, encoding="utf-8")
    beside.replace(path)
