"""Which tiles a scene is cut into: an indexable value, anchored to the scene.

The plan depends on the scene's size and the method's reach only, never on the window that is
asked for: a window computes the tiles it touches, hence the very pixels of the full run.
"""

from __future__ import annotations

from dataclasses import dataclass

from bandweave.methods.base import FixedTile, Local, Reach, WholeScene
from bandweave.window import Window

# Most rows and columns of the blocks that local methods are run on. Large enough that the apron
# (some tens of pixels per side) costs little.
LOCAL_BLOCK = (1024, 1024)

# The same for methods to which some rows of a block at a time are as good as all of it. Few whole
# rows of a scene are a few MiB, which stay in the processor's cache from the threads that fuse to
# the one that writes; eight times as many cost a tenth more time (benchmarks/bench_classical.py).
ROW_BLOCK = (256, 8192)

# Whole rows of blocks are held, so that wide scenes get flatter blocks: rows of about this many
# pixels, for 8 bands of 16 bits 128 MiB, but not fewer than 256 rows.
_PIXELS_HELD = 2**23
_FEWEST_ROWS = 256


@dataclass(frozen=True, slots=True)
class Tile:
    """One piece of work. All windows are fine and relative to the scene's first pixel."""

    row: int
    """Row of the tile in the plan."""
    col: int
    """Column of the tile in the plan."""
    run: Window
    """What the method is run on; may cross the scene's edge for fixed tiles."""
    read: Window
    """`run` and its apron; may cross the scene's edge for fixed tiles."""
    write: Window
    """The part of `run` inside the scene that the result contributes to."""


@dataclass(frozen=True, slots=True)
class TilePlan:
    """The tiles of a scene in rows and columns.

    Tile k of a direction is run on [k * stride - overlap / 2, ... + size); neighbours share
    `overlap` pixels and the first tile begins half an overlap before the scene, so that the seams
    lie on multiples of the stride.

    Example:
        >>> plan = TilePlan((100, 200), 64, 64, overlap=16, apron=0, crosses_edge=True)
        >>> plan.rows, plan.cols, plan[0, 1].run
        (3, 5, Window(row=-8, col=40, height=64, width=64))
    """

    scene: tuple[int, int]
    """Rows and columns of the fine scene."""
    height: int
    """Rows of a tile."""
    width: int
    """Columns of a tile."""
    overlap: int
    """Fine pixels that neighbours share; 0 for local methods."""
    apron: int
    """Fine pixels of context per side beyond the tile."""
    crosses_edge: bool
    """Whether tiles keep their full size at the scene's edge (filled by reflection)."""

    @classmethod
    def of(cls, reach: Reach, scene: tuple[int, int], ratio: int) -> TilePlan:
        """Cut a scene according to a method's reach.

        Raises:
            ValueError: A fixed tile does not lie on multiples of the ratio.
        """
        match reach:
            case Local(apron=apron, block=block, is_rowwise=is_rowwise):
                largest = ROW_BLOCK if is_rowwise else LOCAL_BLOCK
                rows, cols = block or _local_block(largest, scene[1], ratio)
                return cls(scene, rows, cols, 0, _multiple(apron, ratio), crosses_edge=False)
            case FixedTile(size=size, overlap=overlap, apron=apron):
                if size % ratio or (size - overlap) % ratio or (overlap // 2) % ratio:
                    raise ValueError(
                        f"A tile of {size} with overlap {overlap} does not lie on multiples of "
                        f"the ratio {ratio}."
                    )
                apron = _multiple(apron, ratio)
                return cls(scene, size, size, overlap, apron, crosses_edge=True)
            case WholeScene():
                return cls(scene, scene[0], scene[1], 0, 0, crosses_edge=False)

    @property
    def stride(self) -> tuple[int, int]:
        """Return the distance between neighbouring tiles (rows, columns)."""
        return self.height - self.overlap, self.width - self.overlap

    @property
    def rows(self) -> int:
        """Return the number of tile rows."""
        return -(-self.scene[0] // self.stride[0])

    @property
    def cols(self) -> int:
        """Return the number of tile columns."""
        return -(-self.scene[1] // self.stride[1])

    def __getitem__(self, index: tuple[int, int]) -> Tile:
        row, col = index
        if not (0 <= row < self.rows and 0 <= col < self.cols):
            raise IndexError(f"Tile {index} lies outside the plan of {self.rows} x {self.cols}.")
        half = self.overlap // 2
        whole = Window.whole(self.scene)
        origin_row, origin_col = row * self.stride[0] - half, col * self.stride[1] - half
        full = Window(origin_row, origin_col, self.height, self.width)
        run = full if self.crosses_edge else full.intersection(whole)
        padded = run.padded(self.apron)
        read = padded if self.crosses_edge else padded.intersection(whole)
        return Tile(row, col, run, read, full.intersection(whole))

    def tile_rows(self, window: Window) -> range:
        """Return the tile rows that contribute to a window of the scene."""
        return _touching(window.row, window.row_stop, self.stride[0], self.overlap, self.rows)

    def tile_cols(self, window: Window) -> range:
        """Return the tile columns that contribute to a window of the scene."""
        return _touching(window.col, window.col_stop, self.stride[1], self.overlap, self.cols)


def held_block(width: int, ratio: int) -> tuple[int, int]:
    """Return rows and columns of blocks whose rows are held in float32, with their context."""
    return _local_block(LOCAL_BLOCK, width, ratio, _PIXELS_HELD // 2, _FEWEST_ROWS // 2)


def _local_block(
    largest: tuple[int, int],
    width: int,
    ratio: int,
    held: int = _PIXELS_HELD,
    fewest: int = _FEWEST_ROWS,
) -> tuple[int, int]:
    """Return rows and columns of the blocks of a scene of this width."""
    most_rows, cols = largest
    rows = min(max(held // width, fewest), most_rows)
    return max(rows // ratio, 1) * ratio, max(cols // ratio, 1) * ratio


def _multiple(value: int, ratio: int) -> int:
    return -(-value // ratio) * ratio


def _touching(start: int, stop: int, stride: int, overlap: int, count: int) -> range:
    """Return the tiles k with [k·stride − o/2, k·stride + stride + o/2) touching [start, stop)."""
    half = overlap // 2
    first = max((start - half) // stride, 0)
    last = min((stop - 1 + half) // stride, count - 1)
    return range(first, last + 1)
