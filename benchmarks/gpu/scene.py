"""A scene in memory to a scene in memory, beside the released way."""

from __future__ import annotations

import copy
import os
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch

from bandweave.methods.learned import FittedTileNetwork, LearnedMethod
from bandweave.methods.nets.attention.layer import Precision
from bandweave.methods.nets.checkpoint import Weights
from bandweave.methods.nets.compat import PUBLISHED_NAMES
from bandweave.methods.nets.device_runner import DeviceRunner
from bandweave.methods.nets.inference import lay_channels_last
from bandweave.mosaic.runner import ArraySink, RunLimits, run_scene
from bandweave.pair import ImagePair
from bandweave.radiometry import Storage
from bandweave.source import ArraySource
from gpu.bench import FULL_SCALE, PRECISIONS, TILE, Bench, Call, Rows, later
from gpu.noise import random_pair, random_weights
from oracles.released_u2net import u2net as released_u2net

Way = tuple[str, Precision, int, tuple[str, ...], Storage | None]
"""Name, precision, tiles per batch, devices where not the usual one, type on the way back."""


def scene(bench: Bench) -> Rows:
    """Fuse scenes in memory; megapixels are those of the PAN."""
    weights, size = random_weights(), bench.size
    pair, small = random_pair(size.scene), random_pair(size.released)
    calls: dict[str, Call] = {"released": lambda: _released(bench, weights, small)}

    def fusing(*given: Any, devices: tuple[str, ...], kept: Storage | None) -> Call:
        return partial(fused, fitted_on(bench, weights, pair, *given, devices=devices), pair, kept)

    for name, precision, batch, devices, kept in _ways(bench):
        make = partial(fusing, precision, batch, devices=devices, kept=kept)
        calls[f"bandweave {name}"] = later(make)
    rows = bench.compared(calls, each=1)
    for name, row in rows.items():
        if "seconds" in row:
            side = size.released if name == "released" else size.scene
            row["megapixels per second"] = side**2 / 1e6 / row["seconds"]
    yield rows


def _ways(bench: Bench) -> list[Way]:
    stored = Storage(np.dtype("uint16"), FULL_SCALE)
    ways: list[Way] = [
        (f"{precision}, batches of {batch}", precision, batch, (), stored)
        for precision in PRECISIONS
        for batch in bench.size.batches
    ]
    batch = bench.size.batches[0]
    ways.append((f"bf16, batches of {batch}, back in 32 bits", "bf16", batch, (), None))
    count = torch.cuda.device_count() if bench.is_cuda else 2
    if count > 1:
        every = tuple(f"cuda:{k}" if bench.is_cuda else "cpu" for k in range(count))
        ways.append((f"bf16, batches of {batch}, {count} devices", "bf16", batch, every, stored))
    return ways


def fitted_on(
    bench: Bench,
    weights: Weights,
    pair: ImagePair,
    precision: Precision,
    batch: int,
    *,
    devices: tuple[str, ...] = (),
) -> FittedTileNetwork:
    """Return weights that are fitted to a pair, with the runner of GPUs on any device."""
    fitted = LearnedMethod(weights, "cpu").fit(pair.profile, None)
    assert isinstance(fitted, FittedTileNetwork)
    model = copy.deepcopy(weights.model).eval()
    lay_channels_last(model)
    runner = DeviceRunner(model, batch, precision, devices or (str(bench.device),))
    return replace(fitted, runner=runner)


def fused(fitted: FittedTileNetwork, pair: ImagePair, stored: Storage | None = None) -> np.ndarray:
    """Return what a whole scene is fused to."""
    sink, limits = ArraySink(pair.shape[0]), RunLimits(workers=min(os.cpu_count() or 1, 8))
    source = ArraySource(pair)
    run_scene(fitted, source, sink, precision=np.float32, limits=limits, stored=stored)
    return sink.hrms


def _released(bench: Bench, weights: Weights, pair: ImagePair) -> list[np.ndarray]:
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
