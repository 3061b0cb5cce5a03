"""The attention's kernels, cut in several ways, beside every backend of PyTorch."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from roofline import draw_roofline
from torch import Tensor
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel

from gpu.bench import Bench, Rows, later

HEAD = 16
BACKENDS = (
    SDPBackend.FLASH_ATTENTION,
    SDPBackend.EFFICIENT_ATTENTION,
    SDPBackend.CUDNN_ATTENTION,
    SDPBackend.MATH,
)
CUTS = (
    # Queries, keys, warps, stages.
    (128, 64, 4, 3),
    (128, 128, 4, 3),
    (128, 128, 8, 3),
    (64, 64, 4, 3),
    (64, 128, 4, 4),
    (256, 64, 8, 3),
)

Attend = Callable[[list[Tensor]], Tensor]
"""Takes q, k, v and a matrix m and returns softmax(q kᵀ / √S) v ⊙ (q m)."""


def attention(bench: Bench) -> Rows:
    """Compare kernels on the maps of U2Net's three scales."""
    times, ways = bench.size.calls, _ways(bench)
    for tiles, heads, pixels in bench.size.maps:
        given = _given(bench, tiles, heads, pixels)
        for passes in ("forward", "forward and gradient"):
            calls = {
                name: later(partial(bench.replayed, partial(_attended, way, given, passes), times))
                for name, way in ways.items()
            }
            rows = bench.compared(calls, each=1, times=times)
            for row in rows.values():
                row["exponentials"] = tiles * heads * pixels**2
            yield {f"{pixels} pixels, {passes}, {name}": row for name, row in rows.items()}


def _given(bench: Bench, tiles: int, heads: int, pixels: int) -> list[Tensor]:
    dtype = torch.bfloat16 if bench.is_cuda else torch.float32
    maps = torch.randn((tiles, pixels, 3, heads, HEAD), device=bench.device, dtype=dtype)
    matrix = torch.softmax(torch.randn((tiles, heads, HEAD, HEAD), device=bench.device), -1)
    given = [*(one.transpose(1, 2) for one in maps.unbind(2)), matrix.to(dtype)]
    for image in given:
        image.requires_grad_()
    return given


def _attended(way: Attend, given: list[Tensor], passes: str) -> Tensor:
    if passes == "forward":
        with torch.no_grad():
            return way([image.detach() for image in given])
    result = way(given)
    return torch.autograd.grad(result, given, result.detach())[0]


def _ways(bench: Bench) -> dict[str, Attend]:
    ways: dict[str, Attend] = {
        f"sdpa {kind.name.lower()}": partial(_by_backend, kind) for kind in BACKENDS
    }
    try:
        return ways | _kernels(bench)
    except ModuleNotFoundError as error:
        print(f"Without the kernels: {error}.")
        return ways


def _by_backend(kind: SDPBackend, given: list[Tensor]) -> Tensor:
    *maps, matrix = given
    with sdpa_kernel(kind):
        return functional.scaled_dot_product_attention(*maps) * (maps[0] @ matrix)


def _kernels(bench: Bench) -> dict[str, Attend]:
    from bandweave.methods.nets.attention.attend_triton import Blocks, attend  # noqa: PLC0415

    def kernel(blocks: Blocks, given: list[Tensor]) -> Tensor:
        *maps, matrix = given
        return attend(*maps, maps[0], matrix, blocks=blocks)

    cuts = [Blocks(*cut) for cut in CUTS]
    cuts += [replace(cuts[0], polynomial=2), replace(cuts[0], polynomial=4)]
    if not bench.is_cuda:
        cuts = [Blocks(32, 32, 4, 1), Blocks(32, 32, 4, 1, polynomial=4)]
    kernels: dict[str, Attend] = {}
    for cut in cuts:
        name = f"kernel {cut.queries} x {cut.keys}, {cut.warps} warps, {cut.stages} stages"
        part = f", one power in {cut.polynomial} a polynomial" if cut.polynomial else ""
        kernels[name + part] = partial(kernel, cut)
    return kernels


def draw(out: Path) -> None:
    """Draw exponentials per second of the forward pass beside the limits, if both are there."""
    paths = [out / f"{name}.json" for name in ("limits", "attention")]
    if not all(path.is_file() for path in paths):
        return
    limit, taken = (json.loads(path.read_text())["results"] for path in paths)
    rates = {
        name.replace(", forward, ", ": "): row["exponentials"] / row["seconds"]
        for name, row in taken.items()
        if ", forward, " in name and "seconds" in row
    }
    # Two products of 2 x 16 operations each for every exponential.
    shares = {"products": 4 * HEAD, "exponentials": 1}
    lines = {
        name: limit[name]["per second"] / share
        for name, share in shares.items()
        if "per second" in limit.get(name, {})
    }
    if rates:
        label = "exponentials per second, forward pass"
        draw_roofline(rates, lines, out / "roofline.png", label)
