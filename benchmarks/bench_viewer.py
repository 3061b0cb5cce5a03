"""How soon the viewer shows a large file, and how many tiles a second it gives.

    python benchmarks/bench_viewer.py
    python benchmarks/bench_viewer.py --side 40000 --bands 1
    python benchmarks/bench_viewer.py --only encoders

Builds a GeoTIFF of its own (noise over smooth structure, in blocks of 512 pixels, ZSTD) with
overviews beside it, in a temporary folder, and starts `bandweave view` on it as a user does. Tiles
are asked over as many kept connections as a browser opens, by a client in this process; no tile is
asked twice. The file lies in the system's page cache, as it was just written.
"""

from __future__ import annotations

import argparse
import http.client
import io
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from urllib.parse import urlsplit

import numpy as np
import rasterio
from affine import Affine
from conditions import conditions
from PIL import Image
from rasterio.windows import Window

from bandweave.viewer.overviews import build_beside
from bandweave.viewer.pyramid import TILE, Pyramid

CONNECTIONS = 6  # of a browser to one host
BLOCK = 512
NOISE, STEP = 24, 16  # DN; in coarse steps, so that the file stays below a gigabyte
PLACE = Affine(0.5, 0, 500000, 0, -0.5, 5000000)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--side", type=int, default=20000, help="pixels per side")
    parser.add_argument("--bands", type=int, default=4)
    parser.add_argument("--tiles", type=int, default=300, help="tiles per round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--scene", type=Path, help="measure on this file instead")
    parser.add_argument("--folder", type=Path, help="where the temporary file is made")
    parser.add_argument("--only", choices=["encoders", "service"])
    options = parser.parse_args()
    print(f"{conditions('rasterio')}; GDAL {rasterio.__gdal_version__}")
    if options.only != "service":
        compare_encoders()
    if options.only == "encoders":
        return
    if options.scene is not None:
        measure(options.scene, options)
        return
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        path = Path(folder) / "scene.tif"
        start = time.perf_counter()
        build_scene(path, options.side, options.bands)
        built = time.perf_counter()
        build_beside(str(path))
        size = sum(file.stat().st_size for file in Path(folder).iterdir()) / 2**20
        print(
            f"{options.side} x {options.side} x {options.bands} uint16, {size:.0f} MiB; written in "
            f"{built - start:.0f} s, overviews in {time.perf_counter() - built:.0f} s"
        )
        measure(path, options)


def measure(path: Path, options: argparse.Namespace) -> None:
    measure_start(path, options.rounds)
    measure_throughput(path, options)


def scene_block(bands: int, seed: int) -> np.ndarray:
    """Return one block `(bands, 512, 512)`: waves, edges and noise."""
    rng = np.random.default_rng(seed)
    rows, cols = np.mgrid[0:BLOCK, 0:BLOCK]
    smooth = 600 + 200 * np.sin(rows / 37 + seed) + 150 * np.cos(cols / 23)
    smooth += 250 * np.kron(rng.random((16, 16)) > 0.6, np.ones((32, 32)))
    shares = np.linspace(0.7, 1.2, bands)[:, None, None]
    noisy = smooth * shares + rng.normal(0, NOISE, (bands, BLOCK, BLOCK))
    return (np.rint(noisy / STEP) * STEP).astype(np.uint16)


def build_scene(path: Path, side: int, bands: int) -> None:
    """Write the scene block by block, from sixteen different blocks."""
    blocks = [scene_block(bands, seed) for seed in range(16)]
    layout = {
        "driver": "GTiff", "width": side, "height": side, "count": bands, "dtype": "uint16",
        "transform": PLACE, "crs": "EPSG:32633", "tiled": True, "blockxsize": BLOCK,
        "blockysize": BLOCK, "compress": "ZSTD", "zstd_level": 1, "predictor": 2,
        "interleave": "pixel", "bigtiff": "IF_SAFER", "num_threads": "ALL_CPUS",
    }  # fmt: skip
    rng = np.random.default_rng(0)
    with rasterio.open(path, "w", **layout) as file:
        for row in range(0, side, BLOCK):
            for col in range(0, side, BLOCK):
                block = blocks[rng.integers(16)]
                height, width = min(BLOCK, side - row), min(BLOCK, side - col)
                file.write(block[:, :height, :width], window=Window(col, row, width, height))


class Viewer:
    """`bandweave view` on one file, started and asked."""

    def __init__(self, path: Path) -> None:
        self._begin = time.perf_counter()
        self._program = subprocess.Popen(
            [sys.executable, "-m", "bandweave", "view", str(path), "--no-browser"],
            stderr=subprocess.PIPE,
            text=True,
        )
        line = next(text for text in self._program.stderr if text.startswith("http://"))
        address = urlsplit(line.strip())
        self.started = time.perf_counter() - self._begin
        self._host, self._root = address.netloc, address.path

    @property
    def age(self) -> float:
        """Return the seconds since the command was started."""
        return time.perf_counter() - self._begin

    def connect(self) -> http.client.HTTPConnection:
        """Return a connection that can be used again and again."""
        return http.client.HTTPConnection(self._host)

    def get(self, connection: http.client.HTTPConnection, address: str) -> bytes:
        """Return an answer whole."""
        connection.request("GET", self._root + address)
        answer = connection.getresponse()
        content = answer.read()
        if answer.status != http.client.OK:
            raise RuntimeError(f"{address}: {content[:200]!r}")
        return content

    def close(self) -> None:
        """End the program."""
        self._program.terminate()
        self._program.wait(20)
        self._program.stderr.close()


