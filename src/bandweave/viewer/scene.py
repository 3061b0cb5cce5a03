"""The layers of one call: files on a common plane, and differences of those that match."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from bandweave.errors import AlignmentWarning, ConfigError
from bandweave.viewer.difference import DifferenceLayer, is_comparable
from bandweave.viewer.layers import FileLayer, Layer
from bandweave.viewer.plane import Plane
from bandweave.viewer.pyramid import TILE
from bandweave.viewer.spectrum import spectra

_MOST_DIFFERENCES = 15
"""Pairs of files offered as differences: all of six; of more files only those asked for."""


class Scene:
    """Everything the page shows. Close it, or use it as a context manager.

    Args:
        paths: Files, the first of which makes the plane.
        error: Two files whose absolute difference is shown first, or None; they are added to
            `paths` where they are not among them.

    Raises:
        FileFormatError: A file is missing, no raster, or damaged.
        GridMismatchError: A file cannot be laid over the first, or the two of `error` differ in
            grid or bands.
        ConfigError: No file was given.
    """

    def __init__(self, paths: Sequence[str], error: tuple[str, str] | None = None) -> None:
        everything = list(dict.fromkeys((*paths, *(error or ()))))
        if not everything:
            raise ConfigError("A viewer needs at least one file; name some.")
        self.files: list[FileLayer] = []
        try:
            for number, (path, name) in enumerate(
                zip(everything, _short_names(everything), strict=True)
            ):
                self.files.append(FileLayer(str(number), path, name, self._plane))
            self.differences = self._compared(error)
        except BaseException:
            self.close()
            raise
        self.start = self._first_shown(error)
        self._warn_of_layers_apart()

    @property
    def plane(self) -> Plane:
        """Return the plane of the first file."""
        return self.files[0].plane

    @property
    def layers(self) -> dict[str, Layer]:
        """Return all layers by their keys."""
        everything: list[Layer] = [*self.files, *self.differences]
        return {layer.key: layer for layer in everything}

    @property
    def notes(self) -> tuple[str, ...]:
        """Return what the user should know of the files, in sentences."""
        return tuple(
            f"{layer.name} has no overviews: it is shown pixel for pixel at first, and zoomed out "
            "each view reads much of the file; `bandweave view --overviews` builds them beside it."
            for layer in self.files
            if layer.is_slow
        )

    def describe(self) -> dict[str, Any]:
        """Return all that the page needs to know, ready for JSON."""
        grid = self.plane.grid
        return {
            "tile": TILE,
            "height": grid.shape[0],
            "width": grid.shape[1],
            "transform": None if grid.transform is None else list(grid.transform)[:6],
            "crs": grid.crs and _crs_name(grid.crs),
            "metres": self.plane.metres_per_pixel,
            "layers": [self._describe(layer) for layer in self.layers.values()],
            "start": self.start,
            "notes": self.notes,
        }

    def place(self, x: float, y: float) -> dict[str, Any]:
        """Return ground and geographic coordinates of a place, and the spectra of all files."""
        return {
            "x": x,
            "y": y,
            "ground": self.plane.ground(x, y),
            "geographic": self.plane.geographic(x, y),
            "spectra": [asdict(one) for one in spectra(self.files, x, y)],
        }

    def close(self) -> None:
        """Close all files."""
        for layer in self.files:
            layer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def _plane(self) -> Plane | None:
        return self.files[0].plane if self.files else None

    def _compared(self, error: tuple[str, str] | None) -> list[DifferenceLayer]:
        """Return the differences that are offered; the one asked for comes first."""
        asked = [] if error is None else [(self._file(error[0]), self._file(error[1]))]
        pairs = [pair for pair in itertools.combinations(self.files, 2) if is_comparable(*pair)]
        offered = pairs if len(pairs) <= _MOST_DIFFERENCES else []
        more = [pair for pair in offered if pair not in asked and pair[::-1] not in asked]
        return [DifferenceLayer(first, second) for first, second in (*asked, *more)]

    def _file(self, path: str) -> FileLayer:
        return next(layer for layer in self.files if layer.path == path)

    def _first_shown(self, error: tuple[str, str] | None) -> dict[str, str | None]:
        """Return the layers left and right of the swipe at the start."""
        if error is not None:
            return {"left": self._file(error[0]).key, "right": self.differences[0].key}
        last = self.files[-1].key if len(self.files) > 1 else None
        return {"left": self.files[0].key, "right": last}

    def _warn_of_layers_apart(self) -> None:
        height, width = self.plane.grid.shape
        for layer in self.files[1:]:
            rows, cols = layer.grid.shape
            corners = [layer.placement * (x, y) for x in (0, cols) for y in (0, rows)]
            xs, ys = zip(*corners, strict=True)
            if min(xs) >= width or max(xs) <= 0 or min(ys) >= height or max(ys) <= 0:
                warnings.warn(
                    f"{layer.name} lies beside {self.files[0].name}: the two share no place.",
                    AlignmentWarning,
                    stacklevel=3,
                )

    def _describe(self, layer: Layer) -> dict[str, Any]:
        height, width = layer.pyramid.shape
        described: dict[str, Any] = {
            "key": layer.key,
            "name": layer.name,
            "height": height,
            "width": width,
            "levels": layer.pyramid.levels,
            "isSlow": layer.is_slow,
            "placement": list(layer.placement)[:6],
            "firstBand": layer.bands.start,
            "bands": [asdict(label) for label in layer.labels],
            "shown": layer.default_bands,
            "difference": None,
        }
        if isinstance(layer, DifferenceLayer):
            described["difference"] = {
                "first": layer.first.key,
                "second": layer.second.key,
                "finer": layer.finer,
            }
        return described


def _crs_name(crs: str) -> str:
    """Return an authority code, or of a WKT the name between its first quotes."""
    return crs.split('"')[1] if '"' in crs else crs


def _short_names(paths: Sequence[str]) -> list[str]:
    """Return file names, with as many folders as tell them apart."""
    names = []
    for path in paths:
        parts = Path(path).parts
        others = [Path(other).parts for other in paths if other != path]
        depth = next(
            (d for d in range(1, len(parts)) if all(o[-d:] != parts[-d:] for o in others)),
            len(parts),
        )
        names.append("/".join(parts[-depth:]))
    return names
