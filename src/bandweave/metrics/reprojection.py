"""Scores of the reprojection group, of arrays and of scenes that are read tile by tile."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from bandweave.errors import NodataError
from bandweave.metrics.accumulate import MeanTally
from bandweave.metrics.comparison import require_nesting
from bandweave.metrics.cross_correlation import correlation_context, correlation_valid
from bandweave.metrics.d_rho import distance_tally, local_distance
from bandweave.metrics.derived import Filtered
from bandweave.metrics.images import ArrayImage, ImageSource, both_valid
from bandweave.metrics.inputs import cleaned
from bandweave.metrics.protocol import Protocol, find_protocol
from bandweave.metrics.reduced import chosen_metrics, explained, require_kind, scored
from bandweave.metrics.reprojected import (
    Reprojection,
    best_offsets,
    half_width_of,
    phase_likeness,
    positive_kernels,
)
from bandweave.metrics.scores import Scores
from bandweave.metrics.tiles import in_order, plan_tiles
from bandweave.pair import Mask
from bandweave.progress import Advance, unseen
from bandweave.radiometry import Image
from bandweave.window import Window


def evaluate_reprojection(
    hrms: Image,
    pan: Image,
    lrms: Image,
    *,
    ratio: int,
    gains: Sequence[float],
    protocol: Protocol | str = "reprojection",
    metrics: Sequence[str] | None = None,
    valid: Mask | None = None,
    threads: int | None = None,
) -> Scores:
    """Score a fused image by what the sensor would have seen of it.

    Args:
        hrms: F `(C, H, W)`, DN.
        pan: P `(1, H, W)`, DN.
        lrms: L `(C, h, w)`, DN, H = ratio·h and W = ratio·w.
        ratio: Fine pixels per coarse pixel.
        gains: MTF at the coarse Nyquist frequency for each band, in (0, 1).
        protocol: Value or id of a protocol of kind `reprojection`.
        metrics: Part of the protocol's metrics; None means all.
        valid: `(H, W)`, True where a fine pixel counts; None means everywhere.
        threads: Threads to use; None means all processors. Does not change the values.

    Returns:
        Values by metric id, nan where a metric is not defined; the offsets that were measured
        stand in the conditions.

    Raises:
        BandCountError: The bands of the images or the gains do not fit each other.
        ShapeError: The images do not nest.
        NodataError: No pixel is valid, or a valid one is not finite.
        UnknownNameError: No such protocol or metric.
    """
    return score_reprojection(
        ArrayImage(hrms, valid),
        ArrayImage(pan),
        ArrayImage(lrms),
        ratio=ratio,
        gains=gains,
        protocol=protocol,
        metrics=metrics,
        threads=threads,
    )


def score_reprojection(
    hrms: ImageSource,
    pan: ImageSource,
    lrms: ImageSource,
    *,
    ratio: int,
    gains: Sequence[float],
    protocol: Protocol | str = "reprojection",
    metrics: Sequence[str] | None = None,
    threads: int | None = None,
    advance: Advance = unseen,
) -> Scores:
    """Score a scene of any size; see `evaluate_reprojection`, whose values it gives.

    `advance` is called with the number of fine pixels done.
    """
    used = find_protocol(protocol) if isinstance(protocol, str) else protocol
    require_kind(used, "reprojection")
    wanted = chosen_metrics(used, metrics)
    require_nesting(hrms, pan, lrms, ratio, gains)
    reprojection = measure_reprojection(pan, lrms, ratio=ratio, gains=gains, threads=threads)
    low = Reprojected(Filtered(hrms, positive_kernels(gains, ratio)), reprojection)
    on_grid = [name for name in wanted if name != "d_rho"]
    found, missing = scored(
        low,
        lrms,
        [name.removeprefix("r_") for name in on_grid],
        used,
        ratio=ratio,
        peak=None,
        threads=threads,
        advance=lambda pixels: advance(pixels * ratio**2),
    )
    values = {f"r_{name}": value for name, value in found.items()}
    if "d_rho" in wanted:
        values["d_rho"] = _scene_d_rho(hrms, pan, half_width_of(ratio), threads)
    conditions = {
        "ratio": ratio,
        "mtf_gains": list(gains),
        "offsets": [list(offset) for offset in reprojection.offsets],
        "shape": list(hrms.shape),
    }
    notes = explained(values, {f"r_{name}": why for name, why in missing.items()})
    return Scores(used, {name: values[name] for name in wanted}, conditions, notes)


def measure_reprojection(
    pan: ImageSource,
    lrms: ImageSource,
    *,
    ratio: int,
    gains: Sequence[float],
    threads: int | None = None,
) -> Reprojection:
    """Measure the offset of every band on a scene of any size; see `Reprojection.measured`.

    Raises:
        NodataError: No pixel is valid with its surroundings.
    """
    blurred = Filtered(pan, positive_kernels(gains[:1], ratio))
    nothing = np.zeros((ratio**2, lrms.bands))
    tally = MeanTally(nothing, nothing)
    tiles = plan_tiles(Window.whole(lrms.shape), 1, lrms.bands * ratio**2)
    for part in in_order(partial(_likeness, blurred, lrms, ratio), tiles, threads):
        tally = tally.merged(part)
    if not tally.count.any():
        raise NodataError(
            "The offset between PAN and coarse image cannot be measured: no pixel is valid in both "
            "together with its surroundings; check nodata values and masks."
        )
    return Reprojection(ratio, tuple(gains), best_offsets(tally.means()))


@dataclass(frozen=True, slots=True, eq=False)
class Reprojected:
    """A filtered fine image sampled on the coarse grid, each band from its own offset."""

    source: ImageSource
    reprojection: Reprojection

    @property
    def bands(self) -> int:
        """Return the number of bands."""
        return self.source.bands

    @property
    def shape(self) -> tuple[int, int]:
        """Return rows and columns of the coarse grid."""
        ratio = self.reprojection.ratio
        return self.source.shape[0] // ratio, self.source.shape[1] // ratio

    def read(
        self, window: Window, dtype: type[np.float32 | np.float64]
    ) -> tuple[Image, Mask | None]:
        """Read a coarse window; a pixel is valid where it is in every band."""
        pixels, valid = self.source.read(window.fine(self.reprojection.ratio), dtype)
        low = self.reprojection.sampled(pixels)
        if valid is None:
            return low, None
        masks = self.reprojection.sampled(np.broadcast_to(valid, pixels.shape))
        return low, np.all(masks, axis=0)


def _likeness(
    blurred: ImageSource, lrms: ImageSource, ratio: int, core: Window
) -> MeanTally | None:
    """Sum the local cross-correlation of every band with every phase over a coarse tile."""
    half_width = half_width_of(ratio)
    window = core.padded(correlation_context(half_width)).intersection(Window.whole(lrms.shape))
    bands, valid = lrms.read(window, np.float64)
    pan, pan_valid = blurred.read(window.fine(ratio), np.float64)
    if pan_valid is not None:
        cells = pan_valid.reshape(window.height, ratio, window.width, ratio)
        pan_valid = np.all(cells, axis=(1, 3))
    usable = both_valid(valid, pan_valid)
    if usable is not None and not usable.any():
        return None
    likeness = phase_likeness(pan, cleaned(bands, "lrms", usable)[0], ratio)
    rows, cols = core.relative_to(window).slices
    counted = correlation_valid(usable, half_width)
    inner = likeness[:, :, rows, cols]
    if counted is None:
        size = float(core.height * core.width)
        return MeanTally(inner.sum(axis=(2, 3)), np.full(inner.shape[:2], size))
    columns = inner[:, :, counted[rows, cols]]
    return MeanTally(columns.sum(axis=2), np.full(inner.shape[:2], float(columns.shape[2])))


def _scene_d_rho(
    hrms: ImageSource, pan: ImageSource, half_width: int, threads: int | None
) -> float:
    tally = MeanTally(np.zeros(hrms.bands), np.zeros(hrms.bands))
    tiles = plan_tiles(Window.whole(hrms.shape), 1, hrms.bands)
    for part in in_order(partial(_distance, hrms, pan, half_width), tiles, threads):
        tally = tally.merged(part)
    return tally.mean()


def _distance(
    hrms: ImageSource, pan: ImageSource, half_width: int, core: Window
) -> MeanTally | None:
    window = core.padded(correlation_context(half_width)).intersection(Window.whole(hrms.shape))
    f, valid = hrms.read(window, np.float64)
    p, pan_valid = pan.read(window, np.float64)
    usable = both_valid(valid, pan_valid)
    if usable is not None and not usable.any():
        return None
    clean, _ = cleaned(f, "fused image", usable)
    distance = local_distance(clean, cleaned(p, "PAN", usable)[0], half_width)
    rows, cols = core.relative_to(window).slices
    counted = correlation_valid(usable, half_width)
    return distance_tally(distance[:, rows, cols], None if counted is None else counted[rows, cols])
