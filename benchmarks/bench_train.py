"""Throughput of a training step of U2Net, side by side with the straightforward released loop.

    .venv/bin/python benchmarks/bench_train.py [--batch 4] [--rounds 3]

The rival is the network of `tests/oracles/released_u2net.py`, whose attention forms the explicit
softmax matrix, with PyTorch's Adam; ours is the objective and the step of `bandweave train`, with
`precision` fp32 and bf16. All take the same batches of 64-pixel tiles (8 bands, S = 32) with the
same number of threads, in turn. Prints seconds per step, samples per second and the peak memory of
each, measured in a process of its own, and how many times less than the rival's they are.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import statistics
import time
from collections.abc import Callable
from functools import partial

import torch
from conditions import conditions
from released_step import released_step

from bandweave.methods.nets.attention.layer import Precision, use_precision
from bandweave.methods.nets.u2net import U2Net
from bandweave.methods.nets.u2net_config import U2NetConfig

TILE, BANDS = 64, 8


def batch_of(size: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    shapes = ((1, TILE), (BANDS, TILE // 4), (BANDS, TILE))
    pan, lrms, gt = (torch.rand(size, bands, side, side) for bands, side in shapes)
    return pan, lrms, gt


def our_step(size: int, precision: Precision) -> Callable[[], float]:
    torch.manual_seed(1)
    network = U2Net(U2NetConfig(bands=BANDS))
    use_precision(network, precision)
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-3, fused=True)
    pan, lrms, gt = batch_of(size)

    def step() -> float:
        loss = (network(pan, lrms) - gt).abs().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        return loss.item()

    return step


STEPS: dict[str, Callable[[int], Callable[[], float]]] = {
    "released": lambda size: released_step(*batch_of(size)),
    "bandweave fp32": partial(our_step, precision="fp32"),
    "bandweave bf16": partial(our_step, precision="bf16"),
}


def first_steps(name: str, size: int, results: multiprocessing.Queue) -> None:
    """Take two steps in a fresh process; report their losses and the peak memory."""
    step = STEPS[name](size)
    losses = [step(), step()]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    results.put((losses, peak))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    peaks, losses = {}, {}
    for name in STEPS:
        results = context.Queue()
        process = context.Process(target=first_steps, args=(name, options.batch, results))
        process.start()
        losses[name], peaks[name] = results.get()
        process.join()
    # All are the same network from the same start: their first losses agree.
    for taken in losses.values():
        assert abs(taken[1] - losses["released"][1]) < 1e-4, losses

    steps = {name: make(options.batch) for name, make in STEPS.items()}
    seconds: dict[str, list[float]] = {name: [] for name in STEPS}
    for _ in range(options.rounds):
        for name, step in steps.items():
            start = time.perf_counter()
            step()
            seconds[name].append(time.perf_counter() - start)
    table = {}
    for name, times in seconds.items():
        median = statistics.median(times)
        ratios = [a / b for a, b in zip(seconds["released"], times, strict=True)]
        table[name] = {
            "seconds per step": round(median, 3),
            "spread": [round(min(times), 3), round(max(times), 3)],
            "samples per second": round(options.batch / median, 2),
            "faster": round(statistics.median(ratios), 2),
            "faster in the best and worst round": [round(max(ratios), 2), round(min(ratios), 2)],
            "peak GiB": round(peaks[name], 3),
            "less memory": round(peaks["released"] / peaks[name], 2),
        }
    print(
        json.dumps(
            {
                "conditions": conditions("torch"),
                "threads": torch.get_num_threads(),
                "batch": options.batch,
                **table,
            },
            indent=1,
        )
    )


if __name__ == "__main__":
    main()
