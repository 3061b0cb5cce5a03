"""Write a scene as a tiled GeoTIFF, row by row, under its final name only when complete."""

from __future__ import annotations

import glob
import math
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from bandweave.errors import OutputError, OutputExistsError
from bandweave.pair import Mask
from bandweave.radiometry import Image, Storage
from bandweave.raster.geotiff import GeoTiffFile, build_overviews, copy_as_cog, reported
from bandweave.raster.layout import OutputLayout

_SIDECARS = (".aux.xml", ".ovr", ".msk")
"""Files that GDAL keeps beside a raster; those of an overwritten one describe other pixels."""


class SceneWriter:
    """Append rows from top to bottom; `commit` moves the finished file to its final name.

    The pixels are written beside the final name and the file is removed unless committed. Rows are
    gathered to whole rows of blocks, so that each block is written once: memory stays at one row of
    blocks, and the same pixels give the same bytes however they were cut into calls.

    Invalid pixels get the layout's nodata value, and valid ones that happen to have it the
    neighbouring value. Without a nodata value they hold 0 and an internal mask tells them, made
    with the first invalid pixel.

    Raises:
        OutputExistsError: The file exists and `overwrite` is False.
        OutputError: The folder is missing or not writable, or the disk is full.

    Example:
        >>> with SceneWriter("fused.tif", layout) as writer:  # doctest: +SKIP
        ...     for rows, valid in strips:
        ...         writer.write_rows(rows, valid)
        ...     writer.commit()
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        layout: OutputLayout,
        *,
        provenance: Mapping[str, str] | None = None,
        creation_options: Mapping[str, str] | None = None,
        cog: bool = False,
        overviews: bool = True,
        overwrite: bool = False,
    ) -> None:
        """Start the file.

        Args:
            path: Final name of the GeoTIFF.
            layout: Grid, type and metadata.
            provenance: Tags for the namespace BANDWEAVE.
            creation_options: GDAL creation options (of driver GTiff, or COG with `cog`) that go
                before the defaults.
            cog: Make a Cloud Optimized GeoTIFF, by one copy at the end.
            overviews: Add averaged overviews until they are smaller than a block.
            overwrite: Replace an existing file.
        """
        self.path = Path(path)
        self._layout = layout
        self._options = dict(creation_options or {})
        self._is_cog = cog
        self._has_overviews = overviews
        self._overwrite = overwrite
        require_place(self.path, overwrite=overwrite)
        self._remove_orphans()
        self._partial = self._beside("partial")
        self._cog_partial = self._beside("cog-partial")
        try:
            self._file = GeoTiffFile(
                self._partial, layout, provenance or {}, {} if cog else self._options, self.path
            )
        except BaseException:
            self._partial.unlink(missing_ok=True)
            raise
        height = min(self._file.rows_at_once, layout.grid.shape[0])
        width = layout.grid.shape[1]
        self._pixels = np.zeros((layout.bands, height, width), layout.dtype)
        self._valid = np.ones((height, width), dtype=bool)
        self._held = 0
        self._written = 0

    def write_rows(self, rows: Image, valid: Mask | None = None) -> None:
        """Append rows.

        Args:
            rows: `(C, n, W)`, physical values, or what `stored` made of them.
            valid: `(n, W)`, False where nothing is known; None where all pixels are valid.

        Raises:
            OutputError: The disk is full or the file cannot be written.
        """
        bands, count, width = rows.shape
        expected = (self._layout.bands, self._layout.grid.shape[1])
        if (bands, width) != expected or self.next_row + count > self._layout.grid.shape[0]:
            raise ValueError(
                f"Rows must be ({expected[0]}, n, {expected[1]}) and end at row "
                f"{self._layout.grid.shape[0]}, got {rows.shape} at row {self.next_row}."
            )
        start = 0
        while start < count:
            taken = min(count - start, self._pixels.shape[1] - self._held)
            part = slice(start, start + taken)
            self._hold(rows[:, part], None if valid is None else valid[part])
            start += taken

    @property
    def dtype(self) -> np.dtype[Any]:
        """Return the type of the file."""
        return self._layout.dtype

    @property
    def stored(self) -> Storage:
        """Return what brings physical values to the type of the file, rounded and clipped."""
        return Storage(self._layout.dtype, self._layout.largest)

    @property
    def pixel_bytes(self) -> int:
        """Return the size of the pixels, not compressed."""
        return self._layout.bands * math.prod(self._layout.grid.shape) * self.dtype.itemsize

    @property
    def finishing_bytes(self) -> int:
        """Return what `commit` may need on the disk besides them: overviews, a COG's copy."""
        # 1/4 + 1/16 + ...
        overviews = self.pixel_bytes // 3 if self._has_overviews else 0
        return overviews + (self.pixel_bytes if self._is_cog else 0)

    @property
    def next_row(self) -> int:
        """Return the row that the next call appends."""
        return self._written + self._held

    def commit(self) -> None:
        """Finish the file and move it to its final name.

        Raises:
            OutputError: The file cannot be finished, for example because the disk is full.
            OutputExistsError: The final name was taken meanwhile and `overwrite` is False.
        """
        if self.next_row != self._layout.grid.shape[0]:
            raise ValueError(
                f"All {self._layout.grid.shape[0]} rows must be written before the file is "
                f"finished, got {self.next_row}."
            )
        try:
            self._finish()
        finally:
            self._discard()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._discard()

    def _hold(self, rows: Image, valid: Mask | None) -> None:
        """Put rows behind those held, and write them all where they fill the buffer."""
        stored = self.stored(rows) if rows.dtype.kind == "f" else rows
        stored = with_nodata(stored, valid, self._layout.nodata)
        if valid is None:
            valid = np.ones(stored.shape[1:], dtype=bool)
        if self._held == 0 and stored.shape[1] == self._pixels.shape[1]:
            self._write(stored, valid)  # nothing to gather
            return
        place = slice(self._held, self._held + stored.shape[1])
        self._pixels[:, place] = stored
        self._valid[place] = valid
        self._held += stored.shape[1]
        is_last = self.next_row == self._layout.grid.shape[0]
        if self._held == self._pixels.shape[1] or is_last:
            held, self._held = self._held, 0
            self._write(self._pixels[:, :held], self._valid[:held])

    def _write(self, pixels: NDArray[Any], valid: Mask) -> None:
        self._file.write(pixels, valid, self._written)
        self._written += pixels.shape[1]

    def _finish(self) -> None:
        self._file.close()
        finished = self._partial
        if self._is_cog:
            finished = self._cog_partial
            copy_as_cog(
                self._partial, finished, self._options, self.path, overviews=self._has_overviews
            )
        elif self._has_overviews:
            build_overviews(self._partial, self._options, self.path)
        require_place(self.path, overwrite=self._overwrite)
        with reported(self.path):
            finished.replace(self.path)
            for suffix in _SIDECARS:
                self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)

    def _beside(self, kind: str) -> Path:
        return self.path.with_name(f".{self.path.stem}.{kind}-{os.getpid()}.tif")

    def _remove_orphans(self) -> None:
        """Remove what a killed process left of this output; those of living ones stay."""
        for kind in ("partial", "cog-partial"):
            start = f".{self.path.stem}.{kind}-"
            for path in self.path.parent.glob(f"{glob.escape(start)}*.tif"):
                number = path.name[len(start) : -len(".tif")]
                if number.isdigit() and not _is_running(int(number)):
                    path.unlink(missing_ok=True)

    def _discard(self) -> None:
        """Remove what is not under its final name."""
        self._file.abandon()
        for path in (self._partial, self._cog_partial):
            path.unlink(missing_ok=True)


