"""Fuse two raster files to a third: the PAN's grid, the MS's bands."""

from __future__ import annotations

import json
import shutil
import time
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import rasterio

from bandweave import __version__
from bandweave.config import FuseConfig
from bandweave.errors import ConfigError, GridMismatchError, OutputExistsError
from bandweave.instruments import PointSpread
from bandweave.methods.base import FixedTile
from bandweave.mosaic.job import FuseReport, Job, Tell
from bandweave.mosaic.prepare import prepare_job
from bandweave.raster.layout import output_layout
from bandweave.raster.reader import RasterPair, open_pair
from bandweave.raster.writer import SceneWriter, require_place
from bandweave.sensors import find_sensor
from bandweave.source import PairSource
from bandweave.window import Window

if TYPE_CHECKING:
    from bandweave.mosaic.consistent import ConsistencyEffect
    from bandweave.products.bundle import Bundle

_CACHE_MIB = 64


@dataclass(slots=True)
class RasterScene:
    """Two files that can be opened at any displacement; closes what it opened."""

    pan: Path
    ms: Path
    config: FuseConfig
    bundle: Bundle | None = None
    """What the delivery's metadata say of the two files; options go before it."""
    pair: RasterPair | None = field(default=None, init=False)
    """What was opened last."""

    def can_align(self, offset: tuple[float, float]) -> bool:
        """Tell that any offset will do: the scene is cropped to what both files show."""
        del offset
        return True

    def opened(self, offset: tuple[float, float]) -> PairSource:
        """Open the pair with the PAN's content displaced by `offset` PAN pixels."""
        self.close()
        config = self.config
        known = self.bundle
        sensor = config.sensor or (None if known is None else known.sensor)
        self.pair = open_pair(
            self.pan,
            self.ms,
            extent=config.extent,
            offset=offset,
            sensor=None if sensor is None else find_sensor(sensor),
            full_scale=config.full_scale or (None if known is None else known.full_scale),
            mask=config.mask,
            nodata=self.nodata,
            bands=config.bands,
            band_names=None if known is None else known.band_names,
        )
        return self.pair

    @property
    def nodata(self) -> float | None:
        """Return the nodata value of both files: the option's, or the metadata's, or None."""
        if self.config.nodata is not None or self.bundle is None:
            return self.config.nodata
        return self.bundle.nodata

    def selected(self, places: tuple[int, ...], offset: tuple[float, float]) -> PairSource:
        """Open the pair with some of the bands that were read last, counted from 0, in order."""
        assert self.pair is not None
        numbers = tuple(self.pair.ms.facts.indexes[place] for place in places)
        self.config = replace(self.config, bands=numbers)
        return self.opened(offset)

    def window(self, source: PairSource) -> Window:
        """Return the part to fuse, in pixels of the scene.

        Raises:
            ConfigError: Both a window and a bounding box were given.
            GridMismatchError: The part does not touch the scene.
        """
        del source
        assert self.pair is not None
        output = self.pair.output_window
        wanted = self._asked_for(self.pair)
        if wanted is None:
            return output
        part = wanted.relative_to(self.pair.nesting.pan_window).intersection(output)
        if part.is_empty:
            origin = self.pair.nesting.pan_window
            raise GridMismatchError(
                f"The window must touch the scene, which covers columns {origin.col} to "
                f"{origin.col_stop} and rows {origin.row} to {origin.row_stop} of {self.pan.name}; "
                f"asked for were columns {wanted.col} to {wanted.col_stop} and rows {wanted.row} "
                f"to {wanted.row_stop}."
            )
        return part

    def _asked_for(self, pair: RasterPair) -> Window | None:
        """Return the window that was asked for in pixels of the PAN file."""
        config = self.config
        if config.window is not None and config.bbox is not None:
            raise ConfigError("Give either --window or --bbox, not both.")
        if config.window is not None:
            col, row, width, height = config.window
            return Window(row, col, height, width)
        if config.bbox is None:
            return None
        return pair.pan.grid.covering(config.bbox)

    def close(self) -> None:
        """Close what was opened."""
        if self.pair is not None:
            self.pair.close()


