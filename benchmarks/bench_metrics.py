"""Speed of the metrics: the set against the toolbox's way, Q2n of 31 bands, a streamed scene.

Run on an idle machine, with the extra `fast`; the ways of a comparison take turns in one process:

    python benchmarks/bench_metrics.py [--threads N] [--repeats K] [--scene PIXELS] [--only PART]

`--only set` ends with one line for each set, border and number of threads.
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import rasterio

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from compare_metrics import scene

from bandweave.bench.cost import processor_name
from bandweave.machine import usable_cores
from bandweave.metrics import Scores, compilation, evaluate_rr, score_rr
from bandweave.metrics.compilation import is_compiled
from bandweave.metrics.q2n import q2n
from bandweave.raster.image import open_image
from oracles import toolbox_metrics as oracle

# What the toolbox itself prints, and with PSNR and SSIM, which published tables add.
SETS = {
    "the toolbox's set": ("q2n", "uqi", "sam", "ergas", "scc"),
    "with PSNR and SSIM": ("q2n", "uqi", "sam", "ergas", "scc", "psnr", "ssim"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--scene", type=int, default=10_000, help="rows and columns")
    parser.add_argument("--only", choices=["set", "parts", "q2n", "scene", "precision"])
    options = parser.parse_args()
    _print_environment(options.threads)
    if options.only in (None, "set"):
        bench_set(options.threads, options.repeats)
    if options.only in (None, "parts"):
        bench_parts(options.repeats)
    if options.only in (None, "precision"):
        compare_precision()
    if options.only in (None, "q2n"):
        bench_q2n(options.repeats)
    if options.only in (None, "scene"):
        bench_scene(options.scene, options.threads)


def bench_set(threads: int, repeats: int) -> None:
    """Time the reduced-resolution set of one image against the oracle, each way in turn."""
    f, g = _images(8, 256, 256)
    lines = []
    for title, metrics in SETS.items():
        for protocol, border in (("dlpan-rr-uncut", "none"), ("dlpan-rr", "toolbox21")):
            options = {"ratio": 4, "full_scale": 2047, "metrics": metrics, "protocol": protocol}
            score = partial(evaluate_rr, f, g, **options)
            compiled = {"1 thread": partial(score, threads=1)} if is_compiled() else {}
            if compiled and threads > 1:
                compiled[f"{threads} threads"] = partial(score, threads=threads)
            ways: dict[str, Callable[[], object]] = {
                "oracle": partial(_oracle, f, g, metrics, border),
                **compiled,
                "numpy, 1": partial(_by_numpy, score, threads=1),
                f"numpy, {threads}": partial(_by_numpy, score, threads=threads),
                "numpy fast, 1": partial(_by_numpy, score, threads=1, is_fast=True),
                f"numpy fast, {threads}": partial(_by_numpy, score, threads=threads, is_fast=True),
            }
            wall, cpu = _in_turn(ways, repeats)
            print(f"\n256 x 256 x 8, {protocol}, {title}: {', '.join(metrics)}")
            _print_rows(wall, cpu)
            where = "no border" if border == "none" else "border 21"
            lines += [_ratio_line(f"{title}, {where}, {way}", wall, way) for way in compiled]
    print(f"\nTimes faster than the oracle, compiled; of {repeats} rounds (aim: 20)")
    print("\n".join(lines))


def _ratio_line(title: str, wall: dict[str, list[float]], way: str) -> str:
    ratios = np.array(wall["oracle"]) / np.array(wall[way])
    low, middle, high = np.quantile(ratios, [0.25, 0.5, 0.75])
    return (
        f"{title:44}{middle:6.1f}   quartiles {low:.1f} to {high:.1f}, all {ratios.min():.1f} to "
        f"{ratios.max():.1f}"
    )


def bench_parts(repeats: int) -> None:
    """Time each metric by itself against the oracle, and what a second thread is worth here."""
    f, g = _images(8, 256, 256)
    for metric in SETS["with PSNR and SSIM"]:
        options = {"ratio": 4, "full_scale": 2047, "metrics": (metric,), "threads": 1}
        score = partial(evaluate_rr, f, g, **options, protocol="dlpan-rr-uncut")
        ways: dict[str, Callable[[], object]] = {
            "oracle": partial(_oracle, f, g, (metric,), "none"),
            **({"1 thread": score} if is_compiled() else {}),
            "numpy, 1": partial(_by_numpy, score),
            "numpy fast, 1": partial(_by_numpy, score, is_fast=True),
        }
        print(f"\n256 x 256 x 8, {metric}")
        _print_rows(*_in_turn(ways, repeats))
    single = np.ones((2, 3, 2**18 + 272), np.float32)
    one = partial(_additions, single[0])
    ways = {"one": lambda: (one(), one()), "two threads": lambda: _both(single)}
    print("\nPlain additions, 2 x 200 of 2**18 values, one after the other and in two threads")
    _print_rows(*_in_turn(ways, repeats))


def _additions(planes: np.ndarray) -> None:
    for _ in range(200):
        np.add(planes[0], planes[1], out=planes[2])


def _both(planes: np.ndarray) -> None:
    other = threading.Thread(target=_additions, args=(planes[1],))
    other.start()
    _additions(planes[0])
    other.join()


def compare_precision() -> None:
    """Print the largest difference between NumPy in single precision and in double."""
    images = scene()
    pairs = [(images[name], images["gt"]) for name in ("fused", "ms_up")]
    pairs += [(np.rint(f), g) for f, g in pairs] + [_images(4, 256, 256)]
    largest: dict[str, float] = {}
    for f, g in pairs:
        score = partial(evaluate_rr, f, g, ratio=4, full_scale=2047)
        exact, fast = (_by_numpy(score, is_fast=is_fast).values for is_fast in (False, True))
        for name, value in exact.items():
            unit = value if name in ("ergas", "rmse") else 1.0
            largest[name] = max(largest.get(name, 0.0), abs(fast[name] - value) / unit)
    print("\nLargest difference of single precision (ERGAS and RMSE: relative)")
    print(", ".join(f"{name} {value:.1e}" for name, value in largest.items()))


def _by_numpy(score: Callable[..., Scores], **options: Any) -> Scores:
    """Score as where numba is absent."""
    with patch.object(compilation, "is_compiled", return_value=False):
        return score(**options)


def _oracle(f: np.ndarray, g: np.ndarray, metrics: tuple[str, ...], border: str) -> None:
    x, y = oracle.crop(f, border), oracle.crop(g, border)
    scale = 255 / 2047
    ways = {
        "q2n": lambda: oracle.q2n(x, y),
        "uqi": lambda: oracle.uqi(x, y),
        "sam": lambda: oracle.sam(x, y),
        "ergas": lambda: oracle.ergas(x, y, 4),
        "scc": lambda: oracle.scc(x, y),
        "psnr": lambda: oracle.psnr(x, y, 2047),
        "ssim": lambda: oracle.ssim(x * scale, y * scale, 255),
    }
    for name in metrics:
        ways[name]()


def bench_q2n(repeats: int) -> None:
    """Time Q2n of a hyperspectral image."""
    f, g = _images(31, 512, 512)
    wall, cpu = _in_turn({"q2n": lambda: q2n(f, g)}, max(repeats // 3, 3))
    print("\nQ2n of 512 x 512 x 31")
    _print_rows(wall, cpu)


def bench_scene(size: int, threads: int) -> None:
    """Stream two GeoTIFF scenes of 4 bands: SAM, ERGAS and PSNR."""
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{name}.tif" for name in ("fused", "gt")]
        for seed, path in enumerate(paths):
            _write_scene(path, size, seed)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        seconds, processor = [], []
        for _ in range(3):
            start, used = time.perf_counter(), time.process_time()
            # The cache as `bandweave evaluate` sets it.
            with (
                rasterio.Env(GDAL_CACHEMAX=64),
                open_image(paths[0]) as fused,
                open_image(paths[1]) as gt,
            ):
                scores = score_rr(
                    fused,
                    gt,
                    ratio=4,
                    full_scale=2047,
                    protocol="dlpan-rr-uncut",
                    metrics=("sam", "ergas", "psnr"),
                    threads=threads,
                )
            seconds.append(time.perf_counter() - start)
            processor.append(time.process_time() - used)
        after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(f"\n{size} x {size} x 4 from two GeoTIFFs, {threads} threads: {', '.join(scores.values)}")
    for label, times in (("second", seconds), ("processor second", processor)):
        rates = [size * size / 1e6 / s for s in times]
        print(f"megapixels per {label}: " + ", ".join(f"{rate:.1f}" for rate in rates))
    print(
        f"peak memory: {after / 2**10:.0f} MiB, {(after - before) / 2**10:.0f} MiB more than before"
    )


def _images(bands: int, height: int, width: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    reference = rng.uniform(0, 2047, (bands, height, width))
    return reference + rng.normal(0, 50, reference.shape), reference


def _write_scene(path: Path, size: int, seed: int) -> None:
    """Write a tiled scene, in strips that fit into memory."""
    rng = np.random.default_rng(seed)
    block = rng.integers(1, 2047, (4, 512, size), dtype=np.uint16)
    profile = {"driver": "GTiff", "dtype": "uint16", "count": 4, "height": size, "width": size,
               "tiled": True, "blockxsize": 512, "blockysize": 512, "crs": "EPSG:32633",
               "transform": rasterio.Affine(0.5, 0, 0, 0, -0.5, 0)}  # fmt: skip
    with rasterio.open(path, "w", **profile) as file:
        for top in range(0, size, 512):
            rows = min(512, size - top)
            window = rasterio.windows.Window(0, top, size, rows)
            file.write(np.roll(block, top // 512, axis=2)[:, :rows], window=window)


def _in_turn(
    ways: dict[str, Callable[[], object]], repeats: int
) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """Return wall and processor seconds of every way; ways take turns."""
    wall: dict[str, list[float]] = {name: [] for name in ways}
    cpu: dict[str, list[float]] = {name: [] for name in ways}
    for way in ways.values():  # caches, tables and pages of the first call do not count
        way()
    for _ in range(repeats):
        for name, way in ways.items():
            start, used = time.perf_counter(), time.process_time()
            way()
            wall[name].append(time.perf_counter() - start)
            cpu[name].append(time.process_time() - used)
    return wall, cpu


def _print_rows(wall: dict[str, list[float]], cpu: dict[str, list[float]]) -> None:
    first = next(iter(wall))
    print(f"{'':14}{'median':>9}{'quartiles':>18}{'best':>9}{'cpu':>9}   ms    times faster")
    for name, seconds in wall.items():
        low, middle, high = 1e3 * np.quantile(seconds, [0.25, 0.5, 0.75])
        ratios = np.array(wall[first]) / np.array(seconds)
        print(
            f"{name:14}{middle:9.2f}{f'{low:.2f} to {high:.2f}':>18}{1e3 * min(seconds):9.2f}"
            f"{1e3 * np.median(cpu[name]):9.2f}{np.median(ratios):18.1f}"
        )


def _print_environment(threads: int) -> None:
    load = os.getloadavg()[0]
    print(f"{processor_name()}, {usable_cores()} cores, load {load:.2f}; {threads} threads")
    names = ("numpy", "scipy", "rasterio", *(("numba",) if is_compiled() else ()))
    versions = ", ".join(f"{name} {version(name)}" for name in names)
    print(f"Python {platform.python_version()}, {versions}")
    print(f"OMP_NUM_THREADS={os.environ.get('OMP_NUM_THREADS', 'not set')}")


if __name__ == "__main__":
    main()
