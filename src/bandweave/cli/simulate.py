"""`bandweave simulate`: reduced-resolution pairs with a reference, from scenes."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from bandweave.datasets.cave import WAVELENGTHS
from bandweave.datasets.cavesets import write_cave_sets
from bandweave.datasets.files import open_pairs
from bandweave.datasets.folders import PairPaths, find_pairs
from bandweave.datasets.hyperspectral import find_response
from bandweave.datasets.pairfiles import write_item_files
from bandweave.datasets.setwriter import HYPERSPECTRAL_KEYS, PANCOLLECTION_KEYS, SetKeys
from bandweave.datasets.simulate_config import CubeConfig, PairConfig, SimulationConfig
from bandweave.datasets.simulation import (
    OpenScenes,
    WrittenFile,
    cube_scene,
    open_pair_scenes,
    write_simulation,
)
from bandweave.progress import progress
from bandweave.sensors import find_sensor

_Command = Callable[..., None]
_PATH = click.Path(path_type=Path)
_OVERWRITE = click.option("--overwrite", is_flag=True, help="Replace existing files.")
_JSON = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
_QUIET = click.option("-q", "--quiet", is_flag=True, help="No progress on stderr.")


def _numbers(ctx: click.Context, param: click.Parameter, value: str | None) -> Any:
    """Split a list of numbers."""
    try:
        return None if value is None else tuple(float(part) for part in value.split(","))
    except ValueError:
        raise click.BadParameter(f"expected numbers, got {value!r}", ctx, param) from None


def _all_options(
    options: Sequence[Callable[[_Command], _Command]],
) -> Callable[[_Command], _Command]:
    """Return a decorator that adds several options, in the order of the help."""

    def add(command: _Command) -> _Command:
        for option in reversed(options):
            command = option(command)
        return command

    return add


_SHARED = _all_options(
    [
        click.option(
            "--phase",
            type=click.Choice(["auto", "toolbox", "corner"]),
            default="auto",
            help="Where coarse samples lie: ratio/2 (toolbox) or (ratio-1)/2 (corner-based grids); "
            "auto is corner for PAN and MS to GeoTIFF, toolbox else.",
        ),
        click.option("--snr", type=float, metavar="DB", help="Add noise at this ratio."),
        click.option("--seed", type=int, default=0, help="Of the noise and the split."),
        click.option("--patch", type=int, default=64, help="Fine pixels per side (.h5)."),
        click.option("--stride", type=int, help="Between patches of a block (.h5)."),
        click.option(
            "--shares",
            metavar="TRAIN,VALID,TEST",
            default="0.8,0.1,0.1",
            callback=_numbers,
            help="Parts of each scene's ground (.h5); 0 leaves a set out.",
        ),
        _OVERWRITE,
        _JSON,
        _QUIET,
    ]
)
_WALD = _all_options(
    [
        click.option("--sensor", help="Sensor id; see `bandweave sensors`."),
        click.option("--full-scale", type=float, help="Value that maps to 1.0."),
        click.option(
            "--mtf-gain",
            "gains",
            metavar="G,...",
            callback=_numbers,
            help="MTF at Nyquist, one per band or one for all; the sensor's if not given.",
        ),
        click.option(
            "--normalised", is_flag=True, help="MTF kernels that sum to 1, unlike the toolboxes'."
        ),
        click.option(
            "--pan",
            "pan_method",
            metavar="bicubic|mtf|FILE",
            default="bicubic",
            help="How the PAN is made: imresize, MTF filter, or a kernel from a CSV file.",
        ),
        click.option("--pan-gain", type=float, help="For --pan mtf; the sensor's if not given."),
        _SHARED,
    ]
)


@click.group(context_settings={"show_default": True})
def command() -> None:
    """Make reduced-resolution pairs with a reference.

    OUT decides the format: .h5 for sets of patches split by region, .mat for the toolbox layout,
    .tif for GeoTIFF files, a folder for GeoTIFF files of each scene.
    """


@command.command()
@click.argument("pan", metavar="PAN", type=_PATH)
@click.argument("ms", metavar="MS", type=_PATH)
@click.argument("out", type=_PATH)
@_WALD
def pair(pan: Path, ms: Path, out: Path, as_json: bool, quiet: bool, **options: Any) -> None:
    """Reduce one PAN + MS (or MSI + HSI) scene: the MS becomes the reference."""
    files = [PairPaths(ms.stem, pan, ms)]
    _reduce(files, out, PairConfig.checked(**options), as_json=as_json, quiet=quiet)


@command.command()
@click.argument("folder", type=_PATH)
@click.argument("out", type=_PATH)
@_WALD
def folder(folder: Path, out: Path, as_json: bool, quiet: bool, **options: Any) -> None:
    """Reduce all pairs <scene>_pan, <scene>_ms of a FOLDER; of one sensor for .h5."""
    config = PairConfig.checked(**options)
    _reduce(find_pairs(folder), out, config, as_json=as_json, quiet=quiet)


@command.command()
@click.argument("cube", metavar="CUBE", type=_PATH)
@click.argument("out", type=_PATH)
@click.option("--ratio", type=int, default=4, help="Fine pixels per coarse pixel.")
@click.option(
    "--srf",
    metavar="NAME|FILE",
    default="nikon-d700",
    help="Response that makes the MSI: nikon-d700, a CSV file, a sensor, or SENSOR:pan.",
)
@click.option(
    "--psf",
    metavar="SIGMA,SIZE",
    default="0.5,3",
    callback=_numbers,
    help="Gaussian that makes the low-resolution image, in fine pixels.",
)
@click.option("--mtf-gain", type=float, help="MTF at Nyquist in place of --psf.")
@click.option("--full-scale", type=float, help="Value that stands for reflectance 1 (.h5).")
@_SHARED
def cube(cube: Path, out: Path, as_json: bool, quiet: bool, **options: Any) -> None:
    """Make a pair from a hyperspectral image, which becomes the reference."""
    config = CubeConfig.checked(**options)
    opened = cube_scene(cube, out, config)
    _write(opened, out, config, HYPERSPECTRAL_KEYS, as_json=as_json, quiet=quiet)


@command.command()
@click.argument("folder", type=_PATH)
@click.argument("out", type=_PATH)
@click.option("--ratio", type=click.Choice(["4", "8", "16", "32"]), default="4")
@click.option(
    "--srf",
    metavar="NAME|FILE",
    default="nikon-d700",
    help="Response that makes the MSI: nikon-d700, a CSV file, a sensor, or SENSOR:pan.",
)
@click.option(
    "--psf",
    metavar="SIGMA,SIZE",
    default="0.5,3",
    callback=_numbers,
    help="Gaussian that makes the low-resolution image, in fine pixels; SIZE odd.",
)
@_OVERWRITE
@_JSON
@_QUIET
def cave(
    folder: Path, out: Path, ratio: str, srf: str, psf: tuple[float, ...], **flags: bool
) -> None:
    """Write train.h5, valid.h5 and test.h5 of the published CAVE split into the folder OUT."""
    config = CubeConfig.checked(srf=srf, psf=psf)
    with progress("Simulating", 31 * 512 * 512, quiet=flags["quiet"]) as report:
        sets = write_cave_sets(
            folder,
            out,
            int(ratio),
            psf=config.blur,
            response=find_response(config.srf, WAVELENGTHS),
            overwrite=flags["overwrite"],
            report=report,
        )
    _print([WrittenFile(*item) for item in sets.items()], None, as_json=flags["as_json"])


@command.command()
@click.argument("source", metavar="SET", type=_PATH)
@click.argument("out", type=_PATH)
@click.option("--sensor", help="Sensor id; see `bandweave sensors`.")
@click.option("--full-scale", type=float, help="DN of 1.0, for values within [0, 1].")
@_OVERWRITE
@_JSON
def export(
    source: Path, out: Path, sensor: str | None, full_scale: float | None, **flags: bool
) -> None:
    """Write the pairs of a .h5 SET or a .mat file as GeoTIFF files into the folder OUT."""
    model = None if sensor is None else find_sensor(sensor)
    written = []
    with open_pairs(source, sensor=model, full_scale=full_scale) as pairs:
        record = None if pairs.record is None else pairs.record.model_dump_json()
        for k in range(len(pairs)):
            stem = out / f"{source.stem}_{k}"
            item = pairs.item(k)
            paths = write_item_files(item, stem, record=record, overwrite=flags["overwrite"])
            written += [WrittenFile(path, 1) for path in paths]
    _print(written, None, as_json=flags["as_json"])


def _reduce(
    files: Sequence[PairPaths], out: Path, config: PairConfig, *, as_json: bool, quiet: bool
) -> None:
    with open_pair_scenes(files, out, config) as opened:
        _write(opened, out, config, PANCOLLECTION_KEYS, as_json=as_json, quiet=quiet)


def _write(
    opened: OpenScenes,
    out: Path,
    config: SimulationConfig,
    keys: SetKeys,
    *,
    as_json: bool,
    quiet: bool,
) -> None:
    with progress("Simulating", opened.pixels, quiet=quiet) as report:
        written = write_simulation(
            opened.scenes,
            out,
            cutting=config.cutting,
            keys=keys,
            overwrite=config.overwrite,
            report=report,
        )
    _print(written, opened.record.model_dump(mode="json"), as_json=as_json)


def _print(written: Sequence[WrittenFile], record: dict[str, Any] | None, *, as_json: bool) -> None:
    if as_json:
        files = [{"path": str(file.path), "pairs": file.pairs} for file in written]
        click.echo(json.dumps({"files": files, "record": record}, indent=2))
        return
    for file in written:
        click.echo(f"{file.path}: {file.pairs} {'pair' if file.pairs == 1 else 'pairs'}")