def require_place(path: Path, *, overwrite: bool) -> None:
    """Refuse a name that is taken, and a folder that cannot be written to.

    Raises:
        OutputExistsError: The file exists and `overwrite` is False.
        OutputError: The path is a folder, or its folder is missing or not writable.
    """
    folder = path.parent
    if path.is_dir():
        raise OutputError(f"The output must be a file, but {path} is a folder.")
    if path.exists() and not overwrite:
        raise OutputExistsError(f"{path} exists; give another name, or --overwrite to replace it.")
    if not folder.is_dir():
        raise OutputError(f"The folder {folder} for the output does not exist; make it first.")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OutputError(f"The folder {folder} may not be written to; choose another.")


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # it runs, for somebody else
        return True
    return True


def with_nodata(stored: NDArray[Any], valid: Mask | None, nodata: float | None) -> NDArray[Any]:
    """Mark invalid pixels, and move valid ones off the nodata value."""
    if nodata is not None and not np.isnan(nodata):
        collides = stored == stored.dtype.type(nodata)
        if collides.any():
            stored = np.where(collides, _neighbour(nodata, stored.dtype), stored)
    if valid is None or valid.all():
        return stored
    return np.where(valid, stored, stored.dtype.type(0 if nodata is None else nodata))


def _neighbour(nodata: float, dtype: np.dtype[Any]) -> Any:
    """Return the value nearest to `nodata` that readers tell apart from it."""
    if dtype.kind == "f":
        # GDAL compares with nodata in float32 and takes a few units in the last place for equal;
        # where the sum of two values overflows, any two.
        limits = np.finfo(np.float32)
        if abs(nodata) > limits.max / 4:
            return dtype.type(0)
        step = max(abs(nodata) * 100 * float(limits.eps), float(limits.tiny))
        return dtype.type(nodata + step if nodata <= 0 else nodata - step)
    is_largest = nodata >= np.iinfo(dtype).max
    return dtype.type(int(nodata) - 1 if is_largest else int(nodata) + 1)
