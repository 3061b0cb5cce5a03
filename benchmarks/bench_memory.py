"""Peak memory and time of `bandweave fuse` as the scene grows.

    .venv/bin/python benchmarks/bench_memory.py [--size 20000] [--bands 8] [--methods exp brovey]
    .venv/bin/python benchmarks/bench_memory.py --size 1000 2000 4000 10000 --methods u2net

Writes a PAN of size x size pixels and its MS (uint16, noise on a ramp, so that nothing compresses
away), fuses it in a process of its own and prints that process's time, the time per megapixel, and
its peak resident memory.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import rasterio
from affine import Affine
from rasterio.windows import Window

STRIP = 512  # rows written at a time


def write_noise(path: Path, shape: tuple[int, int, int], pixel: float) -> None:
    bands, height, width = shape
    rng = np.random.default_rng(1)
    ramp = np.linspace(200, 1200, width)
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        count=bands,
        height=height,
        width=width,
        dtype="uint16",
        tiled=True,
        blockxsize=256,
        blockysize=256,
        crs="EPSG:32633",
        transform=Affine(pixel, 0, 400_000, 0, -pixel, 5_000_000),
        BIGTIFF="IF_SAFER",
    ) as file:
        for row in range(0, height, STRIP):
            count = min(STRIP, height - row)
            strip = ramp + rng.integers(0, 500, (bands, count, width))
            file.write(strip.astype("uint16"), window=Window(0, row, width, count))


def run(arguments: list[str]) -> tuple[float, float]:
    """Run a command; return its seconds and peak memory in GiB."""
    start = time.perf_counter()
    process = subprocess.Popen(arguments)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{arguments} failed")
    return time.perf_counter() - start, usage.ru_maxrss / 2**20


def fuse_scene(folder: Path, size: int, bands: int, methods: list[str]) -> None:
    """Write a scene, fuse it by each method, print time and memory."""
    pan, ms, out = (folder / name for name in ("pan.tif", "ms.tif", "out.tif"))
    write_noise(pan, (1, size, size), 0.5)
    write_noise(ms, (bands, size // 4, size // 4), 2.0)
    for method in methods:
        command = [sys.executable, "-m", "bandweave", "fuse", pan, ms, out, "--method", method]
        command += ["--align", "off", "--pan-sharpness", "off", "--sensor", "wv3", "--quiet"]
        seconds, memory = run([str(part) for part in command])
        print(
            f"{method}: {size} x {size} x {bands} in {seconds:.1f} s, "
            f"{seconds / (size / 1000) ** 2:.2f} s per megapixel, peak memory {memory:.2f} GiB",
            flush=True,
        )
        out.unlink()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, nargs="+", default=[20_000])
    parser.add_argument("--bands", type=int, default=8)
    parser.add_argument("--methods", nargs="+", default=["exp", "brovey"])
    parser.add_argument("--folder", help="where the scene is written; default: a temporary one")
    options = parser.parse_args()
    for size in options.size:
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            fuse_scene(Path(folder), size, options.bands, options.methods)


if __name__ == "__main__":
    main()
