"""The absolute difference of two files on the same grid: the error map."""

from __future__ import annotations

import numpy as np

from bandweave.errors import GridMismatchError
from bandweave.pair import Mask
from bandweave.viewer.bands import BandLabel
from bandweave.viewer.layers import FileLayer, Pixels
from bandweave.window import Window

MEAN = 0
"""Band of a difference that is the mean over all its bands."""

# Levels by which a difference is taken before it is averaged, and bands read for it at a time.
_FINER_LEVELS, _BANDS_AT_ONCE = 2, 8
_MOST_BANDS_FINER = 16
# Pixels of the plane by which equal grids may differ in their written transforms.
_SAME_PLACE = 1e-3


class DifferenceLayer:
    """|A − B| of two files on one grid, per band, and as the mean over the bands (band 0).

    A coarse pixel shows the mean of the absolute differences, not the difference of means, which
    would vanish: level z is averaged from the differences at level z - `finer`. Up to `finer` it is
    exact; beyond, the files' own overviews have averaged before.

    Raises:
        GridMismatchError: The files differ in grid or bands.
    """

    def __init__(self, first: FileLayer, second: FileLayer) -> None:
        if not is_comparable(first, second):
            raise GridMismatchError(
                "An error map needs two files of the same grid and number of bands, but "
                f"{first.name} has {_in_words(first)} and {second.name} {_in_words(second)}; give "
                "the result and a reference on its grid."
            )
        self.first, self.second = first, second
        self.key = f"{first.key}-{second.key}"
        self.name = f"|{first.name} − {second.name}|"
        self.pyramid, self.placement = first.pyramid, first.placement
        self.labels = (BandLabel("mean of all bands"), *first.labels)

    @property
    def bands(self) -> range:
        """Return 0, the mean, and the bands of the files."""
        return range(len(self.labels))

    @property
    def default_bands(self) -> tuple[int, ...]:
        """Return the mean."""
        return (MEAN,)

    @property
    def finer(self) -> int:
        """Return the levels by which differences are taken before they are averaged."""
        return _FINER_LEVELS if len(self.labels) <= _MOST_BANDS_FINER else 0

    @property
    def coarsest_overview(self) -> int:
        """Return the level up to which both files have overviews."""
        return min(self.first.coarsest_overview, self.second.coarsest_overview)

    @property
    def is_slow(self) -> bool:
        """Tell whether coarse views need the whole of a large file."""
        return self.first.is_slow or self.second.is_slow

    def read(self, bands: tuple[int, ...], level: int, window: Window) -> tuple[Pixels, Mask]:
        """Read a window of a level; float32 `(n, H, W)`, in DN."""
        steps = min(level, self.finer)
        inside = Window.whole(self.pyramid.level_shape(level - steps))
        place = window.fine(2**steps).intersection(inside)
        means, valids = zip(*(self._band(b, level - steps, place) for b in bands), strict=True)
        valid = np.logical_and.reduce(valids)
        return _block_means(np.stack(means), valid, 2**steps, window.shape)

    def _band(self, band: int, level: int, window: Window) -> tuple[Pixels, Mask]:
        """Return one band of the difference, unaveraged."""
        if band != MEAN:
            values, valid = self._difference((band,), level, window)
            return values[0], valid
        count = self.first.image.bands
        total = np.zeros(window.shape, np.float32)
        all_valid = np.ones(window.shape, bool)
        for start in range(1, count + 1, _BANDS_AT_ONCE):
            group = tuple(range(start, min(start + _BANDS_AT_ONCE, count + 1)))
            values, valid = self._difference(group, level, window)
            total += values.sum(axis=0)
            all_valid &= valid
        return total / np.float32(count), all_valid

    def _difference(
        self, bands: tuple[int, ...], level: int, window: Window
    ) -> tuple[Pixels, Mask]:
        a, valid = self.first.read(bands, level, window)
        b, also_valid = self.second.read(bands, level, window)
        with np.errstate(invalid="ignore", over="ignore"):
            values = np.abs(a.astype(np.float64) - b).astype(np.float32)
        return values, valid & also_valid


def is_comparable(first: FileLayer, second: FileLayer) -> bool:
    """Tell whether two files have the same grid and number of bands."""
    if first.image.bands != second.image.bands or first.grid.shape != second.grid.shape:
        return False
    if first.is_warped or second.is_warped:
        return False
    return bool(first.placement.almost_equals(second.placement, precision=_SAME_PLACE))


def _block_means(
    values: Pixels, valid: Mask, factor: int, shape: tuple[int, int]
) -> tuple[Pixels, Mask]:
    """Average the valid pixels of blocks of `factor` pixels per side; edge blocks are smaller."""
    if factor == 1:
        return values, valid
    missing = [size * factor - have for size, have in zip(shape, valid.shape, strict=True)]
    edges = ((0, missing[0]), (0, missing[1]))
    weights = np.pad(valid, edges).astype(np.float32)
    filled = np.pad(np.where(valid, values, 0), ((0, 0), *edges))
    blocks = (shape[0], factor, shape[1], factor)
    counts = weights.reshape(blocks).sum(axis=(1, 3))
    sums = filled.reshape(len(values), *blocks).sum(axis=(2, 4))
    return sums / np.maximum(counts, 1), counts > 0


def _in_words(layer: FileLayer) -> str:
    height, width = layer.grid.shape
    count = layer.image.bands
    return f"{height} x {width} pixels and {count} band{'s' if count > 1 else ''}"
