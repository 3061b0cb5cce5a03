"""One scene on the workers of a Dask cluster: how much faster two are than one.

    python benchmarks/bench_dask.py [--method gsa|u2net] [--width 2048] [--rounds 3]
    python benchmarks/bench_dask.py --share 0.5

Scheduler and workers are processes of their own on this machine, of one thread each, and this
process writes the file. In turn within each round: one worker, two workers, the plain local run of
one thread, and the machine's own limit: the local run once, and twice at the same time in two
processes that know nothing of each other. Where the two cores are threads of one core, two
processes together do less than twice the work of one, whoever hands it out. Every output is
compared with the local run's, byte for byte.

With `--share 0.5` everything that computes, workers and local runs, has half of the first processor
each, and never both at a moment: what two machines would gain, at half the speed (as root, Linux).
Scheduler and the writing process have the other processors.
"""

from __future__ import annotations

import argparse
import filecmp
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

import numpy as np
import rasterio
from affine import Affine
from conditions import conditions
from cpu_share import held_to

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from clusters import LocalCluster, cluster

BANDS, RATIO = 4, 4
METHODS = {
    "gsa": ["--method", "gsa"],
    "consistent": ["--method", "mtf_glp_hpm", "--mtf-gain", "0.3", "--sensor", "wv2",
                   "--consistent"],
    "u2net": ["--weights", "u2net-l-wv", "--pan-sharpness", "off"],
}  # fmt: skip


def write_scene(folder: Path, height: int, width: int, bands: int) -> None:
    """Write a pair of 11-bit noise over a pattern, strip by strip."""
    rng = np.random.default_rng(0)
    fine = Affine(0.5, 0, 400_000, 0, -0.5, 5_000_000)
    for name, count, ratio in (("pan", 1, 1), ("ms", bands, RATIO)):
        rows, cols = height // ratio, width // ratio
        with rasterio.open(
            folder / f"{name}.tif", "w", driver="GTiff", count=count, height=rows, width=cols,
            dtype="uint16", crs="EPSG:32633", transform=fine @ Affine.scale(ratio), tiled=True,
        ) as file:  # fmt: skip
            for top in range(0, rows, 256):
                high = min(256, rows - top)
                y, x = np.mgrid[top : top + high, 0:cols] * (ratio / 40)
                pattern = 900 + 500 * np.sin(y + 0.3) * np.cos(x)
                noise = rng.normal(0, 60, (count, high, cols))
                window = rasterio.windows.Window(0, top, cols, high)
                file.write((pattern + noise).clip(1, 2047).astype("uint16"), window=window)


def command(folder: Path, out: str, options: list[str]) -> list[str]:
    """Return the command that fuses the scene of a folder."""
    files = [str(folder / name) for name in ("pan.tif", "ms.tif", out)]
    return [
        sys.executable, "-m", "bandweave", "fuse", *files, *options, "--align", "off",
        "--overwrite", "--json", "-q", "--no-overviews", "--full-scale", "2047",
    ]  # fmt: skip


def seconds(*commands: list[str], share: float | None = None) -> float:
    """Run commands at the same time; return the longest of the times they report.

    Starting the interpreter and loading libraries are not counted: workers are running already.
    """
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    running = [subprocess.Popen(one, stdout=subprocess.PIPE, env=environment) for one in commands]
    with held(share, running):
        reports = [json.loads(process.communicate()[0]) for process in running]
    return max(float(report["seconds"]) for report in reports)


def held(
    share: float | None, processes: list[subprocess.Popen[bytes]]
) -> AbstractContextManager[None]:
    """Hold processes to a share of the first processor, if one is given."""
    return held_to(share, *(one.pid for one in processes)) if share else nullcontext()


@contextmanager
def warm_cluster(
    folder: Path, workers: int, fuse: Callable[[str], list[str]], share: float | None
) -> Iterator[LocalCluster]:
    """Start workers and let them compute a corner, so that libraries are loaded."""
    with cluster(folder, workers) as own:
        for _ in range(workers):  # the second is given a stripe once both are there
            part = ["--window", "0,0,64,64"]
            subprocess.run([*fuse(own.address), *part], check=True, stdout=subprocess.DEVNULL)
        with held(share, own.workers):
            yield own


def compare(options: argparse.Namespace, folder: Path) -> None:
    method, share = METHODS[options.method], options.share
    local = [*method, "-j", "1"]

    def there(out: str) -> Callable[[str], list[str]]:
        return lambda address: command(folder, out, [*method, "--dask", address])

    rounds: dict[str, list[float]] = {}
    with (
        warm_cluster(folder / "one", 1, there("warm.tif"), share) as one,
        warm_cluster(folder / "two", 2, there("warm.tif"), share) as two,
    ):
        for _ in range(options.rounds):
            taken = {
                "local": seconds(command(folder, "local.tif", local), share=share),
                "two local at once": seconds(
                    *(command(folder, f"local{k}.tif", local) for k in (1, 2)), share=share
                ),
                "one worker": seconds(there("one.tif")(one.address)),
                "two workers": seconds(there("two.tif")(two.address)),
            }
            for name in ("one.tif", "two.tif"):
                if not filecmp.cmp(folder / "local.tif", folder / name, shallow=False):
                    raise SystemExit(f"{name} differs from the local run.")
            taken["speed-up"] = taken["one worker"] / taken["two workers"]
            taken["limit"] = 2 * taken["local"] / taken["two local at once"]
            taken["of the limit"] = taken["speed-up"] / taken["limit"]
            taken["one worker / local"] = taken["one worker"] / taken["local"]
            for name, value in taken.items():
                rounds.setdefault(name, []).append(value)
            print({name: round(value, 3) for name, value in taken.items()}, flush=True)
    print(f"{'':20} median   least  largest")
    for name, values in rounds.items():
        print(f"{name:20} {statistics.median(values):6.2f} {min(values):7.2f} {max(values):7.2f}")
    print("All outputs equal the local run's, byte for byte.")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--method", choices=METHODS, default="gsa")
    parser.add_argument("--height", type=int, default=8192)
    parser.add_argument("--width", type=int, default=2048)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--share", type=float, help="of one processor, for each that computes")
    options = parser.parse_args()
    bands = 8 if options.method == "u2net" else BANDS
    print(conditions("distributed"))
    print(f"{options.method}, {options.height} x {options.width} pixels, {bands} bands")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_scene(folder, options.height, options.width, bands)
        compare(options, folder)


if __name__ == "__main__":
    main()
