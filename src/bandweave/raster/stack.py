"""Files of one band each, seen as one image."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from xml.sax.saxutils import escape

from rasterio.errors import RasterioError
from rasterio.io import DatasetReader, MemoryFile

from bandweave.errors import FileFormatError, GridMismatchError
from bandweave.raster.opening import quiet_open

_GDAL_TYPES = {
    "uint8": "Byte", "uint16": "UInt16", "int16": "Int16", "uint32": "UInt32", "int32": "Int32",
    "float32": "Float32", "float64": "Float64",
}  # fmt: skip
# Pixels by which the corners of two bands may miss each other.
_TOLERANCE = 1e-3


@contextmanager
def stacked(files: Sequence[Path], name: str, folder: Path | None = None) -> Iterator[str]:
    """Give several files of one band as one image; no pixel is copied.

    Args:
        files: One file per band, all on one grid and of one type, in the order of the bands.
        name: What the image is called in messages.
        folder: Where to keep it meanwhile for other processes to open; None for memory.

    Yields:
        A path that rasterio opens in this process, from any thread: a GDAL VRT.

    Raises:
        FileFormatError: A file cannot be read, has not one band, or is of another type.
        GridMismatchError: A file lies on another grid than the first.
    """
    bands = []
    first: _BandFile | None = None
    for number, path in enumerate(files, start=1):
        band = _BandFile(path)
        if first is None:
            first = band
        band.require_like(first)
        bands.append(band.xml(number))
    assert first is not None
    text = f"{first.opening_xml()}{''.join(bands)}</VRTDataset>"
    if folder is not None:
        with TemporaryDirectory(prefix=f".{name}.", dir=folder) as own:
            path = Path(own) / f"{name}.vrt"
            path.write_text(text, encoding="utf-8")
            yield str(path)
        return
    with MemoryFile(text.encode(), filename=f"{name}.vrt") as memory:
        yield memory.name


class _BandFile:
    """What the stack has to know of one file."""

    def __init__(self, path: Path) -> None:
        self.path = path.resolve()
        try:
            with quiet_open(self.path) as dataset:
                self._read(dataset)
        except RasterioError as error:
            raise FileFormatError(
                f"A raster file of one band is needed, but GDAL cannot open {path}: it is missing "
                "or damaged; fetch it again."
            ) from error

    def _read(self, dataset: DatasetReader) -> None:
        if dataset.count != 1 or dataset.dtypes[0] not in _GDAL_TYPES:
            raise FileFormatError(
                f"{self.path.name} should hold one band of real numbers, it has {dataset.count} "
                f"of type {dataset.dtypes[0]}."
            )
        self.shape = dataset.shape
        self.transform = dataset.transform
        self.wkt = "" if dataset.crs is None else dataset.crs.to_wkt()
        self.dtype = dataset.dtypes[0]
        self.nodata = dataset.nodata

    def require_like(self, first: _BandFile) -> None:
        """Refuse a file that does not lie on the first one's pixels."""
        if self.dtype != first.dtype:
            raise FileFormatError(
                f"The bands of one image should be of one type, but {self.path.name} is "
                f"{self.dtype} and {first.path.name} is {first.dtype}."
            )
        onto_first = ~first.transform @ self.transform
        moved = max(abs(a - b) for a, b in zip(onto_first[:6], (1, 0, 0, 0, 1, 0), strict=True))
        if self.shape != first.shape or moved > _TOLERANCE or self.wkt != first.wkt:
            raise GridMismatchError(
                f"The bands of one image should share a grid, but {self.path.name} "
                f"({self.shape[0]} x {self.shape[1]}) lies on another one than {first.path.name} "
                f"({first.shape[0]} x {first.shape[1]}); fetch the delivery again, or warp it."
            )

    def opening_xml(self) -> str:
        """Return the head of the VRT."""
        rows, cols = self.shape
        place = "" if not self.wkt else f"<SRS>{escape(self.wkt)}</SRS>"
        if not self.transform.is_identity:
            numbers = ", ".join(repr(float(number)) for number in self.transform.to_gdal())
            place += f"<GeoTransform>{numbers}</GeoTransform>"
        return f'<VRTDataset rasterXSize="{cols}" rasterYSize="{rows}">{place}'

    def xml(self, number: int) -> str:
        """Return the VRT's band that draws on this file."""
        rows, cols = self.shape
        rect = f'xOff="0" yOff="0" xSize="{cols}" ySize="{rows}"'
        nodata = "" if self.nodata is None else f"<NoDataValue>{self.nodata!r}</NoDataValue>"
        return (
            f'<VRTRasterBand dataType="{_GDAL_TYPES[self.dtype]}" band="{number}">{nodata}'
            f'<SimpleSource><SourceFilename relativeToVRT="0">{escape(str(self.path))}'
            f"</SourceFilename><SourceBand>1</SourceBand><SrcRect {rect}/><DstRect {rect}/>"
            "</SimpleSource></VRTRasterBand>"
        )
