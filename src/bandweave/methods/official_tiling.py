"""The released program's way to cut a scene, for parity with published results.

Tiles of 64 pixels with 4 reflected pixels around the scene, cut hard. A network trained at 64
pixels is run at 72, and tiles that cross the far edge see zeros beyond the reflected pixels. The
recommended way is `learned`: the trained size, overlapped and blended.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bandweave.errors import ConfigError, ShapeError
from bandweave.methods.base import WholeScene
from bandweave.methods.learned import require_fit
from bandweave.methods.nets.checkpoint import Weights
from bandweave.methods.nets.inference import Device, TileRunner, make_runner
from bandweave.methods.statistics import Measurement, SceneStatistics
from bandweave.pair import ImagePair, PairProfile
from bandweave.radiometry import Image, from_unit, to_unit

# Reflected fine pixels per side of a tile: one coarse pixel at the release's ratio of 4.
MARGIN = 4


@dataclass(frozen=True, slots=True, eq=False)
class OfficialTiling:
    """U2Net with the released tiling: neither the phase nor the PAN is adapted to the weights."""

    weights: Weights
    device: Device = "auto"
    """Where to compute; `auto` takes a CUDA device where there is one."""
    threads: int | None = None
    """Tiles computed side by side on the CPU; None for as many as torch would use."""

    @property
    def id(self) -> str:
        """Return the key in METHODS."""
        return self.weights.card.architecture

    @property
    def precision(self) -> type[np.float32 | np.float64]:
        """Return the type in which pairs are handed over."""
        return np.float32

    def measurement(self, profile: PairProfile) -> Measurement | None:
        """Nothing of the whole scene is needed."""
        del profile
        return None

    def fit(self, profile: PairProfile, statistics: SceneStatistics | None) -> FittedOfficialTiling:
        """Check that the weights suit the pair, and put the network on its device.

        Raises:
            ConfigError: The weights are not of the released network.
            BandCountError: The pair has other band counts than the network.
            GridMismatchError: The pair has another ratio than the network.
            ScaleError: The pair's full scale is not known.
        """
        del statistics
        card = self.weights.card
        if card.architecture != "u2net" or self.weights.model.base is not None:
            raise ConfigError(
                f"The released tiling is that of U2Net as published; the weights {card.name} are "
                "another network: use --tiling blend."
            )
        full_scale = require_fit(card, profile)
        # Inputs, their canvases in the unit range, and the result, in float32.
        planes = 3 * (profile.bands + profile.spatial_bands)
        return FittedOfficialTiling(
            core=card.tile,
            full_scale=full_scale,
            runner=make_runner(self.weights.model, self.device, self.threads),
            reach=WholeScene(bytes_per_pixel=4 * planes),
        )


@dataclass(frozen=True, slots=True, eq=False)
class FittedOfficialTiling:
    """The released tiling, ready to fuse a whole scene."""

    core: int
    """Fine pixels per side that a tile contributes."""
    full_scale: float
    """Value of the pair that maps to 1.0."""
    runner: TileRunner
    reach: WholeScene

    def fuse(self, pair: ImagePair) -> Image:
        """Return `hrms` `(C, H, W)`, physical values in [0, full_scale].

        The released program also computes, and throws away, a row and a column of tiles beyond a
        scene whose size is a multiple of the tile's; they are left out here.

        Raises:
            ShapeError: The scene is too small to reflect its margin.
        """
        height, width = pair.shape
        margin = MARGIN // pair.ratio
        if min(pair.spectral.shape[1:]) <= margin or min(height, width) <= MARGIN:
            raise ShapeError(
                f"The released tiling reflects {MARGIN} pixels at each edge and needs a scene "
                f"larger than that, got {height} x {width}."
            )
        rows, cols = -(-height // self.core), -(-width // self.core)
        spatial = self._canvas(pair.spatial, MARGIN, self.core, (rows, cols))
        spectral = self._canvas(pair.spectral, margin, self.core // pair.ratio, (rows, cols))
        hrms = np.empty((len(pair.spectral), rows * self.core, cols * self.core), np.float32)
        for row in range(rows):
            fused = self.runner(
                _row_of_tiles(spatial, row, cols, self.core, MARGIN),
                _row_of_tiles(spectral, row, cols, self.core // pair.ratio, margin),
            )
            kept = fused[:, :, MARGIN:-MARGIN, MARGIN:-MARGIN]
            strip = kept.transpose(1, 2, 0, 3).reshape(len(hrms), self.core, -1)
            hrms[:, row * self.core : (row + 1) * self.core] = strip
        return from_unit(hrms[:, :height, :width], self.full_scale)

    def _canvas(self, image: Image, margin: int, core: int, tiles: tuple[int, int]) -> Image:
        """Reflect the margin and fill up with zeros to whole tiles, in the unit range."""
        bands, height, width = image.shape
        canvas = np.zeros((bands, *(n * core + 2 * margin for n in tiles)), np.float32)
        padded = np.pad(image, ((0, 0), (margin, margin), (margin, margin)), mode="reflect")
        canvas[:, : height + 2 * margin, : width + 2 * margin] = to_unit(padded, self.full_scale)
        return canvas


def _row_of_tiles(canvas: Image, row: int, cols: int, core: int, margin: int) -> Image:
    """Cut `(cols, bands, core + 2 margin, core + 2 margin)` out of a canvas."""
    size = core + 2 * margin
    strip = canvas[:, row * core : row * core + size]
    return np.stack([strip[:, :, col * core : col * core + size] for col in range(cols)])
