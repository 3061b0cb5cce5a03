"""From files to files: open scenes, reduce them, write what the output's name asks for."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from bandweave.datasets.folders import PairPaths
from bandweave.datasets.hyperspectral import (
    find_response,
    hyperspectral_scene,
    read_hyperspectral,
)
from bandweave.datasets.matlab import write_matlab_pair
from bandweave.datasets.pairfiles import write_scene_files
from bandweave.datasets.reduced import ReducedScene, WaldScene, scene_noise
from bandweave.datasets.setwriter import PANCOLLECTION_KEYS, SetKeys
from bandweave.datasets.simulate_config import CubeConfig, PairConfig
from bandweave.datasets.splitsets import Cutting, write_split_sets
from bandweave.degrade.record import DegradationRecord
from bandweave.errors import AssumptionWarning, FileFormatError
from bandweave.raster.reader import open_pair
from bandweave.sensors import find_sensor
from bandweave.window import Window

SET_SUFFIXES = (".h5", ".hdf5")
RASTER_SUFFIXES = (".tif", ".tiff")


@dataclass(frozen=True, slots=True)
class WrittenFile:
    """One file that a simulation wrote."""

    path: Path
    pairs: int
    """Pairs in the file; 1 for each file of a pair of rasters."""


@dataclass(frozen=True, slots=True)
class OpenScenes:
    """Reduced scenes ready to be written, and how they are made."""

    scenes: tuple[tuple[str, ReducedScene], ...]
    """Names and scenes."""
    record: DegradationRecord
    """How the last one is made; within a set all are made alike."""

    @property
    def pixels(self) -> int:
        """Return the number of reduced pixels of all scenes."""
        return sum(scene.shape[0] * scene.shape[1] for _, scene in self.scenes)


@contextmanager
def open_pair_scenes(
    files: Sequence[PairPaths], out: str | Path, config: PairConfig
) -> Iterator[OpenScenes]:
    """Open native pairs of raster files and settle how each is reduced.

    `phase="auto"` means corner-based grids for GeoTIFF outputs, which then nest as deliveries do,
    and the toolboxes' phase for their formats.

    Raises:
        FusionError: A file cannot be read, the grids do not nest, or the MTF is not known.

    Warns:
        AssumptionWarning: A convention stands in for an unknown MTF.
    """
    is_raster = Path(out).suffix.lower() in ("", *RASTER_SUFFIXES)
    sensor = None if config.sensor is None else find_sensor(config.sensor)
    scenes: list[tuple[str, ReducedScene]] = []
    records: list[DegradationRecord] = []
    with ExitStack() as stack:
        for paths in files:
            source = stack.enter_context(
                open_pair(paths.pan, paths.ms, sensor=sensor, full_scale=config.full_scale)
            )
            protocol = config.protocol(source.profile, "corner" if is_raster else "toolbox")
            if config.snr is not None:
                protocol = replace(protocol, noise=scene_noise(source, config.snr, config.seed))
            scenes.append((paths.name, WaldScene(source, protocol)))
            records.append(protocol.record(source.profile))
        for assumption in dict.fromkeys(said for record in records for said in record.assumptions):
            warnings.warn(assumption, AssumptionWarning, stacklevel=3)
        yield OpenScenes(tuple(scenes), records[-1])


def cube_scene(path: str | Path, out: str | Path, config: CubeConfig) -> OpenScenes:
    """Read a hyperspectral image and make its pair.

    Sets (`.h5`) hold values in [0, 1], other formats the image's own.

    Raises:
        FusionError: The file cannot be read, the response does not fit, or the scale is not known.
    """
    image = read_hyperspectral(path)
    full_scale = config.full_scale
    if Path(out).suffix.lower() in SET_SUFFIXES:
        image, full_scale = image.as_unit(full_scale), 1.0
    scene = hyperspectral_scene(
        image,
        find_response(config.srf, image.wavelengths),
        config.blur,
        config.ratio,
        phase=config.phase_at(config.ratio, "toolbox"),
        snr_db=config.snr,
        seed=config.seed,
        full_scale=full_scale,
    )
    return OpenScenes(((Path(path).stem, scene),), scene.whole.record)


def write_simulation(
    scenes: Sequence[tuple[str, ReducedScene]],
    out: str | Path,
    *,
    cutting: Cutting | None = None,
    keys: SetKeys = PANCOLLECTION_KEYS,
    overwrite: bool = False,
    report: Callable[[int], None] = lambda _: None,
) -> list[WrittenFile]:
    """Write scenes as the name of `out` says.

    `.h5`: patches in sets split by region, see `write_split_sets`. `.mat`: one scene whole, in the
    toolbox's layout. `.tif`: one scene as `<out>_pan.tif`, `_ms.tif`, `_gt.tif`. No ending: a
    folder with these files for each scene.

    Args:
        scenes: Names and reduced scenes.
        out: File or folder.
        cutting: How patches are cut; the defaults of `Cutting` without it.
        keys: Names of the arrays in `.h5` sets.
        overwrite: Replace existing files.
        report: Called with the number of reduced pixels done.

    Raises:
        FileFormatError: The ending is not known, or a file for one scene was given several.
    """
    out = Path(out)
    suffix = out.suffix.lower()
    if suffix in SET_SUFFIXES:
        counts = write_split_sets(
            scenes, out, cutting or Cutting(), keys=keys, overwrite=overwrite, report=report
        )
        return [WrittenFile(path, count) for path, count in counts.items()]
    if not suffix:
        paths = [
            path
            for name, scene in scenes
            for path in write_scene_files(scene, out / name, overwrite=overwrite, report=report)
        ]
        return [WrittenFile(path, 1) for path in paths]
    if len(scenes) != 1:
        raise FileFormatError(
            f"{out.name} can hold one scene and there are {len(scenes)}; name an .h5 file, or a "
            "folder."
        )
    scene = scenes[0][1]
    if suffix in RASTER_SUFFIXES:
        paths = write_scene_files(scene, out.with_suffix(""), overwrite=overwrite, report=report)
        return [WrittenFile(path, 1) for path in paths]
    if suffix == ".mat":
        write_matlab_pair(out, scene.reduced(Window.whole(scene.shape)), overwrite=overwrite)
        report(scene.shape[0] * scene.shape[1])
        return [WrittenFile(out, 1)]
    raise FileFormatError(
        f"The ending of {out.name} is not known: .h5 writes sets of patches, .mat a toolbox pair, "
        ".tif GeoTIFF files, and a folder GeoTIFF files of each scene."
    )
