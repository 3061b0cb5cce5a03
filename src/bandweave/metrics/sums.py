"""What each metric with reference adds up on a tile."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Protocol, Self, TypeVar

import numpy as np

from bandweave.metrics import compilation
from bandweave.metrics.accumulate import MeanTally
from bandweave.metrics.cc import CorrelationTally
from bandweave.metrics.inputs import Precision, require_finite
from bandweave.metrics.pixelwise import PixelTally, pixel_tally
from bandweave.metrics.q2n import q2n_tally
from bandweave.metrics.scc import EdgeTally, scc_tally
from bandweave.metrics.sliding import BOX, sliding_tallies
from bandweave.metrics.ssim import REACH, SsimBorder, ssim_constants, ssim_tally
from bandweave.metrics.tiles import VALUES_PER_TILE, Tile
from bandweave.metrics.uqi import uqi_tally
from bandweave.metrics.windows import GaussianMean
from bandweave.pair import Mask
from bandweave.radiometry import Image
from bandweave.window import Window

_OF_PIXELS = {"sam", "ergas", "ergas_estimate", "psnr", "rmse"}

# Of an image and job, so that a tile has four jobs for each metric by bands. NumPy hands over to
# another thread between any two operations, which costs as much as an operation on a quarter of
# these (benchmarks/bench_metrics.py).
_VALUES_PER_JOB = VALUES_PER_TILE // 4

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
    precision: Precision = np.float64
    """In which pixels, windows and blocks are computed; what is added up over them is double."""

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

    @property
    def shares_windows(self) -> bool:
        """Tell whether UQI and SSIM are wanted and can be summed up in one pass."""
        is_possible = self.window == BOX and self.ssim_border == "valid"
        return {"uqi", "ssim"} <= self.metrics and is_possible and compilation.is_compiled()


@dataclass(frozen=True, slots=True)
class Sums:
    """The tallies of all metrics over some area, by their first band; those of two areas add up.

    What treats all bands at once stands under 0, as the first group of bands does.
    """

    pixels: dict[int, PixelTally] = field(default_factory=dict)
    q2n: dict[int, MeanTally] = field(default_factory=dict)
    uqi: dict[int, MeanTally] = field(default_factory=dict)
    ssim: dict[int, MeanTally] = field(default_factory=dict)
    scc: dict[int, EdgeTally] = field(default_factory=dict)
    cc: dict[int, CorrelationTally] = field(default_factory=dict)

    def merged(self, other: Sums) -> Sums:
        """Add another area, with the same groups of bands, or other metrics and bands."""
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


def clean_tile(tile: Tile, scoring: Scoring) -> Tile:
    """Return a tile with 0 at its invalid pixels; for sums over pixels alone as it is.

    Sums over pixels look for values that are not finite themselves, and every pixel that is scored
    is among those of some tile. Compiled loops take any values meanwhile.

    Raises:
        NodataError: A valid pixel is not finite, and no sum over pixels is wanted that says so.
    """
    if scoring.metrics <= _OF_PIXELS:
        return tile  # they leave out invalid pixels and look for finite values themselves
    is_checked = compilation.is_compiled() and bool(scoring.metrics & _OF_PIXELS)
    images = []
    for image, role in ((tile.estimate, "estimate"), (tile.reference, "reference")):
        kept = image if tile.valid is None else np.where(tile.valid, image, image.dtype.type(0))
        if not is_checked:
            require_finite(kept, role)
        images.append(kept)
    return replace(tile, estimate=images[0], reference=images[1])


def tile_jobs(tile: Tile, scoring: Scoring) -> list[Callable[[], Sums]]:
    """Split the work on a clean tile into calls that may run at once; their sums add up.

    How it is split depends on the scene alone. The longest come first.
    """
    bands = len(tile.reference)
    # Tiles of one scene have the same groups, whatever their size.
    values = min(tile.region.height * tile.region.width * bands, VALUES_PER_TILE)
    at_once = -(-bands // -(-values // _VALUES_PER_JOB))
    groups = [range(first, min(first + at_once, bands)) for first in range(0, bands, at_once)]
    jobs: list[Callable[[], Sums]] = []
    if "q2n" in scoring.metrics:
        jobs.append(partial(_q2n_sums, tile, scoring))
    windowed = {"ssim": _ssim_sums, "uqi": _uqi_sums}
    if scoring.shares_windows:
        windowed = {"ssim": _window_sums}
    jobs += _jobs_by_band(windowed, groups, tile, scoring)
    if scoring.metrics & _OF_PIXELS:
        jobs.append(partial(_pixel_sums, tile))
    return jobs + _jobs_by_band({"scc": _scc_sums, "cc": _cc_sums}, groups, tile, scoring)


def _jobs_by_band(
    work: Mapping[str, Callable[[Tile, range, Scoring], Sums]],
    groups: list[range],
    tile: Tile,
    scoring: Scoring,
) -> list[Callable[[], Sums]]:
    return [
        partial(job, tile, group, scoring)
        for name, job in work.items()
        if name in scoring.metrics
        for group in groups
    ]


def _pixel_sums(tile: Tile) -> Sums:
    return Sums(pixels={0: pixel_tally(*_cut(tile, range(len(tile.reference)), tile.core))})


def _q2n_sums(tile: Tile, scoring: Scoring) -> Sums:
    f, g, valid = _cut(tile, range(len(tile.reference)), tile.core)
    return Sums(q2n={0: q2n_tally(f, g, valid, block=scoring.block, shift=scoring.shift)})


def _uqi_sums(tile: Tile, bands: range, scoring: Scoring) -> Sums:
    part, _ = _around(tile, tile.region, 0, scoring.window - 1)
    tally = uqi_tally(*_cut(tile, bands, part), window=scoring.window)
    return Sums(uqi={bands.start: tally})


def _ssim_sums(tile: Tile, bands: range, scoring: Scoring) -> Sums:
    if scoring.ssim_border == "same":
        part, margins = _around(tile, tile.region, REACH, REACH)
    else:
        part, _ = _around(tile, tile.region, 0, GaussianMean.size - 1)
        margins = ((0, 0), (0, 0))
    tally = ssim_tally(*_cut(tile, bands, part), peak=scoring.peak, margins=margins)
    return Sums(ssim={bands.start: tally})


def _window_sums(tile: Tile, bands: range, scoring: Scoring) -> Sums:
    """Do `_uqi_sums` and `_ssim_sums` in one pass."""
    part, _ = _around(tile, tile.region, 0, BOX - 1)
    small, _ = _around(tile, tile.region, 0, GaussianMean.size - 1)
    uqi, ssim = sliding_tallies(
        *_cut(tile, bands, part),
        boxes=(part.height - BOX + 1, part.width - BOX + 1),
        gaussians=(small.height - GaussianMean.size + 1, small.width - GaussianMean.size + 1),
        constants=ssim_constants(scoring.peak),
    )
    return Sums(uqi={bands.start: uqi}, ssim={bands.start: ssim})


def _scc_sums(tile: Tile, bands: range, scoring: Scoring) -> Sums:
    del scoring
    inner = tile.region.padded(-1)  # the outermost pixels are dropped before the filter
    if tile.core.intersection(inner).is_empty:
        return Sums()
    part, margins = _around(tile, inner, 1, 1)
    tally = scc_tally(*_cut(tile, bands, part), margins=margins)
    return Sums(scc={bands.start: tally})


def _cc_sums(tile: Tile, bands: range, scoring: Scoring) -> Sums:
    del scoring
    return Sums(cc={bands.start: CorrelationTally.of(*_cut(tile, bands, tile.core))})


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


def _cut(tile: Tile, bands: range, part: Window) -> tuple[Image, Image, Mask | None]:
    rows, cols = part.relative_to(tile.window).slices
    place = (slice(bands.start, bands.stop), rows, cols)
    valid = None if tile.valid is None else tile.valid[rows, cols]
    return tile.estimate[place], tile.reference[place], valid


def _merged(first: dict[int, _Tally], second: dict[int, _Tally]) -> dict[int, _Tally]:
    if not first or not second:
        return first or second
    both = dict(first)
    for band, tally in second.items():
        both[band] = both[band].merged(tally) if band in both else tally
    return both
