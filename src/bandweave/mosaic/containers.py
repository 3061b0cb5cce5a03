"""Fuse the toolboxes' files: one `.mat` pair, or a `.h5` set to a folder of results."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from bandweave.config import FuseConfig
from bandweave.datasets.matlab import read_matlab_pair, result_name, write_results_mat
from bandweave.datasets.pancollection import open_pancollection
from bandweave.errors import ConfigError, OutputExistsError
from bandweave.mosaic.in_memory import ArrayScene
from bandweave.mosaic.job import FuseReport, Job, Tell
from bandweave.mosaic.prepare import prepare_job
from bandweave.mosaic.runner import ArraySink
from bandweave.mosaic.select import select_method
from bandweave.pair import ImagePair
from bandweave.sensors import find_sensor

# Options that have a meaning for georeferenced files only.
_RASTER_ONLY = ("bbox", "bands", "cog", "creation_options", "nodata", "dtype", "resume")


def fuse_matlab(
    path: Path,
    out: Path,
    config: FuseConfig,
    *,
    dry_run: bool = False,
    tell: Tell | None = None,
) -> FuseReport:
    """Fuse a `.mat` pair to a `.mat` file with `sr` (H, W, C) in DN."""
    _refuse_raster_options(path, config)
    if out.suffix.lower() != ".mat":
        raise ConfigError(f"The result of {path.name} is a .mat file, but {out} is none.")
    if out.exists() and not (config.overwrite or dry_run):
        raise OutputExistsError(f"{out} exists; give another name, or --overwrite to replace it.")
    facts = _facts(config)
    pair, _ = read_matlab_pair(path, dtype=np.float64, **facts)
    scale = _weights_scale(pair, config)
    if scale is not None:
        pair, _ = read_matlab_pair(path, dtype=np.float64, **{**facts, "full_scale": scale})
    report = _fuse_pair(pair, out, config, dry_run=dry_run, tell=tell)
    return replace(report, out=str(out))


def fuse_set(
    path: Path,
    folder: Path,
    config: FuseConfig,
    *,
    dry_run: bool = False,
    tell: Tell | None = None,
) -> FuseReport:
    """Fuse a `.h5` set to `folder/output_mulExm_<k>.mat`, as the toolbox's referee reads them."""
    _refuse_raster_options(path, config)
    facts = _facts(config)
    with open_pancollection(path, **facts) as pairs:
        scale = _weights_scale(pairs.item(0)[0], config)
    start = time.perf_counter()
    with open_pancollection(
        path, **(facts if scale is None else {**facts, "full_scale": scale})
    ) as pairs:
        count = len(pairs)
        targets = [folder / result_name(k) for k in range(count)]
        taken = [target for target in targets if target.exists()]
        if taken and not (config.overwrite or dry_run):
            raise OutputExistsError(
                f"{taken[0]} exists; give another folder, or --overwrite to replace it."
            )
        for k, target in enumerate(targets):
            if tell is not None:
                tell(f"Image {k + 1} of {count}.")
            report = _fuse_pair(pairs.item(k)[0], target, config, dry_run=dry_run, tell=tell)
            if dry_run:
                return replace(
                    report, out=str(folder), seconds=count * (report.seconds or 0), images=count
                )
    return replace(report, out=str(folder), seconds=time.perf_counter() - start, images=count)


def _fuse_pair(
    pair: ImagePair, out: Path, config: FuseConfig, *, dry_run: bool, tell: Tell | None
) -> FuseReport:
    start = time.perf_counter()
    job: Job = prepare_job(ArrayScene(pair, config.window), config, tell=tell)
    if dry_run:
        seconds, notes = job.estimate()
        return replace(job.report, seconds=seconds, dry_run=True, notes=job.report.notes + notes)
    sink = ArraySink()
    job.run(sink, quiet=tell is None)
    write_results_mat(out, sink.hrms.astype(np.float64), overwrite=config.overwrite)
    return replace(job.report, seconds=time.perf_counter() - start)


def _facts(config: FuseConfig) -> dict[str, Any]:
    sensor = None if config.sensor is None else find_sensor(config.sensor)
    return {"full_scale": config.full_scale, "sensor": sensor}


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
            f"{given[0]!r} is an option for georeferenced files only; leave it out for {path.name}."
        )
