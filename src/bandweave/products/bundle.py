"""The values of this layer: an image of a delivery, and the pair of images that is fused."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from bandweave.errors import ProductError

Role = Literal["spatial", "spectral"]


@dataclass(frozen=True, slots=True)
class ProductImage:
    """One image of a delivery and what its metadata say; None is what they do not say."""

    vendor: str
    """Who delivers in this layout, for example `Maxar`."""
    role: Role
    """The sharp image (PAN) or the one with many bands (MS)."""
    key: str
    """The same for the two images of one product, and for no other image of the vendor."""
    name: str
    """Name of the product, fit for a file name."""
    source: Path
    """The file that stands for the image: its metadata, or the image itself."""
    files: tuple[Path, ...]
    """What GDAL opens: one file, or one per band in the order of `band_names`."""
    tiles: tuple[Path, ...] = ()
    """Files that the one in `files` draws its pixels from."""
    sensor: str | None = None
    """Id in the sensor table."""
    band_names: tuple[str, ...] | None = None
    """Names as the sensor table has them, in the order of the pixels."""
    full_scale: float | None = None
    """Value that maps to 1.0."""
    nodata: float | None = None
    """Value of pixels that hold no data."""
    acquired: datetime | None = None
    """When the image was taken, UTC."""
    remarks: tuple[str, ...] = ()
    """What a user should know of this image, one sentence each."""


@dataclass(frozen=True, slots=True)
class Bundle:
    """A product that can be fused: a spatial and a spectral image of one place and time."""

    spatial: ProductImage
    spectral: ProductImage

    @property
    def name(self) -> str:
        """Return the product's name, fit for a file name."""
        return self.spatial.name

    @property
    def vendor(self) -> str:
        """Return who delivers in this layout."""
        return self.spatial.vendor

    @property
    def sensor(self) -> str | None:
        """Return the sensor's id, or None where neither image says."""
        return self.spectral.sensor or self.spatial.sensor

    @property
    def band_names(self) -> tuple[str, ...] | None:
        """Return the names of the spectral bands, in the order of the pixels."""
        return self.spectral.band_names

    @property
    def full_scale(self) -> float | None:
        """Return the value that maps to 1.0, where the metadata say."""
        return self.spectral.full_scale

    @property
    def nodata(self) -> float | None:
        """Return the value of pixels that hold no data, where the metadata say."""
        return self.spectral.nodata

    @property
    def acquired(self) -> datetime | None:
        """Return when the sharp image was taken, or else the other one."""
        return self.spatial.acquired or self.spectral.acquired

    @property
    def files(self) -> tuple[Path, ...]:
        """Return every file the product is read from, its metadata too."""
        both = (self.spatial, self.spectral)
        return tuple(
            dict.fromkeys(
                path for image in both for path in (image.source, *image.files, *image.tiles)
            )
        )

    @property
    def remarks(self) -> tuple[str, ...]:
        """Return what a user should know of the two images."""
        return tuple(dict.fromkeys((*self.spatial.remarks, *self.spectral.remarks)))

    def as_dict(self) -> dict[str, Any]:
        """Return the bundle for JSON."""
        return {
            "name": self.name,
            "vendor": self.vendor,
            "sensor": self.sensor,
            "band_names": self.band_names,
            "full_scale": self.full_scale,
            "nodata": self.nodata,
            "acquired": None if self.acquired is None else self.acquired.isoformat(),
            "spatial": [str(path) for path in self.spatial.files],
            "spectral": [str(path) for path in self.spectral.files],
            "remarks": self.remarks,
        }


@dataclass(frozen=True, slots=True)
class Problem:
    """An image that was recognised and cannot be fused."""

    source: Path
    """The file it is about."""
    sentence: str
    """What was required, what was found, what to do."""


Finding = ProductImage | Problem


def read_each(
    paths: Iterable[Path], read: Callable[[Path], ProductImage | None]
) -> Iterator[Finding]:
    """Read images; one that cannot be read becomes a problem and does not stop the others."""
    for path in paths:
        try:
            image = read(path)
        except ProductError as error:
            yield Problem(path, str(error))
        else:
            if image is not None:
                yield image


def require_files(paths: Iterable[Path], source: Path) -> tuple[Path, ...]:
    """Return the files that some metadata list, after checking that they are there.

    Raises:
        ProductError: A listed file is missing.
    """
    listed = tuple(paths)
    missing = [path.name for path in listed if not path.is_file()]
    if missing:
        raise ProductError(
            f"{source.name} lists {len(listed)} files, but {', '.join(missing[:3])} "
            f"{'is' if len(missing) == 1 else 'are'} missing beside it; fetch the delivery again."
        )
    return listed
