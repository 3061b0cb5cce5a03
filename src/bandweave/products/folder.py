"""The files below a folder, in one order, without what programs hide or leave behind."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from bandweave.errors import ProductError

RASTERS = frozenset({".tif", ".tiff", ".jp2", ".ntf", ".nitf", ".img", ".vrt", ".pix", ".dat"})
"""Endings of files that may hold an image."""


def files_below(folder: Path, *, depth: int | None = None, skip: Sequence[Path] = ()) -> list[Path]:
    """Return the files below a folder, sorted; hidden ones and those under `skip` are left out.

    Args:
        folder: Where to look.
        depth: Folders to go down; None for all.
        skip: Folders to leave out, for example the one that results go to.

    Raises:
        ProductError: There is no such folder.
    """
    if not folder.is_dir():
        raise ProductError(f"A folder with products is needed, but there is no folder {folder}.")
    skipped = {path.resolve() for path in skip}
    found: list[Path] = []
    for here, folders, files in os.walk(folder):
        place = Path(here)
        level = len(place.relative_to(folder).parts)
        folders[:] = [
            name
            for name in sorted(folders)
            if not name.startswith(".")
            and (depth is None or level < depth)
            and (place / name).resolve() not in skipped
        ]
        found += [place / name for name in sorted(files) if not name.startswith(".")]
    return found


def is_raster(path: Path) -> bool:
    """Tell by its ending whether a file may hold an image."""
    return path.suffix.lower() in RASTERS
