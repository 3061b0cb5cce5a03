"""`bandweave fuse` and `rio fuse`: parse, fuse, report.

`rio` loads every plug-in before it does anything: what is heavy is imported when it is needed.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bandweave.allocation import code_that_stays, keep_freed_blocks
from bandweave.cli.options import Numbers, key_values, list_of, word_or_numbers
from bandweave.cli.plugin import PluginCommand
from bandweave.machine import keep_algebra_in_its_thread

if TYPE_CHECKING:
    from bandweave.mosaic.job import FuseReport


def _threads() -> int:
    from bandweave.machine import available_threads  # noqa: PLC0415  # late, see above

    return available_threads()


@click.command("fuse", cls=PluginCommand, context_settings={"show_default": True})
@click.argument("spatial", metavar="PAN")
@click.argument("rest", metavar="[MS] OUT", nargs=-1, required=True)
@click.option("--method", help="Method id; see `bandweave methods`.")
@click.option("--weights", help="Name of shipped weights, or a file.")
@click.option("--sensor", help="Sensor id; see `bandweave sensors`.")
@click.option("--full-scale", type=float, help="Value that maps to 1.0 (2047 for 11 bit).")
@click.option(
    "--device",
    metavar="auto|cpu|cuda|cuda:N[,cuda:N]...",
    default="auto",
    help="Where networks compute; several GPUs share the scene.",
)
@click.option(
    "--precision",
    type=click.Choice(["auto", "fp32", "bf16"]),
    default="auto",
    help="Attention of networks in bfloat16 where the processor gains by it, or the same anywhere.",
)
@click.option("--window", type=Numbers("C,R,W,H", int), help="Part to fuse, in PAN pixels.")
@click.option("--bbox", type=Numbers("LEFT,BOTTOM,RIGHT,TOP"), help="Part to fuse, on the ground.")
@click.option("--extent", type=click.Choice(["intersection", "pan"]), default="intersection")
@click.option(
    "--align",
    metavar="auto|off|DY,DX",
    default="auto",
    callback=word_or_numbers(("auto", "off"), "DY,DX"),
    help="Displacement of PAN against MS, in PAN pixels.",
)
@click.option(
    "--pan-sharpness",
    metavar="auto|off|SIGMA",
    default="auto",
    callback=word_or_numbers(("auto", "off"), "SIGMA"),
    help="Match the PAN to the weights (learned methods).",
)
@click.option(
    "--uncovered",
    type=click.Choice(["pass", "fuse", "refuse"]),
    default="pass",
    help="Bands far from the PAN's wavelengths: interpolated, fused too, or refused.",
)
@click.option(
    "--band-weights",
    metavar="W,...|equal",
    callback=list_of(float, "0.3,0.4,0.3 or equal", word="equal"),
    help="Weight of each fused band in brovey's intensity, as `gdal_pansharpen -w`; fitted to the "
    "PAN if not given.",
)
@click.option(
    "--convention",
    type=click.Choice(["scene", "toolbox"]),
    default="scene",
    help="Classical methods as scenes need them, or as the MATLAB toolbox has them.",
)
@click.option(
    "--adapt",
    "adapt_minutes",
    is_flag=False,
    flag_value=15.0,
    type=float,
    metavar="[MINUTES]",
    help="Tune weights to this scene first; they are kept beside OUT. 15 minutes if not given.",
)
@click.option("--tiling", type=click.Choice(["blend", "official"]), default="blend")
@click.option(
    "--consistent/--no-consistent",
    default=None,
    help="Make the result give back the MS when its instrument sees it; as the weights say.",
)
@click.option(
    "--consistency-noise",
    type=float,
    metavar="L",
    help="Noise of the MS against the error of the result; 0 for exactness, 1e-3 if not given.",
)
@click.option(
    "--mtf-gain",
    metavar="G,...",
    callback=list_of(float, "0.3 or one gain per band"),
    help="MTF of the MS at its Nyquist frequency; the sensor's if not given.",
)
@click.option(
    "--psf",
    metavar="auto|SIGMA",
    callback=word_or_numbers(("auto",), "SIGMA"),
    help="Point spread of a hyperspectral image, in sharp pixels; found where it is needed.",
)
@click.option(
    "--srf",
    metavar="auto|FILE",
    help="Response that makes the sharp bands of the spectral ones: CSV; found where needed.",
)
@click.option(
    "--bidx",
    "bands",
    metavar="1,2,...",
    callback=list_of(int, "1,2,..."),
    help="MS bands to fuse.",
)
@click.option(
    "--mask", type=click.Choice(["auto", "nodata", "internal", "alpha", "none"]), default="auto"
)
@click.option("--nodata", type=float, help="Nodata value of both inputs and the output.")
@click.option("--dtype", help="Type of the output; the MS's if not given.")
@click.option(
    "--of", "driver", type=click.Choice(["GTiff", "ENVI"]), default="GTiff", help="Format."
)
@click.option("--cog", is_flag=True, help="Write a Cloud Optimized GeoTIFF.")
@click.option("--overviews/--no-overviews", default=True, help="Averaged overviews in the output.")
@click.option(
    "--co", "creation_options", multiple=True, metavar="KEY=VALUE", callback=key_values,
    help="GDAL creation option.",
)  # fmt: skip
@click.option(
    "-j",
    "workers",
    type=int,
    default=_threads,
    show_default="all cores it may use, 8 at most, or OMP_NUM_THREADS",
    help="Threads.",
)
@click.option("--max-memory", type=float, metavar="GIB", help="For whole-scene methods.")
@click.option(
    "--dask",
    metavar="ADDRESS",
    help="Scheduler (tcp://HOST:PORT, or its file) whose workers fuse; -j is then theirs.",
)
@click.option("--overwrite", is_flag=True, help="Replace an existing output.")
@click.option("--resume", is_flag=True, help="Continue an interrupted run.")
@click.option("--dry-run", is_flag=True, help="Print the plan and the time, write nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON on stdout.")
@click.option("-q", "--quiet", is_flag=True, help="No progress and notes on stderr.")
def command(
    spatial: str,
    rest: tuple[str, ...],
    *,
    dry_run: bool,
    as_json: bool,
    quiet: bool,
    adapt_minutes: float | None,
    **options: Any,
) -> None:
    r"""Fuse PAN (or MSI) with MS (or HSI) into OUT.

    Any file that rasterio opens will do. A .mat pair, a .h5 set, and the folder or metadata file of
    a vendor's product stand alone:

    \b
        bandweave fuse PAIR.mat OUT.mat
        bandweave fuse SET.h5 OUTFOLDER
        bandweave fuse DELIVERY OUT.tif
    """
    with code_that_stays():
        from bandweave.mosaic.fuse import fuse  # noqa: PLC0415  # late, see above

    keep_freed_blocks()
    keep_algebra_in_its_thread()  # `rio` does not come by our own program
    if len(rest) > 2:
        raise click.UsageError("Give PAN, MS and OUT, or a .mat or .h5 file or product and OUT.")
    spectral = rest[0] if len(rest) == 2 else None

    def tell(text: str) -> None:
        click.echo(text, err=True)

    if adapt_minutes is not None and not dry_run:
        paths = (spatial, spectral, rest[-1])
        options["weights"] = _adapted(paths, adapt_minutes, options, tell)
    report = fuse(
        spatial, spectral, rest[-1], dry_run=dry_run, tell=None if quiet else tell, **options
    )
    click.echo(json.dumps(report.as_dict(), indent=2) if as_json else _sentence(report))


def _adapted(
    paths: tuple[str, str | None, str],
    minutes: float,
    options: dict[str, Any],
    tell: Callable[[str], None],
) -> str:
    """Tune weights to the scene; return their file, which lies beside the output."""
    from bandweave.config import FuseConfig  # noqa: PLC0415  # late, see above
    from bandweave.train.adapt_files import adapt_files  # noqa: PLC0415  # late, see above

    spatial, spectral, out = paths
    weights = Path(out).with_suffix(".safetensors")
    second = None if spectral is None else Path(spectral)
    config = FuseConfig.checked(**options)
    adapt_files(Path(spatial), second, weights, config, minutes=minutes, seed=1, tell=tell)
    return str(weights)


def _sentence(report: FuseReport) -> str:
    from bandweave.mosaic.job import in_words  # noqa: PLC0415  # late, see above

    bands, rows, cols = report.shape
    size = f"{bands} bands of {rows} x {cols} pixels"
    if report.images > 1:
        size = f"{report.images} images, {size}"
    seconds = in_words(report.seconds or 0)
    if report.dry_run:
        return "\n".join([f"Would write {report.out}: {size}, in about {seconds}.", *report.notes])
    rate = report.megapixels_per_second or 0
    return f"{report.out}: {size} in {seconds} ({rate:.2g} megapixels per second)."
