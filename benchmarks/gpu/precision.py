"""What bf16 costs in quality: scores against the truth beside those in fp32."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from bandweave.methods.nets.checkpoint import Weights
from bandweave.methods.nets.zoo import load_named
from bandweave.metrics.reduced import evaluate_rr
from bandweave.pair import ImagePair
from gpu.bench import PRECISIONS, TILE, Bench, Rows
from gpu.noise import random_pair, random_weights
from gpu.scene import fitted_on, fused


def precision(bench: Bench) -> Rows:
    """Score both precisions against the truth."""
    weights = load_named(bench.options.weights) if bench.is_cuda else random_weights()
    for name, pair, gt in _cases(bench, weights):
        scores = {}
        for kind in PRECISIONS:
            image = fused(fitted_on(bench, weights, pair, kind, 32), pair)
            scores[kind] = evaluate_rr(
                image.astype(np.float64),
                gt.astype(np.float64),
                ratio=pair.ratio,
                full_scale=pair.full_scale,
                protocol="dlpan-rr-uncut",
                metrics=("psnr",),
            ).values["psnr"]
        yield {name: {**scores, "bf16 - fp32, dB": scores["bf16"] - scores["fp32"]}}


def _cases(bench: Bench, weights: Weights) -> Iterator[tuple[str, ImagePair, np.ndarray]]:
    """Yield name, pair and truth; noise where there are no weights to score."""
    if bench.is_cuda:
        from bench_precision import samples  # noqa: PLC0415  # it needs the reference material

        for name, pair, gt, sigma in samples(Path(bench.options.shared)):
            if not sigma:
                yield name, pair, gt
    else:
        pair = random_pair(TILE)
        yield "noise", pair, fused(fitted_on(bench, weights, pair, "fp32", 1), pair) + 1
