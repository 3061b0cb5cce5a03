"""Everything that has a bar on a GPU, measured by one command on a machine that has one.

    python benchmarks/bench_gpu.py --out FOLDER [--only limits attention network scene ...]
    python benchmarks/bench_gpu.py --out FOLDER --cpu-rehearsal

Writes FOLDER/NAME.json for each part (environment, median, best and worst round) and, from what is
there, FOLDER/roofline.png (extra `plots`). Several parts run one after the other in processes of
their own, `--seconds` each at most: what a part has measured is written after each comparison and
stays when it fails or is stopped. `--cpu-rehearsal` runs the same code on tiny sizes on the CPU,
the kernels in Triton's interpreter: its figures mean nothing.

A session of 30 minutes in slices of 10, each a command of its own:

    python benchmarks/bench_gpu.py --out gpu --only limits attention
    python benchmarks/bench_gpu.py --out gpu --only network training
    python benchmarks/bench_gpu.py --out gpu --only scene precision --shared SHARED --weights FILE

and where the training set is at hand, in as many slices as it takes:

    bandweave train u2net-wv3-paper --data PANCOLLECTION --set precision=bf16 --minutes 9

* limits: exponentials, products of matrices and bytes per second of this device.
* attention: the Triton kernels, cut in several ways and with part of the powers as a polynomial,
  beside every backend of `scaled_dot_product_attention`, forward alone and with the gradient; all
  as recorded graphs, since small maps take longer to be asked for than to be done.
* network: a batch of tiles in bf16, call by call, as a recorded graph, with and without the kernel
  for normalisation and maps, and what `torch.compile` makes of it as a graph.
* scene: a scene in memory to a scene in memory, 8 bands, overlap 16, beside the released way (one
  tile after the other, explicit softmax matrix) on the same device; with 16 bits and with single
  precision on the way back; on all devices together where there are several.
* precision: PSNR in bf16 less that in fp32 on the two real samples, with trained weights.
* training: steps at batch 16 as `bandweave train` takes them, beside the same with steps that are
  not recorded, with tiles cut on the CPU, and beside the released step; and the profile of a step.
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import h5py
import numpy as np
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel

from bandweave.methods.learned import FittedTileNetwork, LearnedMethod
from bandweave.methods.nets import projection
from bandweave.methods.nets.attention import Precision
from bandweave.methods.nets.card import PUBLISHED_WV3
from bandweave.methods.nets.checkpoint import Weights
from bandweave.methods.nets.compat import PUBLISHED_NAMES
from bandweave.methods.nets.device_runner import DeviceRunner
from bandweave.methods.nets.inference import lay_channels_last
from bandweave.methods.nets.recording import recorded
from bandweave.methods.nets.u2net import U2Net
from bandweave.methods.nets.u2net_config import U2NetConfig
from bandweave.methods.nets.zoo import load_named
from bandweave.metrics.reduced import evaluate_rr
from bandweave.mosaic.runner import ArraySink, RunLimits, run_scene
from bandweave.pair import ImagePair
from bandweave.radiometry import Storage
from bandweave.source import ArraySource
from bandweave.train.batches import Batches, Material
from bandweave.train.config import DataConfig, PatchSource
from bandweave.train.paper_recipes import u2net_paper
from bandweave.train.run_dir import RunDir
from bandweave.train.runtime import Runtime, adjust
from bandweave.train.start import Starter

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "benchmarks")]
from oracles.released_u2net import u2net as released_u2net  # noqa: E402

FULL_SCALE, BANDS, TILE, HEAD = 2047.0, 8, 64, 16
SCHEDULE = 200_000  # steps of the paper's training
PRECISIONS: tuple[Precision, Precision] = ("fp32", "bf16")
Call = Callable[[], object]
Row = dict[str, Any]


@dataclass(frozen=True)
class Size:
    """How much is measured."""

    rounds: int
    calls: int
    """Calls in a row between two looks at the clock."""
    maps: tuple[tuple[int, int, int], ...]
    """Tiles, heads and pixels of the attention's maps."""
    scene: int
    released: int
    """Side of the scene that the released way fuses."""
    batches: tuple[int, ...]
    training_batch: int
    training_tile: int
    patches: int


