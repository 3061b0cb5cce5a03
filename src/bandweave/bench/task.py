"""One task: a method on an image, fused as `bandweave fuse` does, and scored."""

from __future__ import annotations

import hashlib
import json
import warnings
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from bandweave import __version__
from bandweave.bench.cost import Cost, hardware, measured, versions
from bandweave.bench.estimate import remember, remembered
from bandweave.bench.images import BenchImage
from bandweave.bench.suite import BenchData, MethodSpec
from bandweave.config import FuseConfig
from bandweave.datasets.base import Item
from bandweave.degrade.record import DegradationRecord
from bandweave.errors import BandweaveWarning, ConfigError
from bandweave.methods.nets.zoo import WEIGHTS, count_parameters, find_file
from bandweave.methods.table import find_method
from bandweave.metrics.full import evaluate_fr
from bandweave.metrics.reduced import evaluate_rr
from bandweave.metrics.scores import Scores
from bandweave.mosaic.in_memory import ArrayScene
from bandweave.mosaic.job import FuseReport
from bandweave.mosaic.prepare import prepare_job
from bandweave.mosaic.runner import ArraySink
from bandweave.pair import ImagePair
from bandweave.radiometry import Image
from bandweave.report.kept import KeptImages
from bandweave.report.records import Key, Record


@dataclass(frozen=True, slots=True)
class BenchTask:
    """What one record is about."""

    data: BenchData
    spec: MethodSpec
    image: BenchImage
    weights: str | None
    """Name or file; None for methods without."""
    weights_sha256: str | None
    """None also where the file does not exist."""
    threads: int
    processes: int
    images: Path | None = None
    """Folder that the fused image is kept in for pictures; None for not at all."""

    @property
    def key(self) -> Key:
        """Return the key of its record."""
        return self.data.id, self.spec.row, self.image.name

    @property
    def config_sha256(self) -> str:
        """Return the hash of the settings: method, image, protocol, metrics."""
        data = self.data.model_dump(mode="json", include={"id", "protocol", "metrics"})
        settings = [data, _settings(self.spec), self.image.source.model_dump(mode="json")]
        return hashlib.sha256(json.dumps(settings).encode()).hexdigest()

    @property
    def digest(self) -> str:
        """Return the hash of everything the scores depend on.

        Raises:
            FileFormatError: A file of the image does not exist any more.
        """
        parts = (self.config_sha256, self.weights_sha256, self.image.fingerprint, __version__)
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    @property
    def lacks_image(self) -> bool:
        """Tell whether the fused image is to be kept and is not there."""
        if self.images is None:
            return False
        data, row, image = self.key
        return not KeptImages(self.images).has(data, image, row, self.digest)

    def failed(self, error: str) -> Record:
        """Return the record of a failure."""
        return Record(**self._facts(), state="failed", error=error)

    def done(
        self, scores: Scores, report: FuseReport, made: DegradationRecord | None, cost: Cost
    ) -> Record:
        """Return the record of a success."""
        said = scores.record()
        return Record(
            **self._facts(),
            state="done",
            values=said["values"],
            protocol=said["protocol"],
            conditions=said["conditions"],
            meaningless=scores.meaningless,
            notes=(*report.notes, *scores.notes),
            parameters=None if self.weights is None else count_parameters(self.weights),
            simulation=None if made is None else made.model_dump(mode="json"),
            seconds=round(cost.seconds, 4),
            peak_mib=cost.peak_mib,
        )

    def _facts(self) -> dict[str, Any]:
        return {
            "data": self.data.id,
            "row": self.spec.row,
            "image": self.image.name,
            "digest": self.digest,
            "method": self.spec.method,
            "name": self.spec.name,
            "settings": _settings(self.spec),
            "config_sha256": self.config_sha256,
            "weights_sha256": self.weights_sha256,
            "versions": versions(),
            "hardware": hardware(threads=self.threads, processes=self.processes),
            "when": datetime.now(UTC).isoformat(timespec="seconds"),
        }