def fuse_rasters(
    pan: Path,
    ms: Path,
    out: Path,
    config: FuseConfig,
    *,
    bundle: Bundle | None = None,
    dry_run: bool = False,
    tell: Tell | None = None,
) -> FuseReport:
    """Fuse two files, of which a delivery's metadata may say more; see `bandweave.fuse`."""
    sources = (pan, ms, *(() if bundle is None else bundle.files))
    if config.driver == "ENVI" and (config.cog or out.suffix.lower() == ".hdr"):
        raise ConfigError(
            "An ENVI output is no Cloud Optimized GeoTIFF, and its name is that of the binary file "
            "(.img, .dat, .bsq); leave out --cog, and give another suffix than .hdr."
        )
    _check_output(sources, out, is_replaced=config.overwrite or dry_run)
    if not dry_run:
        require_place(out, overwrite=True)  # now, and not when the statistics are gathered
    start = time.perf_counter()
    # GDAL would keep 5 % of the machine's memory as cache; every block here is used once.
    with rasterio.Env(GDAL_CACHEMAX=_CACHE_MIB), ExitStack() as stack:
        cluster = None
        if config.dask is not None and not dry_run:
            from bandweave.parallel.cluster import connected  # noqa: PLC0415  # rarely asked for

            cluster = stack.enter_context(
                connected(
                    config.dask,
                    files=sources,
                    folders=[out.absolute().parent],
                    tell=tell or (lambda _: None),
                )
            )
            config = replace(config, workers=cluster.threads)
        scene = stack.enter_context(closing(RasterScene(pan, ms, config, bundle)))
        job = prepare_job(scene, config, cluster=cluster, tell=tell)
        report = replace(job.report, out=str(out))
        if dry_run:
            seconds, notes = job.estimate()
            return replace(report, seconds=seconds, dry_run=True, notes=report.notes + notes)
        assert scene.pair is not None
        effect = _write(job, scene, report, quiet=tell is None)
    if effect is not None and tell is not None:
        tell(effect.sentence)
    report = report.with_effect(effect)
    return replace(report, seconds=time.perf_counter() - start)


def _check_output(sources: tuple[Path, ...], out: Path, *, is_replaced: bool) -> None:
    """Refuse an output that exists, or that is one of the inputs."""
    if not out.exists():
        return
    for source in sources:
        if source.exists() and out.samefile(source):
            raise OutputExistsError(f"{out} is an input too; give the output another name.")
    if not is_replaced:
        raise OutputExistsError(f"{out} exists; give another name, or --overwrite to replace it.")


def _write(
    job: Job, scene: RasterScene, report: FuseReport, *, quiet: bool
) -> ConsistencyEffect | None:
    pair, config = scene.pair, scene.config
    assert report.out is not None
    assert pair is not None
    out = Path(report.out)
    layout = output_layout(pair, window=job.window, dtype=config.dtype, nodata=scene.nodata)
    provenance = _provenance(report, pair)
    if scene.bundle is not None:
        provenance["PRODUCT"] = scene.bundle.name
    is_envi = config.driver == "ENVI"
    geotiff = out.with_name(f".{out.name}.tif") if is_envi else out
    with SceneWriter(
        geotiff,
        layout,
        provenance=provenance,
        creation_options=config.creation_options,
        cog=config.cog,
        overviews=config.overviews and not is_envi,
        overwrite=config.overwrite or is_envi,
    ) as writer:
        inputs = _inputs(pair) if scene.bundle is None else scene.bundle.files
        key = {**provenance, **_identity(inputs), "window": str(job.window)}
        rows = out.with_name(f".{out.name}.rows")
        finishing = writer.finishing_bytes + (writer.pixel_bytes if is_envi else 0)
        there = partial(_fuse_there, finishing=finishing)
        fuse = _fuse_here if job.limits.cluster is None else there
        effect = fuse(job, writer, rows, key, resume=config.resume, quiet=quiet)
        writer.commit()
        if rows.exists():
            shutil.rmtree(rows, ignore_errors=True)
    if is_envi:
        from bandweave.raster.envi import copy_as_envi  # noqa: PLC0415  # one format of two

        try:
            copy_as_envi(geotiff, out, overwrite=config.overwrite)
        finally:
            geotiff.unlink(missing_ok=True)
    return effect


