"""Fuse the toolboxes' files: one `.mat` pair to a `.mat`, or a `.h5` set to a folder of results."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from bandweave.config import FuseConfig
from bandweave.datasets.files import open_pairs
from bandweave.datasets.matlab import result_name, write_results_mat
from bandweave.errors import ConfigError, OutputExistsError
from bandweave.mosaic.consistent import ConsistencyEffect
from bandweave.mosaic.in_memory import ArrayScene
from bandweave.mosaic.job import FuseReport, Tell
from bandweave.mosaic.prepare import prepare_job
from bandweave.mosaic.runner import ArraySink
from bandweave.mosaic.select import select_method
from bandweave.pair import ImagePair
from bandweave.sensors import find_sensor

# Options that have a meaning for raster files only.
_RASTER_ONLY = ("bbox", "bands", "cog", "creation_options", "nodata", "dtype", "resume", "dask")


def fuse_container(
    path: Path,
    out: Path,
    config: FuseConfig,
    *,
    dry_run: bool = False,
    tell: Tell | None = None,
) -> FuseReport:
    """Fuse every pair of a file; results have the key `sr`, (H, W, C), in DN.

    A `.mat` pair goes to the `.mat` file `out`, a `.h5` set to `out/output_mulExm_<k>.mat`, as the
    toolbox's referee reads them.
    """
    _refuse_raster_options(path, config)
    say = tell or (lambda _: None)
    sensor = None if config.sensor is None else find_sensor(config.sensor)
    full_scale = config.full_scale
    with open_pairs(path, full_scale=full_scale, sensor=sensor) as pairs:
        targets = _targets(path, out, len(pairs))
        from_weights = _weights_scale(pairs.item(0)[0], config)
    if from_weights is not None:
        full_scale = from_weights
        say(f"Full scale {full_scale:g} taken from the weights: the values lie within [0, 1].")
    taken = [target for target in targets if target.exists()]
    if taken and not (config.overwrite or dry_run):
        raise OutputExistsError(f"{taken[0]} exists; give another name, or --overwrite.")
    start = time.perf_counter()
    effect: ConsistencyEffect | None = None
    with open_pairs(path, full_scale=full_scale, sensor=sensor) as pairs:
        for k, target in enumerate(targets):
            if len(targets) > 1:
                say(f"Image {k + 1} of {len(targets)}.")
            job = prepare_job(ArrayScene(pairs.item(k)[0], config.window), config, tell=tell)
            report = replace(job.report, out=str(out), images=len(targets))
            if dry_run:
                seconds, notes = job.estimate()
                notes = report.notes + notes
                return replace(report, seconds=len(targets) * seconds, dry_run=True, notes=notes)
            sink = ArraySink(job.window.height)
            found = job.run(sink, quiet=tell is None)
            if found is not None:
                effect = found if effect is None else effect.merged(found)
            step = job.consistency
            write_results_mat(
                target,
                sink.hrms.astype(np.float64),
                consistency_noise=None if step is None else step.noise,
                overwrite=config.overwrite,
            )
    if effect is not None:
        say(effect.sentence)
    report = report.with_effect(effect)
    return replace(report, seconds=time.perf_counter() - start)


def _targets(path: Path, out: Path, count: int) -> list[Path]:
    """Return the files to write."""
    if path.suffix.lower() != ".mat":
        return [out / result_name(k) for k in range(count)]
    if out.suffix.lower() != ".mat":
        raise ConfigError(f"The result of {path.name} is a .mat file, but {out} is none.")
    return [out]


def _weights_scale(pair: ImagePair, config: FuseConfig) -> float | None:
    """Return the weights' full scale for unit data of which nothing else is known."""
    if pair.full_scale != 1.0 or config.full_scale is not None:
        return None
    card = select_method(config, pair.profile).card
    return None if card is None else card.full_scale


def _refuse_raster_options(path: Path, config: FuseConfig) -> None:
    given = [name for name in _RASTER_ONLY if getattr(config, name) not in (None, False, {})]
    if given:
        raise ConfigError(
            f"{given[0]!r} is an option for raster files only; leave it out for {path.name}."
        )
