"""A pair in memory as the scene of a job."""

from __future__ import annotations

from dataclasses import dataclass

from bandweave.errors import ConfigError
from bandweave.pair import ImagePair
from bandweave.raster.bandorder import in_file_order
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