FULL = Size(
    # A row of this scene has 85 tiles: the usual batch, and those that divide it evenly.
    7,
    10,
    ((32, 2, 4096), (32, 4, 1024), (32, 8, 256)),
    4096,
    512,
    (32, 43, 85),
    16,
    TILE,
    512,
)
TINY = Size(1, 1, ((1, 1, 64),), 96, 64, (2,), 2, 16, 4)


@dataclass(frozen=True)
class Bench:
    """A device and what to measure on it."""

    device: torch.device
    size: Size
    options: argparse.Namespace

    @property
    def is_cuda(self) -> bool:
        """Tell whether this is the real thing."""
        return self.device.type == "cuda"

    def wait(self) -> None:
        """Wait for the device."""
        if self.is_cuda:
            torch.cuda.synchronize()

    def compared(
        self, calls: dict[str, Call], *, each: int | None = None, times: int = 1
    ) -> dict[str, Row]:
        """Time calls in turn, several rounds; what fails is named with its reason.

        Args:
            calls: What to call by its name.
            each: Calls in a row, None for the usual number.
            times: How often each call does what is timed.
        """
        seconds: dict[str, list[float]] = {}
        failed: dict[str, Row] = {}
        for name, call in calls.items():
            try:
                call()
                self.wait()
                seconds[name] = []
            except Exception as error:  # noqa: BLE001  # a backend may refuse in any way
                failed[name] = {"failed": reason(error)}
        count = each or self.size.calls
        for _ in range(self.size.rounds):
            for name, taken in seconds.items():
                start = time.perf_counter()
                for _ in range(count):
                    calls[name]()
                self.wait()
                taken.append((time.perf_counter() - start) / (count * times))
        return {name: spread(taken) for name, taken in seconds.items()} | failed

    def replayed(self, call: Callable[[], torch.Tensor], times: int) -> Call:
        """Return what does a call so often as one recorded graph."""

        def work() -> torch.Tensor:
            for _ in range(times - 1):
                call()
            return call()

        stream = torch.cuda.Stream() if self.is_cuda else None
        with torch.cuda.stream(stream):
            for _ in range(3):  # kernels are compiled and chosen before they are recorded
                call()
            return recorded(work, stream)


def later(make: Callable[[], Call]) -> Call:
    """Put off what a call needs to its first time, where a failure costs no other row."""
    made: list[Call] = []

    def call() -> object:
        if not made:
            made.append(make())
        return made[0]()

    return call


def reason(error: Exception) -> str:
    return (str(error) or repr(error)).splitlines()[0][:200]


def spread(seconds: list[float]) -> Row:
    return {
        "seconds": statistics.median(seconds),
        "best": min(seconds),
        "worst": max(seconds),
    }


def environment(bench: Bench) -> Row:
    found: Row = {
        "date": time.strftime("%Y-%m-%d"),
        "device": platform.processor() or platform.machine(),
        "load": os.getloadavg()[0],
        "torch": torch.__version__,
        "python": platform.python_version(),
        "rehearsal": not bench.is_cuda,
    }
    try:
        import triton  # noqa: PLC0415

        found["triton"] = triton.__version__
    except ModuleNotFoundError:
        found["triton"] = None
    if bench.is_cuda:
        properties = torch.cuda.get_device_properties(bench.device)
        found |= {
            "device": properties.name,
            "multiprocessors": properties.multi_processor_count,
            "memory GiB": round(properties.total_memory / 2**30, 1),
            "cuda": torch.version.cuda,
        }
    return found


