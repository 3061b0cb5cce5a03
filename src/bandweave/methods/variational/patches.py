"""Cut overlapping square patches out of an image and average them back into one."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from bandweave.errors import ShapeError


@dataclass(frozen=True, slots=True)
class PatchGrid:
    """Where the patches of an image lie.

    Patches are numbered with the row start fastest, pixels within a patch with the row fastest,
    as column-major programs have it: clusterings and seeds then mean the same here and there.
    """

    size: int
    """Pixels per side of a patch."""
    rows: tuple[int, ...]
    """First rows."""
    cols: tuple[int, ...]
    """First columns."""
    shape: tuple[int, int]
    """Rows and columns of the image."""

    @property
    def count(self) -> int:
        """Return the number of patches."""
        return len(self.rows) * len(self.cols)

    def cut(self, image: Tensor) -> Tensor:
        """Return the patches `(count, bands, size²)` of an image `(bands, rows, cols)`."""
        n, bands = self.size, image.shape[0]
        rows, cols = self._indices(image.device)
        tiled = image[:, rows][:, :, cols]
        tiled = tiled.reshape(bands, len(self.rows), n, len(self.cols), n)
        return tiled.permute(3, 1, 0, 4, 2).reshape(self.count, bands, n * n)

    def join(self, patches: Tensor) -> Tensor:
        """Return the image `(bands, rows, cols)` whose pixels are means over their patches."""
        covering = self.sum(torch.ones_like(patches[:, :1]))
        return self.sum(patches) / covering

    def sum(self, patches: Tensor) -> Tensor:
        """Apply the transpose of `cut`: every pixel is the sum of its patches' values."""
        n, bands = self.size, patches.shape[1]
        rows, cols = self._indices(patches.device)
        tiled = patches.reshape(len(self.cols), len(self.rows), bands, n, n)
        tiled = tiled.permute(2, 1, 4, 0, 3).reshape(bands, len(rows), len(cols))
        height, width = self.shape
        narrowed = tiled.new_zeros(bands, height, len(cols)).index_add_(1, rows, tiled)
        return narrowed.new_zeros(bands, height, width).index_add_(2, cols, narrowed)

    def _indices(self, device: torch.device) -> tuple[Tensor, Tensor]:
        """Return the image rows and columns of all patches, one patch after the other."""
        inside = torch.arange(self.size, device=device)
        rows, cols = (
            (torch.tensor(starts, device=device)[:, None] + inside).reshape(-1)
            for starts in (self.rows, self.cols)
        )
        return rows, cols


def grid_with_last(shape: tuple[int, int], size: int, overlap: int) -> PatchGrid:
    """Return patches at multiples of size − overlap, and one more at the end of each axis.

    The last one is there even where it repeats the one before, and then counts twice: so do the
    programs of LTMR and IR-TenSR.

    Raises:
        ShapeError: The image is smaller than a patch.
    """
    rows, cols = (
        (*_multiples(length, size, overlap), length - size) for length in _checked(shape, size)
    )
    return PatchGrid(size, rows, cols, shape)


def covering_grid(shape: tuple[int, int], size: int, overlap: int) -> PatchGrid:
    """Return patches at multiples of size − overlap, and one more only where these leave a rest.

    Raises:
        ShapeError: The image is smaller than a patch.
    """
    rows, cols = (
        tuple(sorted({*_multiples(length, size, overlap), length - size}))
        for length in _checked(shape, size)
    )
    return PatchGrid(size, rows, cols, shape)


def _multiples(length: int, size: int, overlap: int) -> range:
    return range(0, length - size + 1, size - overlap)


def _checked(shape: tuple[int, int], size: int) -> tuple[int, int]:
    if min(shape) < size:
        raise ShapeError(
            f"Patches of {size} x {size} pixels need an image at least as large, got "
            f"{shape[0]} x {shape[1]}; use a smaller patch or a larger window."
        )
    return shape