def _fuse_here(
    job: Job, writer: SceneWriter, rows: Path, key: dict[str, str], *, resume: bool, quiet: bool
) -> ConsistencyEffect | None:
    """Fuse in this process; methods with fixed tiles keep finished rows in the folder `rows`."""
    store = None
    if isinstance(job.fitted.reach, FixedTile):
        from bandweave.mosaic.resume import RowStore  # noqa: PLC0415  # learned methods only

        store = RowStore(rows, {**key, "rows": writer.dtype.name}, resume=resume)
    return job.run(writer, store=store, stored=writer.stored, quiet=quiet)


def _fuse_there(
    job: Job,
    writer: SceneWriter,
    rows: Path,
    key: dict[str, str],
    *,
    finishing: int,
    resume: bool,
    quiet: bool,
) -> ConsistencyEffect | None:
    """Fuse on the workers of a cluster, which leave their rows in the folder `rows`."""
    from bandweave.mosaic.stripes import fuse_stripes  # noqa: PLC0415  # rarely asked for

    return fuse_stripes(
        job,
        writer,
        stored=writer.stored,
        folder=rows,
        key={**key, "stripes": writer.dtype.name},
        finishing=finishing,
        resume=resume,
        quiet=quiet,
    )


def _provenance(report: FuseReport, pair: RasterPair) -> dict[str, str]:
    """Describe how the file was made, for its tags: nothing that differs between equal runs."""
    step = report.consistency
    psf = step.blur if step is not None and isinstance(step.blur, PointSpread) else None
    facts = {
        "SOFTWARE": f"bandweave {__version__}",
        "METHOD": report.method,
        "WEIGHTS": None if report.weights is None else Path(report.weights).name,
        "WEIGHTS_SHA256": report.weights_sha256,
        "PRECISION": report.precision,
        "CONVENTION": None if report.convention == "scene" else report.convention,
        "BAND_WEIGHTS": json.dumps(report.band_weights) if report.band_weights else None,
        "UNCOVERED_BANDS": json.dumps(report.uncovered) if report.uncovered else None,
        "FULL_SCALE": report.full_scale,
        "PAN_SIGMA": report.pan_sigma,
        "CONSISTENCY_NOISE": None if step is None else step.noise,
        "MTF_GAINS": None if step is None or psf is not None else json.dumps(step.blur),
        "PSF": None if psf is None else psf.name,
        "RATIO": report.ratio,
        "PHASE": json.dumps(report.phase),
        "DISPLACEMENT": None if report.displacement is None else json.dumps(report.displacement),
        "PAN": pair.pan.name,
        "MS": pair.ms.name,
    }
    return {key: str(value) for key, value in facts.items() if value is not None}


def _inputs(pair: RasterPair) -> tuple[Path, ...]:
    return Path(pair.pan.path), Path(pair.ms.path)


def _identity(inputs: tuple[Path, ...]) -> dict[str, str]:
    """Tell these input files from changed ones, for a resumed run."""
    identity = {}
    for path in inputs:
        try:
            status = path.stat()
        except OSError:  # not a local file: its name has to do
            continue
        identity[str(path)] = f"{status.st_size} bytes, modified {status.st_mtime_ns}"
    return identity
