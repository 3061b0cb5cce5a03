"""Patches of a set in one `.h5` file, read one at a time: the set may be larger than memory."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bandweave.datasets.pancollection import PanCollectionSet, open_pancollection
from bandweave.degrade.operators import MtfFilter
from bandweave.degrade.wald import ReducedPair, WaldProtocol
from bandweave.errors import FileFormatError, ShapeError
from bandweave.sensors import find_sensor
from bandweave.train.config import DataConfig, PatchSource
from bandweave.train.scene import Sample
from bandweave.train.start import Starter


@dataclass(frozen=True, slots=True, eq=False)
class PatchPool:
    """Every patch once per epoch, in an order drawn from the seed and the epoch."""

    pairs: PanCollectionSet
    starter: Starter
    seed: int
    symmetries: bool
    name: str

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
        return cls(pairs, starter, seed, data.symmetries, path.name)

    def draw(self, number: int, step: int, generator: np.random.Generator, tile: int) -> Sample:
        """Return sample `number` of the run, whole or cut to the tile."""
        del step
        epoch, place = divmod(number, len(self.pairs))
        order = np.random.default_rng([self.seed, 2, epoch]).permutation(len(self.pairs))
        k = int(order[place])
        pair, gt = self.pairs.item(k)
        if gt is None:
            raise ShapeError(f"Patch {k} of {self.name} has no reference.")
        record = WaldProtocol(MtfFilter((0.3,))).record(pair.profile)
        scene = self.starter.scene(ReducedPair(pair, gt, record), f"{self.name}, patch {k}")
        return scene.draw(generator, tile, symmetries=self.symmetries)
