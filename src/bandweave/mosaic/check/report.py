"""What a check found: values that print as JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from bandweave.degrade.identify import InstrumentEstimate
from bandweave.mosaic.found.relative_sharpness import RelativeSharpness
from bandweave.mosaic.found.sharpness import SharpnessMatch
from bandweave.mosaic.found.shift import Displacement


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """What a file says of its image."""

    name: str
    shape: tuple[int, int]
    """Rows, columns."""
    bands: int
    dtype: str
    crs: str | None = None
    pixel: tuple[float, float] | None = None
    """Pixel size (rows, columns) in units of the CRS, or None without georeference."""
    nodata: float | None = None


@dataclass(frozen=True, slots=True)
class GridFacts:
    """How the two grids lie on each other, from the files alone."""

    ratio: int
    phase: tuple[float, float]
    """Fine index (row, column) of coarse sample 0."""
    shape: tuple[int, int]
    """Rows and columns of the common scene in PAN pixels."""
    pan_share: float
    """Share of the PAN that the scene covers."""
    ms_share: float
    """Share of the MS that the scene covers."""
    drift: tuple[float, float]
    """PAN pixels by which MS samples lie off at the scene's edges."""
    is_resampled: bool
    """Whether the MS has to be resampled for its grid to nest."""


@dataclass(frozen=True, slots=True)
class CheckReport:
    """All that was found. `advice` says in words what follows from it."""

    pan: ImageFacts
    ms: ImageFacts
    grids: GridFacts
    valid_share: float
    """Share of pixels usable in both images."""
    is_valid_counted: bool
    """Whether every pixel was looked at; if not, the share is an estimate from places spread
    over the scene."""
    sensor: str | None
    full_scale: float | None
    table_gain: float | None
    """Mean MTF gain of the MS bands in the sensor table, or None."""
    displacement: Displacement
    offset: tuple[float, float] | None
    """What `fuse --align auto` corrects (rows, columns) in PAN pixels, or None."""
    can_align: bool
    """Whether `fuse` corrects such a displacement: .mat and .h5 pairs are not cropped for it."""
    sharpness: RelativeSharpness | None
    """None where no window of the scene has content."""
    instruments: InstrumentEstimate | None = None
    """Point spread, phase and response where the sharp image has several bands, else None."""
    weights: str | None = None
    """Weights that the PAN was matched to."""
    match: SharpnessMatch | None = None
    """Blur that suits these weights, or None without weights or MTF gains."""
    remarks: tuple[str, ...] = ()
    """What the reader had to say of the grids."""
    advice: tuple[str, ...] = field(default=())

    def as_dict(self) -> dict[str, Any]:
        """Return the report for JSON."""
        content = asdict(self)
        if self.instruments is not None:
            content["instruments"] = self.instruments.as_dict()
        return content
