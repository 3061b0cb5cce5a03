"""Fuse and open products as they were delivered."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

from bandweave.config import FuseConfig
from bandweave.mosaic.georeferenced import fuse_rasters
from bandweave.mosaic.job import FuseReport, Tell
from bandweave.products.bundle import Bundle, ProductImage
from bandweave.raster.stack import stacked
from bandweave.sensors import find_sensor


def fuse_bundle(
    bundle: Bundle,
    out: Path,
    config: FuseConfig,
    *,
    dry_run: bool = False,
    tell: Tell | None = None,
) -> FuseReport:
    """Fuse a product; what its metadata say holds where no option says otherwise.

    Args:
        bundle: The product.
        out: File to write.
        config: Options.
        dry_run: Decide and estimate everything, write nothing.
        tell: Receives each decision as one sentence; also turns the progress on stderr on.

    Raises:
        FusionError: One sentence: what was required, what was found, what to do.
    """
    notes = (describe(bundle), *bundle.remarks)
    if tell is not None:
        for text in notes:
            tell(text)
    # Workers open the stacks of single bands too.
    folder = None if config.dask is None or dry_run else out.absolute().parent
    with opened(bundle, folder) as (spatial, spectral):
        report = fuse_rasters(
            spatial, spectral, out, config, bundle=bundle, dry_run=dry_run, tell=tell
        )
    return replace(report, notes=(*notes, *report.notes))


@contextmanager
def opened(bundle: Bundle, folder: Path | None = None) -> Iterator[tuple[Path, Path]]:
    """Yield what rasterio opens as the spatial and the spectral image.

    Args:
        bundle: The product.
        folder: Where to describe images of several files, for other processes; None for memory.

    Raises:
        FileFormatError: A file is missing or damaged.
        GridMismatchError: The files of one image lie on different grids.
    """
    with ExitStack() as stack:
        yield _path(bundle.spatial, stack, folder), _path(bundle.spectral, stack, folder)


def _path(image: ProductImage, stack: ExitStack, folder: Path | None) -> Path:
    if len(image.files) == 1:
        return image.files[0]
    return Path(stack.enter_context(stacked(image.files, f"{image.name}_{image.role}", folder)))


def describe(bundle: Bundle) -> str:
    """Say in one sentence what a product is."""
    sensor = "sensor unknown" if bundle.sensor is None else find_sensor(bundle.sensor).name
    facts = [sensor]
    if bundle.band_names is not None:
        facts.append(f"bands {', '.join(bundle.band_names)}")
    if bundle.full_scale is not None:
        facts.append(f"full scale {bundle.full_scale:g}")
    if bundle.acquired is not None:
        facts.append(f"taken {bundle.acquired:%Y-%m-%d %H:%M:%S} UTC")
    return f"Product: {bundle.name} ({bundle.vendor}): {'; '.join(facts)}."
