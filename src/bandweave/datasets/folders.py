"""Find pairs of raster files in a folder by their names."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from bandweave.errors import FileFormatError

_SUFFIXES = {".tif", ".tiff", ".vrt", ".jp2", ".img", ".dat", ".bsq", ".ntf"}
_NAMED = re.compile(r"^(?P<scene>.+?)[-_.](?P<role>pan|ms|mul|mss)$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class PairPaths:
    """One scene's files."""

    name: str
    """What both names have in common."""
    pan: Path
    ms: Path


def find_pairs(folder: str | Path) -> list[PairPaths]:
    """Return the pairs `<name>_pan.<ext>` and `<name>_ms.<ext>` of a folder, sorted by name.

    `-` and `.` do as well as `_`, `mul` and `mss` as well as `ms`, in any case. Files without a
    partner are passed over.

    Raises:
        FileFormatError: The folder does not exist or holds no pair, or two files have one role.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileFormatError(f"{folder} is no folder.")
    found: dict[str, dict[str, Path]] = {}
    for path in sorted(folder.iterdir()):
        named = _NAMED.match(path.stem)
        if named is None or path.suffix.lower() not in _SUFFIXES:
            continue
        role = "pan" if named["role"].lower() == "pan" else "ms"
        scene = found.setdefault(named["scene"], {})
        if role in scene:
            raise FileFormatError(
                f"{scene[role].name} and {path.name} in {folder} are both the {role} of one scene; "
                "keep one of them."
            )
        scene[role] = path
    pairs = [
        PairPaths(name, files["pan"], files["ms"])
        for name, files in sorted(found.items())
        if len(files) == 2
    ]
    if not pairs:
        raise FileFormatError(
            f"{folder} holds no pair: files named `<scene>_pan.tif` and `<scene>_ms.tif` are "
            "expected."
        )
    return pairs
