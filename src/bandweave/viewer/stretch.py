"""From DN to grey levels: limits from a sample of each band, and a straight line between them."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bandweave.viewer.layers import Layer
from bandweave.window import Window

Limits = tuple[float, float]
"""DN shown black and DN shown at full brightness."""

_SIDE = 1024
"""Pixels per side up to which a whole level is the sample."""
_SPOTS, _SPOT = 8, 128
"""Where that would read a whole large file: windows per side spread over it, and their size."""


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """Values of one band in ascending order; none where no pixel holds data."""

    values: NDArray[Any]
    origin: str
    """Which pixels they are, for the page."""

    def limits(self, low: float, high: float) -> Limits:
        """Return the percentiles `low` and `high` (0 and 100 are the least and the greatest)."""
        if self.values.size == 0:
            return 0.0, 1.0
        last = self.values.size - 1
        first, second = (float(self.values[round(p / 100 * last)]) for p in (low, high))
        return (first, second) if second > first else (first, first + 1.0)


class Samples:
    """The samples of all layers, each read once, when it is first asked for; from any thread."""

    def __init__(self) -> None:
        self._samples: dict[tuple[str, int], Sample] = {}
        self._locks: dict[str, threading.Lock] = {}
        self._lock = threading.Lock()

    def of(self, layer: Layer, band: int) -> Sample:
        """Return the sample of a band."""
        with self._lock:
            lock = self._locks.setdefault(layer.key, threading.Lock())
        with lock:  # two requests for one layer read it once
            known = self._samples.get((layer.key, band))
            if known is None:
                known = self._samples[layer.key, band] = take_sample(layer, band)
        return known


def take_sample(layer: Layer, band: int) -> Sample:
    """Read a whole level of at most 1024 pixels per side, or, where overviews lack, 64 spots."""
    pyramid = layer.pyramid
    level = next(z for z in range(pyramid.levels) if max(pyramid.level_shape(z)) <= _SIDE)
    shape = pyramid.level_shape(level)
    if level <= layer.coarsest_overview + 1:
        values = _valid_values(layer, band, level, Window.whole(shape))
        origin = f"{shape[0]} x {shape[1]} pixels"
        return Sample(np.sort(values), origin if level == 0 else f"{origin} of level {level}")
    height, width = pyramid.shape
    starts = [
        [round(k * (extent - _SPOT) / (_SPOTS - 1)) for k in range(_SPOTS)]
        for extent in (height, width)
    ]
    parts = [
        _valid_values(layer, band, 0, _inside(pyramid.shape, row, col))
        for row in starts[0]
        for col in starts[1]
    ]
    origin = f"{_SPOTS * _SPOTS} spots of {_SPOT} x {_SPOT} pixels"
    return Sample(np.sort(np.concatenate(parts)), origin)


def _inside(shape: tuple[int, int], row: int, col: int) -> Window:
    return Window(row, col, _SPOT, _SPOT).intersection(Window.whole(shape))


def _valid_values(layer: Layer, band: int, level: int, window: Window) -> NDArray[Any]:
    values, valid = layer.read((band,), level, window)
    chosen: NDArray[Any] = values[0][valid]
    return chosen


def to_grey(values: NDArray[Any], limits: tuple[Limits, ...]) -> NDArray[np.uint8]:
    """Return round(255 · (DN − low) / (high − low)), clipped to [0, 255].

    Args:
        values: `(n, H, W)` as the file stores them.
        limits: One pair per band, high above low.
    """
    grey = np.empty(values.shape, np.uint8)
    for band, level, (low, high) in zip(values, grey, limits, strict=True):
        with np.errstate(invalid="ignore", over="ignore"):
            # In this order and precision ties are ties: integers give the same grey everywhere.
            line = (band.astype(np.float64) - low) * 255 / (high - low)
            level[...] = np.rint(np.nan_to_num(np.clip(line, 0, 255)))
    return grey
