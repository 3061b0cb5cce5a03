"""Scores of the weights on whole images, fused as `bandweave fuse` does."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bandweave.datasets.pancollection import open_pancollection
from bandweave.degrade.operators import MtfFilter
from bandweave.degrade.wald import ReducedPair, WaldProtocol
from bandweave.errors import ConfigError
from bandweave.methods.base import Fitted
from bandweave.methods.consistency import Consistency
from bandweave.methods.convention import require_blur
from bandweave.methods.learned import LearnedMethod
from bandweave.methods.nets.checkpoint import Weights
from bandweave.metrics.reduced import evaluate_rr
from bandweave.mosaic.runner import ArraySink, RunLimits, fit_method, run_scene
from bandweave.radiometry import Image
from bandweave.sensors import find_sensor
from bandweave.source import ArraySource
from bandweave.train.config import PatchSource, TrainConfig
from bandweave.train.needs import require_fit
from bandweave.train.simulate import scene_makers

METRICS = ("psnr", "sam", "ergas")


@dataclass(frozen=True, slots=True, eq=False)
class Validation:
    """Whole images with their references."""

    images: tuple[tuple[str, ReducedPair], ...]

    @classmethod
    def of(cls, config: TrainConfig) -> Validation:
        """Make the validation images: always the same ones, one version each.

        Raises:
            FusionError: A file is missing or unreadable, or does not fit what the source says or
                what the network needs.
        """
        images: list[tuple[str, ReducedPair]] = []
        for source in config.data.validation:
            if isinstance(source, PatchSource):
                images += _patches(source, Path(config.data.root))
                continue
            for maker in scene_makers(source, config.data):
                generator = np.random.default_rng([config.seed, 3])
                images.append((maker.name, maker.make(generator)))
        for name, made in images:
            require_fit(made.pair.profile, config, name, is_learned=False)
        return cls(tuple(images))

    def scores(self, weights: Weights, threads: int | None = None) -> dict[str, dict[str, float]]:
        """Return image -> metric -> value."""
        method = LearnedMethod(weights, device="auto", threads=threads)
        scores, fitted, known = {}, None, None
        for name, made in self.images:
            profile = made.pair.profile
            # A set has hundreds of equal patches, and to put a network on a device takes longer.
            if fitted is None or profile != known or method.measurement(profile) is not None:
                fitted, known = _fitted(method, made), profile
            scores[name] = score(_fused(fitted, made, weights), made)
        return scores


def fused_whole(weights: Weights, made: ReducedPair, threads: int | None = None) -> Image:
    """Fuse a simulated pair in tiles, blended, and make it consistent where the card says so."""
    method = LearnedMethod(weights, device="auto", threads=threads)
    return _fused(_fitted(method, made), made, weights)


def _fitted(method: LearnedMethod, made: ReducedPair) -> Fitted:
    return fit_method(method, ArraySource(made.pair), RunLimits(workers=1))


def _fused(fitted: Fitted, made: ReducedPair, weights: Weights) -> Image:
    pair, sink = made.pair, ArraySink(made.pair.shape[0])
    run_scene(fitted, ArraySource(pair), sink, precision=np.float32)
    if not weights.card.consistent:
        return sink.hrms
    blur = require_blur(pair.profile, "the consistency layer")
    response = None if pair.sensor is None else pair.sensor.response
    step = Consistency(blur, weights.card.consistency_noise, response)
    return step.apply(
        sink.hrms.astype(np.float64),
        pair.replace(
            spatial=pair.spatial.astype(np.float64), spectral=pair.spectral.astype(np.float64)
        ),
    )


def score(hrms: Image, made: ReducedPair) -> dict[str, float]:
    """Return PSNR, SAM and ERGAS over the whole image, or what is valid of it."""
    pair = made.pair
    is_cube = pair.spatial.shape[0] > 1
    scores = evaluate_rr(
        hrms.astype(np.float64),
        made.gt.astype(np.float64),
        ratio=pair.ratio,
        full_scale=pair.full_scale,
        protocol="cave" if is_cube else "dlpan-rr-uncut",
        metrics=METRICS,
        valid=pair.valid,
    )
    return {metric: scores.values[metric] for metric in METRICS}


def mean_score(scores: dict[str, dict[str, float]], metric: str) -> float:
    """Return the mean over the images, turned so that larger is better."""
    mean = float(np.mean([values[metric] for values in scores.values()]))
    return mean if metric == "psnr" else -mean


def _patches(source: PatchSource, root: Path) -> list[tuple[str, ReducedPair]]:
    sensor = None if source.sensor is None else find_sensor(source.sensor)
    path = root / source.path
    images = []
    with open_pancollection(path, full_scale=source.full_scale, sensor=sensor) as pairs:
        for k in range(len(pairs)):
            pair, gt = pairs.item(k)
            if gt is None:
                raise ConfigError(f"{path} holds no reference, so it cannot validate anything.")
            record = WaldProtocol(MtfFilter((0.3,))).record(pair.profile)
            images.append((f"{path.name}, image {k}", ReducedPair(pair, gt, record)))
    return images