def limits(bench: Bench) -> Iterator[dict[str, Row]]:
    """Tell how many exponentials, matrix products and bytes a second this device does."""
    side, length = (8192, 2**28) if bench.is_cuda else (64, 2**10)
    factors = torch.randn((2, side, side), device=bench.device, dtype=torch.bfloat16)
    given, taken = torch.zeros((2, length), device=bench.device)
    calls: dict[str, Call] = {
        "products": lambda: factors[0] @ factors[1],
        "copy": lambda: taken.copy_(given),
    }
    work = {"products": 2 * side**3, "copy": 8 * length}
    try:
        from gpu_kernels import exponentials  # noqa: PLC0415

        programs, repeats = (2**14, 512) if bench.is_cuda else (1, 2)
        for kind in ("exponentials", "polynomials", "exponentials flushed"):
            if kind == "exponentials flushed" and not bench.is_cuda:
                continue  # inline assembly
            calls[kind] = partial(exponentials, kind, programs, repeats, bench.device)
            work[kind] = programs * repeats * 1024
    except ModuleNotFoundError as error:
        print(f"Without exponentials: {error}.")
    rows = bench.compared(calls)
    for name, row in rows.items():
        if "seconds" in row:
            row["per second"] = work[name] / row["best"]
    yield rows


def attention(bench: Bench) -> Iterator[dict[str, Row]]:
    """Compare kernels on the maps of U2Net's three scales."""
    times = bench.size.calls
    for tiles, heads, pixels in bench.size.maps:
        dtype = torch.bfloat16 if bench.is_cuda else torch.float32
        maps = torch.randn((tiles, pixels, 3, heads, HEAD), device=bench.device, dtype=dtype)
        matrix = torch.softmax(torch.randn((tiles, heads, HEAD, HEAD), device=bench.device), -1)
        given = [*(one.transpose(1, 2) for one in maps.unbind(2)), matrix.to(dtype)]
        for image in given:
            image.requires_grad_()
        ways = attention_ways(bench)
        for passes in ("forward", "forward and gradient"):
            calls = {
                name: later(partial(bench.replayed, partial(attended, way, given, passes), times))
                for name, way in ways.items()
            }
            rows = bench.compared(calls, each=1, times=times)
            for row in rows.values():
                row["exponentials"] = tiles * heads * pixels**2
            yield {f"{pixels} pixels, {passes}, {name}": row for name, row in rows.items()}


Attend = Callable[[list[torch.Tensor]], torch.Tensor]


def attention_ways(bench: Bench) -> dict[str, Attend]:
    """Return what is compared; all compute the block's whole product of q, k, v and a matrix."""

    def backend(kind: SDPBackend, given: list[torch.Tensor]) -> torch.Tensor:
        *maps, matrix = given
        with sdpa_kernel(kind):
            return functional.scaled_dot_product_attention(*maps) * (maps[0] @ matrix)

    ways: dict[str, Attend] = {
        f"sdpa {kind.name.lower()}": partial(backend, kind)
        for kind in (
            SDPBackend.FLASH_ATTENTION,
            SDPBackend.EFFICIENT_ATTENTION,
            SDPBackend.CUDNN_ATTENTION,
            SDPBackend.MATH,
        )
    }
    try:
        from bandweave.methods.nets.attention_triton import Blocks, attend  # noqa: PLC0415
    except ModuleNotFoundError as error:
        print(f"Without the kernels: {error}.")
        return ways

    def kernel(blocks: Blocks, given: list[torch.Tensor]) -> torch.Tensor:
        *maps, matrix = given
        return attend(*maps, maps[0], matrix, blocks=blocks)

    cuts = [
        Blocks(queries, keys, warps, stages)
        for queries, keys, warps, stages in (
            (128, 64, 4, 3),
            (128, 128, 4, 3),
            (128, 128, 8, 3),
            (64, 64, 4, 3),
            (64, 128, 4, 4),
            (256, 64, 8, 3),
        )
    ]
    cuts += [replace(cuts[0], polynomial=2), replace(cuts[0], polynomial=4)]
    if not bench.is_cuda:
        cuts = [Blocks(32, 32, 4, 1), Blocks(32, 32, 4, 1, polynomial=4)]
    for cut in cuts:
        name = f"kernel {cut.queries} x {cut.keys}, {cut.warps} warps, {cut.stages} stages"
        part = f", one power in {cut.polynomial} a polynomial" if cut.polynomial else ""
        ways[name + part] = partial(kernel, cut)
    return ways


