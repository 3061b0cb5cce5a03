"""A scene to learn from, and the tiles cut out of it, turned and mirrored without resampling."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bandweave.errors import ShapeError
from bandweave.pair import Mask
from bandweave.window import Window

UnitImage = NDArray[np.float32]
Place = tuple[int, int]
"""Which scene of a source, and which of its versions."""


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """One tile of the unit range, float32."""

    spatial: UnitImage
    """`(c, H, W)`."""
    spectral: UnitImage
    """`(C, h, w)`."""
    start: UnitImage | None
    """`(M C, H, W)`: what the network's base makes of the pair."""
    gt: UnitImage
    """`(C, H, W)`."""
    operator: int = 0
    """Which of the run's sensor models the spectral image was made with."""
    origin: str = ""
    """Where it was cut, for messages."""


@dataclass(frozen=True, slots=True)
class Symmetry:
    """One of the eight symmetries of the square: transpose, then mirror rows and columns."""

    is_transposed: bool = False
    mirrors_rows: bool = False
    mirrors_columns: bool = False

    @classmethod
    def drawn(cls, generator: np.random.Generator) -> Symmetry:
        """Draw one of the eight."""
        number = int(generator.integers(8))
        return cls(bool(number & 1), bool(number & 2), bool(number & 4))

    def of(self, image: UnitImage) -> UnitImage:
        """Apply it to `(C, H, W)`."""
        turned = image.transpose(0, 2, 1) if self.is_transposed else image
        turned = turned[:, ::-1] if self.mirrors_rows else turned
        return turned[:, :, ::-1] if self.mirrors_columns else turned

    def steps(self, width: int, side: int) -> tuple[int, int, int]:
        """Say where the pixels of a turned tile lie in the memory of the image it is cut from.

        Args:
            width: Pixels per row of that image.
            side: Rows and columns of the tile.

        Returns:
            Steps from the tile's first pixel to what becomes its first one, and from there on from
            row to row, and from column to column.
        """
        down, right = (1, width) if self.is_transposed else (width, 1)
        down, right = (
            -down if self.mirrors_rows else down,
            -right if self.mirrors_columns else right,
        )
        return (side - 1) * -(min(down, 0) + min(right, 0)), down, right


