"""The work of a batch: what each product will become, and whether that is done already."""

from __future__ import annotations

import hashlib
import json
import warnings
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from bandweave.config import FuseConfig
from bandweave.errors import AlignmentWarning, FusionError, OutputExistsError
from bandweave.methods.nets.card import file_sha256
from bandweave.mosaic.bundles import opened
from bandweave.mosaic.georeferenced import RasterScene
from bandweave.mosaic.select import select_method
from bandweave.parallel.manifest import Entry
from bandweave.products.bundle import Bundle

_SUFFIXES = {"GTiff": ".tif", "ENVI": ".img"}
# Options that change how a run goes and not what it writes.
_WITHOUT_EFFECT = {"workers", "max_memory", "device", "dask", "overwrite", "resume"}


@dataclass(frozen=True, slots=True)
class Task:
    """A product, looked at: what will be made of it, or why nothing can be."""

    number: int
    """From 1, in the order of the names."""
    bundle: Bundle
    entry: Entry
    pixels: int
    error: str | None = None


def options_hash(config: FuseConfig) -> str:
    """Tell options with this effect from others; weights count by their content."""
    content = {key: value for key, value in asdict(config).items() if key not in _WITHOUT_EFFECT}
    if config.weights is not None and Path(config.weights).is_file():
        content["weights"] = file_sha256(Path(config.weights))
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def look_at(number: int, bundle: Bundle, out: Path, config: FuseConfig, options: str) -> Task:
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
        return Task(number, bundle, entry, 0, sentence_of(error))
    output = str(out / f"{bundle.name}_{method}{_SUFFIXES[config.driver]}")
    pixels = profile.shape[0] * profile.shape[1]
    return Task(number, bundle, replace(entry, output=output, method=method), pixels)


def is_done(task: Task, earlier: Entry | None, config: FuseConfig) -> bool:
    """Tell whether an earlier run made this very output, and it is still there."""
    return (
        config.resume
        and task.error is None
        and earlier is not None
        and earlier.state == "done"
        and earlier.is_same_work(task.entry)
        and Path(earlier.output).is_file()
    )


def may_write(task: Task, earlier: Entry | None, config: FuseConfig) -> bool:
    """Tell whether the output is free, may be replaced, or is that of this very work."""
    is_ours = earlier is not None and earlier.is_same_work(task.entry)
    return config.overwrite or is_ours or not Path(task.entry.output).exists()


def exists_already(task: Task) -> str:
    """Say that the output is another work's."""
    return str(
        OutputExistsError(
            f"{task.entry.output} exists and was not made of these inputs with these options; "
            "--overwrite replaces it, or choose another folder."
        )
    )


def sentence_of(error: Exception) -> str:
    """Return an error in words, foreseen or not."""
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