def look_of(limits: bytes, bands: str) -> str:
    pairs = ",".join(f"{low}:{high}" for low, high in json.loads(limits)["limits"])
    return f"bands={bands}&limits={pairs}"


def bands_of(path: Path) -> str:
    with rasterio.open(path) as file:
        return "3,2,1" if file.count > 2 else "1"


def measure_start(path: Path, rounds: int) -> None:
    """Time the first tiles of fresh programs: alone, and as the page asks for them."""
    bands = bands_of(path)
    alone, page, ready, whole = [], [], [], []
    with rasterio.open(path) as file:
        pyramid = Pyramid(file.shape)
    middle = pyramid.shape[0] // 2 // TILE
    for _ in range(rounds):
        viewer = Viewer(path)
        ready.append(viewer.started)
        look = f"bands={bands}&limits=" + ",".join(["300:1200"] * len(bands.split(",")))
        begin = time.perf_counter()
        viewer.get(viewer.connect(), f"tile/0/0/{middle}/{middle}?{look}")
        alone.append(time.perf_counter() - begin)
        viewer.close()

        viewer = Viewer(path)
        connection = viewer.connect()
        begin = time.perf_counter()
        viewer.get(connection, "scene")
        limits = viewer.get(connection, f"limits/0?bands={bands}&low=2&high=98")
        top = pyramid.levels - 1
        viewer.get(connection, f"tile/0/{top}/0/0?{look_of(limits, bands)}")
        page.append(time.perf_counter() - begin)
        whole.append(viewer.age)
        viewer.close()
    print("seconds, median (least to greatest) of", rounds, "fresh programs")
    report("command to address", ready)
    report("first tile, middle of the image itself, from its request", alone)
    report("scene, limits and first tile of the page, from the first request", page)
    report("command to first tile of the page", whole)


def measure_throughput(path: Path, options: argparse.Namespace) -> None:
    """Count the tiles per second over several connections, at each of the finest levels."""
    viewer = Viewer(path)
    bands = bands_of(path)
    limits = viewer.get(viewer.connect(), f"limits/0?bands={bands}&low=2&high=98")
    look = look_of(limits, bands)
    with rasterio.open(path) as file:
        pyramid = Pyramid(file.shape)
    rng = np.random.default_rng(1)
    print(f"tiles per second over {CONNECTIONS} connections, median (least to greatest)")
    for level in range(min(4, pyramid.levels)):
        rows, cols = (-(-extent // TILE) for extent in pyramid.level_shape(level))
        places = rng.permutation(rows * cols)[: options.tiles * options.rounds]
        rates = []
        for part in np.array_split(places, options.rounds):
            wanted = [f"tile/0/{level}/{p // cols}/{p % cols}?{look}" for p in part]
            rates.append(len(wanted) / timed(lambda wanted=wanted: ask_all(viewer, wanted)))
        report(
            f"level {level}, {len(places)} tiles, {len(bands.split(','))} band(s)", rates, "4.0f"
        )
    viewer.close()


def ask_all(viewer: Viewer, addresses: list[str]) -> None:
    remaining = iter(addresses)
    lock = threading.Lock()

    def work() -> None:
        connection = viewer.connect()
        while True:
            with lock:
                address = next(remaining, None)
            if address is None:
                return
            viewer.get(connection, address)

    threads = [threading.Thread(target=work) for _ in range(CONNECTIONS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def compare_encoders() -> None:
    """Time the ways to encode one tile of three bands of the scene, on one thread."""
    block = scene_block(3, 5)[:, :TILE, :TILE]
    grey = np.clip((block - 300.0) * 255 / 900, 0, 255).astype(np.uint8)
    picture = Image.fromarray(np.ascontiguousarray(grey.transpose(1, 2, 0)))
    ways: dict[str, dict] = {
        "WebP, lossless, least effort": {
            "format": "WEBP", "lossless": True, "quality": 0, "method": 0,
        },
        "PNG, level 1": {"format": "PNG", "compress_level": 1},
        "PNG, stored": {"format": "PNG", "compress_level": 0},
        "WebP, quality 90": {"format": "WEBP", "quality": 90, "method": 0},
        "JPEG, quality 90": {"format": "JPEG", "quality": 90},
    }  # fmt: skip
    calls: dict[str, Callable[[], int]] = {
        name: (lambda way=way: encoded_by_pillow(picture, way)) for name, way in ways.items()
    }
    calls["PNG, level 1, by GDAL"] = lambda: encoded_by_gdal(grey)
    times = {name: [] for name in calls}
    for _ in range(25):
        for name, call in calls.items():
            times[name].append(timed(call))
    print(f"a tile of {TILE} x {TILE} pixels, three bands: milliseconds (median), KiB")
    for name, call in calls.items():
        print(f"  {name:32} {1e3 * median(times[name]):6.2f} {call() / 1024:7.0f}")


def encoded_by_pillow(picture: Image.Image, way: dict) -> int:
    stream = io.BytesIO()
    picture.save(stream, **way)
    return stream.tell()


def encoded_by_gdal(grey: np.ndarray) -> int:
    count, height, width = grey.shape
    with rasterio.MemoryFile() as memory:
        with memory.open(
            driver="PNG", width=width, height=height, count=count, dtype="uint8", ZLEVEL=1,
            transform=PLACE,
        ) as file:  # fmt: skip
            file.write(grey)
        return len(memory.read())


def timed(call: Callable[[], object]) -> float:
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin


def report(what: str, values: list[float], form: str = "5.2f") -> None:
    span = f"({min(values):{form}} to {max(values):{form}})"
    print(f"  {what:66} {median(values):{form}} {span}")


if __name__ == "__main__":
    main()
