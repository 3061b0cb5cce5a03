"""What products of the attention in bfloat16 cost: scores against truth beside those in float32.

    python benchmarks/bench_precision.py [--shared FOLDER] [--rounds 1]
    python benchmarks/bench_precision.py --cave WEIGHTS FOLDER

Two WorldView-3 samples reduced by Wald's protocol with the published weights: `wv3_cdif_rr.mat`,
as it is and with the blur that matches its PAN to them, and the SpaceNet chip. With `--cave` the
middle 192 x 192 pixels of three test scenes of CAVE with weights for them, before the consistency
step. Times are taken in turn, on one thread.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from conditions import conditions, spread

from bandweave.datasets.matlab import read_matlab_pair
from bandweave.methods.learned import LearnedMethod
from bandweave.methods.nets.attention.layer import Precision, has_bf16_products
from bandweave.methods.nets.checkpoint import Weights
from bandweave.methods.nets.zoo import load_named
from bandweave.metrics.reduced import evaluate_rr
from bandweave.mosaic.runner import ArraySink, RunLimits, fit_method, run_scene
from bandweave.pair import ImagePair
from bandweave.source import ArraySource
from bandweave.train.config import CaveSource, DataConfig
from bandweave.train.simulate import scene_makers

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))
from test_seams import reduced_spacenet  # noqa: E402

MATCHED = 1.0  # fine pixels: brings the PAN of wv3_cdif_rr.mat near to what the weights know
METRICS = ("psnr", "sam", "ergas")
PRECISIONS: tuple[Precision, Precision] = ("fp32", "bf16")


def samples(shared: Path) -> Iterator[tuple[str, ImagePair, np.ndarray, float]]:
    """Yield name, pair, truth and blur of the PAN."""
    pair, gt = reduced_spacenet(shared.joinpath)
    yield "SpaceNet", pair, gt, 0.0
    cdif, gt = read_matlab_pair(shared / "data" / "pan" / "wv3_cdif_rr.mat", full_scale=2047.0)[:2]
    assert gt is not None
    yield "wv3_cdif_rr", cdif, gt, 0.0
    yield f"wv3_cdif_rr, blurred by {MATCHED:g}", cdif, gt, MATCHED


def cave(folder: str) -> Iterator[tuple[str, ImagePair, np.ndarray, float]]:
    """Yield what `samples` yields, of CAVE."""
    names = ("chart_and_stuffed_toy", "fake_and_real_tomatoes", "flowers")
    source = CaveSource(scenes=names, part=0.375)
    data = DataConfig(root=folder, training=(source,))
    for maker in scene_makers(source, data):
        made = maker.make(np.random.default_rng(0))
        yield maker.name, made.pair, made.gt, 0.0


def fuse(
    weights: Weights, pair: ImagePair, sigma: float, precision: Precision
) -> tuple[np.ndarray, float]:
    source, sink = ArraySource(pair), ArraySink()
    method = LearnedMethod(weights, "cpu", pan_sigma=sigma, threads=1, attention=precision)
    fitted = fit_method(method, source, RunLimits())
    start = time.perf_counter()
    run_scene(fitted, source, sink, precision=np.float32)
    return sink.hrms, time.perf_counter() - start


def compare(
    weights: Weights, sample: tuple[str, ImagePair, np.ndarray, float], rounds: int
) -> None:
    name, pair, gt, sigma = sample
    scores, seconds = {}, {precision: [] for precision in PRECISIONS}
    for _ in range(rounds):
        for precision in PRECISIONS:
            hrms, taken = fuse(weights, pair, sigma, precision)
            seconds[precision].append(taken)
            scores[precision] = evaluate_rr(
                hrms.astype(np.float64),
                gt.astype(np.float64),
                ratio=pair.ratio,
                full_scale=pair.full_scale,
                protocol="cave" if pair.spatial.shape[0] > 1 else "dlpan-rr-uncut",
                metrics=METRICS,
            ).values
    parts = [
        f"{m} {scores['fp32'][m]:.4f} {scores['bf16'][m] - scores['fp32'][m]:+.4f}" for m in METRICS
    ]
    gains = [slow / quick for slow, quick in zip(*seconds.values(), strict=True)]
    print(
        f"{name:32} {'  '.join(parts)}  fp32 {spread(seconds['fp32'])} s, bf16 {spread(gains)} "
        "times as fast",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--shared",
        type=Path,
        default=Path(os.environ.get("BANDWEAVE_SHARED", ROOT.parent / "shared")),
    )
    parser.add_argument("--cave", nargs=2, metavar=("WEIGHTS", "FOLDER"), help="CAVE instead.")
    parser.add_argument("--rounds", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(conditions("torch"))
    print(f"The processor multiplies bfloat16: {has_bf16_products()}. fp32, and bf16 - fp32:")
    if options.cave is None:
        weights = load_named(str(options.shared / "weights" / "u2net_wv3_200000_iter.pth"))
        chosen = samples(options.shared)
    else:
        weights, chosen = load_named(options.cave[0]), cave(options.cave[1])
    for sample in chosen:
        compare(weights, sample, options.rounds)


if __name__ == "__main__":
    main()