def attended(way: Attend, given: list[torch.Tensor], passes: str) -> torch.Tensor:
    if passes == "forward":
        with torch.no_grad():
            return way([image.detach() for image in given])
    result = way(given)
    return torch.autograd.grad(result, given, result.detach())[0]


def random_weights() -> Weights:
    torch.manual_seed(0)
    return Weights(U2Net(U2NetConfig(bands=BANDS)).eval(), PUBLISHED_WV3, "random")


def random_pair(side: int) -> ImagePair:
    """Return whole numbers, as an instrument delivers them."""
    rng = np.random.default_rng(0)
    most = int(FULL_SCALE) + 1
    return ImagePair(
        spatial=rng.integers(0, most, (1, side, side)).astype(np.float32),
        spectral=rng.integers(0, most, (BANDS, side // 4, side // 4)).astype(np.float32),
        ratio=4,
        phase=PUBLISHED_WV3.phase,
        full_scale=FULL_SCALE,
    )


def fitted_on(
    bench: Bench,
    weights: Weights,
    pair: ImagePair,
    precision: Precision,
    batch: int,
    *,
    devices: tuple[str, ...] = (),
) -> FittedTileNetwork:
    fitted = LearnedMethod(weights, "cpu").fit(pair.profile, None)
    assert isinstance(fitted, FittedTileNetwork)
    model = copy.deepcopy(weights.model).eval()
    lay_channels_last(model)
    runner = DeviceRunner(model, batch, precision, devices or (str(bench.device),))
    return replace(fitted, runner=runner)


def fused(fitted: FittedTileNetwork, pair: ImagePair, stored: Storage | None = None) -> np.ndarray:
    sink, limits = ArraySink(), RunLimits(workers=min(os.cpu_count() or 1, 8))
    source = ArraySource(pair)
    run_scene(fitted, source, sink, precision=np.float32, limits=limits, stored=stored)
    return sink.hrms


def network(bench: Bench) -> Iterator[dict[str, Row]]:
    """Time the network alone on a batch that lies on the device."""
    batch = bench.size.batches[0]
    model = copy.deepcopy(random_weights().model).to(bench.device).eval()
    lay_channels_last(model)
    shapes = ((batch, 1, TILE, TILE), (batch, BANDS, TILE // 4, TILE // 4))
    images = [torch.rand(shape, device=bench.device) for shape in shapes]

    def forward(net: Call = model) -> torch.Tensor:
        kind = bench.device.type
        with torch.inference_mode(), torch.autocast(kind, torch.bfloat16, cache_enabled=False):
            return net(*images)

    def as_graph(*, is_plain: bool) -> Call:
        suits = projection.suits_triton
        with mock.patch.object(
            projection, "suits_triton", (lambda _: False) if is_plain else suits
        ):
            return bench.replayed(forward, 1)

    graph = later(partial(as_graph, is_plain=False))
    plain = later(partial(as_graph, is_plain=True))
    calls = {
        "call by call": forward,
        "graph": graph,
        "graph, normalisation and maps by PyTorch": plain,
    }
    yield with_tiles(bench.compared(calls), batch)
    if bench.is_cuda:  # takes minutes on a CPU
        quick = torch.compile(model, dynamic=False)
        compiled = later(partial(bench.replayed, partial(forward, quick), 1))
        rows = bench.compared({"graph beside that": graph, "graph of what is compiled": compiled})
        yield with_tiles(rows, batch)


def with_tiles(rows: dict[str, Row], batch: int) -> dict[str, Row]:
    for row in rows.values():
        if "seconds" in row:
            row["tiles per second"] = batch / row["seconds"]
    return rows


def scene(bench: Bench) -> Iterator[dict[str, Row]]:
    """Fuse scenes in memory; megapixels are those of the PAN."""
    weights, size = random_weights(), bench.size
    pair, small = random_pair(size.scene), random_pair(size.released)
    calls: dict[str, Call] = {"released": lambda: released_scene(bench, weights, small)}
    stored = Storage(np.dtype("uint16"), FULL_SCALE)
    ways: list[tuple[str, Precision, int, tuple[str, ...], Storage | None]] = [
        (f"{precision}, batches of {batch}", precision, batch, (), stored)
        for precision in PRECISIONS
        for batch in size.batches
    ]
    batch = size.batches[0]
    ways.append((f"bf16, batches of {batch}, back in 32 bits", "bf16", batch, (), None))
    count = torch.cuda.device_count() if bench.is_cuda else 2
    if count > 1:
        every = tuple(f"cuda:{k}" if bench.is_cuda else "cpu" for k in range(count))
        ways.append((f"bf16, batches of {batch}, {count} devices", "bf16", batch, every, stored))

    def way(*given: Any, devices: tuple[str, ...], kept: Storage | None) -> Call:
        return partial(fused, fitted_on(bench, weights, pair, *given, devices=devices), pair, kept)

    for name, precision, number, devices, kept in ways:
        make = partial(way, precision, number, devices=devices, kept=kept)
        calls[f"bandweave {name}"] = later(make)
    rows = bench.compared(calls, each=1)
    for name, row in rows.items():
        if "seconds" in row:
            side = size.released if name == "released" else size.scene
            row["megapixels per second"] = side**2 / 1e6 / row["seconds"]
    yield rows


def released_scene(bench: Bench, weights: Weights, pair: ImagePair) -> list[np.ndarray]:
    """Fuse tiles of 64 + 2 x 4 pixels one after the other, as the released program does."""
    state = weights.model.state_dict()
    tensors = {theirs: state[ours].to(bench.device) for theirs, ours in PUBLISHED_NAMES.items()}
    margins = ((0, 0), (4, 4), (4, 4)), ((0, 0), (1, 1), (1, 1))
    pan, lrms = (
        np.pad(image / FULL_SCALE, margin, mode="reflect").astype(np.float32)
        for image, margin in zip((pair.spatial, pair.spectral), margins, strict=True)
    )
    tiles = []
    for row in range(0, pair.shape[0], TILE):
        for col in range(0, pair.shape[1], TILE):
            fine = pan[None, :, row : row + TILE + 8, col : col + TILE + 8]
            rows, cols = (slice(k // 4, k // 4 + TILE // 4 + 2) for k in (row, col))
            given = (
                torch.from_numpy(t).to(bench.device) for t in (fine, lrms[None, :, rows, cols])
            )
            with torch.no_grad():
                tiles.append(released_u2net(tensors, *given).clamp(0, 1).cpu().numpy())
    return tiles


def precision(bench: Bench) -> Iterator[dict[str, Row]]:
    """Score both precisions against the truth."""
    if bench.is_cuda:
        from bench_precision import samples  # noqa: PLC0415

        weights = load_named(bench.options.weights)
        cases = [case for case in samples(Path(bench.options.shared)) if not case[3]]
    else:
        weights, pair = random_weights(), random_pair(TILE)
        cases = [("noise", pair, fused(fitted_on(bench, weights, pair, "fp32", 1), pair) + 1, 0.0)]
    for name, pair, gt, _ in cases:
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


def training(bench: Bench) -> Iterator[dict[str, Row]]:
    """Time optimiser steps."""
    yield with_schedule(bench.compared({"released": released_step(bench)}))
    with tempfile.TemporaryDirectory() as folder:
        write_patches(Path(folder) / "train.h5", bench.size)
        for kind in PRECISIONS:
            calls = our_steps(bench, kind, Path(folder))
            yield with_schedule(bench.compared(calls))
        kinds = [torch.profiler.ProfilerActivity.CPU]
        if bench.is_cuda:
            kinds.append(torch.profiler.ProfilerActivity.CUDA)
        with torch.profiler.profile(activities=kinds) as profile:
            calls["bandweave bf16"]()
            bench.wait()
    order = "self_device_time_total" if bench.is_cuda else "self_cpu_time_total"
    table = profile.key_averages().table(sort_by=order, row_limit=25)
    (Path(bench.options.out) / "training_profile.txt").write_text(table)


def with_schedule(rows: dict[str, Row]) -> dict[str, Row]:
    for row in rows.values():
        if "seconds" in row:
            row["steps per second"] = 1 / row["seconds"]
            row["minutes for the schedule"] = SCHEDULE * row["seconds"] / 60
    return rows


def write_patches(path: Path, size: Size) -> None:
    """Write noise in PanCollection's layout."""
    rng, tile = np.random.default_rng(0), size.training_tile
    with h5py.File(path, "w") as file:
        for key, bands, side in (("gt", BANDS, tile), ("ms", BANDS, tile // 4), ("pan", 1, tile)):
            shape = (size.patches, bands, side, side)
            file[key] = rng.integers(1, int(FULL_SCALE), shape, dtype=np.uint16)


def our_steps(bench: Bench, kind: Precision, folder: Path) -> dict[str, Call]:
    """Return steps as `bandweave train` takes them, and without what it gains by."""
    recipe = u2net_paper("bench", data_set="wv3")
    source = PatchSource(path="train.h5", full_scale=FULL_SCALE)
    data = DataConfig(root=str(folder), training=(source,))
    config = recipe.model_copy(
        update={
            "data": data,
            "tile": bench.size.training_tile,
            "batch": bench.size.training_batch,
            "precision": kind,
        }
    )
    # It keeps the first precision of a process.
    AcceleratorState._reset_state(reset_partial_state=True)  # noqa: SLF001  # nothing else does it
    is_mixed = kind == "bf16" and bench.is_cuda
    accelerator = Accelerator(cpu=not bench.is_cuda, mixed_precision="bf16" if is_mixed else "no")

    def steps(*, is_recorded: bool = True, is_there: bool = True) -> Call:
        runtime = Runtime.of(config, accelerator, RunDir(folder))
        if not is_recorded:
            runtime = replace(runtime, recording=None)
            adjust(runtime.optimiser, bench.device, is_recorded=False)
        drawn = runtime.batches
        if not is_there:
            drawn = Batches(config, Material.of(config, Starter(None, None)))
        batches = drawn.since(0)

        def step() -> torch.Tensor:
            batch, _ = next(batches)
            return runtime.step(batch, 1e-3)

        for _ in range(bench.size.patches // config.batch + 1):  # all patches are there then
            step()
        return step

    return {
        f"bandweave {kind}": later(steps),
        f"bandweave {kind}, not recorded": later(partial(steps, is_recorded=False)),
        f"bandweave {kind}, tiles from the CPU": later(partial(steps, is_there=False)),
    }


def released_step(bench: Bench) -> Call:
    torch.manual_seed(1)
    state = U2Net(U2NetConfig(bands=BANDS)).to(bench.device).state_dict()
    tensors = {theirs: state[ours].requires_grad_() for theirs, ours in PUBLISHED_NAMES.items()}
    optimiser = torch.optim.Adam(tensors.values(), lr=1e-3)
    count, tile = bench.size.training_batch, bench.size.training_tile
    shapes = ((1, tile), (BANDS, tile // 4), (BANDS, tile))
    pan, lrms, gt = (torch.rand(count, c, n, n, device=bench.device) for c, n in shapes)

    def step() -> float:
        loss = (released_u2net(tensors, pan, lrms) - gt).abs().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        return loss.item()

    return step


PARTS: dict[str, Callable[[Bench], Iterator[dict[str, Row]]]] = {
    "limits": limits,
    "attention": attention,
    "network": network,
    "scene": scene,
    "precision": precision,
    "training": training,
}


def draw_roofline(out: Path) -> None:
    """Draw exponentials per second of the forward pass beside the two limits, if both are there."""
    paths = [out / f"{name}.json" for name in ("limits", "attention")]
    if not all(path.is_file() for path in paths):
        return
    limit, taken = (json.loads(path.read_text())["results"] for path in paths)
    import matplotlib as mpl  # noqa: PLC0415

    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415

    rows = {
        name: row["exponentials"] / row["seconds"]
        for name, row in taken.items()
        if ", forward, " in name and "seconds" in row
    }
    figure, axes = plt.subplots(figsize=(10, 1.5 + 0.25 * len(rows)), layout="constrained")
    axes.barh([name.replace(", forward, ", ": ") for name in rows], list(rows.values()))
    # Two products of 2 x 16 operations each for every exponential.
    lines = {"products": 4 * HEAD, "exponentials": 1, "exponentials flushed": 1}
    for (name, share), colour in zip(lines.items(), ("C1", "C3", "C2"), strict=True):
        if "per second" in limit.get(name, {}):
            axes.axvline(limit[name]["per second"] / share, color=colour, label=f"limit: {name}")
    axes.set_xlabel("exponentials per second, forward pass")
    axes.invert_yaxis()
    figure.legend(loc="outside upper center", ncols=len(lines))
    figure.savefig(out / "roofline.png", dpi=120)
    plt.close(figure)


def measure(bench: Bench, name: str) -> int:
    """Measure one part; return 1 if it did not come to its end."""
    out = Path(bench.options.out)
    out.mkdir(parents=True, exist_ok=True)
    result: Row = {"environment": environment(bench), "results": {}}

    def write() -> None:
        (out / f"{name}.json").write_text(json.dumps(result, indent=1))

    try:
        for rows in PARTS[name](bench):
            result["results"] |= rows
            write()
    except Exception as error:  # noqa: BLE001  # what was measured before is worth keeping
        traceback.print_exc()
        result["failed"] = reason(error)
        write()
    print(name, json.dumps(result, indent=1), flush=True)
    draw_roofline(out)
    return int("failed" in result)


def measure_apart(names: list[str], options: argparse.Namespace) -> int:
    """Measure each part in a process of its own: an error of a device spoils all that follow."""
    broken = 0
    given = [f"--{key}={getattr(options, key)}" for key in ("out", "shared", "weights", "seconds")]
    for name in names:
        command = [sys.executable, __file__, "--only", name, *given]
        command += ["--cpu-rehearsal"] if options.cpu_rehearsal else []
        try:
            broken |= subprocess.run(command, check=False, timeout=options.seconds).returncode
        except subprocess.TimeoutExpired:
            print(f"{name} took longer than {options.seconds} s and was stopped.", flush=True)
            broken = 1
    return int(broken != 0)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", required=True)
    parser.add_argument("--only", nargs="+", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--shared", default="", help="folder of the reference material")
    parser.add_argument("--weights", default="", help="trained weights for WorldView-3")
    parser.add_argument("--seconds", type=float, default=280, help="most for each of several parts")
    parser.add_argument("--cpu-rehearsal", action="store_true")
    options = parser.parse_args()
    if not options.cpu_rehearsal and not torch.cuda.is_available():
        print("No CUDA device was found; --cpu-rehearsal tries the script without one.")
        return 1
    names = list(options.only)
    is_given = options.cpu_rehearsal or (options.shared and options.weights)
    if "precision" in names and not is_given:
        print("The part `precision` needs --shared and --weights; it is left out.")
        names.remove("precision")
    if len(names) > 1:
        return measure_apart(names, options)
    device, size = ("cuda", FULL)
    if options.cpu_rehearsal:
        os.environ["TRITON_INTERPRET"] = "1"  # read when the kernels are imported
        device, size = ("cpu", TINY)
    bench = Bench(torch.device(device), size, options)
    return max((measure(bench, name) for name in names), default=0)


if __name__ == "__main__":
    sys.exit(main())
