"""A pair in memory as the scene of a job, and its way from array to array."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bandweave.config import FuseConfig
from bandweave.errors import ConfigError, ShapeError
from bandweave.mosaic.job import Tell
from bandweave.mosaic.prepare import prepare_job
from bandweave.mosaic.runner import ArraySink
from bandweave.pair import ImagePair
from bandweave.radiometry import Storage
from bandweave.raster.bandorder import in_file_order
from bandweave.sensors import find_sensor
from bandweave.source import ArraySource, PairSource
from bandweave.window import Window


@dataclass(frozen=True, slots=True)
class ArrayScene:
    """Arrays are taken as they lie: results cover the whole spatial image."""

    pair: ImagePair
    part: tuple[int, int, int, int] | None = None
    """Column, row, width, height to fuse, or None for all."""

    def can_align(self, offset: tuple[float, float]) -> bool:
        """Tell whether the phase can carry an offset: coarse sample 0 stays on its fine pixels."""
        return all(0 <= phase <= self.pair.ratio for phase in self._phase(offset))

    def opened(self, offset: tuple[float, float]) -> PairSource:
        """Return the pair with its samples displaced by `offset` fine pixels."""
        return ArraySource(self.pair.replace(phase=self._phase(offset)))

    def selected(self, places: tuple[int, ...], offset: tuple[float, float]) -> PairSource:
        """Return the pair with some of its spectral bands, counted from 0, in this order."""
        sensor, bands = self.pair.sensor, self.pair.spectral.shape[0]
        if sensor is not None:
            sensor = in_file_order(sensor, (), [place + 1 for place in places], bands)
        spectral = self.pair.spectral[list(places)]
        return ArraySource(
            self.pair.replace(spectral=spectral, sensor=sensor, phase=self._phase(offset))
        )

    def _phase(self, offset: tuple[float, float]) -> tuple[float, float]:
        rows, cols = self.pair.phase
        return rows + offset[0], cols + offset[1]

    def window(self, source: PairSource) -> Window:
        """Return the part to fuse.

        Raises:
            ConfigError: The part lies outside the image.
        """
        whole = Window.whole(source.profile.shape)
        if self.part is None:
            return whole
        col, row, width, height = self.part
        window = Window(row, col, height, width)
        if window.is_empty or not whole.contains(window):
            raise ConfigError(
                f"The window {self.part} (column, row, width, height) must lie inside the image of "
                f"{whole.width} x {whole.height} pixels."
            )
        return window


def fuse_arrays(
    spatial: NDArray[Any], spectral: NDArray[Any], config: FuseConfig, tell: Tell | None
) -> NDArray[Any]:
    """Fuse two arrays; see `bandweave.fuse`.

    Args:
        spatial: `(H, W)` or `(c, H, W)`.
        spectral: `(C, h, w)`.
        config: Options; those that concern files have no meaning here.
        tell: Receives each decision as one sentence; also turns the progress on stderr on.

    Returns:
        `hrms` `(C, H, W)` in the type of `spectral`, or the one asked for.

    Raises:
        ShapeError: An array has other dimensions.
    """
    spatial = spatial[None] if spatial.ndim == 2 else spatial
    if spatial.ndim != 3 or spectral.ndim != 3:
        raise ShapeError(
            "The spatial array must be (H, W) or (c, H, W) and the spectral one (C, h, w), got "
            f"{spatial.shape} and {spectral.shape}."
        )
    ratio = max(spatial.shape[1] // max(spectral.shape[1], 1), 1)
    pair = ImagePair(
        spatial=spatial.astype(np.float64),
        spectral=spectral.astype(np.float64),
        ratio=ratio,
        phase=((ratio - 1) / 2, (ratio - 1) / 2),
        full_scale=config.full_scale,
        sensor=None if config.sensor is None else find_sensor(config.sensor),
    )
    job = prepare_job(ArrayScene(pair, config.window), config, tell=tell)
    sink = ArraySink(job.window.height)
    stored = Storage(np.dtype(config.dtype or spectral.dtype))
    effect = job.run(sink, stored=stored, quiet=tell is None)
    if effect is not None and tell is not None:
        tell(effect.sentence)
    hrms = sink.hrms
    return stored(hrms) if hrms.dtype.kind == "f" else hrms
