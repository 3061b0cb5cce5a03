"""Which way to run U2Net over tiles on a CPU: batches on all cores, or single tiles in threads.

Run on an idle machine, and again while something else keeps a core busy:

    python benchmarks/bench_tiles.py [--threads N] [--repeats K] [--weights NAME|FILE]
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from collections.abc import Callable

import numpy as np
import torch
from conditions import conditions, spread

from bandweave.methods.nets.inference import CpuRunner
from bandweave.methods.nets.u2net import U2Net
from bandweave.methods.nets.u2net_config import U2NetConfig
from bandweave.methods.nets.zoo import load_named

TILE, BATCHES = 64, (1, 2, 4, 8, 16)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--weights", help="default: random weights of the published architecture")
    options = parser.parse_args()
    model = load_named(options.weights).model if options.weights else U2Net(U2NetConfig(bands=8))
    seconds: dict[str, list[float]] = defaultdict(list)
    runners = {n: CpuRunner(model, n) for n in {1, options.threads}}
    # Ways take turns, so that a disturbance hits all of them.
    for _ in range(options.repeats):
        for count in BATCHES:
            tiles = _tiles(model.config, count)
            for threads in sorted(runners):
                torch.set_num_threads(threads)
                way = f"{threads} threads, one batch of {count:2}"
                seconds[way].append(_time(_batched, model, *tiles) / count)
                way = f"{threads} threads, {count:2} single tiles"
                seconds[way].append(_time(runners[threads], *tiles) / count)
    print(conditions("torch"))
    print(f"ms per tile of {TILE} pixels, median (least to greatest)")
    for way, times in sorted(seconds.items()):
        print(f"{way:32}{spread([1e3 * taken for taken in times], '.0f'):>24}")


def _tiles(config: U2NetConfig, count: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    coarse = TILE // config.ratio
    return (
        rng.random((count, config.spatial_bands, TILE, TILE), np.float32),
        rng.random((count, config.bands, coarse, coarse), np.float32),
    )


def _batched(model: U2Net, spatial: np.ndarray, spectral: np.ndarray) -> torch.Tensor:
    with torch.inference_mode():
        return model(torch.from_numpy(spatial), torch.from_numpy(spectral))


def _time(work: Callable[..., object], *arguments: object) -> float:
    start = time.perf_counter()
    work(*arguments)
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
