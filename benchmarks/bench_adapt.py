"""Weights tuned to one scene, scored where its reference is known.

    python benchmarks/bench_adapt.py published --data FOLDER --weights wv3.pth --minutes 15
    python benchmarks/bench_adapt.py scratch --data FOLDER --minutes 15

`published`: the WorldView-2 pair `wv2_grip_fr.mat` is reduced by Wald's protocol (MTF gains and PAN
gain of the sensor, phase 1.5), the published WorldView-3 weights are adapted to the reduced pair,
which trains and decides one level further down, and both are scored on all of the reduced pair.

`scratch`: a network begun anew is adapted to the left three quarters of the IKONOS pair
`ikonos_grip_fr.mat`; it and every classical method, with and without the consistency step, then
fuse the whole pair reduced by Wald's protocol. Scored is the quarter on the right, which nothing
was trained or chosen on. Weights that an earlier run left under --out are only scored.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
import torch
from conditions import conditions

from bandweave.config import FuseConfig
from bandweave.datasets.files import open_pairs
from bandweave.degrade.operators import MtfFilter
from bandweave.degrade.wald import ReducedPair, WaldProtocol, wald_pair
from bandweave.errors import FusionError
from bandweave.methods.nets.checkpoint import Weights
from bandweave.methods.nets.zoo import card_of, load_named
from bandweave.methods.table import METHODS
from bandweave.metrics.reduced import evaluate_rr
from bandweave.mosaic.in_memory import ArrayScene
from bandweave.mosaic.prepare import prepare_job
from bandweave.mosaic.runner import ArraySink
from bandweave.pair import ImagePair
from bandweave.radiometry import Image
from bandweave.sensors import find_sensor
from bandweave.source import ArraySource
from bandweave.train.adapt import adapt
from bandweave.window import Window

METRICS = ("psnr", "sam", "ergas", "q2n")
HELD_OUT = 4  # the last quarter of the columns
NOISE = 1e-3


def scene(path: Path, sensor: str) -> ImagePair:
    """Read a full-resolution pair; both are registered deliveries on grids that share a corner."""
    with open_pairs(path, sensor=find_sensor(sensor)) as pairs:
        return pairs.item(0)[0].replace(phase=(1.5, 1.5))


def reduced(pair: ImagePair) -> ReducedPair:
    """Reduce a pair by its own sensor's gains."""
    assert pair.sensor is not None
    gains, pan = pair.sensor.mtf_gains(len(pair.spectral)), pair.sensor.pan_mtf_gain
    assert gains is not None
    assert pan is not None
    filters = MtfFilter(gains, is_normalised=True), MtfFilter((pan,), is_normalised=True)
    return wald_pair(pair, WaldProtocol(*filters, pair.phase))


def fused(pair: ImagePair, **options: object) -> Image:
    """Fuse as `bandweave fuse` does."""
    config = FuseConfig.checked(align="off", workers=1, **options)
    sink = ArraySink()
    prepare_job(ArrayScene(pair), config).run(sink, quiet=True)
    return sink.hrms


def row(name: str, hrms: Image, made: ReducedPair, first: int) -> tuple[str, list[float]]:
    """Score the columns from a coarse one on, and print them."""
    columns = slice(first * made.pair.ratio, None)
    scores = evaluate_rr(
        np.float64(hrms[:, :, columns]),
        np.float64(made.gt[:, :, columns]),
        ratio=made.pair.ratio,
        full_scale=made.pair.full_scale,
        protocol="dlpan-rr-uncut",
        metrics=METRICS,
    )
    values = [scores.values[metric] for metric in METRICS]
    print(f"| {name} | " + " | ".join(f"{value:.4g}" for value in values) + " |", flush=True)
    return name, values


def head(title: str) -> None:
    print(f"\n{title}\n\n| | PSNR, dB | SAM, degrees | ERGAS | Q2n |\n|---|---|---|---|---|")


def published(options: argparse.Namespace) -> None:
    """Adapt the published weights one level down."""
    made = reduced(scene(options.data / "wv2_grip_fr.mat", "wv2"))
    adapted = adapted_weights(made.pair, options, load_named(str(options.weights)))
    head("wv2_grip_fr reduced, published WorldView-3 weights")
    for name, weights in (("published", options.weights), ("adapted", adapted)):
        for consistent in (False, True):
            hrms = fused(
                made.pair, weights=str(weights), consistent=consistent, pan_sharpness="off",
                consistency_noise=NOISE if consistent else None,
            )  # fmt: skip
            row(name + (", consistent" if consistent else ""), hrms, made, 0)


def scratch(options: argparse.Namespace) -> None:
    """Adapt a new network to three quarters of a scene, and compare on the last one."""
    pair = scene(options.data / "ikonos_grip_fr.mat", "ikonos")
    made = reduced(pair)
    unit = pair.ratio**2
    rows, columns = pair.shape
    cut = columns * (HELD_OUT - 1) // HELD_OUT // unit * unit
    known = ArraySource(pair).read(Window(0, 0, rows, cut), np.float64)
    weights = adapted_weights(known, options, None)
    head("ikonos_grip_fr reduced, the quarter on the right")
    first = cut // unit
    for name, entry in METHODS.items():
        if entry.create is None:
            continue
        for consistent in (False, True):
            try:
                hrms = fused(made.pair, method=name, consistent=consistent)
            except FusionError as error:
                print(f"{name}: {error}")
                break
            row(name + (", consistent" if consistent else ""), hrms, made, first)
    row("adapted", fused(made.pair, weights=str(weights)), made, first)


def adapted_weights(pair: ImagePair, options: argparse.Namespace, start: Weights | None) -> Path:
    """Adapt to a pair, telling how it goes; what an earlier run left is only scored."""
    out = options.out / f"{options.part}.safetensors"
    if out.exists():
        print(f"{out} is there; adapted by {card_of(str(out)).bandweave}.")
        return out
    options.out.mkdir(parents=True, exist_ok=True)
    report = adapt(
        ArraySource(pair), out, weights=start, minutes=options.minutes, tell=print,
    )  # fmt: skip
    print(f"{report.steps} steps in {report.seconds:.0f} s; better: {report.is_better}")
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("part", choices=("published", "scratch"))
    parser.add_argument("--data", type=Path, required=True, help="Folder with both pairs.")
    parser.add_argument("--weights", type=Path, help="The published WorldView-3 checkpoint.")
    parser.add_argument("--minutes", type=float, default=15.0)
    parser.add_argument("--out", type=Path, default=Path(tempfile.gettempdir()) / "bench_adapt")
    options = parser.parse_args()
    print(f"{conditions('torch')}; {torch.get_num_threads()} threads")
    {"published": published, "scratch": scratch}[options.part](options)


if __name__ == "__main__":
    main()
