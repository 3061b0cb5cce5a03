"""Classical methods on a scene, side by side with `gdal_pansharpen`.

    python benchmarks/bench_classical.py [--size 6000] [--threads 2] [--rounds 3]
    python benchmarks/bench_classical.py --growth

Makes a PAN of size x size pixels and its 4-band MS at a quarter (uint16, tiled, seeded), fuses them
with every program in turn, each in a process of its own with the same number of threads, and writes
tiled GeoTIFFs of one compression, without overviews and statistics. Prints wall and processor
seconds and peak resident memory, and last how far the Brovey images of both programs are apart on
bands without texture. `brovey_equal` is Brovey with equal weights, which is what GDAL does;
`brovey` fits them to the PAN first, in one more pass over the scene. `--growth` goes from 2,000 to
12,000 pixels. Needs GDAL's own program (of Debian, packages gdal-bin and python3-gdal).
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
from affine import Affine
from conditions import conditions, spread
from rasterio.windows import Window
from scipy.ndimage import zoom

METHODS = ("brovey_equal", "brovey", "gsa", "bt_h", "mtf_glp_fs", "mtf_glp_hpm", "bdsd_pc")
AS_GDAL = "brovey_equal"
BLOCK = 256
STRIP = 512  # rows written at a time
RATIO = 4
GROWTH = (2000, 4000, 6000, 8000, 12_000)
COMPRESSIONS = {
    "none": {"COMPRESS": "NONE"},
    "zstd": {"COMPRESS": "ZSTD", "ZSTD_LEVEL": "1", "PREDICTOR": "2"},
}


@dataclass(frozen=True)
class Cost:
    """What one run took."""

    wall: float
    processor: float
    gib: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=6000)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--methods", nargs="+", default=METHODS)
    parser.add_argument("--compress", choices=COMPRESSIONS, default="none")
    parser.add_argument("--growth", action="store_true", help="from 2,000 to 12,000 pixels")
    parser.add_argument("--folder", help="where the scenes are written; default: a temporary one")
    options = parser.parse_args()
    print_environment(options.threads)
    for size in GROWTH if options.growth else (options.size,):
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            compare(Path(folder), size, options)
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        print(agreement(Path(folder), options.threads))


def compare(folder: Path, size: int, options: argparse.Namespace) -> None:
    """Make a scene of `size` pixels and run every program on it, `rounds` times in turn."""
    pan, ms = make_scene(folder, size)
    creation = {"TILED": "YES", "INTERLEAVE": "PIXEL", "BIGTIFF": "IF_SAFER",
                "BLOCKXSIZE": str(BLOCK), "BLOCKYSIZE": str(BLOCK),
                **COMPRESSIONS[options.compress]}  # fmt: skip
    pairs = [f"{key}={value}" for key, value in creation.items()]
    commands = {"gdal_pansharpen": gdal_command(pan, ms, folder, pairs, options.threads)}
    for method in options.methods:
        commands[method] = bandweave_command(method, folder, pairs, options.threads)
    costs: dict[str, list[Cost]] = {name: [] for name in commands}
    for _ in range(options.rounds):
        for name, command in commands.items():
            (folder / f"{name}.tif").unlink(missing_ok=True)
            costs[name].append(run(command, options.threads))
    print(f"\n{size} x {size}, 4 bands uint16, {options.rounds} rounds, {options.compress}")
    rival = costs["gdal_pansharpen"]
    for name, found in costs.items():
        print(row(name, found, rival, size))


def gdal_command(pan: Path, ms: Path, folder: Path, pairs: list[str], threads: int) -> list[str]:
    """Return GDAL's own weighted Brovey, cubic as it is by default."""
    program = shutil.which("gdal_pansharpen.py") or shutil.which("gdal_pansharpen")
    if program is None:
        raise SystemExit("gdal_pansharpen was not found; install gdal-bin and python3-gdal.")
    out = folder / "gdal_pansharpen.tif"
    options = [part for pair in pairs for part in ("-co", pair)]
    command = [program, "-q", "-threads", str(threads), *options, "-of", "GTiff"]
    return [*command, str(pan), str(ms), str(out)]


def bandweave_command(method: str, folder: Path, pairs: list[str], threads: int) -> list[str]:
    """Return `bandweave fuse` without what GDAL does not do either: alignment and overviews."""
    options = [part for pair in pairs for part in ("--co", pair)]
    files = [folder / "pan.tif", folder / "ms.tif", folder / f"{method}.tif"]
    command = [sys.executable, "-m", "bandweave", "fuse", *files, "-q"]
    name, *weights = ("brovey", "--band-weights", "equal") if method == AS_GDAL else (method,)
    command += ["--method", name, "--align", "off", "--sensor", "ikonos", "--no-overviews"]
    command += weights
    return [str(part) for part in [*command, "-j", threads, *options]]


def run(command: list[str], threads: int) -> Cost:
    """Run a command and return what it and its threads took."""
    # The system's GDAL brings Python modules of its own; each thread is a BLAS thread already.
    clean = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    environment = {**clean, "OMP_NUM_THREADS": "1", "GDAL_NUM_THREADS": str(threads)}
    os.sync()  # what was written before is not to be written out meanwhile
    start = time.perf_counter()
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(command)} failed")
    used = usage.ru_utime + usage.ru_stime
    return Cost(time.perf_counter() - start, used, usage.ru_maxrss / 2**20)


