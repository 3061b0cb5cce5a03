"""Read a run's folder back: what `bandweave report` shows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pydantic import ValidationError

from bandweave.bench.runner import tables_of
from bandweave.bench.suite import SUITES, PairsSource, Suite, load_suite
from bandweave.errors import FileFormatError
from bandweave.methods.nets.zoo import WEIGHTS
from bandweave.report.content import Benchmark
from bandweave.report.kept import KeptImages
from bandweave.report.records import RecordFile
from bandweave.train.config import CaveSource, SceneSource


def read_benchmark(folder: Path) -> Benchmark:
    """Return what a benchmark's folder holds, finished or not.

    Raises:
        FileFormatError: It holds no benchmark, or none of its tasks has been run.
        OutputError: A file cannot be read.
    """
    path = folder / "suite.json"
    try:
        text = path.read_text(encoding="utf-8")
        suite = Suite.model_validate_json(text)
    except OSError as error:
        raise FileFormatError(
            f"{folder} holds no benchmark: {path.name} could not be read ({error.strerror})."
        ) from error
    except ValidationError as error:
        raise FileFormatError(
            f"{path} was written by another version of bandweave; run the benchmark again into "
            "another folder."
        ) from error
    records = tuple(RecordFile(folder / "records.jsonl").latest().values())
    if not records:
        raise FileFormatError(
            f"{folder} holds no records yet; run `bandweave benchmark` into it first."
        )
    return Benchmark(
        name=suite.name,
        about=suite.about,
        suite=text,
        is_shipped=suite.name in SUITES and _is_as_shipped(suite),
        tables=tuple(tables_of(suite, records)),
        records=records,
        images=KeptImages(folder / "images"),
        kept={one.id: one.kept for one in suite.data},
        needs_data=tuple(dict.fromkeys(_files(suite))),
        needs_weights=tuple(
            dict.fromkeys(
                one.weights for one in suite.methods if one.weights and one.weights not in WEIGHTS
            )
        ),
    )


def _files(suite: Suite) -> Iterator[str]:
    """Yield what the suite reads, relative to its data folder."""
    for source in (source for data in suite.data for source in data.sources):
        if isinstance(source, PairsSource):
            yield source.path
        elif isinstance(source, CaveSource):
            yield from (f"{scene}_ms" for scene in source.scenes)
        elif isinstance(source, SceneSource):
            yield source.spatial
            if source.spectral is not None:
                yield source.spectral


def _is_as_shipped(suite: Suite) -> bool:
    shipped = load_suite(suite.name)
    kept = {one.kept for one in suite.data}
    # How many images are kept changes no score.
    return suite == shipped or (len(kept) == 1 and suite == shipped.keeping(kept.pop()))
