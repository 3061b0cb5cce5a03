"""Patches of a set in one `.h5` file, read one at a time: the set may be larger than memory."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bandweave.datasets.pancollection import PanCollectionSet, open_pancollection
from bandweave.degrade.operators import MtfFilter
from bandweave.degrade.wald import ReducedPair, WaldProtocol
from bandweave.errors import FileFormatError, ShapeError
from bandweave.sensors import find_sensor
from bandweave.train.config import DataConfig, PatchSource
from bandweave.train.scene import Cut, Place, TrainingScene
from bandweave.train.start import Starter


@dataclass(slots=True, eq=False)
class PatchPool:
    """Every patch once per epoch, in an order drawn from the seed and the epoch."""

    pairs: PanCollectionSet
    count: int
    """Number of pairs: to ask the file takes longer than all the rest of a draw."""
    starter: Starter
    seed: int
    symmetries: bool
    name: str
    _held: dict[int, TrainingScene] | None = None

    @classmethod
    def open(cls, source: PatchSource, data: DataConfig, starter: Starter, seed: int) -> PatchPool:
        """Open the file.

        Raises:
            FileFormatError: The file is no such set, or holds no reference.
        """
        path = Path(data.root) / source.path
        sensor = None if source.sensor is None else find_sensor(source.sensor)
        pairs = open_pancollection(
            path, full_scale=source.full_scale, sensor=sensor, dtype=np.float64
        )
        if pairs.roles.truth is None:
            raise FileFormatError(
                f"{path} holds no reference (gt), so nothing can be learned from it; a training "
                "set in PanCollection's layout is needed."
            )
        return cls(pairs, len(pairs), starter, seed, data.symmetries, path.name)

    @property
    def pixels(self) -> int:
        """Return the fine pixels of all patches."""
        height, width = self.pairs.item(0)[0].shape
        return self.count * height * width

    def hold(self) -> None:
        """Keep what is read in memory from now on."""
        self._held = {}

    def draw(
        self, number: int, step: int, generator: np.random.Generator, tile: int
    ) -> tuple[Place, Cut]:
        """Choose sample `number` of the run, whole or a part of the tile's size."""
        del step
        epoch, place = divmod(number, self.count)
        k = int(_order(self.seed, epoch, self.count)[place])
        return (k, 0), self._scene(k).place(generator, tile, symmetries=self.symmetries)

    def _scene(self, k: int) -> TrainingScene:
        if self._held is not None and k in self._held:
            return self._held[k]
        pair, gt = self.pairs.item(k)
        if gt is None:
            raise ShapeError(f"Patch {k} of {self.name} has no reference.")
        record = WaldProtocol(MtfFilter((0.3,))).record(pair.profile)
        scene = self.starter.scene(ReducedPair(pair, gt, record), f"{self.name}, patch {k}")
        if self._held is not None:
            self._held[k] = scene
        return scene


@lru_cache(maxsize=2)
def _order(seed: int, epoch: int, count: int) -> NDArray[np.int64]:
    """Return the order of an epoch; batches ask for the same one again and again."""
    return np.random.default_rng([seed, 2, epoch]).permutation(count)
