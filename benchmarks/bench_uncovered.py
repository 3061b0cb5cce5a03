"""What a PAN gives bands that it does not cover: the gain over interpolation, band by band.

    python benchmarks/bench_uncovered.py FOLDER

FOLDER holds the pairs listed in PAIRS. Each is aligned and reduced by its ratio (MTF gains 0.30 for
the bands and 0.15 for the PAN, since the sensors' differ and some are not known), fused with all
bands, and compared with its own MS: 20 log10 (error of exp / error of the method), border left out.
The first line says how far the band lies from the PAN.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import numpy as np

from bandweave.config import FuseConfig
from bandweave.datasets.files import open_pairs
from bandweave.degrade.observe import observe
from bandweave.errors import BandweaveWarning
from bandweave.methods.table import METHODS
from bandweave.mosaic.found.alignment import open_aligned
from bandweave.mosaic.georeferenced import RasterScene
from bandweave.mosaic.in_memory import ArrayScene
from bandweave.mosaic.runner import RunLimits, fit_method
from bandweave.pair import ImagePair
from bandweave.radiometry import Image
from bandweave.sensors import Sensor, find_sensor
from bandweave.source import ArraySource, PairSource
from bandweave.window import Window

# Files (the pair's, or the beginning of two names) and sensors.
PAIRS = {
    "landsat8_ratio2.mat": "landsat8_all",
    "wv2_grip_fr.mat": "wv2",
    "wv2_miami_urban_halfscale": "wv2",
    "wv3_munich_urban_halfscale": "wv3",
    "ikonos_grip_fr.mat": "ikonos",
    "train4/spot6_cropland": "spot6",
    "train4/spot6_vegetation": "spot6",
}
SHOWN = ("gsa", "pracs", "bt_h", "bdsd_pc", "mtf_glp_fs", "mtf_glp_hpm_r")
_BORDER = 8


def read(path: Path) -> ImagePair:
    """Read a whole pair, aligned as `bandweave fuse` does."""
    if path.suffix == ".mat":
        with open_pairs(path) as pairs:
            arrays = ArrayScene(pairs.item(0)[0])
        return _whole(open_aligned(arrays, "auto", lambda _: None)[0])
    files = (path.with_name(f"{path.name}_{role}.tif") for role in ("pan", "ms"))
    with closing(RasterScene(*files, FuseConfig())) as rasters:
        return _whole(open_aligned(rasters, "auto", lambda _: None)[0])


def _whole(source: PairSource) -> ImagePair:
    return source.read(Window.whole(source.profile.shape), np.float64)


def reduced(pair: ImagePair) -> tuple[ImagePair, Image]:
    """Return the pair one step down, and its truth."""
    ratio = pair.ratio
    rows, cols = (n // ratio * ratio for n in pair.spectral.shape[1:])
    truth = pair.spectral[:, :rows, :cols]
    pan = pair.spatial[:, : rows * ratio, : cols * ratio]
    phase = ((ratio - 1) / 2, (ratio - 1) / 2)
    # The PAN is sampled where the MS pixels lie, which registers the reduced pair.
    pan = observe(pan, [0.15], ratio, pair.phase)
    lrms = observe(truth, [0.30], ratio, phase)
    return ImagePair(pan, lrms, ratio, phase, sensor=find_sensor("none")), truth


def error(method: str, pair: ImagePair, truth: Image) -> np.ndarray:
    """Return the root mean square error of each band."""
    create = METHODS[method].create
    assert create is not None
    hrms = fit_method(create(), ArraySource(pair), RunLimits()).fuse(pair)
    inside = (hrms - truth)[:, _BORDER:-_BORDER, _BORDER:-_BORDER]
    return np.sqrt(np.square(inside).mean(axis=(1, 2)))


def row(*cells: str) -> None:
    print("| " + " | ".join(cells) + " |", flush=True)


def show(name: str, sensor: Sensor, pair: ImagePair, truth: Image) -> None:
    print()
    row(Path(name).stem, *(band.name for band in sensor.bands))
    row(*["---"] * (1 + len(sensor.bands)))
    row("from the PAN, nm", *(f"{sensor.gap_to_pan(band):g}" for band in sensor.bands))
    interpolated = error("exp", pair, truth)
    for method in SHOWN:
        gain = 20 * np.log10(interpolated / error(method, pair, truth))
        row(f"{method}, dB", *(f"{value:+.1f}" for value in gain))


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("folder", type=Path, help="Folder with the pairs.")
    options = parser.parse_args(arguments)
    warnings.simplefilter("ignore", BandweaveWarning)
    print(time.strftime("%Y-%m-%d"))
    for name, sensor in PAIRS.items():
        show(name, find_sensor(sensor), *reduced(read(options.folder / name)))


if __name__ == "__main__":
    main()
