"""Optimiser steps as `bandweave train` takes them, beside the released step; and their profile."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from functools import partial
from pathlib import Path

import h5py
import numpy as np
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from released_step import released_step

from bandweave.methods.nets.attention.layer import Precision
from bandweave.train.batches import Batches, Material
from bandweave.train.config import DataConfig, PatchSource, TrainConfig
from bandweave.train.recipes.paper import u2net_paper
from bandweave.train.run_dir import RunDir
from bandweave.train.runtime import Runtime, adjust
from bandweave.train.start import Starter
from gpu.bench import BANDS, FULL_SCALE, PRECISIONS, Bench, Call, Row, Rows, Size, later

SCHEDULE = 200_000  # steps of the paper's training


def training(bench: Bench) -> Rows:
    """Time optimiser steps."""
    yield _with_schedule(bench.compared({"released": _released_step(bench)}))
    with tempfile.TemporaryDirectory() as folder:
        _write_patches(Path(folder) / "train.h5", bench.size)
        for kind in PRECISIONS:
            calls = _our_steps(bench, kind, Path(folder))
            yield _with_schedule(bench.compared(calls))
        table = _profile(bench, calls["bandweave bf16"])
    (Path(bench.options.out) / "training_profile.txt").write_text(table)


def _with_schedule(rows: dict[str, Row]) -> dict[str, Row]:
    for row in rows.values():
        if "seconds" in row:
            row["steps per second"] = 1 / row["seconds"]
            row["minutes for the schedule"] = SCHEDULE * row["seconds"] / 60
    return rows


def _profile(bench: Bench, step: Call) -> str:
    kinds = [torch.profiler.ProfilerActivity.CPU]
    if bench.is_cuda:
        kinds.append(torch.profiler.ProfilerActivity.CUDA)
    with torch.profiler.profile(activities=kinds) as profile:
        step()
        bench.wait()
    order = "self_device_time_total" if bench.is_cuda else "self_cpu_time_total"
    table: str = profile.key_averages().table(sort_by=order, row_limit=25)
    return table


def _write_patches(path: Path, size: Size) -> None:
    """Write noise in PanCollection's layout."""
    rng, tile = np.random.default_rng(0), size.training_tile
    with h5py.File(path, "w") as file:
        for key, bands, side in (("gt", BANDS, tile), ("ms", BANDS, tile // 4), ("pan", 1, tile)):
            shape = (size.patches, bands, side, side)
            file[key] = rng.integers(1, int(FULL_SCALE), shape, dtype=np.uint16)


def _our_steps(bench: Bench, kind: Precision, folder: Path) -> dict[str, Call]:
    """Return steps as `bandweave train` takes them, and without what it gains by."""
    config = _config(bench, kind, folder)
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


def _config(bench: Bench, kind: Precision, folder: Path) -> TrainConfig:
    source = PatchSource(path="train.h5", full_scale=FULL_SCALE)
    return u2net_paper("bench", data_set="wv3").model_copy(
        update={
            "data": DataConfig(root=str(folder), training=(source,)),
            "tile": bench.size.training_tile,
            "batch": bench.size.training_batch,
            "precision": kind,
        }
    )


def _released_step(bench: Bench) -> Call:
    count, tile = bench.size.training_batch, bench.size.training_tile
    shapes = ((1, tile), (BANDS, tile // 4), (BANDS, tile))
    pan, lrms, gt = (torch.rand(count, c, n, n, device=bench.device) for c, n in shapes)
    return released_step(pan, lrms, gt)
