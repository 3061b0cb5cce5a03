"""`bandweave.fuse`: from files, products or arrays to a fused file or array.

Half of the time that a fast method takes for a small scene is loading code: what reads one kind of
input is imported when such an input is given.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from numpy.typing import NDArray

from bandweave.config import FuseConfig
from bandweave.errors import ConfigError
from bandweave.mosaic.georeferenced import fuse_rasters
from bandweave.mosaic.job import FuseReport, Tell

if TYPE_CHECKING:
    from xarray import DataArray

_METADATA_SUFFIXES = {".til", ".xml"}
"""Of the two files of a pair where they may be a vendor's metadata in place of rasters."""

FilePath = str | os.PathLike[str]


@overload
def fuse(
    spatial: DataArray, spectral: DataArray, out: None = None, **options: Any
) -> DataArray: ...


@overload
def fuse(
    spatial: NDArray[Any], spectral: NDArray[Any], out: None = None, **options: Any
) -> NDArray[Any]: ...


@overload
def fuse(
    spatial: FilePath, spectral: FilePath | None, out: FilePath, **options: Any
) -> FuseReport: ...


def fuse(
    spatial: FilePath | NDArray[Any] | DataArray,
    spectral: FilePath | NDArray[Any] | DataArray | None = None,
    out: FilePath | None = None,
    *,
    dry_run: bool = False,
    tell: Tell | None = None,
    **options: Any,
) -> FuseReport | NDArray[Any] | DataArray:
    """Fuse a sharp image of few bands with a coarse image of many.

    Args:
        spatial: PAN, RGB or MSI: a file that rasterio opens, or an array `(H, W)` or `(c, H, W)`.
            A `.mat` pair, a `.h5` set, or the folder or metadata file of a product holds both
            images and stands alone. An xarray DataArray `(y, x)` or `(band, y, x)` is placed by
            its coordinates.
        spectral: MS or HS: a file, an array `(C, h, w)` with H = ratio · h, or a DataArray.
        out: File to write; for a `.h5` set the folder of the results. None for arrays.
        dry_run: Decide and estimate everything, write nothing.
        tell: Receives each decision as one sentence; also turns the progress on stderr on.
        **options: Fields of `FuseConfig`: `method`, `weights`, `sensor`, `full_scale`, `window`,
            `align`, `pan_sharpness`, `cog`, `overwrite`, ... Arrays also take `ratio` and `phase`
            from their shapes: corner-registered, (ratio − 1) / 2.

    Returns:
        For files the report; for arrays `hrms` `(C, H, W)` in the type of `spectral`; for
        DataArrays one with the coordinates of `spatial` and the attributes of `spectral`.

    Raises:
        FusionError: One sentence: what was required, what was found, what to do.

    Example:
        >>> import numpy as np
        >>> pan, lrms = np.full((32, 32), 7.0), np.full((3, 8, 8), 5.0)
        >>> fuse(pan, lrms, method="exp", align="off").shape
        (3, 32, 32)
    """
    config = FuseConfig.checked(**options)
    if isinstance(spatial, str | os.PathLike):
        return _fuse_files(spatial, spectral, out, config, dry_run=dry_run, tell=tell)
    return _fuse_in_memory(spatial, spectral, out, config, tell)


def _fuse_files(
    spatial: FilePath,
    spectral: FilePath | NDArray[Any] | DataArray | None,
    out: FilePath | None,
    config: FuseConfig,
    *,
    dry_run: bool,
    tell: Tell | None,
) -> FuseReport:
    if not (spectral is None or isinstance(spectral, str | os.PathLike)) or out is None:
        raise ConfigError("Files are fused to a file: give PAN, MS and the output, all as paths.")
    first, target = Path(spatial), Path(out)
    if spectral is None:
        return _fuse_alone(first, target, config, dry_run=dry_run, tell=tell)
    second = Path(spectral)
    if first.suffix.lower() in _METADATA_SUFFIXES:
        from bandweave.mosaic.bundles import fuse_bundle  # noqa: PLC0415  # late, see above
        from bandweave.products.survey import describe_pair  # noqa: PLC0415  # late, see above

        bundle = describe_pair(first, second)
        if bundle is not None:
            return fuse_bundle(bundle, target, config, dry_run=dry_run, tell=tell)
    return fuse_rasters(first, second, target, config, dry_run=dry_run, tell=tell)


def _fuse_alone(
    first: Path, target: Path, config: FuseConfig, *, dry_run: bool, tell: Tell | None
) -> FuseReport:
    """Fuse a file or folder that holds both images."""
    from bandweave.datasets.files import PAIR_SUFFIXES, is_pair_file  # noqa: PLC0415  # late, above
    from bandweave.mosaic.bundles import fuse_bundle  # noqa: PLC0415  # late, see above
    from bandweave.mosaic.containers import fuse_container  # noqa: PLC0415  # late, see above
    from bandweave.products.survey import find_bundle, is_product  # noqa: PLC0415  # late, above

    if is_pair_file(first):
        return fuse_container(first, target, config, dry_run=dry_run, tell=tell)
    if is_product(first):
        return fuse_bundle(find_bundle(first), target, config, dry_run=dry_run, tell=tell)
    raise ConfigError(
        f"{first} stands alone, which only {', '.join(PAIR_SUFFIXES)} files and products (a folder "
        "or a vendor's metadata file) do; give PAN, MS and the output."
    )


def _fuse_in_memory(
    spatial: NDArray[Any] | DataArray,
    spectral: FilePath | NDArray[Any] | DataArray | None,
    out: FilePath | None,
    config: FuseConfig,
    tell: Tell | None,
) -> NDArray[Any] | DataArray:
    from bandweave.mosaic.dataarrays import fuse_dataarrays, is_dataarray  # noqa: PLC0415  # late
    from bandweave.mosaic.in_memory import fuse_arrays  # noqa: PLC0415  # late, see above

    if config.dask is not None:
        raise ConfigError(
            "Workers read files by their paths: give PAN and MS as files, not arrays."
        )
    if is_dataarray(spatial) or is_dataarray(spectral):
        if not (is_dataarray(spatial) and is_dataarray(spectral)) or out is not None:
            raise ConfigError("DataArrays are fused to one: give two of them and no output file.")
        return fuse_dataarrays(spatial, spectral, config, tell)
    if (
        not (isinstance(spatial, np.ndarray) and isinstance(spectral, np.ndarray))
        or out is not None
    ):
        raise ConfigError("Arrays are fused to an array: give two arrays and no output file.")
    return fuse_arrays(spatial, spectral, config, tell)
