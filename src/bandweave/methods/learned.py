"""A trained network as a Method: checks, what it starts from, scaling in and out."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bandweave.errors import BandCountError, GridMismatchError, ScaleError, ShapeError
from bandweave.methods.base import FixedTile, Local, Method, NetworkTile, RowJoin
from bandweave.methods.nets.attention.layer import Precision
from bandweave.methods.nets.card import WeightCard
from bandweave.methods.nets.checkpoint import Weights
from bandweave.methods.nets.device_runner import DeviceRunner
from bandweave.methods.nets.inference import GPU_BATCH, Device, TileRunner, make_runner
from bandweave.methods.preparation import (
    FittedBase,
    Preparation,
    base_measurement,
    fitted_base,
    make_base,
)
from bandweave.methods.statistics import Measurement, SceneStatistics
from bandweave.pair import ImagePair, PairProfile
from bandweave.radiometry import Image, from_unit, to_unit
from bandweave.window import Window

# Fine pixels that neighbouring tiles share: a quarter of the usual tile. Attention spans the tile,
# so neighbours disagree a little everywhere, and more where convolutions see the zero padding.
OVERLAP = 16

# Side of the blocks that convolutional networks are run on. 64 feature maps of a block with its
# apron take some 25 MB, and every block inside a scene has one shape.
BLOCK = 256


@dataclass(frozen=True, slots=True, eq=False)
class LearnedMethod:
    """A network with given weights, run as its reach asks for.

    A network that sees all of its tile (attention, global pooling) is run tile by tile at the size
    it was trained for, overlapped and blended. A convolutional one is run block by block, each with
    as much context as it sees, so that the result is that of the whole scene.

    The pair is brought to what the weights know before it is fused: the coarse image is resampled
    by the difference of the phases, and the PAN is blurred by `pan_sigma`. The PAN is never moved.
    """

    weights: Weights
    device: Device = "auto"
    """Where to compute; `auto` takes a CUDA device where there is one."""
    pan_sigma: float = 0.0
    """Width in fine pixels of the Gaussian that brings this PAN to the sharpness trained with."""
    threads: int | None = None
    """Tiles computed side by side on the CPU; None for as many as torch would use."""
    attention: Precision = "fp32"
    """Rounding of the products in the network's attention, see `spatial_attention`."""

    @property
    def id(self) -> str:
        """Return the key in METHODS."""
        return self.weights.card.architecture

    @property
    def precision(self) -> type[np.float32 | np.float64]:
        """Return the type in which pairs are handed over."""
        return np.float32

    def measurement(self, profile: PairProfile) -> Measurement | None:
        """Return what the network's base needs of the whole scene, or None.

        Raises:
            FusionError: The pair does not suit the base.
        """
        base = self._base()
        return None if base is None else base_measurement(base, profile, self.pan_sigma)

    def fit(
        self, profile: PairProfile, statistics: SceneStatistics | None
    ) -> FittedTileNetwork | FittedLocalNetwork:
        """Check that the weights suit the pair, fit the base, put the network on its device.

        Raises:
            BandCountError: The pair has other band counts than the network.
            GridMismatchError: The pair has another ratio than the network.
            ScaleError: The pair's full scale is not known.
            FusionError: The pair does not suit the network's base.
        """
        card, model = self.weights.card, self.weights.model
        full_scale = require_fit(card, profile)
        rows, cols = (
            (here - trained) / profile.ratio
            for here, trained in zip(profile.phase, card.phase, strict=True)
        )
        preparation = Preparation(
            ratio=profile.ratio,
            shift=(rows, cols),
            pan_sigma=self.pan_sigma,
            base=self._fitted_base(profile, statistics),
        )
        unit = math.lcm(profile.ratio, model.stride)
        if model.receptive_radius is None:
            return self._in_tiles(full_scale, preparation, unit)
        margin = _rounded(model.receptive_radius, unit)
        return self._in_blocks(full_scale, preparation, unit, margin)

    def _in_blocks(
        self, full_scale: float, preparation: Preparation, unit: int, margin: int
    ) -> FittedLocalNetwork:
        side = max(BLOCK // unit, 1) * unit
        return FittedLocalNetwork(
            full_scale=full_scale,
            preparation=preparation,
            margin=margin,
            unit=unit,
            runner=self._runner(gpu_batch=1),
            reach=Local(margin + _rounded(preparation.apron, unit), (side, side)),
        )

    def _in_tiles(
        self, full_scale: float, preparation: Preparation, unit: int
    ) -> FittedTileNetwork:
        card = self.weights.card
        runner = self._runner(GPU_BATCH)
        return FittedTileNetwork(
            card=card,
            full_scale=full_scale,
            preparation=preparation,
            runner=runner,
            reach=FixedTile(
                size=card.tile,
                overlap=_overlap(card.tile, unit),
                apron=preparation.apron_beside_base,
                batch=runner.batch,
            ),
        )

    def _runner(self, gpu_batch: int) -> TileRunner:
        return make_runner(
            self.weights.model, self.device, self.threads, gpu_batch, precision=self.attention
        )

    def _base(self) -> Method | None:
        name = self.weights.model.base
        return None if name is None else make_base(name)

    def _fitted_base(
        self, profile: PairProfile, statistics: SceneStatistics | None
    ) -> FittedBase | None:
        base = self._base()
        if base is None:
            return None
        return fitted_base(base, profile, statistics, self.weights, self.pan_sigma)


@dataclass(frozen=True, slots=True, eq=False)
class FittedTileNetwork:
    """A network whose result belongs to the tile, ready to fuse tiles of one kind of pair."""

    card: WeightCard
    full_scale: float
    """Value of the pair that maps to 1.0."""
    preparation: Preparation
    runner: TileRunner
    reach: FixedTile

    @property
    def base(self) -> FittedBase | None:
        """Return the closed form that the tiles start from, or None."""
        return self.preparation.base

    def fuse(self, pair: ImagePair) -> Image:
        """Return `hrms` `(C, size, size)` of one tile with its apron, physical values.

        What the network starts from is made of the tile with its apron alone: exact inside a scene
        only where it is handed to `prepare`.

        Raises:
            ShapeError: The pair is not a tile with its apron.
        """
        return self.fuse_batch([self.prepare(pair)])[0]

    def prepare(self, pair: ImagePair, start: Image | None = None) -> NetworkTile:
        """Bring a tile, or a row of overlapping ones, with its apron to what the weights know.

        Args:
            pair: The tile with its apron, which is cut.
            start: What the network starts from, of the same extent; see `Preparation`.

        Raises:
            ShapeError: The pair is not a tile with its apron.
        """
        size, apron = self.reach.size, self.reach.apron
        height, width = (side - 2 * apron for side in pair.shape)
        is_row = width >= size and (width - size) % (size - self.reach.overlap) == 0
        if height != size or not is_row:
            raise ShapeError(
                f"The weights {self.card.name} fuse tiles of {size} pixels with {apron} pixels of "
                f"context per side, got a pair of {pair.shape[0]} x {pair.shape[1]} pixels; fuse "
                "larger images with `bandweave.fuse`."
            )
        tile = self.preparation(pair, start)
        return _crop(tile, Window(apron, apron, size, width), pair.ratio)

    def fuse_batch(self, tiles: Sequence[NetworkTile]) -> list[Image]:
        """Fuse prepared tiles; each result is the same whatever else is in the batch.

        Returns:
            One `hrms` `(C, size, size)` per tile, physical values in [0, full_scale], float32.
        """
        return list(from_unit(self.runner(*_batch(tiles, self.full_scale)), self.full_scale))

    @property
    def rows_at_once(self) -> int:
        """Return how many rows under way keep its GPUs busy; 0 on a CPU, see `FittedRows`."""
        return self.runner.calls_at_once if isinstance(self.runner, DeviceRunner) else 0

    def fuse_row(
        self, row: NetworkTile | None, join: RowJoin, above: Callable[[], Image | None]
    ) -> tuple[NDArray[Any], Image]:
        """Fuse a prepared row of tiles and join it to the row above, see `FittedRows`."""
        assert isinstance(self.runner, DeviceRunner)
        images = None
        if row is not None:
            images = [row.spatial, row.spectral, *(() if row.start is None else (row.start,))]
        return self.runner.fuse_row(images, self.reach.size, self.full_scale, join, above)


@dataclass(frozen=True, slots=True, eq=False)
class FittedLocalNetwork:
    """A convolutional network, ready to fuse images of any size of one kind of pair."""

    full_scale: float
    """Value of the pair that maps to 1.0."""
    preparation: Preparation
    margin: int
    """Fine pixels per side that the network sees, a multiple of `unit`."""
    unit: int
    """Rows and columns the network is run on are multiples of this."""
    runner: TileRunner
    reach: Local

    def fuse(self, pair: ImagePair) -> Image:
        """Return `hrms` `(C, H, W)`, physical values in [0, full_scale], float32."""
        return self.fuse_core(pair, Window.whole(pair.shape))

    def fuse_core(self, pair: ImagePair, core: Window) -> Image:
        """Return `hrms` of a part of a pair `(C, core.height, core.width)`, as `fuse` does.

        The network is run on the part and as much around it as it sees; the rest of the context
        serves the preparation. Where the pair ends before that, as it does at a scene's edge, the
        images are mirrored, since the zeros that most networks add by themselves darken the
        outermost pixels.
        """
        margin = self.margin
        beyond = (margin + -core.height % self.unit, margin + -core.width % self.unit)
        seen = Window(
            core.row - margin,
            core.col - margin,
            margin + core.height + beyond[0],
            margin + core.width + beyond[1],
        )
        tile = _mirrored(self.preparation(pair), seen, pair)
        fused = self.runner(*_batch([tile], self.full_scale))[0]
        part = fused[:, margin : margin + core.height, margin : margin + core.width]
        return from_unit(part, self.full_scale)


def require_fit(card: WeightCard, profile: PairProfile) -> float:
    """Return the pair's full scale, after checking that the weights suit the pair.

    Raises:
        BandCountError: The pair has other band counts than the network.
        GridMismatchError: The pair has another ratio than the network.
        ScaleError: The pair's full scale is not known.
    """
    if profile.bands != card.bands:
        raise BandCountError(
            f"The weights {card.name} fuse {card.bands} spectral bands "
            f"({', '.join(card.band_names)}), the spectral image has {profile.bands}; select and "
            "order its bands, or use other weights or a classical method."
        )
    if profile.spatial_bands != card.spatial_bands:
        raise BandCountError(
            f"The weights {card.name} need a spatial image of {card.spatial_bands} band(s), "
            f"got {profile.spatial_bands}; are the two images swapped?"
        )
    if profile.ratio != card.ratio:
        raise GridMismatchError(
            f"The weights {card.name} were trained for ratio {card.ratio}, the pair has ratio "
            f"{profile.ratio}; use other weights or a classical method."
        )
    if profile.full_scale is None:
        raise ScaleError(
            f"The weights {card.name} need the value that maps to 1.0, which is not known for this "
            f"pair (it was {card.full_scale:g} in training); give --full-scale or --sensor."
        )
    return profile.full_scale


def _rounded(value: int, unit: int) -> int:
    return -(-value // unit) * unit


def _overlap(tile: int, unit: int) -> int:
    """Return the pixels that tiles share: twice a multiple of `unit`, at most half a tile."""
    return min(_rounded(OVERLAP, 2 * unit), tile // 2 // (2 * unit) * 2 * unit)


def _batch(tiles: Sequence[NetworkTile], full_scale: float) -> list[Image]:
    """Stack the images of tiles in the unit range, in the order of a network's arguments."""
    images = [[tile.spatial for tile in tiles], [tile.spectral for tile in tiles]]
    starts = [tile.start for tile in tiles if tile.start is not None]
    if starts:
        images.append(starts)
    return [
        np.stack([to_unit(np.asarray(image, np.float32), full_scale) for image in role])
        for role in images
    ]


def _crop(tile: NetworkTile, window: Window, ratio: int) -> NetworkTile:
    fine, coarse = (slice(None), *window.slices), (slice(None), *window.coarse(ratio).slices)
    start = None if tile.start is None else tile.start[fine]
    return NetworkTile(tile.spatial[fine], tile.spectral[coarse], start)


def _mirrored(tile: NetworkTile, window: Window, pair: ImagePair) -> NetworkTile:
    """Cut a window out of a tile; where it reaches beyond, the images are mirrored."""
    inside = window.intersection(Window.whole(pair.shape))
    cut = _crop(tile, inside, pair.ratio)
    rows = (inside.row - window.row, window.row_stop - inside.row_stop)
    cols = (inside.col - window.col, window.col_stop - inside.col_stop)
    if not (any(rows) or any(cols)):
        return cut

    def mirror(image: Image, scale: int) -> Image:
        widths = [(0, 0), *((before // scale, after // scale) for before, after in (rows, cols))]
        return np.pad(image, widths, mode="symmetric")

    return NetworkTile(
        mirror(cut.spatial, 1),
        mirror(cut.spectral, pair.ratio),
        None if cut.start is None else mirror(cut.start, 1),
    )