def run_task(task: BenchTask) -> Record:
    """Fuse and score.

    Raises:
        FusionError: The method does not suit the image, or its weights are missing.
    """
    with warnings.catch_warnings():
        # Assumptions are among the notes of the record.
        warnings.simplefilter("ignore", BandweaveWarning)
        (pair, gt), made = _read(task.image)
        config = fuse_config(task)
        _load_libraries(task.spec.method)
        before = remembered(task.image, config)
        with measured() as cost:
            job = prepare_job(ArrayScene(pair), config)
            sink = ArraySink(job.window.height)
            if before is None or job.consistency is None:
                job.run(sink, quiet=True)
            else:
                job.finish(before.hrms, sink)
        if job.consistency is None:
            remember(task.image, config, sink.hrms, cost)
        elif before is not None:
            cost = cost.behind(before.cost)
        scores = _scored(task, sink.hrms.astype(np.float64), pair, gt)
        _keep(task, sink.hrms, pair, gt)
    if job.consistency is not None:
        scores = scores.of_consistent()
    return task.done(scores, job.report, made, cost)


def fuse_config(task: BenchTask) -> FuseConfig:
    """Return a task's options as `bandweave fuse` has them; pairs are taken as aligned.

    Networks compute in float32: scores do not depend on the processor.
    """
    options = {**_settings(task.spec), "weights": task.weights}
    return FuseConfig.checked(**options, precision="fp32", align="off", workers=task.threads)


def located_weights(spec: MethodSpec, folder: Path) -> tuple[str | None, str | None]:
    """Return a row's weights as a name or file, and their hash where the file exists."""
    if spec.weights is None:
        return None, None
    if spec.weights in WEIGHTS:
        path, name = find_file(spec.weights), spec.weights
    else:
        path = folder / spec.weights
        name = str(path)
    if not path.is_file():
        return name, None
    with path.open("rb") as file:
        return name, hashlib.file_digest(file, "sha256").hexdigest()


def _settings(spec: MethodSpec) -> dict[str, Any]:
    return spec.model_dump(mode="json", exclude={"label", "published"})


def _scored(task: BenchTask, hrms: Image, pair: ImagePair, gt: Image | None) -> Scores:
    protocol, metrics = task.data.resolved_protocol, task.data.metrics
    if protocol.kind == "fr":
        sensor = pair.sensor
        return evaluate_fr(
            hrms,
            pair.spatial.astype(np.float64),
            pair.spectral.astype(np.float64),
            ratio=pair.ratio,
            gains=None if sensor is None else sensor.mtf_gains(len(pair.spectral)),
            phase=pair.phase,
            protocol=protocol,
            metrics=metrics,
            crop=True,
            valid=pair.valid,
            threads=task.threads,
        )
    if gt is None:
        raise ConfigError(
            f"Protocol {protocol.id} needs a reference, and {task.image.name} has none; score it "
            "by dlpan-fr."
        )
    return evaluate_rr(
        hrms,
        gt.astype(np.float64),
        ratio=pair.ratio,
        full_scale=pair.full_scale,
        protocol=protocol,
        metrics=metrics,
        valid=pair.valid,
        threads=task.threads,
    )


def _keep(task: BenchTask, hrms: Image, pair: ImagePair, gt: Image | None) -> None:
    """Keep the fused image for pictures, and beside it what it was made of."""
    if task.images is None:
        return
    data, row, image = task.key
    kept = KeptImages(task.images)
    if task.data.resolved_protocol.kind == "fr":
        gt = None  # what is scored without reference is shown without
    scene = kept.keep_scene(data, image, pair, gt, wavelengths=task.image.wavelengths)
    kept.keep_fused(scene, row, hrms, task.digest, pair.grid)


def _load_libraries(method: str) -> None:
    """Import what a method needs before the clock starts."""
    entry = find_method(method)
    if entry.create is None:
        import_module("bandweave.methods.learned")
    else:
        entry.create()


# Tasks come image by image, so that each process reads an image once.
@lru_cache(maxsize=1)
def _read(image: BenchImage) -> tuple[Item, DegradationRecord | None]:
    return image.read()
