"""What is shown at a step: a function of the seed and the step alone.

Sample number k of a run is the same however many processes draw it, and whether the run was
interrupted or not: nothing is remembered from one batch to the next but scenes made earlier.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from bandweave.errors import ConfigError
from bandweave.train.config import PatchSource, Source, TrainConfig
from bandweave.train.device_tiles import DeviceTiles, Located
from bandweave.train.loss import TensorBatch
from bandweave.train.needs import require_fit
from bandweave.train.patches import PatchPool
from bandweave.train.scene import Cut, Place, Sample, TrainingScene
from bandweave.train.simulate import SceneMaker, scene_makers
from bandweave.train.start import Starter

# Batches made ahead of the one that is computed on.
_AHEAD = 2


class Pool(Protocol):
    """Where samples are drawn from."""

    @property
    def pixels(self) -> int:
        """Return the most fine pixels that its scenes have together."""
        ...

    def hold(self) -> None:
        """Keep scenes in memory from now on, so that none is made twice."""
        ...

    def draw(
        self, number: int, step: int, generator: np.random.Generator, tile: int
    ) -> tuple[Place, Cut]:
        """Return sample `number` of the run, not cut yet; a place holds one scene at a time."""
        ...


@dataclass(slots=True, eq=False)
class ScenePool:
    """Scenes, each in several versions that are made when first drawn."""

    makers: list[SceneMaker]
    starter: Starter
    seed: int
    versions: int
    refresh: int
    symmetries: bool
    _held: dict[tuple[int, int], tuple[int, TrainingScene]] = field(default_factory=dict)

    @classmethod
    def of(cls, makers: list[SceneMaker], config: TrainConfig, starter: Starter) -> ScenePool:
        """Draw as a configuration says."""
        # The consistency layer has to know every sensor model before the first step.
        starter.operator(makers[0].make(np.random.default_rng(config.seed)).pair)
        data = config.data
        return cls(
            makers,
            starter,
            config.seed,
            data.augmentation.versions,
            data.augmentation.refresh,
            data.symmetries,
        )

    @property
    def pixels(self) -> int:
        """Return the fine pixels of all versions."""
        return sum(m.pixels * (self.versions if m.is_varied else 1) for m in self.makers)

    def hold(self) -> None:
        """Do nothing: versions are held while they are drawn from."""

    def draw(
        self, number: int, step: int, generator: np.random.Generator, tile: int
    ) -> tuple[Place, Cut]:
        """Choose a tile of a scene, large scenes more often."""
        del number
        pixels = np.array([maker.pixels for maker in self.makers], dtype=np.float64)
        k = int(generator.choice(len(self.makers), p=pixels / pixels.sum()))
        version = int(generator.integers(self.versions)) if self.makers[k].is_varied else 0
        scene = self._scene(k, version, step)
        return (k, version), scene.place(generator, tile, symmetries=self.symmetries)

    def _scene(self, k: int, version: int, step: int) -> TrainingScene:
        """Return a version, made anew every `refresh` steps; not all at the same step."""
        generation = 0
        if self.refresh and self.makers[k].is_varied:
            offset = (k * self.versions + version) * self.refresh
            offset //= len(self.makers) * self.versions
            generation = (step + offset) // self.refresh
        held = self._held.get((k, version))
        if held is None or held[0] != generation:
            generator = np.random.default_rng([self.seed, 1, k, version, generation])
            maker = self.makers[k]
            scene = self.starter.scene(maker.make(generator), maker.name)
            held = self._held[k, version] = (generation, scene)
        return held[1]


@dataclass(frozen=True, slots=True, eq=False)
class Material:
    """What a run draws from."""

    pools: tuple[Pool, ...]
    shares: tuple[float, ...]
    """Part of the samples drawn from each pool; they sum to 1."""

    @classmethod
    def of(cls, config: TrainConfig, starter: Starter) -> Material:
        """Open the sources of a configuration.

        Raises:
            FusionError: A file is missing or unreadable, or does not fit what its source says or
                what the network needs.
        """
        weights = np.array([source.weight for source in config.data.training])
        pools = tuple(_opened(source, config, starter) for source in config.data.training)
        return cls(pools, tuple(float(share) for share in weights / weights.sum()))

    @property
    def pixels(self) -> int:
        """Return the most fine pixels that all scenes have together."""
        return sum(pool.pixels for pool in self.pools)

    def hold(self) -> None:
        """Keep scenes in memory from now on."""
        for pool in self.pools:
            pool.hold()


def _opened(source: Source, config: TrainConfig, starter: Starter) -> Pool:
    if isinstance(source, PatchSource):
        pool = PatchPool.open(source, config.data, starter, config.seed)
        require_fit(pool.pairs.item(0)[0].profile, config, pool.name, is_learned=True)
        return pool
    makers = scene_makers(source, config.data)
    for maker in makers:
        require_fit(maker.profile, config, maker.name, is_learned=True)
    return ScenePool.of(makers, config, starter)


class Batches:
    """The batches of one process, drawn in a thread while the last one is computed on."""

    def __init__(
        self,
        config: TrainConfig,
        material: Material,
        rank: int = 0,
        count: int = 1,
        tiles: DeviceTiles | None = None,
    ) -> None:
        """Settle which part is drawn here.

        Args:
            config: The run.
            material: What is drawn from.
            rank: Number of this process.
            count: Number of processes; each draws its part of every batch.
            tiles: Cuts the tiles on a device; None for here.

        Raises:
            ConfigError: A batch cannot be dealt out evenly, so that the loss would depend on it.
        """
        small = config.small_tiles
        for size in (config.batch, *(() if small is None else (small.batch,))):
            if size % count:
                raise ConfigError(
                    f"{count} processes cannot share a batch of {size} tiles evenly; choose a "
                    "number of processes that divides it, or another batch (--set batch=..., "
                    "small_tiles.batch=...)."
                )
        self._config, self._material = config, material
        self._rank, self._count = rank, count
        self._tiles = tiles

    def since(self, step: int) -> Iterator[tuple[TensorBatch, tuple[str, ...]]]:
        """Yield this process's part of each batch from a step on, with where its tiles lie."""
        every = self._config.epoch
        with ThreadPoolExecutor(1) as thread:
            steps = range(step, self._config.steps)
            waiting = [thread.submit(self._drawn, k) for k in itertools.islice(steps, _AHEAD)]
            for k in steps:
                ready = waiting.pop(0)
                if k + _AHEAD < self._config.steps:
                    waiting.append(thread.submit(self._drawn, k + _AHEAD))
                drawn, origins = ready.result()
                batch = drawn if isinstance(drawn, TensorBatch) else drawn.gathered()
                yield replace(batch, epoch=None if every is None else k // every + 1), origins

    def _drawn(self, step: int) -> tuple[TensorBatch | Located, tuple[str, ...]]:
        tile, batch = tile_and_batch(self._config, step)
        numbers = range(self._rank, batch, self._count)
        placed = [self._placed(step, k, tile, batch) for k in numbers]
        origins = tuple(cut.origin for _, cut in placed)
        if self._tiles is not None:
            return self._tiles.located(placed), origins
        return stacked([cut.sample() for _, cut in placed]), origins

    def _placed(self, step: int, k: int, tile: int, batch: int) -> tuple[tuple[int, Place], Cut]:
        generator = np.random.default_rng([self._config.seed, 0, step, k])
        pools = self._material.pools
        number = int(generator.choice(len(pools), p=self._material.shares))
        place, cut = pools[number].draw(step * batch + k, step, generator, tile)
        return (number, place), cut


def tile_and_batch(config: TrainConfig, step: int) -> tuple[int, int]:
    """Return the tile size and the number of tiles of a step."""
    small = config.small_tiles
    if small is not None and step < small.share * config.steps:
        return small.tile, small.batch
    return config.tile, config.batch


def stacked(samples: list[Sample]) -> TensorBatch:
    """Join tiles into tensors."""

    def joined(images: list[np.ndarray]) -> Tensor:
        return torch.from_numpy(np.stack(images))

    starts = [sample.start for sample in samples if sample.start is not None]
    return TensorBatch(
        joined([sample.spatial for sample in samples]),
        joined([sample.spectral for sample in samples]),
        joined(starts) if starts else None,
        joined([sample.gt for sample in samples]),
        torch.tensor([sample.operator for sample in samples]),
    )
