"""What a country costs: workers, network and storage for many scenes, from measured rates.

    OMP_NUM_THREADS=1 python benchmarks/scaling_model.py --measure rates.json [--rounds 3]
    python benchmarks/scaling_model.py rates.json [--scenes 10000] [--gigapixels 1] [--bands 8]

`--measure` times the parts of a run on this machine, one thread each: the pass for statistics, the
fusing of a method, the writing of a stripe's file by a worker and of the output by the process that
assembles it. The second call computes from them, for one product per task (`batch --dask`) and for
one scene over all workers (`fuse --dask`):

    worker seconds   = pixels / rate(statistics + fusing + writing)
    wall time        = worker seconds / workers, but not less than storage allows
    network          = bytes read (PAN, MS, twice where there are statistics) and written
    one scene        = slowest of: workers, assembling process; plus what is not shared

It assumes that nodes compute as fast together as one alone, and that storage gives what it is asked
for up to its limit; both have to be measured on the cluster itself.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import rasterio

sys.path.insert(0, str(Path(__file__).parent))
from bench_dask import write_scene
from conditions import conditions

from bandweave.allocation import keep_freed_blocks
from bandweave.config import FuseConfig
from bandweave.mosaic.georeferenced import RasterScene
from bandweave.mosaic.job import Job
from bandweave.mosaic.prepare import prepare_job
from bandweave.mosaic.runner import measure_scene
from bandweave.pair import Mask
from bandweave.radiometry import Image
from bandweave.raster.layout import output_layout
from bandweave.raster.writer import SceneWriter

METHODS = {
    "gsa": (FuseConfig(method="gsa", align="off", workers=1), (4096, 2048)),
    "u2net-l-wv": (
        FuseConfig(weights="u2net-l-wv", full_scale=2047.0, sensor="wv3", align="off", workers=1,
                   pan_sharpness="off", device="cpu"),
        (192, 192),
    ),
}  # fmt: skip
BANDS = 8


@dataclass(frozen=True)
class Rates:
    """Megapixels of output per second of one thread, and what they were measured on."""

    where: str
    bands: int
    fuse: dict[str, float]
    """Reading and fusing, by method."""
    statistics: dict[str, float | None]
    """The pass before, where the method needs one."""
    stripe: float
    """A worker leaving its rows, and the assembling process taking them."""
    write: float
    """The output: ZSTD level 1, one thread, without overviews."""
    output_bytes: float
    """Bytes of the output per pixel and band after compression (noise compresses badly)."""


class _Nowhere:
    """A sink that keeps nothing."""

    def write_rows(self, rows: Image, valid: Mask | None) -> None:
        del rows, valid


def timed(run: Callable[[], object], rounds: int) -> float:
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def measure(rounds: int) -> Rates:
    keep_freed_blocks()
    fuse: dict[str, float] = {}
    passes: dict[str, float | None] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for method, (config, shape) in METHODS.items():
            write_scene(folder, *shape, BANDS)
            megapixels = shape[0] * shape[1] / 1e6
            scene = RasterScene(folder / "pan.tif", folder / "ms.tif", config)
            job = prepare_job(scene, config)
            fuse[method] = megapixels / timed(
                lambda job=job: job.run(_Nowhere(), quiet=True), rounds
            )
            passes[method] = _statistics(job, megapixels, rounds)
            scene.close()
        write_scene(folder, *METHODS["gsa"][1], BANDS)
        stripe, write, size = _writing(folder, rounds)
    return Rates(conditions(), BANDS, fuse, passes, stripe, write, size)


def _statistics(job: Job, megapixels: float, rounds: int) -> float | None:
    method = job.fit.func.__self__  # type: ignore[attr-defined]  # a partial of Method.fit
    if method.measurement(job.source.profile) is None:
        return None
    return megapixels / timed(
        lambda: measure_scene(method, job.source, job.limits, precision=job.precision), rounds
    )


def _writing(folder: Path, rounds: int) -> tuple[float, float, float]:
    config, (height, width) = METHODS["gsa"]
    scene = RasterScene(folder / "pan.tif", folder / "ms.tif", config)
    source = scene.opened((0.0, 0.0))
    assert scene.pair is not None
    layout = output_layout(scene.pair)
    rng = np.random.default_rng(1)
    rows = rng.normal(900, 60, (BANDS, 512, width)).astype("uint16")

    def stripe() -> None:
        path = folder / "stripe.npz"
        with path.open("wb") as stream:
            np.savez(stream, rows=rows)
        with np.load(path) as stored:
            stored["rows"].max()

    def write() -> None:
        with SceneWriter(folder / "out.tif", layout, overviews=False, overwrite=True) as writer:
            for _ in range(height // 512):
                writer.write_rows(rows)
            writer.commit()

    with rasterio.Env(GDAL_CACHEMAX=64):
        stripes = rows.shape[1] * width / 1e6 / timed(stripe, rounds)
        written = height * width / 1e6 / timed(write, rounds)
    scene.close()
    del source
    return stripes, written, (folder / "out.tif").stat().st_size / (height * width * BANDS)


def model(rates: Rates, options: argparse.Namespace) -> None:
    bands, ratio = options.bands, 4
    pixels = options.gigapixels * 1e3  # megapixels
    scale = bands / rates.bands
    per_pixel_in = 2 * (1 + bands / ratio**2)
    per_pixel_out = rates.output_bytes * bands
    print(f"Rates: {rates.where}; megapixels per second of one thread, {rates.bands} bands")
    for name, value in (*rates.fuse.items(), ("stripe", rates.stripe), ("write", rates.write)):
        print(f"  {name:12} {value:8.3g}")
    for name, value in rates.statistics.items():
        print(f"  {name} statistics: {'none' if value is None else f'{value:.3g}'}")
    print(
        f"\n{options.scenes} scenes of {options.gigapixels:g} gigapixels, {bands} bands of 16 bits"
    )
    for name, fuse in rates.fuse.items():
        before = rates.statistics[name]
        parts = [1 / fuse, 1 / rates.write] + ([] if before is None else [1 / before])
        seconds = sum(parts) * scale * pixels
        passes = 1 if before is None else 2
        read, written = passes * per_pixel_in * pixels / 1e3, per_pixel_out * pixels / 1e3
        print(f"\n{name}: {seconds / 3600:.2f} worker hours, {read:.1f} GB read and "
              f"{written:.1f} GB written per scene")  # fmt: skip
        print("| workers | days | read, GB/s | written, GB/s | storage binds above 2 GB/s |")
        print("|---|---|---|---|---|")
        for workers in (16, 64, 256, 1024):
            wall = options.scenes * seconds / workers
            rate_in, rate_out = (options.scenes * part / wall for part in (read, written))
            bound = max(wall, options.scenes * (read + written) / options.storage)
            print(f"| {workers} | {bound / 86400:.1f} | {rate_in:.2f} | {rate_out:.2f} | "
                  f"{'yes' if bound > wall else 'no'} |")  # fmt: skip
        shared = (1 / fuse + 1 / rates.stripe + (0 if before is None else 1 / before)) * scale
        alone = (1 / rates.write + 1 / rates.stripe) * scale
        print(f"One scene over workers: {shared * pixels / 3600:.2f} worker hours shared, "
              f"{alone * pixels / 60:.1f} minutes of the assembling process beside them, which "
              f"binds from {shared / alone:.0f} workers on")  # fmt: skip
    total_in = options.scenes * per_pixel_in * pixels / 1e6
    total_out = options.scenes * per_pixel_out * pixels / 1e6
    print(f"\nStorage: {total_in:.0f} TB of inputs, {total_out:.0f} TB of outputs")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("rates", type=Path)
    parser.add_argument("--measure", action="store_true")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--scenes", type=int, default=10_000)
    parser.add_argument("--gigapixels", type=float, default=1.0)
    parser.add_argument("--bands", type=int, default=BANDS)
    parser.add_argument("--storage", type=float, default=2.0, help="GB/s that storage gives")
    options = parser.parse_args()
    if options.measure:
        if os.environ.get("OMP_NUM_THREADS") != "1":
            raise SystemExit("Rates are those of one thread: set OMP_NUM_THREADS=1.")
        options.rates.write_text(json.dumps(asdict(measure(options.rounds)), indent=1) + "\n")
    model(Rates(**json.loads(options.rates.read_text())), options)


if __name__ == "__main__":
    main()
