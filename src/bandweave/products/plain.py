"""Files without metadata, told apart by their names: plain folders, and SpaceNet's `PAN/`, `MUL/`.

A rule is a pair of patterns with one `*` each, for the spatial and the spectral image. The `*` has
to stand for the same text in both, which becomes the product's name. A pattern with a folder, such
as `PAN/*.tif`, is held against the file and the folder it lies in.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bandweave.errors import ConfigError
from bandweave.products.bundle import ProductImage, Role
from bandweave.products.folder import is_raster

VENDOR = "plain files"


@dataclass(frozen=True, slots=True)
class NamingRule:
    """How names tell a spatial image and the spectral image that belongs to it.

    Case does not matter.

    Raises:
        ConfigError: A pattern has not exactly one `*`.

    Example:
        >>> rule = NamingRule("*_pan.tif", "*_ms.tif")
        >>> rule.match(Path("town_MS.TIF"))
        ('spectral', 'town')
    """

    spatial: str
    """Pattern of the sharp image, for example `*_pan.tif`."""
    spectral: str
    """Pattern of the image with many bands, for example `*_ms.tif`."""

    def __post_init__(self) -> None:
        for pattern in (self.spatial, self.spectral):
            if (
                pattern.count("*") != 1
                or pattern.count("/") > 1
                or "*" in Path(pattern).parent.name
            ):
                raise ConfigError(
                    "A naming rule is a file name with one * for the name that PAN and MS share, "
                    f"after at most one folder, as in `*_pan.tif` or `PAN/*.tif`; got {pattern!r}."
                )
        if self.spatial.lower() == self.spectral.lower():
            raise ConfigError(
                f"The naming rule has to tell PAN and MS apart, but both are {self.spatial!r}."
            )

    def match(self, path: Path) -> tuple[Role, str] | None:
        """Return the role of a file and the name it shares with its partner, or None."""
        roles: tuple[tuple[Role, str], ...] = (
            ("spatial", self.spatial), ("spectral", self.spectral),
        )  # fmt: skip
        for role, pattern in roles:
            name = f"{path.parent.name}/{path.name}" if "/" in pattern else path.name
            before, after = (re.escape(part) for part in pattern.split("*"))
            found = re.fullmatch(f"{before}(.*){after}", name, flags=re.IGNORECASE)
            if found is not None:
                return role, found[1]
        return None


_SPATIAL_WORDS = ("pan",)
_SPECTRAL_WORDS = ("ms", "mss", "mul", "multi")
# SpaceNet: PAN/PAN_AOI_4_img1.tif with MUL/MUL_AOI_4_img1.tif; later rounds have the word inside.
_FOLDERS: dict[str, Role] = {"pan": "spatial", "mul": "spectral", "ms": "spectral"}


def find_images(files: Sequence[Path], rule: NamingRule | None = None) -> Iterator[ProductImage]:
    """Yield the images among these files, by a rule or by the usual names.

    Without a rule an image is PAN where its name ends in `pan` after `_`, `-`, `.` or nothing, MS
    where it ends in `ms`, `mss`, `mul` or `multi`; or where it lies in a folder of such a name.
    """
    for path in files:
        if not is_raster(path):
            continue
        if rule is not None:
            found = rule.match(path)
            # Patterns with a folder tell files apart whose folders lie side by side.
            is_beside = "/" in rule.spatial or "/" in rule.spectral
            place = path.parent.parent if is_beside else path.parent
        else:
            found, place = _usual(path)
        if found is not None:
            role, name = found
            # The * may stand for nothing: `pan.tif` and `ms.tif` are named by their folder.
            yield ProductImage(
                vendor=VENDOR,
                role=role,
                key=f"{place}/{name}".lower(),
                name=name.strip("_-. ") or place.resolve().name,
                source=path,
                files=(path,),
            )


def _usual(path: Path) -> tuple[tuple[Role, str] | None, Path]:
    """Return role and name by the usual words, and the folder that both images share."""
    in_folder = _FOLDERS.get(path.parent.name.lower())
    if in_folder is not None:
        # The word may stand in the name as well, as a part of its own.
        word = re.compile(rf"(^|[_-]){path.parent.name}([_-]|$)", re.IGNORECASE)
        name = word.sub("_", path.stem, count=1).strip("_-")
        return (in_folder, name), path.parent.parent
    roles: tuple[tuple[Role, tuple[str, ...]], ...] = (
        ("spatial", _SPATIAL_WORDS), ("spectral", _SPECTRAL_WORDS),
    )  # fmt: skip
    for role, words in roles:
        found = re.fullmatch(rf"(?:(.*)[_.\-])?({'|'.join(words)})", path.stem, flags=re.IGNORECASE)
        if found is not None:
            return (role, found[1] or ""), path.parent
    return None, path.parent
