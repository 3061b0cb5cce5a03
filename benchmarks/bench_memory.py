"""Peak memory and time of `bandweave fuse` as the scene grows.

    .venv/bin/python benchmarks/bench_memory.py [--size 20000] [--bands 8] [--methods exp brovey]
    .venv/bin/python benchmarks/bench_memory.py --size 188 1000 2000 --methods u2net released
    .venv/bin/python benchmarks/bench_memory.py --size 20000 --height 1024 --methods u2net-l-wv

Writes a PAN of size x size pixels, or of fewer rows, and its MS (uint16, noise on a ramp, so that
nothing compresses away), fuses it in a process of its own and prints that process's time, the time
of all its threads per megapixel, and its peak resident memory. A method is one of the program's,
the name of shipped weights, `u2net`, the network of the paper (S = 32) with random weights, or
`released`, the same one run as the released program runs it.
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
import torch
from affine import Affine
from conditions import conditions
from rasterio.windows import Window

from bandweave.methods.nets.card import PUBLISHED_WV3
from bandweave.methods.nets.checkpoint import save_weights
from bandweave.methods.nets.u2net import U2Net
from bandweave.methods.nets.u2net_config import U2NetConfig
from bandweave.methods.nets.zoo import WEIGHTS

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


def run(arguments: list[str]) -> tuple[float, float, float]:
    """Run a command; return its seconds, those of all its threads, and peak memory in GiB."""
    start = time.perf_counter()
    process = subprocess.Popen(arguments)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{arguments} failed")
    seconds = time.perf_counter() - start
    return seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 2**20


def write_weights(path: Path) -> None:
    """Write U2Net for eight bands as published, untrained."""
    torch.manual_seed(0)
    save_weights(path, U2Net(U2NetConfig(bands=8)), PUBLISHED_WV3)


def fusing(method: str, pan: Path, ms: Path, out: Path, weights: Path) -> list[str]:
    """Return the command that fuses the scene."""
    if method == "released":
        script = Path(__file__).with_name("released_fuse.py")
        return [str(part) for part in (sys.executable, script, pan, ms, out, weights)]
    command = [sys.executable, "-m", "bandweave", "fuse", pan, ms, out]
    if method == "u2net":
        command += ["--weights", weights]
    else:
        command += ["--weights" if method in WEIGHTS else "--method", method]
    command += ["--align", "off", "--pan-sharpness", "off", "--sensor", "wv3", "--quiet"]
    return [str(part) for part in command]


def fuse_scene(folder: Path, height: int, width: int, bands: int, methods: list[str]) -> None:
    """Write a scene, fuse it by each method, print time and memory."""
    pan, ms, out = (folder / name for name in ("pan.tif", "ms.tif", "out.tif"))
    write_noise(pan, (1, height, width), 0.5)
    write_noise(ms, (bands, height // 4, width // 4), 2.0)
    weights = folder / "u2net.safetensors"
    write_weights(weights)
    for method in methods:
        seconds, spent, memory = run(fusing(method, pan, ms, out, weights))
        print(
            f"{method}: {height} x {width} x {bands} in {seconds:.1f} s, processor "
            f"{spent / (height * width / 1e6):.2f} s per megapixel, peak memory {memory:.2f} GiB",
            flush=True,
        )
        out.unlink()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, nargs="+", default=[20_000])
    parser.add_argument("--height", type=int, help="rows; default: as many as columns")
    parser.add_argument("--bands", type=int, default=8)
    parser.add_argument("--methods", nargs="+", default=["exp", "brovey"])
    parser.add_argument("--folder", help="where the scene is written; default: a temporary one")
    options = parser.parse_args()
    print(conditions("torch", "rasterio"), flush=True)
    for size in options.size:
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            height = options.height or size
            fuse_scene(Path(folder), height, size, options.bands, options.methods)


if __name__ == "__main__":
    main()
