"""ONNX Runtime as another way to fuse tiles with U2Net on a CPU, in turn in one process.

    python benchmarks/bench_onnx.py [--weights NAME|FILE] [--rounds 5] [--out FOLDER]
    python benchmarks/bench_onnx.py --rehearsal

Tiles of 64 pixels and 8 bands, four per thread, the same number of threads for all. Times do not
depend on the values of the weights: without a file they are random, at the published width (32).
Compared: bandweave's runner in fp32 and bf16, with the compiled loops of its attention and without
(then PyTorch's kernel, or oneDNN's products), and ONNX Runtime, float32, all graph optimisations,
with three graphs:

* `exported`: what `bandweave export` writes, where attention is two products and a softmax;
* `Attention`: the operator of ONNX for it (opset 23), which the CPU provider computes with the
  whole softmax matrix as well;
* `MultiHeadAttention`: ONNX Runtime's own operator (`com.microsoft`), which its CPU provider
  computes block by block in the cache, without that matrix (FlashAttention; float32, no mask).
  It takes the place of ONNX's for this comparison: no other runtime knows it, and `bandweave
  export` writes for all of them.

Each graph runs in three ways, of which the best counts: one tile at a time on all threads, batches
of four on all threads, and single tiles side by side with one thread each.

Prints the environment, seconds (median, best and worst round), the largest difference from the
network in double precision, and the peak memory of a process that does nothing else, in brackets
what Python and all libraries take before. With `--out` it also writes FOLDER/onnx.json.
`--rehearsal` runs everything on a tiny network: its figures mean nothing.
"""

from __future__ import annotations

import argparse
import copy
import json
import logging
import multiprocessing
import statistics
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import onnx
import onnxruntime
import torch
from bench_fuse import environment, random_weights
from numpy.typing import NDArray
from onnx import helper
from torch.export import Dim

from bandweave.allocation import keep_freed_blocks
from bandweave.export.onnx import onnx_graph
from bandweave.methods.nets.attention import layer as attention
from bandweave.methods.nets.attention.compiled import has_loops
from bandweave.methods.nets.attention.layer import Precision, has_bf16_products
from bandweave.methods.nets.card import PUBLISHED_WV3
from bandweave.methods.nets.checkpoint import Weights
from bandweave.methods.nets.inference import CpuRunner
from bandweave.methods.nets.u2net import U2Net
from bandweave.methods.nets.u2net_config import U2NetConfig
from bandweave.methods.nets.zoo import load_named

TILES_PER_THREAD = BATCH = 4
OURS, THEIRS = "bandweave", "ONNX Runtime"
GRAPHS = "exported", "Attention", "MultiHeadAttention"
OPSET_WITH_ATTENTION = 23
TINY_TILE = 32

Tiles = NDArray[np.float32]
Way = Callable[[], Tiles]
Row = dict[str, Any]


def chosen_weights(options: argparse.Namespace) -> Weights:
    if options.rehearsal:
        torch.manual_seed(0)
        card = PUBLISHED_WV3.model_copy(update={"tile": TINY_TILE})
        return Weights(U2Net(U2NetConfig(bands=8, width=16)).eval(), card, "random")
    weights = load_named(options.weights) if options.weights else random_weights()
    if weights.model.base is not None:
        raise SystemExit(f"{options.weights} starts from {weights.model.base}: take U2Net.")
    return weights


def tiles_for(weights: Weights, threads: int) -> tuple[Tiles, Tiles]:
    """Return noise in the unit range, `(n, c, H, W)` and `(n, C, h, w)`."""
    rng, config, side = np.random.default_rng(0), weights.model.config, weights.card.tile
    count, coarse = TILES_PER_THREAD * threads, side // config.ratio
    return (
        rng.random((count, config.spatial_bands, side, side), np.float32),
        rng.random((count, config.bands, coarse, coarse), np.float32),
    )


def graph_with_attention(weights: Weights) -> bytes:
    """Return a graph with attention as one operator of ONNX."""
    batch = Dim("batch", min=1, max=4096)
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about the exporter's own insides
        program = torch.onnx.export(
            weights.model,
            tuple(torch.from_numpy(image) for image in tiles_for(weights, 1)),
            dynamo=True,
            verbose=False,
            input_names=("spatial", "spectral"),
            output_names=("fused",),
            dynamic_shapes=({0: batch}, {0: batch}),
            opset_version=OPSET_WITH_ATTENTION,
        )
    assert program is not None
    content: bytes = program.model_proto.SerializeToString()
    return content


