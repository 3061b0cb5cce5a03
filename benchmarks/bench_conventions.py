"""Classical methods as scenes need them, and as the MATLAB toolbox has them: what differs.

    python benchmarks/bench_conventions.py FOLDER

FOLDER holds `gf2_pancollection_rr_0to9.h5`, `wv3_cdif_rr.mat` and, in `train4`, the GeoEye-1 pair
`pairmax_ge_lond_urb_{gt,pan,ms}.tif`, whose TV has the strongest regularisation. Each method with a
toolbox mode is run in both, whole images in double precision, and scored against the reference with
the toolbox's border left out.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import rasterio

from bandweave.datasets.files import open_pairs
from bandweave.errors import BandweaveWarning
from bandweave.methods.base import Method
from bandweave.methods.table import METHODS
from bandweave.metrics.reduced import evaluate_rr
from bandweave.mosaic.runner import RunLimits, fit_method
from bandweave.pair import ImagePair
from bandweave.radiometry import Image
from bandweave.sensors import find_sensor
from bandweave.source import ArraySource

Case = tuple[ImagePair, Image]

_NAMES = ("psnr", "sam", "ergas")
# Beyond the reach of the interpolator's border rule, fine pixels.
_INSIDE = 48


def from_file(path: Path, sensor: str) -> list[Case]:
    known = find_sensor(sensor)
    with open_pairs(path, sensor=known, full_scale=known.full_scale) as pairs:
        items = [pairs.item(k) for k in range(len(pairs))]
    return [(pair, gt) for pair, gt in items if gt is not None]


def from_rasters(start: Path, sensor: str) -> list[Case]:
    """Read a pair that was simulated as the toolboxes do it, phase ratio / 2."""
    images = {}
    for role in ("pan", "ms", "gt"):
        with rasterio.open(start.with_name(f"{start.name}_{role}.tif")) as file:
            images[role] = file.read().astype(np.float64)
    known = find_sensor(sensor)
    pair = ImagePair(images["pan"], images["ms"], 4, (2.0, 2.0), known.full_scale, sensor=known)
    return [(pair, images["gt"])]


def fused(create: Callable[[], Method], cases: Sequence[Case]) -> list[Image]:
    return [fit_method(create(), ArraySource(pair), RunLimits()).fuse(pair) for pair, _ in cases]


def scores(images: Sequence[Image], cases: Sequence[Case]) -> str:
    each = [
        evaluate_rr(x, gt, ratio=4, full_scale=pair.full_scale, metrics=_NAMES).values
        for x, (pair, gt) in zip(images, cases, strict=True)
    ]
    means = (np.mean([values[name] for values in each]) for name in _NAMES)
    return "{:.2f} / {:.3f} / {:.3f}".format(*means)


def difference(first: Sequence[Image], second: Sequence[Image]) -> str:
    """Return the mean and largest difference, away from the border, in DN."""
    inside = slice(_INSIDE, -_INSIDE)
    apart = [np.abs(x - y)[:, inside, inside] for x, y in zip(first, second, strict=True)]
    return f"{np.mean([a.mean() for a in apart]):.3f}, {max(a.max() for a in apart):.1f}"


def row(*cells: str) -> None:
    print("| " + " | ".join(cells) + " |", flush=True)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("folder", type=Path, help="Folder with the pairs.")
    folder: Path = parser.parse_args(arguments).folder
    warnings.simplefilter("ignore", BandweaveWarning)
    print(time.strftime("%Y-%m-%d"))
    for label, cases in (
        ("GaoFen-2, 10 images", from_file(folder / "gf2_pancollection_rr_0to9.h5", "gf2")),
        ("wv3_cdif_rr", from_file(folder / "wv3_cdif_rr.mat", "wv3")),
        ("GeoEye-1", from_rasters(folder / "train4" / "pairmax_ge_lond_urb", "ge1")),
    ):
        print()
        row(f"{label}, PSNR / SAM / ERGAS", "scene", "toolbox", "mean, largest difference, DN")
        row(*["---"] * 4)
        for entry in METHODS.values():
            if entry.create is None or entry.create_toolbox is None:
                continue
            modes = [fused(create, cases) for create in (entry.create, entry.create_toolbox)]
            row(entry.id, *(scores(images, cases) for images in modes), difference(*modes))


if __name__ == "__main__":
    main()
