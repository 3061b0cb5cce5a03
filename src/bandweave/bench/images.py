"""The images of a suite: which there are, and reading one of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from bandweave.bench.suite import BenchData, BenchSource, PairsSource
from bandweave.datasets.base import Item
from bandweave.datasets.cave import WAVELENGTHS
from bandweave.datasets.files import open_pairs
from bandweave.degrade.record import DegradationRecord
from bandweave.errors import ConfigError, FileFormatError
from bandweave.sensors import find_sensor
from bandweave.train.config import CaveSource, DataConfig, SceneSource, SyntheticSource
from bandweave.train.files import data_files
from bandweave.train.run_dir import fingerprint
from bandweave.train.simulate import scene_makers


@dataclass(frozen=True, slots=True)
class BenchImage:
    """One image of a suite, not yet read."""

    name: str
    """Unique among the images of its data."""
    source: BenchSource
    """What holds this image alone."""
    root: str
    """Folder that paths are relative to."""

    @property
    def files(self) -> list[Path]:
        """Return the files it is read from."""
        if isinstance(self.source, PairsSource):
            return [Path(self.root) / self.source.path]
        return data_files(self._data)

    @property
    def fingerprint(self) -> str:
        """Return what changes when the content of its files does."""
        return " ".join(_fingerprint(path, path.stat().st_mtime_ns) for path in self.files)

    @property
    def wavelengths(self) -> tuple[float, ...] | None:
        """Return the band centres in nanometres where the data set fixes them."""
        return tuple(map(float, WAVELENGTHS)) if isinstance(self.source, CaveSource) else None

    @property
    def _data(self) -> DataConfig:
        assert not isinstance(self.source, PairsSource)
        return DataConfig(root=self.root, training=(self.source,))

    def read(self) -> tuple[Item, DegradationRecord | None]:
        """Return pair and reference, and how they were simulated where that is known.

        Raises:
            FusionError: A file is missing or unreadable, or does not fit what the source says.
        """
        if isinstance(self.source, PairsSource):
            sensor, scale = find_sensor(self.source.sensor), self.source.full_scale
            assert self.source.images is not None
            path = Path(self.root) / self.source.path
            with open_pairs(path, full_scale=scale, sensor=sensor) as pairs:
                return pairs.item(self.source.images[0]), pairs.record
        (maker,) = scene_makers(self.source, self._data)
        made = maker.make(np.random.default_rng(0))
        # Made-up scenes are observed and not reduced: their recipe is the source's version.
        record = None if isinstance(self.source, SyntheticSource) else made.record
        return (made.pair, made.gt), record


def images_of(data: BenchData, root: Path) -> tuple[list[BenchImage], list[str]]:
    """Return the images that are present, and a sentence for each source that is not.

    Raises:
        ConfigError: Two images have the same name.
        FileFormatError: A set cannot be read.
    """
    images: list[BenchImage] = []
    missing: list[str] = []
    for source in data.sources:
        for part in _single(source, root):
            image = BenchImage(_name(part), part, str(root))
            try:
                present = all(path.is_file() for path in image.files)
            except FileFormatError:
                present = False
            if present:
                images.append(image)
            else:
                missing.append(f"{data.id}: {_where(part, root)} does not exist and is left out.")
    names = [image.name for image in images]
    twins = {name for name in names if names.count(name) > 1}
    if twins:
        raise ConfigError(f"The data {data.id} hold two images called {min(twins)}; rename a file.")
    return images, missing


def _single(source: BenchSource, root: Path) -> Iterator[BenchSource]:
    """Split a source into sources of one image each."""
    if isinstance(source, PairsSource):
        for k in _numbers(source, root):
            yield source.model_copy(update={"images": (k,)})
    elif isinstance(source, CaveSource):
        for scene in source.scenes:
            yield source.model_copy(update={"scenes": (scene,)})
    elif isinstance(source, SyntheticSource):
        for seed in range(*source.seeds):
            yield source.model_copy(update={"seeds": (seed, seed + 1)})
    else:
        yield source


def _numbers(source: PairsSource, root: Path) -> tuple[int, ...]:
    path = root / source.path
    if source.images is not None or not path.is_file():
        return source.images or (0,)
    with open_pairs(path, full_scale=source.full_scale, sensor=find_sensor(source.sensor)) as pairs:
        return tuple(range(len(pairs)))


def _name(source: BenchSource) -> str:
    """Name a source of one image."""
    if isinstance(source, PairsSource):
        assert source.images is not None
        return f"{Path(source.path).stem} {source.images[0]}"
    if isinstance(source, CaveSource):
        return source.scenes[0]
    if isinstance(source, SyntheticSource):
        return f"synthetic {source.seeds[0]}"
    ends = (f"{part[0]:g}-{part[1]:g}" for part in (source.rows, source.columns))
    return f"{Path(source.spatial).stem} {' '.join(ends)}"


def _where(source: BenchSource, root: Path) -> Path:
    if isinstance(source, CaveSource):
        return root / source.path / f"{source.scenes[0]}_ms"
    assert isinstance(source, PairsSource | SceneSource)
    return root / (source.path if isinstance(source, PairsSource) else source.spatial)


@lru_cache(maxsize=4096)
def _fingerprint(path: Path, changed: int) -> str:
    del changed  # a part of the cache's key
    return fingerprint(path)
