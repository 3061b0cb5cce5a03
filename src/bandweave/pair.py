"""The value that flows through everything: one spatial and one spectral image of a place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bandweave.errors import ShapeError
from bandweave.grid import Grid
from bandweave.radiometry import Image
from bandweave.sensors import Sensor
from bandweave.window import Window

Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class PairProfile:
    """What is known of a pair before a pixel is read: all that `Method.fit` may ask for."""

    shape: tuple[int, int]
    """Rows and columns of the fine grid, multiples of `ratio`."""
    spatial_bands: int
    """Bands c of the spatial image."""
    bands: int
    """Bands C of the spectral image."""
    ratio: int
    """GSD of the spectral image divided by GSD of the spatial one."""
    phase: tuple[float, float]
    """Fine index (row, column) of coarse sample 0; sample k lies at ratio * k + phase."""
    full_scale: float | None = None
    """Value that maps to 1.0, or None where not known."""
    sensor: Sensor | None = None
    """Sensor model, or None where not known."""
    band_names: tuple[str, ...] | None = None
    """Names of the spectral bands as the file gives them."""


@dataclass(frozen=True, slots=True, eq=False)
class ImagePair:
    """A spatial image (PAN, RGB or MSI) and a spectral image (MS or HS) of one place.

    Always physical values (DN, radiance or reflectance), never scaled: only learned methods divide
    by `full_scale`, inside. Coarse sample k lies at fine index `ratio * k + phase` in each
    direction: (ratio - 1) / 2 for registered deliveries on corner-based grids, ratio / 2 for files
    simulated by the field's toolboxes.

    Raises:
        ShapeError: The shapes, the ratio and the mask do not fit each other.
    """

    spatial: Image
    """`(c, H, W)`, physical values, float32 or float64."""
    spectral: Image
    """`(C, h, w)`, physical values, the same type, H = ratio * h and W = ratio * w."""
    ratio: int
    """Whole number of spatial pixels per spectral pixel, 1 or more."""
    phase: tuple[float, float]
    """Fine index (row, column) of coarse sample 0."""
    full_scale: float | None = None
    """Value that maps to 1.0, or None where not known."""
    valid: Mask | None = None
    """`(H, W)`, True where all bands of both images are usable; None means everywhere."""
    sensor: Sensor | None = None
    """Sensor model (band names, MTF gains), or None where not known."""
    grid: Grid | None = None
    """Grid of the spatial image, or None."""

    def __post_init__(self) -> None:
        for role, image in (("spatial", self.spatial), ("spectral", self.spectral)):
            if image.ndim != 3:
                raise ShapeError(
                    f"The {role} image must be (bands, rows, columns), got {image.shape}."
                )
            if image.dtype not in (np.float32, np.float64):
                raise ShapeError(f"The {role} image must be float32 or float64, got {image.dtype}.")
        if self.spatial.dtype != self.spectral.dtype:
            raise ShapeError(
                "Both images must have one type, got "
                f"{self.spatial.dtype} (spatial) and {self.spectral.dtype} (spectral)."
            )
        if self.ratio < 1:
            raise ShapeError(f"The ratio must be 1 or more, got {self.ratio}.")
        height, width = self.spectral.shape[1] * self.ratio, self.spectral.shape[2] * self.ratio
        if self.spatial.shape[1:] != (height, width):
            raise ShapeError(
                f"At ratio {self.ratio} a spectral image of {self.spectral.shape[1]} x "
                f"{self.spectral.shape[2]} pixels needs a spatial image of {height} x {width}, "
                f"got {self.spatial.shape[1]} x {self.spatial.shape[2]}."
            )
        if self.valid is not None and self.valid.shape != (height, width):
            raise ShapeError(
                f"The mask must have the spatial shape {height} x {width}, got {self.valid.shape}."
            )

    @property
    def shape(self) -> tuple[int, int]:
        """Return rows and columns of the fine grid."""
        return self.spatial.shape[1], self.spatial.shape[2]

    @property
    def profile(self) -> PairProfile:
        """Return the pair's description without its pixels."""
        return PairProfile(
            shape=self.shape,
            spatial_bands=self.spatial.shape[0],
            bands=self.spectral.shape[0],
            ratio=self.ratio,
            phase=self.phase,
            full_scale=self.full_scale,
            sensor=self.sensor,
            band_names=None if self.sensor is None else self.sensor.band_names,
        )

    @property
    def coarse_valid(self) -> Mask | None:
        """Return the mask `(h, w)` of coarse pixels with at least one valid fine pixel."""
        if self.valid is None:
            return None
        h, w = self.spectral.shape[1:]
        cells = self.valid.reshape(h, self.ratio, w, self.ratio)
        covered: Mask = np.any(cells, axis=(1, 3))
        return covered

    def crop(self, window: Window) -> ImagePair:
        """Cut out a fine window whose edges are multiples of the ratio."""
        rows, cols = window.slices
        crows, ccols = window.coarse(self.ratio).slices
        return self.replace(
            spatial=self.spatial[:, rows, cols],
            spectral=self.spectral[:, crows, ccols],
            valid=None if self.valid is None else self.valid[rows, cols],
            grid=None if self.grid is None else self.grid.window(window),
        )

    def replace(self, **changes: Any) -> ImagePair:
        """Return a copy with some fields changed; it is validated anew."""
        fields = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return ImagePair(**{**fields, **changes})
