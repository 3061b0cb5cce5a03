"""The toolbox's own results: pairs, fused images and scores as the reference material holds them."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
from scipy.io import loadmat

from bandweave.pair import ImagePair
from bandweave.sensors import find_sensor

Find = Callable[[str], Path]

FOLDER = "golden/classical"
SCENES = ("wv3_8b", "qb_4b")
# Names of the toolbox's columns; D_s and the others without reference are computed on the same
# reduced images.
REDUCED = {
    "Q2n": "q2n",
    "Q": "uqi",
    "SAM": "sam",
    "ERGAS": "ergas",
    "SCC": "scc",
    "PSNR": "psnr",
    "SSIM": "ssim",
}
FULL = {
    "D_lambda": "d_lambda",
    "D_s": "d_s",
    "QNR": "qnr",
    "D_lambda_K": "d_lambda_k",
    "HQNR": "hqnr",
}


def channels_first(image: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(np.moveaxis(image, 2, 0), dtype=np.float64)


def golden_pair(shared: Find, scene: str) -> tuple[ImagePair, np.ndarray]:
    """Return a synthetic scene of the golden files and its reference."""
    data = loadmat(shared(f"{FOLDER}/{scene}_input.mat"))
    sensor = find_sensor(str(data["sensor"][0]))
    pan = data["pan"].astype(np.float64)[None]
    pair = ImagePair(pan, channels_first(data["ms"]), 4, (2.0, 2.0), sensor=sensor)
    return pair, channels_first(data["gt"])


def golden_image(shared: Find, scene: str, method: str) -> np.ndarray:
    return channels_first(loadmat(shared(f"{FOLDER}/{scene}_{method}.mat"))["fused"])


def golden_components(shared: Find, scene: str) -> dict[str, np.ndarray]:
    return loadmat(shared(f"{FOLDER}/{scene}_components.mat"))


def golden_scores(shared: Find, scene: str, method: str) -> dict[str, dict[str, float]]:
    """Return the scores with the toolbox's border, without, and those without reference."""
    data = loadmat(shared(f"{FOLDER}/{scene}_metrics.mat"))
    row = [str(name[0]) for name in data["methods"][0]].index(method)
    found = {}
    for block, names, ids in (
        ("rr", "rr_names", REDUCED),
        ("rr_nocut", "rr_names", REDUCED),
        ("fr", "fr_names", FULL),
    ):
        columns = [ids[str(name[0])] for name in data[names][0]]
        found[block] = dict(zip(columns, data[block][row].tolist(), strict=True))
    return found


def listed_scores(path: Path, method: str) -> dict[str, float]:
    """Return a method's scores with the toolbox's border from a table of the golden files."""
    with path.open(newline="") as file:
        row = next(row for row in csv.DictReader(file) if row["method"] == method)
    return {ours: float(row[theirs]) for theirs, ours in REDUCED.items()}


def real_pair(shared: Find) -> tuple[ImagePair, np.ndarray]:
    """Return the WorldView-3 pair whose scores the golden table lists, in DN of 11 bits."""
    data = loadmat(shared("data/pan/wv3_cdif_rr.mat"))
    pan, lrms, gt = (data[key] * 2047.0 for key in ("pan", "lrms", "gt"))
    sensor = find_sensor("wv3")
    return ImagePair(pan[None], channels_first(lrms), 4, (2.0, 2.0), sensor=sensor), channels_first(
        gt
    )


def gaofen_pair(shared: Find, image: int) -> tuple[ImagePair, np.ndarray]:
    """Return a GaoFen-2 image of the benchmark, with the toolbox's neutral gains."""
    with h5py.File(shared("data/pan/gf2_pancollection_rr_0to9.h5")) as file:
        pan, lrms, gt = (file[key][image].astype(np.float64) for key in ("pan", "ms", "gt"))
    return ImagePair(pan, lrms, 4, (2.0, 2.0), sensor=find_sensor("none")), gt
