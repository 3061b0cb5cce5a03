"""Adapt weights to a scene in files: opened and registered as `fuse` does."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from bandweave.config import FuseConfig
from bandweave.datasets.files import is_pair_file, open_pairs
from bandweave.errors import ConfigError, OutputError, OutputExistsError
from bandweave.methods.nets.zoo import load_named
from bandweave.mosaic.found.alignment import open_aligned
from bandweave.mosaic.found.sensor_model import with_mtf_gains
from bandweave.mosaic.georeferenced import RasterScene
from bandweave.mosaic.in_memory import ArrayScene
from bandweave.sensors import find_sensor
from bandweave.source import PairSource
from bandweave.train.adapt import AdaptReport, Tell, adapt


def adapt_files(
    spatial: Path,
    spectral: Path | None,
    out: Path,
    config: FuseConfig,
    *,
    minutes: float,
    seed: int,
    tell: Tell,
) -> AdaptReport:
    """Tune weights to the scene in two files (or one `.mat`), see `adapt`.

    Args:
        spatial: PAN, or a `.mat` pair.
        spectral: MS, or None.
        out: The weight file to write.
        config: How to open and register the pair; `weights` is where to start.
        minutes: Time to spend on training.
        seed: Of tiles and initialisation.
        tell: Receives progress as sentences.

    Raises:
        OutputExistsError: `out` exists, and `overwrite` is not set.
        OutputError: The folder of `out` does not exist, or cannot be written to.
        ConfigError: The spectral image is missing.
        FusionError: The files cannot be read or brought together, or do not suit the weights.
    """
    if out.exists() and not config.overwrite:
        raise OutputExistsError(f"{out} exists; give another name, or --overwrite.")
    if not os.access(out.absolute().parent, os.W_OK):
        raise OutputError(
            f"The weights are to be written to {out.name} in {out.absolute().parent}, which is no "
            "folder that can be written to; make it first, or name another file."
        )
    weights = None if config.weights is None else load_named(config.weights)
    with _opened(spatial, spectral, config, tell) as opened:
        gains = config.mtf_gain
        source = opened if gains is None else with_mtf_gains(opened, gains)
        return adapt(source, out, weights=weights, minutes=minutes, seed=seed, tell=tell)


@contextmanager
def _opened(
    spatial: Path, spectral: Path | None, config: FuseConfig, tell: Tell
) -> Iterator[PairSource]:
    if is_pair_file(spatial):
        sensor = None if config.sensor is None else find_sensor(config.sensor)
        with open_pairs(spatial, full_scale=config.full_scale, sensor=sensor) as pairs:
            pair, _ = pairs.item(0)
        yield open_aligned(ArrayScene(pair), config.align, tell)[0]
        return
    if spectral is None:
        raise ConfigError(f"{spatial} is no .mat pair, so the MS has to be given as well.")
    scene = RasterScene(spatial, spectral, config)
    with closing(scene):
        yield open_aligned(scene, config.align, tell)[0]
