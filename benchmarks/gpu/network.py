"""The network alone, on a batch that lies on the device."""

from __future__ import annotations

import copy
from functools import partial
from unittest import mock

import torch

from bandweave.methods.nets import projection
from bandweave.methods.nets.inference import lay_channels_last
from gpu.bench import BANDS, TILE, Bench, Call, Row, Rows, later
from gpu.noise import random_weights


def network(bench: Bench) -> Rows:
    """Time a batch in bf16 call by call, as graphs, and compiled."""
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
    yield _with_tiles(bench.compared(calls), batch)
    if bench.is_cuda:  # takes minutes on a CPU
        quick = torch.compile(model, dynamic=False)
        compiled = later(partial(bench.replayed, partial(forward, quick), 1))
        rows = bench.compared({"graph beside that": graph, "graph of what is compiled": compiled})
        yield _with_tiles(rows, batch)


def _with_tiles(rows: dict[str, Row], batch: int) -> dict[str, Row]:
    for row in rows.values():
        if "seconds" in row:
            row["tiles per second"] = batch / row["seconds"]
    return rows
