"""What a fusion method is: fitted from a scene's statistics, then applied within a reach."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from bandweave.methods.statistics import Measurement, SceneStatistics
from bandweave.pair import ImagePair, PairProfile
from bandweave.radiometry import Image, Storage
from bandweave.window import Window


@dataclass(frozen=True, slots=True)
class Local:
    """The result at a pixel depends on its surroundings up to `apron` only."""

    apron: int
    """Fine pixels of context per side that make the result exact; a multiple of the ratio."""
    block: tuple[int, int] | None = None
    """Rows and columns of the blocks a scene is cut into, multiples of the ratio: for methods that
    need much memory per pixel, or blocks on a grid of their own. None leaves it to the mosaic."""
    is_rowwise: bool = False
    """Whether some rows of a block at a time cost no more than the block at once. They are then
    fused and stored a few at a time, which stay in the processor's cache (`FittedBlocks` only)."""


@dataclass(frozen=True, slots=True)
class FixedTile:
    """The result belongs to a tile of one size; tiles are overlapped and blended."""

    size: int
    """Fine pixels per side of the tile the method runs on."""
    overlap: int
    """Fine pixels shared by neighbouring tiles, blended by a raised cosine."""
    apron: int = 0
    """Fine pixels of further context that `prepare` needs, cut off before the tile is run."""
    batch: int = 8
    """Tiles per call; the result of each is the same whatever else is in the call."""


@dataclass(frozen=True, slots=True)
class WholeScene:
    """The method needs all pixels at once."""

    bytes_per_pixel: int
    """Working memory per fine pixel, for the check before the start."""


Reach = Local | FixedTile | WholeScene


class Fitted(Protocol):
    """A method ready to fuse: nothing it does depends on pixels outside its reach any more."""

    @property
    def reach(self) -> Reach:
        """Return how far a result depends on its surroundings."""
        ...

    def fuse(self, pair: ImagePair) -> Image:
        """Return `hrms` `(C, H, W)` in physical values, on the pair's fine grid.

        A `FixedTile` method takes pairs of its tile size plus apron only.
        """
        ...


@runtime_checkable
class FittedBlocks(Fitted, Protocol):
    """A fitted `Local` method whose steps need less and less context, so that it can save work."""

    def fuse_core(self, pair: ImagePair, core: Window) -> Image:
        """Return `hrms` of a part of a pair `(C, core.height, core.width)`.

        Args:
            pair: The part with its apron, less where the scene ends.
            core: The part, relative to the pair.
        """
        ...


def fuse_part(fitted: Fitted, pair: ImagePair, core: Window) -> Image:
    """Return what a `Local` method makes of a part of a pair; the rest is its context.

    Args:
        fitted: The method.
        pair: The part with its apron, less where the scene ends.
        core: The part, relative to the pair.

    Returns:
        `(C, core.height, core.width)`, maybe a view of more.
    """
    if isinstance(fitted, FittedBlocks):
        return fitted.fuse_core(pair, core)
    return core.cut(fitted.fuse(pair))


@dataclass(frozen=True, slots=True, eq=False)
class NetworkTile:
    """What a network is given of a pair, brought to what its weights know; physical values."""

    spatial: Image
    """`(c, H, W)`, float32."""
    spectral: Image
    """`(C, h, w)`, float32, at the phase trained with."""
    start: Image | None
    """`(C, H, W)`, float32: what the network's base makes of the pair, or None."""


@dataclass(frozen=True, slots=True, eq=False)
class RowJoin:
    """How the tiles of a row are summed up, and the sum joined to the rows above and below."""

    down: Image
    """Weights along the rows of a tile, `(size,)`, float32."""
    along: Image
    """Weights along the columns of each of the n tiles, `(n, size)`, float32."""
    part: Window
    """What is kept of the sum, relative to the row."""
    finished: int
    """Leading rows of the part that no row below adds to."""
    storage: Storage | None
    """Type of finished rows; None for physical values, float32."""


class FittedTiles(Fitted, Protocol):
    """A fitted `FixedTile` method, which runs several tiles at once."""

    @property
    def base(self) -> Fitted | None:
        """Return the local method whose result the tiles start from, or None."""
        ...

    def prepare(self, pair: ImagePair, start: Image | None = None) -> NetworkTile:
        """Do the local part (phase, sharpness) on a tile with its apron; cut the apron.

        Args:
            pair: The tile with its apron.
            start: `(C, H, W)` of the same extent: what `base` makes of it within the scene. From
                the pair alone where it is not given.
        """
        ...

    def fuse_batch(self, tiles: Sequence[NetworkTile]) -> list[Image]:
        """Fuse prepared tiles; the result of each is the same whatever else is in the batch."""
        ...


@runtime_checkable
class FittedRows(FittedTiles, Protocol):
    """A `FixedTile` method that blends the tiles of a row by itself, where they were computed."""

    @property
    def rows_at_once(self) -> int:
        """Return how many rows under way keep its devices busy; 0 where it runs on none."""
        ...

    def fuse_row(
        self, row: NetworkTile | None, join: RowJoin, above: Callable[[], Image | None]
    ) -> tuple[NDArray[Any], Image]:
        """Fuse a prepared row of n overlapping tiles, sum them up and join them to the row above.

        May be called from several threads.

        Args:
            row: What `prepare` makes of the whole row; None where no pixel is valid: it adds
                nothing.
            join: How.
            above: Waits for what the row above has left unfinished, `(C, k, width)`, and returns
                it; None where there is none. Asked for as late as possible.

        Returns:
            The finished rows `(C, join.finished, width)`, in the type of `join.storage`, and the
            rest, `(C, m, width)`, float32, physical values.
        """
        ...


class Method(Protocol):
    """A way to fuse, before it has seen the scene."""

    @property
    def id(self) -> str:
        """Return the key in METHODS."""
        ...

    @property
    def precision(self) -> type[np.float32 | np.float64]:
        """Return the type in which pairs are handed over."""
        ...

    def measurement(self, profile: PairProfile) -> Measurement | None:
        """Return what has to be summed over the whole scene first, or None."""
        ...

    def fit(self, profile: PairProfile, statistics: SceneStatistics | None) -> Fitted:
        """Settle everything that depends on the whole scene.

        Raises:
            FusionError: The pair does not suit the method (bands, ratio, scale, sensor model).
        """
        ...