def in_blocks(content: bytes) -> bytes:
    """Put ONNX Runtime's own operator in the place of ONNX's."""
    model = onnx.load_from_string(content)
    sides = {value.name: value.type.tensor_type.shape.dim for value in model.graph.value_info}
    nodes = []
    for node in model.graph.node:
        is_attention = node.op_type == "Attention"
        nodes += blocks_of(node, sides[node.input[0]][1].dim_value) if is_attention else [node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    written: bytes = model.SerializeToString()
    return written


def blocks_of(node: onnx.NodeProto, heads: int) -> list[onnx.NodeProto]:
    """Return what takes and gives `(B, N, P, S)`: the operator itself has a pixel's heads in a row.

    ONNX Runtime joins these changes of order with those around them where it can.
    """
    name = node.output[0]
    shapes = {f"{name}_joined_shape": [0, 0, -1], f"{name}_split_shape": [0, 0, heads, -1]}
    nodes = [
        helper.make_node("Constant", [], [key], value_ints=shape) for key, shape in shapes.items()
    ]
    joined, split = shapes
    for k, given in enumerate(node.input):
        nodes += [
            helper.make_node("Transpose", [given], [f"{name}_turned_{k}"], perm=[0, 2, 1, 3]),
            helper.make_node("Reshape", [f"{name}_turned_{k}", joined], [f"{name}_joined_{k}"]),
        ]
    scale = {part.name: part.f for part in node.attribute if part.name == "scale"}
    return [
        *nodes,
        helper.make_node(
            "MultiHeadAttention",
            [f"{name}_joined_{k}" for k in range(len(node.input))],
            [f"{name}_joined"],
            domain="com.microsoft",
            num_heads=heads,
            **scale,
        ),
        helper.make_node("Reshape", [f"{name}_joined", split], [f"{name}_split"]),
        helper.make_node("Transpose", [f"{name}_split"], [name], perm=[0, 2, 1, 3]),
    ]


def write_graphs(weights: Weights, folder: Path) -> dict[str, str]:
    """Write the graphs; return which operators their attention consists of."""
    attention_in_one = graph_with_attention(weights)
    contents = {
        "exported": onnx_graph(weights),
        "Attention": attention_in_one,
        "MultiHeadAttention": in_blocks(attention_in_one),
    }
    found = {}
    for name, content in contents.items():
        (folder / f"{name}.onnx").write_bytes(content)
        kinds = Counter(node.op_type for node in onnx.load_from_string(content).graph.node)
        asked = ("Softmax", "Attention", "MultiHeadAttention")
        found[name] = ", ".join(f"{kinds[kind]} {kind}" for kind in asked if kinds[kind])
    return found


def ways(
    weights: Weights, images: tuple[Tiles, Tiles], folder: Path, threads: int
) -> dict[str, Callable[[], Way]]:
    """Return what is compared: name -> what makes it, so that memory is asked for one alone."""

    def ours(precision: Precision, *, has_llvm: bool) -> Way:
        runner = CpuRunner(weights.model, threads, precision)
        if has_llvm:
            return lambda: runner(*images)

        def without() -> Tiles:
            with mock.patch.object(attention, "has_loops", return_value=False):
                return runner(*images)

        return without

    precisions: list[Precision] = ["fp32", "bf16"] if has_bf16_products() else ["fp32"]
    found: dict[str, Callable[[], Way]] = {}
    for precision in precisions:
        if has_loops(weights.model.config.head_width):
            found[f"{OURS}, {precision}"] = lambda p=precision: ours(p, has_llvm=True)
        name = f"{OURS}, {precision}, without compiled loops"
        found[name] = lambda p=precision: ours(p, has_llvm=False)
    for graph in GRAPHS:
        path = folder / f"{graph}.onnx"
        for size in (1, BATCH):
            name = f"{THEIRS}, {graph}, {size} at a time"
            found[name] = lambda p=path, n=size: batched(p, images, n, threads)
        name = f"{THEIRS}, {graph}, side by side"
        found[name] = lambda p=path: side_by_side(p, images, threads)
    return found


def session(path: Path, threads: int) -> onnxruntime.InferenceSession:
    settings = onnxruntime.SessionOptions()
    settings.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    settings.intra_op_num_threads = threads
    # Its threads wait for work by looking for it all the time: not while another way has its turn.
    settings.add_session_config_entry("session.force_spinning_stop", "1")
    return onnxruntime.InferenceSession(path, settings, providers=["CPUExecutionProvider"])


def batched(path: Path, images: tuple[Tiles, Tiles], size: int, threads: int) -> Way:
    run = session(path, threads).run

    def way() -> Tiles:
        parts = []
        for first in range(0, len(images[0]), size):
            spatial, spectral = (image[first : first + size] for image in images)
            parts.append(run(None, {"spatial": spatial, "spectral": spectral})[0])
        return np.concatenate(parts).clip(0, 1)

    return way


def side_by_side(path: Path, images: tuple[Tiles, Tiles], threads: int) -> Way:
    run = session(path, 1).run  # which several threads may call; each computes what it asks for
    pool = ThreadPoolExecutor(threads)

    def one(spatial: Tiles, spectral: Tiles) -> Tiles:
        fused: Tiles = run(None, {"spatial": spatial[None], "spectral": spectral[None]})[0]
        return fused[0].clip(0, 1)

    return lambda: np.stack(list(pool.map(one, *images)))


def memory(key: str) -> float:
    """Return GiB that this process takes (VmRSS) or took at most (VmHWM)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(key)) / 2**20


def report_peak(
    name: str, options: argparse.Namespace, folder: Path, results: multiprocessing.Queue
) -> None:
    """Run one way in a fresh process; report its memory before and at most."""
    keep_freed_blocks()
    weights = chosen_weights(options)
    images = tiles_for(weights, options.threads)
    before = memory("VmRSS")
    torch.set_num_threads(options.threads)
    ways(weights, images, folder, options.threads)[name]()()
    results.put((before, memory("VmHWM")))


def measured_peak(name: str, options: argparse.Namespace, folder: Path) -> tuple[float, float]:
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    process = context.Process(target=report_peak, args=(name, options, folder, results))
    process.start()
    found: tuple[float, float] = results.get()
    process.join()
    return found


def exact(weights: Weights, images: tuple[Tiles, Tiles]) -> NDArray[np.float64]:
    model = copy.deepcopy(weights.model).double().eval()
    with torch.inference_mode():
        parts = [
            model(*(torch.from_numpy(image[None]).double() for image in tile)).clamp(0, 1).numpy()
            for tile in zip(*images, strict=True)
        ]
    fused: NDArray[np.float64] = np.concatenate(parts)
    return fused


def compared(weights: Weights, folder: Path, options: argparse.Namespace) -> dict[str, Row]:
    """Time all ways in turn, several rounds."""
    images = tiles_for(weights, options.threads)
    truth = exact(weights, images)
    made = {name: make() for name, make in ways(weights, images, folder, options.threads).items()}
    rows: dict[str, Row] = {}
    for name, way in made.items():
        rows[name] = {"seconds": [], "difference": float(np.abs(way() - truth).max())}
    for _ in range(options.rounds):
        for name, way in made.items():
            start = time.perf_counter()
            way()
            rows[name]["seconds"].append(time.perf_counter() - start)
    for row in rows.values():
        row["tiles per second"] = len(images[0]) / statistics.median(row["seconds"])
    return rows


def told(values: list[float]) -> str:
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def print_rows(rows: dict[str, Row]) -> None:
    heading = f"{'seconds':22}{'tiles/s':>8}{'difference':>12}{'GiB':>7}"
    print(f"{'':50}{heading}")
    for name, row in rows.items():
        peak = f"{row['peak GiB']:7.2f} ({row['GiB before']:.2f})" if "peak GiB" in row else ""
        print(
            f"{name:50}{told(row['seconds']):22}{row['tiles per second']:8.1f}"
            f"{row['difference']:12.1e}{peak}"
        )
    fastest = {
        who: max(
            (name for name in rows if name.startswith(who)),
            key=lambda name: rows[name]["tiles per second"],
        )
        for who in (OURS, THEIRS)
    }
    theirs = rows[fastest[THEIRS]]["seconds"]
    print(f"\nTimes that the fastest of {THEIRS} ({fastest[THEIRS]}) takes longer:")
    for name, row in rows.items():
        if name.startswith(OURS):
            quotients = [a / b for a, b in zip(theirs, row["seconds"], strict=True)]
            print(f"  than {name}: {told(quotients)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weights", help="default: random weights of the published architecture")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--out", type=Path, help="folder of the results")
    parser.add_argument("--rehearsal", action="store_true")
    options = parser.parse_args()
    if options.rehearsal:
        options.rounds, options.threads = 1, 1
    torch.set_num_threads(options.threads)
    keep_freed_blocks()
    weights = chosen_weights(options)
    found = environment() | {
        "onnxruntime": onnxruntime.__version__,
        "weights": options.weights or "random",
        "width": weights.model.config.width,
        "rehearsal": options.rehearsal,
    }
    print(json.dumps(found, indent=1), flush=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for graph, operators in write_graphs(weights, folder).items():
            print(f"attention of the graph `{graph}`: {operators}")
        rows = compared(weights, folder, options)
        for way, row in list(rows.items())[: 1 if options.rehearsal else None]:
            row["GiB before"], row["peak GiB"] = measured_peak(way, options, folder)
    print_rows(rows)
    if options.out is not None:
        options.out.mkdir(parents=True, exist_ok=True)
        written = {"environment": found, "results": rows}
        (options.out / "onnx.json").write_text(json.dumps(written, indent=1))
    sys.stdout.flush()


if __name__ == "__main__":
    main()
