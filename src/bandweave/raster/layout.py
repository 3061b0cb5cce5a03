"""What a written scene looks like: grid of the PAN, bands and values of the MS."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import DTypeLike
from rasterio.enums import ColorInterp
from rasterio.rpc import RPC

from bandweave.errors import NodataError
from bandweave.grid import Grid
from bandweave.raster.mask import as_stored
from bandweave.raster.reader import RasterPair
from bandweave.window import Window

_TAGS_NOT_KEPT = frozenset(
    {
        "AREA_OR_POINT",  # the PAN's counts
        "TIFFTAG_SOFTWARE",
        "TIFFTAG_XRESOLUTION",
        "TIFFTAG_YRESOLUTION",
        "TIFFTAG_RESOLUTIONUNIT",
        "TIFFTAG_MINSAMPLEVALUE",
        "TIFFTAG_MAXSAMPLEVALUE",
    }
)


@dataclass(frozen=True, slots=True)
class OutputLayout:
    """Grid, type and metadata of a raster to be written; lists hold one entry per band."""

    grid: Grid
    bands: int
    dtype: np.dtype[Any]
    nodata: float | None = None
    """Value of invalid pixels, or None: then they are told by an internal mask."""
    largest: float | None = None
    """Values are clipped above this, or at the limits of an integer type only."""
    descriptions: tuple[str | None, ...] | None = None
    colours: tuple[ColorInterp, ...] | None = None
    scales: tuple[float, ...] | None = None
    offsets: tuple[float, ...] | None = None
    units: tuple[str | None, ...] | None = None
    band_tags: tuple[dict[str, str], ...] | None = None
    tags: dict[str, str] = field(default_factory=dict)
    rpcs: RPC | None = None


def output_layout(
    pair: RasterPair,
    *,
    window: Window | None = None,
    dtype: DTypeLike | None = None,
    nodata: float | None = None,
    largest: float | None = None,
) -> OutputLayout:
    """Describe the fused scene of a pair: place from the PAN, bands and values from the MS.

    Args:
        pair: Open pair.
        window: Part of the scene to be written, in pixels of the scene; the pair's
            `output_window` by default.
        dtype: Type of the file, the MS's by default.
        nodata: Value of invalid pixels; by default the MS's, or NaN for floating-point files.
        largest: Clip above this value, for example the full scale.

    Raises:
        NodataError: The nodata value cannot be held by the type.
    """
    part = pair.output_window if window is None else window
    facts = pair.ms.facts
    target = np.dtype(facts.dtype if dtype is None else dtype)
    value = facts.nodata if nodata is None else nodata
    if value is None and target.kind == "f":
        value = np.nan
    if value is not None and as_stored(value, target) is None:
        raise NodataError(
            f"The output is written as {target}, which cannot hold the nodata value {value:g} of "
            f"{pair.ms.name}; give one that it can, or another type."
        )
    pan_tags = pair.pan.facts.tags
    tags = {key: text for key, text in facts.tags.items() if key not in _TAGS_NOT_KEPT}
    if "AREA_OR_POINT" in pan_tags:
        tags["AREA_OR_POINT"] = pan_tags["AREA_OR_POINT"]
    placed = part.shifted(pair.nesting.pan_window.row, pair.nesting.pan_window.col)
    return OutputLayout(
        grid=pair.nesting.grid.window(part),
        bands=pair.ms.bands,
        dtype=target,
        nodata=as_stored(value, target),
        largest=largest,
        descriptions=facts.descriptions,
        colours=facts.colours,
        scales=facts.scales,
        offsets=facts.offsets,
        units=facts.units,
        band_tags=tuple(_without_statistics(tags) for tags in facts.band_tags),
        tags=tags,
        rpcs=_moved_rpcs(pair.pan.facts.rpcs, placed),
    )


def _without_statistics(tags: dict[str, str]) -> dict[str, str]:
    """Drop statistics: they are those of other pixels."""
    return {key: text for key, text in tags.items() if not key.startswith("STATISTICS_")}


def _moved_rpcs(rpcs: RPC | None, part: Window) -> RPC | None:
    """Count a camera model's lines and samples from the first pixel of `part`."""
    if rpcs is None:
        return None
    return RPC(
        **{
            **rpcs.to_dict(),
            "line_off": rpcs.line_off - part.row,
            "samp_off": rpcs.samp_off - part.col,
        }
    )