def row(name: str, costs: list[Cost], rival: list[Cost], size: int) -> str:
    """Describe the median run, and its quotient with the rival's run of the same round.

    Last the quotient of the best rounds: what a busy machine disturbs least.
    """
    wall = statistics.median(cost.wall for cost in costs)
    walls = spread([cost.wall for cost in costs])
    processor = statistics.median(cost.processor for cost in costs)
    both = list(zip(costs, rival, strict=True))
    times = statistics.median(a.wall / b.wall for a, b in both)
    work = statistics.median(a.processor / b.processor for a, b in both)
    best = min(cost.wall for cost in costs) / min(cost.wall for cost in rival)
    return (
        f"{name:16} {walls} s  processor {processor:7.2f} s  {size**2 / 1e6 / wall:6.1f} MPix/s"
        f"  peak {max(cost.gib for cost in costs):5.2f} GiB  times gdal: {times:5.2f} wall, "
        f"{work:5.2f} processor, {best:5.2f} best wall"
    )


def agreement(folder: Path, threads: int) -> str:
    """Compare both Brovey images where the definitions agree: bands that rise evenly.

    GDAL interpolates the MS with a cubic, bandweave with the 23-tap filter; both keep straight
    lines, so that only the two programs' arithmetic and rounding are left.
    """
    size = 1024
    cells = size // RATIO
    rng = np.random.default_rng(2)
    rise = np.arange(cells) * 2.0
    bands = np.stack([300 + k * rise[:, None] + (4 - k) * rise for k in range(4)])
    pan = rng.integers(200, 1800, (1, size, size))
    write(folder / "pan.tif", pan, 1)
    write(folder / "ms.tif", bands, RATIO)
    found = []
    files = folder / "pan.tif", folder / "ms.tif"
    for name, command in (
        ("gdal_pansharpen", gdal_command(*files, folder, [], threads)),
        (AS_GDAL, bandweave_command(AS_GDAL, folder, [], threads)),
    ):
        run(command, threads)
        with rasterio.open(folder / f"{name}.tif") as file:
            inside = slice(64, -64)  # the programs continue lines differently beyond the edge
            found.append(file.read().astype(np.int64)[:, inside, inside])
    apart = np.abs(found[0] - found[1])
    return (
        f"\nBrovey of evenly rising bands, {size} x {size}: differences up to {apart.max()} DN, "
        f"{np.mean(apart == 0):.1%} of the values equal, mean {found[0].mean():.0f} DN"
    )


def write(path: Path, image: np.ndarray, pixel: float) -> None:
    place = Affine(pixel, 0, 400_000, 0, -pixel, 5_000_000)
    count, height, width = image.shape
    with rasterio.open(path, "w", driver="GTiff", dtype="uint16", count=count, height=height,
                       width=width, crs="EPSG:32633", transform=place) as file:  # fmt: skip
        file.write(np.rint(image).astype("uint16"))


def make_scene(folder: Path, size: int) -> tuple[Path, Path]:
    """Write the pair: smooth relief with texture, the MS the mean of the PAN's cells with noise."""
    rng = np.random.default_rng(1)
    pan, ms = folder / "pan.tif", folder / "ms.tif"
    common = {"driver": "GTiff", "dtype": "uint16", "tiled": True, "blockxsize": BLOCK,
              "blockysize": BLOCK, "crs": "EPSG:32633", "BIGTIFF": "IF_SAFER"}  # fmt: skip
    place = Affine(1, 0, 400_000, 0, -1, 5_000_000)
    of_pan = {"count": 1, "height": size, "width": size, "transform": place, **common}
    cells = size // RATIO
    of_ms = {"count": 4, "height": cells, "width": cells,
             "transform": place @ Affine.scale(RATIO), **common}  # fmt: skip
    with rasterio.open(pan, "w", **of_pan) as fine, rasterio.open(ms, "w", **of_ms) as coarse:
        coarse.descriptions = ("blue", "green", "red", "nir")
        for top in range(0, size, STRIP):
            rows = min(STRIP, size - top)
            relief = zoom(rng.uniform(300, 900, (rows // 32 + 2, size // 32 + 2)), 32, order=1)
            strip = relief[:rows, :size] + rng.normal(0, 40, (rows, size))
            means = strip.reshape(rows // RATIO, RATIO, cells, RATIO).mean(axis=(1, 3))
            gains = np.array([0.7, 0.9, 0.8, 1.4])[:, None, None]
            bands = gains * means + rng.normal(0, 8, (4, *means.shape))
            place = Window(0, top, size, rows)
            fine.write(np.rint(strip).clip(1, 2047).astype("uint16"), 1, window=place)
            place = Window(0, top // RATIO, size // RATIO, rows // RATIO)
            coarse.write(np.rint(bands).clip(1, 2047).astype("uint16"), window=place)
    return pan, ms


def print_environment(threads: int) -> None:
    """Say what the figures were measured on."""
    version = subprocess.run(["gdalinfo", "--version"], capture_output=True, text=True, check=False)
    print(f"{conditions('rasterio')}; {version.stdout.strip()}; {threads} threads each")


if __name__ == "__main__":
    main()
