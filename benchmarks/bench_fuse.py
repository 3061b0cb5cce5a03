"""Throughput of U2Net on a scene, side by side with the straightforward released way.

    .venv/bin/python benchmarks/bench_fuse.py [--weights FILE.pth] [--rounds 5] [--size 188]

The rival is `tests/oracles/released_u2net.py`: one tile after the other, attention with the
explicit softmax matrix. All fuse the same scene in memory with the same number of threads, in
turn: bandweave with its attention in fp32 and in bf16, the rival with the same written core and
context (48 + 2 x 8 pixels), and as it is used (64 + 2 x 4, hard cut). Times do not depend on the
values of the weights: without a file they are random. Freed memory is kept for the next tile, as
`bandweave fuse` does, by all. Peak memory is that of a process of its own.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import resource
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from bandweave.allocation import keep_freed_blocks
from bandweave.bench.cost import processor_name
from bandweave.methods.learned import LearnedMethod
from bandweave.methods.nets.attention.layer import Precision
from bandweave.methods.nets.card import PUBLISHED_WV3
from bandweave.methods.nets.checkpoint import Weights
from bandweave.methods.nets.compat import PUBLISHED_NAMES
from bandweave.methods.nets.u2net import U2Net
from bandweave.methods.nets.u2net_config import U2NetConfig
from bandweave.methods.nets.zoo import load_named
from bandweave.mosaic.runner import ArraySink, run_scene
from bandweave.pair import ImagePair
from bandweave.source import ArraySource

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from oracles.released_u2net import fuse_released

FULL_SCALE = 2047.0
OURS, RIVALS = ("bandweave fp32", "bandweave bf16"), ("same cut", "as released")


def random_weights() -> Weights:
    torch.manual_seed(0)
    return Weights(U2Net(U2NetConfig(bands=8)).eval(), PUBLISHED_WV3, "random")


def random_pair(size: int) -> ImagePair:
    rng = np.random.default_rng(0)
    return ImagePair(
        spatial=rng.uniform(0, FULL_SCALE, (1, size, size)).astype(np.float32),
        spectral=rng.uniform(0, FULL_SCALE, (8, size // 4, size // 4)).astype(np.float32),
        ratio=4,
        phase=PUBLISHED_WV3.phase,
        full_scale=FULL_SCALE,
    )


def timed(run: Callable[[], object]) -> tuple[float, float]:
    """Return the seconds that a run took, and those of the processor in all threads."""
    start, spent = time.perf_counter(), time.process_time()
    run()
    return time.perf_counter() - start, time.process_time() - spent


def environment() -> dict[str, object]:
    return {
        "date": time.strftime("%Y-%m-%d"),
        "processor": processor_name(),
        "threads": torch.get_num_threads(),
        "load": os.getloadavg()[0],
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


def ways(options: argparse.Namespace) -> dict[str, Callable[[], object]]:
    """Return what is compared, by name."""
    keep_freed_blocks()
    weights = load_named(options.weights) if options.weights else random_weights()
    pair = random_pair(options.size)
    theirs = {name: weights.model.state_dict()[ours] for name, ours in PUBLISHED_NAMES.items()}
    pan = pair.spatial[0] / np.float32(FULL_SCALE)
    lrms = pair.spectral / np.float32(FULL_SCALE)

    def ours(precision: Precision) -> Callable[[], None]:
        fitted = LearnedMethod(weights, "cpu", attention=precision).fit(pair.profile, None)
        return lambda: run_scene(fitted, ArraySource(pair), ArraySink(), precision=np.float32)

    return {
        "bandweave fp32": ours("fp32"),
        "bandweave bf16": ours("bf16"),
        "same cut": lambda: fuse_released(theirs, pan, lrms, core=48, margin=8),
        "as released": lambda: fuse_released(theirs, pan, lrms),
    }


def peak_of(name: str, options: argparse.Namespace, results: multiprocessing.Queue) -> None:
    """Run one way in a fresh process; report its peak memory in GiB."""
    ways(options)[name]()
    results.put(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20)


def measured_peak(name: str, options: argparse.Namespace) -> float:
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    process = context.Process(target=peak_of, args=(name, options, results))
    process.start()
    peak: float = results.get()
    process.join()
    return peak


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weights")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--size", type=int, default=188)
    options = parser.parse_args()

    # First, since a process also counts what its parent held when it began.
    peaks = {name: measured_peak(name, options) for name in (*OURS, *RIVALS)}
    runs = ways(options)
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in runs}
    for name in OURS:
        runs[name]()
    for _ in range(options.rounds):
        for name, run in runs.items():
            seconds[name].append(timed(run))

    print(json.dumps(environment(), indent=1))
    pixels = options.size**2 / 1e6
    for name, taken in seconds.items():
        walls, spent = zip(*taken, strict=True)
        middle = statistics.median(walls)
        print(
            f"{name:15} {middle:7.2f} s  ({min(walls):.2f} to {max(walls):.2f})"
            f"  {pixels / middle * 1000:7.2f} kilopixels/s,"
            f" processor {statistics.median(spent):.2f} s"
        )
    for rival in RIVALS:
        for name in OURS:
            pairs = zip(seconds[rival], seconds[name], strict=True)
            ratios = [[a / b for a, b in zip(*pair, strict=True)] for pair in pairs]
            walls, spent = zip(*ratios, strict=True)
            print(
                f"{name} is {statistics.median(walls):.1f} times as fast as {rival} "
                f"({min(walls):.1f} to {max(walls):.1f} over {options.rounds} rounds), "
                f"by processor time {statistics.median(spent):.1f}"
            )
    print("peak memory, GiB:", ", ".join(f"{name} {peak:.3f}" for name, peak in peaks.items()))


if __name__ == "__main__":
    main()
