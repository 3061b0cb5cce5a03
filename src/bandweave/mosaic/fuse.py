"""`bandweave.fuse`: from files, products or arrays to a fused file or array."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from numpy.typing import NDArray

from bandweave.config import FuseConfig
from bandweave.datasets.files import PAIR_SUFFIXES, is_pair_file
from bandweave.errors import ConfigError, ShapeError
from bandweave.mosaic.bundles import fuse_bundle
from bandweave.mosaic.containers import fuse_container
from bandweave.mosaic.dataarrays import fuse_dataarrays, is_dataarray
from bandweave.mosaic.georeferenced import fuse_rasters
from bandweave.mosaic.in_memory import ArrayScene
from bandweave.mosaic.job import FuseReport, Tell
from bandweave.mosaic.prepare import prepare_job
from bandweave.mosaic.runner import ArraySink
from bandweave.pair import ImagePair
from bandweave.products.survey import describe_pair, find_bundle, is_product
from bandweave.radiometry import to_storage
from bandweave.sensors import find_sensor

if TYPE_CHECKING:
    from xarray import DataArray

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
    if is_dataarray(spatial) or is_dataarray(spectral):
        if not (is_dataarray(spatial) and is_dataarray(spectral)) or out is not None:
            raise ConfigError("DataArrays are fused to one: give two of them and no output file.")
        return fuse_dataarrays(spatial, spectral, config, tell)
    if isinstance(spatial, np.ndarray):
        if not isinstance(spectral, np.ndarray) or out is not None:
            raise ConfigError("Arrays are fused to an array: give two arrays and no output file.")
        return _fuse_arrays(spatial, spectral, config, tell)
    if isinstance(spectral, np.ndarray) or out is None:
        raise ConfigError("Files are fused to a file: give PAN, MS and the output, all as paths.")
    first, target = Path(spatial), Path(out)
    if spectral is not None:
        second = Path(spectral)
        bundle = describe_pair(first, second)
        if bundle is not None:
            return fuse_bundle(bundle, target, config, dry_run=dry_run, tell=tell)
        return fuse_rasters(first, second, target, config, dry_run=dry_run, tell=tell)
    if is_pair_file(first):
        return fuse_container(first, target, config, dry_run=dry_run, tell=tell)
    if is_product(first):
        return fuse_bundle(find_bundle(first), target, config, dry_run=dry_run, tell=tell)
    raise ConfigError(
        f"{first} stands alone, which only {', '.join(PAIR_SUFFIXES)} files and products (a folder "
        "or a vendor's metadata file) do; give PAN, MS and the output."
    )


def _fuse_arrays(
    spatial: NDArray[Any], spectral: NDArray[Any], config: FuseConfig, tell: Tell | None
) -> NDArray[Any]:
    spatial = spatial[None] if spatial.ndim == 2 else spatial
    if spatial.ndim != 3 or spectral.ndim != 3:
        raise ShapeError(
            "The spatial array must be (H, W) or (c, H, W) and the spectral one (C, h, w), got "
            f"{spatial.shape} and {spectral.shape}."
        )
    ratio = max(spatial.shape[1] // max(spectral.shape[1], 1), 1)
    pair = ImagePair(
        spatial=spatial.astype(np.float64),
        spectral=spectral.astype(np.float64),
        ratio=ratio,
        phase=((ratio - 1) / 2, (ratio - 1) / 2),
        full_scale=config.full_scale,
        sensor=None if config.sensor is None else find_sensor(config.sensor),
    )
    job = prepare_job(ArrayScene(pair, config.window), config, tell=tell)
    sink = ArraySink()
    effect = job.run(sink, quiet=tell is None)
    if effect is not None and tell is not None:
        tell(effect.sentence)
    return to_storage(sink.hrms, config.dtype or spectral.dtype)