@dataclass(frozen=True, slots=True, eq=False)
class TrainingScene:
    """A simulated pair with its reference, in the unit range.

    Mirroring moves the coarse samples: where sample k lies at r·k + p, the mirrored image has its
    samples at r·k + (r − 1 − p). A mirrored tile keeps the phase if it is cut 2p − (r − 1) fine
    pixels further on: 1 pixel at ratio 4 and phase 2, none at phase 1.5.

    Raises:
        ShapeError: The images do not fit each other.
    """

    spatial: UnitImage
    spectral: UnitImage
    gt: UnitImage
    ratio: int
    phase: tuple[float, float]
    start: UnitImage | None = None
    operator: int = 0
    name: str = ""
    valid: Mask | None = None
    """`(H, W)`: fine pixels to learn from; None for all."""

    def __post_init__(self) -> None:
        height, width = (side * self.ratio for side in self.spectral.shape[1:])
        fine = [self.spatial, self.gt, *([] if self.start is None else [self.start])]
        if any(image.shape[1:] != (height, width) for image in fine):
            raise ShapeError(
                f"The scene {self.name} at ratio {self.ratio} needs fine images of {height} x "
                f"{width}, got {', '.join(str(image.shape) for image in fine)}."
            )

    @property
    def size(self) -> tuple[int, int]:
        """Return rows and columns of the fine grid."""
        return self.gt.shape[1], self.gt.shape[2]

    @property
    def is_symmetric(self) -> bool:
        """Tell whether every turned and mirrored tile is one that the simulation could make."""
        row, column = self.phase
        return row == column and float(2 * row).is_integer()

    def draw(self, generator: np.random.Generator, tile: int, *, symmetries: bool) -> Sample:
        """Cut a tile on the coarse grid, anywhere; see `place`."""
        return self.place(generator, tile, symmetries=symmetries).sample()

    def place(self, generator: np.random.Generator, tile: int, *, symmetries: bool) -> Cut:
        """Choose a tile on the coarse grid, anywhere, and how it is turned.

        Raises:
            ShapeError: The scene is smaller than the tile.
        """
        symmetry = Symmetry.drawn(generator) if symmetries else Symmetry()
        shifts = self._shifts(symmetry)
        ranges = [
            self._corners(side, shift, tile) for side, shift in zip(self.size, shifts, strict=True)
        ]
        if self.valid is None:
            row, column = (int(generator.integers(one.start, one.stop)) for one in ranges)
        else:
            free = self._free(ranges, tile, shifts)
            row, column = (int(n) for n in free[int(generator.integers(len(free)))])
        return self._cut((row, column), tile, symmetry, shifts)

    def _cut(
        self, corner: tuple[int, int], tile: int, symmetry: Symmetry, shifts: tuple[int, int]
    ) -> Cut:
        top, left = (c * self.ratio + s for c, s in zip(corner, shifts, strict=True))
        fine, side = Window(top, left, tile, tile), tile // self.ratio
        return Cut(self, fine, Window(*corner, side, side), symmetry)

    def _corners(self, side: int, shift: int, tile: int) -> range:
        """Return the coarse indices that a tile of the fine size `side` may begin at.

        Raises:
            ShapeError: There is none.
        """
        first = -(-max(-shift, 0) // self.ratio)
        last = (side - tile - max(shift, 0)) // self.ratio
        if last < first:
            raise ShapeError(
                f"The scene {self.name} of {self.size[0]} x {self.size[1]} reduced pixels has "
                f"no room for a tile of {tile}."
            )
        return range(first, last + 1)

    def _free(self, ranges: list[range], tile: int, shifts: tuple[int, int]) -> NDArray[np.intp]:
        """Return the corners `(n, 2)` of tiles without an invalid pixel.

        Raises:
            ShapeError: Every tile holds one.
        """
        assert self.valid is not None
        invalid = np.pad(~self.valid, ((1, 0), (1, 0))).cumsum(axis=0).cumsum(axis=1)
        top, left = (
            np.array(one) * self.ratio + shift for one, shift in zip(ranges, shifts, strict=True)
        )
        below, right = top + tile, left + tile
        found = (
            invalid[np.ix_(below, right)]
            - invalid[np.ix_(top, right)]
            - invalid[np.ix_(below, left)]
            + invalid[np.ix_(top, left)]
        )
        free: NDArray[np.intp] = np.argwhere(found == 0) + np.array([one.start for one in ranges])
        if not len(free):
            raise ShapeError(
                f"The scene {self.name} of {self.size[0]} x {self.size[1]} reduced pixels has no "
                f"tile of {tile} without nodata; leave it out, or choose a part of it."
            )
        return free

    def _shifts(self, symmetry: Symmetry) -> tuple[int, int]:
        """Return how many fine pixels further on a tile is cut, per axis of this scene."""
        # After a transposition the mirrored axis is the other one of the scene.
        mirrors = (symmetry.mirrors_rows, symmetry.mirrors_columns)
        rows, columns = mirrors[::-1] if symmetry.is_transposed else mirrors
        shifts = [
            2 * phase - (self.ratio - 1) if is_mirrored else 0.0
            for phase, is_mirrored in zip(self.phase, (rows, columns), strict=True)
        ]
        if any(shift != int(shift) for shift in shifts) or (
            symmetry.is_transposed and self.phase[0] != self.phase[1]
        ):
            raise ShapeError(
                f"The scene {self.name} has its coarse samples at phase {self.phase}, which no "
                "mirrored tile can keep; train it without symmetries."
            )
        return int(shifts[0]), int(shifts[1])


@dataclass(frozen=True, slots=True, eq=False)
class Cut:
    """A tile of a scene before it is cut."""

    scene: TrainingScene
    fine: Window
    """In the fine images."""
    coarse: Window
    """In the spectral image."""
    symmetry: Symmetry

    @property
    def origin(self) -> str:
        """Say where it lies, for messages."""
        return f"{self.scene.name} at row {self.fine.row}, column {self.fine.col}"

    def sample(self) -> Sample:
        """Cut it."""
        scene = self.scene
        return Sample(
            spatial=self._turned(scene.spatial, self.fine),
            spectral=self._turned(scene.spectral, self.coarse),
            start=None if scene.start is None else self._turned(scene.start, self.fine),
            gt=self._turned(scene.gt, self.fine),
            operator=scene.operator,
            origin=self.origin,
        )

    def _turned(self, image: UnitImage, window: Window) -> UnitImage:
        return np.ascontiguousarray(self.symmetry.of(window.cut(image)))
