"""Attention of U2Net on a CPU beside what the processor does at most, in turn in one process.

    python benchmarks/bench_attention.py [--rounds 7] [--out FOLDER]
    python benchmarks/bench_attention.py --rehearsal --out FOLDER

Heads 16 wide on the two larger maps of a tile of 64 pixels: 4,096 pixels with two heads and 1,024
with four. Forward, and forward with the gradients by query, key and value; with one thread and with
all of them. Compared: the compiled loops in float32 and in bfloat16, PyTorch's kernel
(`scaled_dot_product_attention`), blocks of oneDNN's products in bfloat16 (`attend_bf16`), and the
explicit softmax matrix as in the released program.

The score are pairs of pixels, query and key, per second. With heads of width S a pair takes

* 2 S multiply-adds and 1 exponential forward: score, and mean of the values;
* 7 S and 2 with the gradients: score and exponential again, since nothing of the matrix's size is
  kept, slope, and sums by query, key and value. (The loops compute scores and slopes twice, since
  each of their threads writes to sums of its own: 9 S and 3.)

What this processor does of both at most is measured in the same rounds, by loops in registers
(`cpu_limits.py`): multiply-adds alone, exponentials alone, and both in the proportion that a pair
needs. On a CPU both take the same units, so that either limit alone is out of reach. Were these
units all that counts, one after the other, the sum of both times, would be the roof; exponentials
also round and scale, which other units may do meanwhile, so that the roof is what the loop with
both comes to. Shares are those of this roof, in each round, for the same precision.

Prints the environment, medians, and least and most of the rounds. With `--out` also writes
FOLDER/attention.json, and figures of the rates beside the limits (extra `plots`). Without llvmlite
(extra `fast`) or AVX-512 there are neither loops nor limits. `--rehearsal` runs everything on tiny
maps: its figures mean nothing.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from bench_fuse import environment
from roofline import draw_roofline
from torch import Tensor
from torch.nn import functional

from bandweave.allocation import keep_freed_blocks
from bandweave.methods.nets.attention.bf16 import attend_bf16
from bandweave.methods.nets.attention.compiled import attend_compiled, has_loops
from bandweave.methods.nets.attention.layer import has_bf16_products

HEAD = 16
MAPS = {4096: 2, 1024: 4}  # pixels -> heads
TINY_MAPS = {96: 2}
PASSES = {"forward": (2 * HEAD, 1), "forward and gradient": (7 * HEAD, 2)}
"""Multiply-adds and exponentials per pair."""
PRECISIONS = {1: "fp32", 2: "bf16"}
"""Numbers per word -> name."""
ROOF, MULTIPLY_ADDS, EXPONENTIALS = "both at once", "multiply-adds", "exponentials"
IN_TURN = "one after the other"

Attend = Callable[[Tensor, Tensor, Tensor], Tensor]
Call = Callable[[int], float]
"""Does something so many times, and tells how much that was."""
Row = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """What is computed."""

    pixels: int
    heads: int
    passes: str
    threads: int

    def __str__(self) -> str:
        return f"{self.pixels} pixels, {self.heads} heads, {self.passes}, {in_words(self.threads)}"

    def images(self) -> list[Tensor]:
        """Return query, key and value as they come: slices of all maps of the pixels' tokens."""
        tiles = -(-self.threads // self.heads)  # threads share heads
        generator = torch.Generator().manual_seed(0)
        shape = (tiles, self.pixels, 3, self.heads, HEAD)
        maps = torch.randn(shape, generator=generator)
        return [one.transpose(1, 2).requires_grad_() for one in maps.unbind(2)]


def in_words(threads: int) -> str:
    return "1 thread" if threads == 1 else f"{threads} threads"


def softmax_matrix(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    scores = query @ key.transpose(2, 3) * HEAD**-0.5
    return torch.softmax(scores, dim=-1) @ value


def ways() -> dict[str, tuple[int, Attend]]:
    """Return what is compared: name -> numbers per word of its products, and the function."""
    found: dict[str, tuple[int, Attend]] = {}
    if has_loops(HEAD):
        found["compiled loops, fp32"] = 1, partial(attend_compiled, is_bf16=False)
        if has_bf16_products():
            found["compiled loops, bf16"] = 2, partial(attend_compiled, is_bf16=True)
    if has_bf16_products():
        found["oneDNN's products, bf16"] = 2, attend_bf16
    found["PyTorch's kernel, fp32"] = 1, functional.scaled_dot_product_attention
    found["softmax matrix, fp32"] = 1, softmax_matrix
    return found


def attended(attend: Attend, images: list[Tensor], passes: str) -> Call:
    """Return what computes it and counts pairs."""
    query = images[0]
    gradient = torch.randn(query.shape, generator=torch.Generator().manual_seed(1))
    pairs = query.shape[0] * query.shape[1] * query.shape[2] ** 2

    def call(times: int) -> float:
        for _ in range(times):
            if passes == "forward":
                with torch.no_grad():
                    attend(*images)
            else:
                torch.autograd.grad(attend(*images), images, gradient)
        return float(times * pairs)

    return call


def limits(case: Case) -> dict[str, Call]:
    """Return what the processor does at most, counted in the pairs that it would be enough for."""
    from cpu_limits import Work, both, exponentials, multiply_adds  # noqa: PLC0415  # an extra

    products, powers = PASSES[case.passes]

    def enough(work: Work, each: int, times: int) -> float:
        return work(times, case.threads) / each

    found: dict[str, Call] = {}
    for unit in units():
        works = {
            MULTIPLY_ADDS: (multiply_adds(unit), products),
            EXPONENTIALS: (exponentials(unit), powers),
            ROOF: (both(unit, products // powers), powers),
        }
        for name, given in works.items():
            found[f"{name}, {PRECISIONS[unit]}"] = partial(enough, *given)
    return found


def units() -> list[int]:
    """Return the words that there are loops for."""
    if not has_loops(HEAD):
        return []
    return [1, 2] if has_bf16_products() else [1]


def compared(calls: dict[str, Call], options: argparse.Namespace) -> dict[str, list[float]]:
    """Return how much of each is done per second, in turn, several rounds."""
    times = {name: enough_times(call, options.seconds) for name, call in calls.items()}
    rates: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(options.rounds):
        for name, call in calls.items():
            time.sleep(0.005)  # threads of the one before, that wait for work, go to sleep
            rates[name].append(rate(call, times[name])[0])
    return rates


def enough_times(call: Call, least: float) -> int:
    """Return how often something is done in this time or somewhat more, after doing so."""
    times = 1
    while (seconds := rate(call, times)[1]) < least:
        times = max(times + 1, round(min(10.0, 1.1 * least / seconds) * times))
    return times


def rate(call: Call, times: int) -> tuple[float, float]:
    start = time.perf_counter()
    amount = call(times)
    seconds = time.perf_counter() - start
    return amount / seconds, seconds


def spread(values: list[float]) -> Row:
    return {"median": statistics.median(values), "least": min(values), "most": max(values)}


def measured(case: Case, options: argparse.Namespace) -> dict[str, Row]:
    """Return pairs per second of all ways and limits of a case, and the shares of the roof."""
    images = case.images()
    calls: dict[str, Call] = limits(case) if units() else {}
    count = len(calls)
    found = ways()
    calls |= {name: attended(attend, images, case.passes) for name, (_, attend) in found.items()}
    rates = compared(calls, options)
    rows: dict[str, Row] = {}
    for name, taken in list(rates.items())[:count]:
        rows[name] = {"is limit": True, **spread(taken)}
    for precision in (PRECISIONS[unit] for unit in units()):
        alone = (rates[f"{name}, {precision}"] for name in (MULTIPLY_ADDS, EXPONENTIALS))
        summed = [1 / (1 / a + 1 / b) for a, b in zip(*alone, strict=True)]
        rows[f"{IN_TURN}, {precision}"] = {"is limit": True, **spread(summed)}
    exact = softmax_matrix(*(image.detach().double() for image in images))
    for name, (unit, attend) in found.items():
        rows[name] = {"is limit": False, **spread(rates[name])}
        with torch.no_grad():
            rows[name]["difference"] = float((attend(*images) - exact).abs().max())
        for limit in (ROOF, MULTIPLY_ADDS, EXPONENTIALS):
            most = rates.get(f"{limit}, {PRECISIONS[unit]}")
            if most is not None:
                shares = [a / b for a, b in zip(rates[name], most, strict=True)]
                rows[name][f"share of {limit}"] = statistics.median(shares)
    return rows


def measured_units(threads: int, options: argparse.Namespace) -> dict[str, Row]:
    """Return how much each thread does per second and per cycle of the clock."""
    from cpu_limits import cycles, exponentials, multiply_adds  # noqa: PLC0415  # an extra

    works = {"clock": cycles()}
    for unit in units():
        works[f"{MULTIPLY_ADDS}, {PRECISIONS[unit]}"] = multiply_adds(unit)
        works[f"{EXPONENTIALS}, {PRECISIONS[unit]}"] = exponentials(unit)
    calls: dict[str, Call] = {
        name: lambda times, work=work: work(times, threads) / threads
        for name, work in works.items()
    }
    rates = compared(calls, options)
    rows = {name: spread(taken) for name, taken in rates.items()}
    for name, row in rows.items():
        shares = [a / b for a, b in zip(rates[name], rates["clock"], strict=True)]
        row["per cycle"] = statistics.median(shares)
    return rows


def print_units(threads: int, rows: dict[str, Row]) -> None:
    print(f"\n{in_words(threads)}, 10^9 per second of each; per cycle of the clock")
    for name, row in rows.items():
        median, least, most = (row[key] / 1e9 for key in ("median", "least", "most"))
        print(
            f"  {name:27}{median:8.2f} ({least:.2f} to {most:.2f}){row['per cycle']:10.2f}"
            + (f"  = {2 * median:.0f} Gflop/s" if name.startswith(MULTIPLY_ADDS) else "")
        )


def print_case(case: Case, rows: dict[str, Row]) -> None:
    print(f"\n{case}: 10^6 pairs per second")
    heading = "share of the roof, of multiply-adds, of exponentials; difference"
    print(f"  {'':27}{'median':>8} (least to most)   {heading}")
    for name, row in rows.items():
        median, least, most = (row[key] / 1e6 for key in ("median", "least", "most"))
        line = f"  {name:27}{median:8.0f} {f'({least:.0f} to {most:.0f})':18}"
        for limit in (ROOF, MULTIPLY_ADDS, EXPONENTIALS):
            if f"share of {limit}" in row:
                line += f"{row[f'share of {limit}']:7.0%}"
        print(line + (f"{row['difference']:11.1e}" if "difference" in row else ""))


def draw(results: dict[Case, dict[str, Row]], folder: Path) -> None:
    """Draw one figure for each number of threads and each kind of passes."""
    for threads, passes in sorted({(case.threads, case.passes) for case in results}):
        rates, most = {}, {}
        for case, rows in results.items():
            if (case.threads, case.passes) == (threads, passes):
                own = {name: row["median"] for name, row in rows.items() if not row["is limit"]}
                rates |= {f"{case.pixels} pixels: {name}": value for name, value in own.items()}
                # The limits do not depend on the map: those of the largest are drawn.
                most = most or {
                    name: row["median"]
                    for name, row in rows.items()
                    if row["is limit"] and not name.startswith(IN_TURN)
                }
        name = f"attention_{passes.split()[-1]}_{threads}.png"
        label = f"pairs of pixels per second, {passes}, {in_words(threads)}"
        draw_roofline(rates, most, folder / name, label)


def cases(options: argparse.Namespace) -> Iterator[Case]:
    maps = TINY_MAPS if options.rehearsal else MAPS
    for threads in sorted({1, torch.get_num_threads()}):
        for passes in PASSES:
            for pixels, heads in maps.items():
                yield Case(pixels, heads, passes, threads)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=0.1, help="least, of each measurement")
    parser.add_argument("--out", type=Path, help="folder of the results and figures")
    parser.add_argument("--rehearsal", action="store_true")
    options = parser.parse_args()
    if options.rehearsal:
        options.rounds, options.seconds = 1, 1e-4
    keep_freed_blocks()
    found = environment() | {"rehearsal": options.rehearsal}
    if units():
        found["llvmlite"] = version("llvmlite")
    else:
        print("Compiled loops and limits are left out: they need llvmlite (`fast`) and AVX-512.")
    print(json.dumps(found, indent=1))
    results, processor = {}, {}
    for case in list(cases(options)):
        torch.set_num_threads(case.threads)
        if units() and case.threads not in processor:
            processor[case.threads] = measured_units(case.threads, options)
            print_units(case.threads, processor[case.threads])
        results[case] = measured(case, options)
        print_case(case, results[case])
        sys.stdout.flush()
    if options.out is not None:
        options.out.mkdir(parents=True, exist_ok=True)
        written = {
            "environment": found,
            "processor": processor,
            "pairs per second": {str(case): rows for case, rows in results.items()},
        }
        (options.out / "attention.json").write_text(json.dumps(written, indent=1))
        draw(results, options.out)


if __name__ == "__main__":
    main()
