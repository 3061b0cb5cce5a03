"""Build the overviews that a file lacks, beside it: the file itself is only read."""

from __future__ import annotations

import os
from pathlib import Path

import rasterio
import rasterio.shutil
from rasterio._err import CPLE_BaseError
from rasterio.enums import Resampling
from rasterio.errors import RasterioError

from bandweave.errors import OutputError
from bandweave.raster.image import open_image
from bandweave.raster.opening import quiet_open
from bandweave.viewer.pyramid import Pyramid

# One thread's work per block, read and written once: fast to decode beats small.
_OPTIONS = {
    "COMPRESS_OVERVIEW": "ZSTD",
    "ZSTD_LEVEL_OVERVIEW": "1",
    "BIGTIFF_OVERVIEW": "IF_SAFER",
    "GDAL_TIFF_OVR_BLOCKSIZE": "256",
    "GDAL_NUM_THREADS": "ALL_CPUS",
}


def build_beside(path: str) -> Path | None:
    """Write averaged overviews of a raster to `<path>.ovr`, which GDAL finds by its name.

    They are built through a virtual raster, since GDAL would open the file itself for writing, and
    get their final name when they are complete.

    Returns:
        The file written; None where the raster has overviews or needs none.

    Raises:
        FileFormatError: The file is missing, no raster, or damaged.
        OutputError: The folder may not be written to, or the disk is full.
    """
    open_image(path).close()
    final, virtual = Path(f"{path}.ovr"), Path(f"{path}.partial-{os.getpid()}.vrt")
    made = [virtual, *(Path(f"{virtual}{suffix}") for suffix in (".ovr", ".msk", ".msk.ovr"))]
    try:
        with quiet_open(path) as dataset:
            levels = Pyramid(dataset.shape).levels
            if dataset.overviews(1) or levels == 1:
                return None
            rasterio.shutil.copy(dataset, virtual, driver="VRT")
        with rasterio.Env(**_OPTIONS), quiet_open(virtual, "r+") as dataset:
            dataset.build_overviews([2**z for z in range(1, levels)], Resampling.average)
        made[1].replace(final)
    except (RasterioError, CPLE_BaseError, OSError) as error:
        raise OutputError(
            f"Overviews of {path} could not be written beside it ({error}); check the folder and "
            "the free space, or view the file without --overviews."
        ) from error
    finally:
        for leftover in made:
            leftover.unlink(missing_ok=True)
    return final
