"""What each metric with reference adds up on a tile."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol, Self, TypeVar

import numpy as np

from bandweave.metrics.accumulate import MeanTally
from bandweave.metrics.cc import CorrelationTally
from bandweave.metrics.inputs import Array, matched
from bandweave.metrics.pixelwise import PixelTally, pixel_tally
from bandweave.metrics.q2n import q2n_tally
from bandweave.metrics.scc import EdgeTally, scc_tally
from bandweave.metrics.ssim import REACH, SsimBorder, ssim_tally
from bandweave.metrics.tiles import Tile
from bandweave.metrics.uqi import uqi_tally
from bandweave.metrics.windows import GaussianMean
from bandweave.pair import Mask
from bandweave.window import Window

_OF_PIXELS = {"sam", "ergas", "ergas_estimate", "psnr", "rmse"}
_OF_BANDS = {"uqi", "ssim", "scc", "cc"}


_Images = tuple[Array, Array, Mask | None]
_Margins = tuple[tuple[int, int], tuple[int, int]]


class _Mergeable(Protocol):
    def merged(self, other: Self, /) -> Self: ...


_Tally = TypeVar("_Tally", bound=_Mergeable)


@dataclass(frozen=True, slots=True)
class Scoring:
    """Which metrics are summed up, and by which conventions."""

    metrics: frozenset[str]
    """Metric ids."""
    peak: float
    """Full scale in the unit of the tiles; nan where no metric needs it."""
    block: int
    shift: int
    window: int
    ssim_border: SsimBorder

    @property
    def context(self) -> tuple[int, int]:
        """Return the pixels around a tile that its windows need: before it, and after."""
        before, after = [0], [0]
        if "uqi" in self.metrics:
            after.append(self.window - 1)
        if "ssim" in self.metrics:
            before.append(REACH if self.ssim_border == "same" else 0)
            after.append(REACH if self.ssim_border == "same" else 2 * REACH)
        if "scc" in self.metrics:
            before.append(1)
            after.append(1)
        return max(before), max(after)


@dataclass(frozen=True, slots=True)
class Sums:
    """The tallies of all metrics over some area, by band; those of two areas add up.

    What treats all bands at once stands under 0.
    """

    pixels: dict[int, PixelTally] = field(default_factory=dict)
    q2n: dict[int, MeanTally] = field(default_factory=dict)
    uqi: dict[int, MeanTally] = field(default_factory=dict)
    ssim: dict[int, MeanTally] = field(default_factory=dict)
    scc: dict[int, EdgeTally] = field(default_factory=dict)
    cc: dict[int, CorrelationTally] = field(default_factory=dict)

    def merged(self, other: Sums) -> Sums:
        """Add another area, or other metrics and bands of the same."""
        return Sums(
            _merged(self.pixels, other.pixels),
            _merged(self.q2n, other.q2n),
            _merged(self.uqi, other.uqi),
            _merged(self.ssim, other.ssim),
            _merged(self.scc, other.scc),
            _merged(self.cc, other.cc),
        )

    @property
    def is_empty(self) -> bool:
        """Tell whether nothing was summed up at all."""
        return not any((self.pixels, self.q2n, self.uqi, self.ssim, self.scc, self.cc))

    def value(self, metric: str, *, ratio: float, peak: float) -> float:
        """Return the value of a metric that was summed up."""
        return _VALUES[metric](self, ratio, peak)


_VALUES: dict[str, Callable[[Sums, float, float], float]] = {
    "sam": lambda sums, _ratio, _peak: sums.pixels[0].sam(),
    "ergas": lambda sums, ratio, _peak: sums.pixels[0].ergas(ratio=ratio),
    "ergas_estimate": lambda sums, ratio, _peak: sums.pixels[0].ergas(
        ratio=ratio, denominator="estimate"
    ),
    "psnr": lambda sums, _ratio, peak: sums.pixels[0].psnr(peak=peak),
    "rmse": lambda sums, _ratio, _peak: sums.pixels[0].rmse(),
    "q2n": lambda sums, _ratio, _peak: sums.q2n[0].mean(),
    "uqi": lambda sums, _ratio, _peak: MeanTally.joined([*sums.uqi.values()]).mean(),
    "ssim": lambda sums, _ratio, _peak: MeanTally.joined([*sums.ssim.values()]).mean(),
    "scc": lambda sums, _ratio, _peak: EdgeTally.joined([*sums.scc.values()]).cosine(),
    "cc": lambda sums, _ratio, _peak: CorrelationTally.joined([*sums.cc.values()]).coefficient(),
}


def tile_jobs(tile: Tile, scoring: Scoring) -> list[Callable[[], Sums]]:
    """Split the work on a tile into calls that may run at once; their sums add up."""
    jobs: list[Callable[[], Sums]] = []
    if scoring.metrics & _OF_PIXELS:
        jobs.append(partial(_pixel_sums, tile))
    if "q2n" in scoring.metrics:
        jobs.append(partial(_q2n_sums, tile, scoring))
    if scoring.metrics & _OF_BANDS:
        jobs += [partial(_band_sums, tile, band, scoring) for band in range(len(tile.reference))]
    return jobs


def _pixel_sums(tile: Tile) -> Sums:
    core = tile.core
    f, g = tile.cut(tile.estimate, core), tile.cut(tile.reference, core)
    return Sums(pixels={0: pixel_tally(f, g, tile.cut_valid(core))})


def _q2n_sums(tile: Tile, scoring: Scoring) -> Sums:
    f, g, valid = matched(tile.estimate, tile.reference, tile.valid)
    rows, cols = tile.core.relative_to(tile.window).slices
    blocks = q2n_tally(
        f[:, rows, cols],
        g[:, rows, cols],
        None if valid is None else valid[rows, cols],
        block=scoring.block,
        shift=scoring.shift,
    )
    return Sums(q2n={0: blocks})


def _band_sums(tile: Tile, band: int, scoring: Scoring) -> Sums:
    """Sum the metrics that treat bands one by one."""
    # Contiguous: the metrics go over a band many times, and over gaps between rows slowly.
    one = slice(band, band + 1)
    f, g = (np.ascontiguousarray(image[one]) for image in (tile.estimate, tile.reference))
    images = matched(f, g, tile.valid, first_band=band)
    uqi, ssim, scc, cc = {}, {}, {}, {}
    if "uqi" in scoring.metrics:
        part, _ = _around(tile, tile.region, 0, scoring.window - 1)
        uqi[band] = uqi_tally(*_cut(images, tile, part), window=scoring.window)
    if "ssim" in scoring.metrics:
        ssim[band] = _ssim_sums(images, tile, scoring)
    if "scc" in scoring.metrics:
        inner = tile.region.padded(-1)  # the outermost pixels are dropped before the filter
        if not tile.core.intersection(inner).is_empty:
            part, margins = _around(tile, inner, 1, 1)
            scc[band] = scc_tally(*_cut(images, tile, part), margins=margins)
    if "cc" in scoring.metrics:
        f, g, valid = _cut(images, tile, tile.core)
        columns = [x.reshape(1, -1) if valid is None else x[:, valid] for x in (f, g)]
        cc[band] = CorrelationTally.of(columns[0], columns[1])
    return Sums(uqi=uqi, ssim=ssim, scc=scc, cc=cc)


def _ssim_sums(images: _Images, tile: Tile, scoring: Scoring) -> MeanTally:
    if scoring.ssim_border == "same":
        part, margins = _around(tile, tile.region, REACH, REACH)
    else:
        part, _ = _around(tile, tile.region, 0, GaussianMean.size - 1)
        margins = ((0, 0), (0, 0))
    return ssim_tally(*_cut(images, tile, part), peak=scoring.peak, margins=margins)


def _around(tile: Tile, region: Window, before: int, after: int) -> tuple[Window, _Margins]:
    """Return the core within a region with its context, and what is missing of that per side."""
    core = tile.core.intersection(region)
    reach = before + after
    wanted = Window(core.row - before, core.col - before, core.height + reach, core.width + reach)
    part = wanted.intersection(region)
    return part, (
        (part.row - wanted.row, wanted.row_stop - part.row_stop),
        (part.col - wanted.col, wanted.col_stop - part.col_stop),
    )


def _cut(images: _Images, tile: Tile, part: Window) -> _Images:
    rows, cols = part.relative_to(tile.window).slices
    f, g, valid = images
    return f[:, rows, cols], g[:, rows, cols], None if valid is None else valid[rows, cols]


def _merged(first: dict[int, _Tally], second: dict[int, _Tally]) -> dict[int, _Tally]:
    both = dict(first)
    for band, tally in second.items():
        both[band] = both[band].merged(tally) if band in both else tally
    return both
