"""Shipped weights beside closed forms, on ground that no training has seen.

    python benchmarks/bench_weights.py held-out u2net-wv --data FOLDER
    python benchmarks/bench_weights.py held-out u2net-4band --data FOLDER
    python benchmarks/bench_weights.py sets --data FOLDER --weights u2net-wv u2net-4band

`held-out` fuses the parts of the real scenes that the preset of that name holds out (the last
quarter of their columns, reduced by Wald's protocol), with the PAN reduced by the sensor's MTF and
by bicubic interpolation where it is not reduced already. FOLDER is the preset's.

`sets` scores two published test sets as they are, with `--pan-sharpness off`: `wv3_cdif_rr.mat`
(whole) for the weights of 8 bands and `gf2_pancollection_rr_0to9.h5` (without 21 pixels of border)
for those of 4. They enter no training and no choice of settings.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from bandweave.config import FuseConfig
from bandweave.datasets.files import open_pairs
from bandweave.degrade.wald import ReducedPair
from bandweave.methods.nets.zoo import card_of
from bandweave.metrics.reduced import evaluate_rr
from bandweave.mosaic.in_memory import ArrayScene
from bandweave.mosaic.prepare import prepare_job
from bandweave.mosaic.runner import ArraySink
from bandweave.pair import ImagePair
from bandweave.radiometry import Image
from bandweave.sensors import find_sensor
from bandweave.train.config import Augmentation, SceneSource
from bandweave.train.recipes.presets import find_preset
from bandweave.train.simulate import scene_makers

METRICS = ("psnr", "sam", "ergas", "q2n")
CLOSED = (
    "exp", "bt_h", "mtf_glp_fs", "mtf_glp_hpm_r", "bdsd_pc", "local_regression",
    "classical_ensemble",
)  # fmt: skip
NOISE = 1e-3
SETS = {
    8: ("wv3_cdif_rr.mat", "wv3", 2047.0, "dlpan-rr-uncut"),
    4: ("gf2_pancollection_rr_0to9.h5", "gf2", 1023.0, "dlpan-rr"),
}
Case = tuple[ImagePair, Image]


def fused(pair: ImagePair, name: str, *, is_weights: bool, consistent: bool) -> Image:
    """Fuse as `bandweave fuse` does; our weights end in the consistency step by themselves."""
    chosen = {"weights": name, "pan_sharpness": "off"} if is_weights else {"method": name}
    if consistent:
        chosen |= {"consistent": True, "consistency_noise": NOISE}
    sink = ArraySink()
    job = prepare_job(ArrayScene(pair), FuseConfig.checked(align="off", workers=1, **chosen))
    job.run(sink, quiet=True)
    return sink.hrms


def row(name: str, found: list[Image], cases: list[Case], protocol: str) -> None:
    """Print the mean scores of one method."""
    scores = [
        evaluate_rr(
            hrms.astype(np.float64),
            np.asarray(gt, np.float64),
            ratio=pair.ratio,
            full_scale=pair.full_scale,
            protocol=protocol,
            metrics=METRICS,
        ).values
        for hrms, (pair, gt) in zip(found, cases, strict=True)
    ]
    means = [np.mean([one[metric] for one in scores]) for metric in METRICS]
    shown = [f"{means[0]:.2f}", *(f"{mean:.3f}" for mean in means[1:3]), f"{means[3]:.4f}"]
    print(f"| {name} | " + " | ".join(shown) + " |", flush=True)


def table(title: str, cases: list[Case], weights: list[str], protocol: str) -> None:
    print(f"\n{title}\n\n| | PSNR, dB | SAM, degrees | ERGAS | Q2n |\n|---|---|---|---|---|")
    for name in CLOSED:
        for consistent in (False, True):
            found = [fused(p, name, is_weights=False, consistent=consistent) for p, _ in cases]
            row(name + (", consistent" if consistent else ""), found, cases, protocol)
    for name in weights:
        found = [fused(pair, name, is_weights=True, consistent=False) for pair, _ in cases]
        row(name, found, cases, protocol)


def held_out(options: argparse.Namespace) -> None:
    """Print one table per kind of PAN."""
    data = find_preset(options.weights).data
    sources = [one for one in data.training if isinstance(one, SceneSource)]
    # The training sources' other columns: also those of scenes that validate nothing.
    parts = [one.model_copy(update={"columns": (one.columns[1], 1.0)}) for one in sources]
    for kind in ("MTF", "bicubic"):
        made: list[ReducedPair] = []
        for source in parts:
            gain = find_sensor(source.sensor).pan_mtf_gain if kind == "MTF" else None
            simulation = Augmentation(pan_gain=None if gain is None else (gain, gain))
            settings = data.model_copy(
                update={"root": str(options.data), "augmentation": simulation}
            )
            (maker,) = scene_makers(source, settings)
            made.append(maker.make(np.random.default_rng(0)))
        cases = [(one.pair, one.gt) for one in made]
        title = f"{options.weights}: {len(cases)} held-out parts, PAN reduced by {kind}"
        table(title, cases, [options.weights], "dlpan-rr-uncut")


def sets(options: argparse.Namespace) -> None:
    """Print one table per published set."""
    for bands, (file, sensor, scale, protocol) in SETS.items():
        weights = [name for name in options.weights if len(card_of(name).band_names) == bands]
        if not weights:
            continue
        with open_pairs(options.data / file, full_scale=scale, sensor=find_sensor(sensor)) as pairs:
            cases = [(pair, gt) for pair, gt in map(pairs.item, range(len(pairs)))]
        table(f"{file}, protocol {protocol}", cases, weights, protocol)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    commands = parser.add_subparsers(required=True)
    one = commands.add_parser("held-out")
    one.add_argument("weights", help="Name of shipped weights that have a preset.")
    many = commands.add_parser("sets")
    many.add_argument("--weights", nargs="+", required=True)
    for part, run in ((one, held_out), (many, sets)):
        part.add_argument("--data", type=Path, required=True)
        part.set_defaults(run=run)
    options = parser.parse_args()
    options.run(options)


if __name__ == "__main__":
    main()
