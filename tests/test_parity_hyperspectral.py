"""The model-based methods against whole runs of the published programs, with their random draws."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from bandweave.config import FuseConfig
from bandweave.methods.variational.cstf import CstfSettings, cstf
from bandweave.methods.variational.ir_tensr import PAVIA, IrTensrSettings, ir_tensr
from bandweave.methods.variational.iterations import Monitor
from bandweave.methods.variational.ltmr import LtmrSettings, ltmr
from bandweave.methods.variational.lttr import LttrSettings, lttr
from bandweave.methods.variational.model_based import Observations
from bandweave.methods.variational.patches import covering_grid, grid_with_last
from bandweave.methods.variational.utv import UtvSettings, utv
from bandweave.mosaic.in_memory import ArrayScene
from bandweave.mosaic.prepare import prepare_job
from bandweave.mosaic.runner import ArraySink
from hisr_golden import (
    CPU,
    Shared,
    back,
    case,
    labels_of,
    load,
    psnr,
    relative,
    small_observations,
    tensor,
)

pytestmark = pytest.mark.golden


def observed(shared: Shared, name: str) -> tuple[Observations, np.ndarray]:
    pair, psf, response, gt = case(shared, name)
    return Observations.of(pair, psf, response, 1.0, CPU), gt


class Trace(Monitor):
    """Keeps the error of every iteration."""

    def __init__(self, gt: np.ndarray) -> None:
        super().__init__()
        self.errors: list[float] = []
        self._gt = tensor(gt)

    def settled(self, new: Tensor, old: Tensor) -> bool:
        self.errors.append(float((new - self._gt).square().mean().sqrt()))
        return super().settled(new, old)


def test_ltmr_three_iterations(shared):
    stored = load(shared, "ltmr/kernel_mini_run_3_iterations")
    seen = small_observations(stored)
    count = int(stored["p"])
    subspace = torch.linalg.svd(seen.hsi.flatten(1))[0][:, :count]
    settings = LtmrSettings(
        regularisation=float(stored["lambda"]), penalty=float(stored["mu"]), iterations=3
    )
    grid = grid_with_last((16, 16), int(stored["patch"]), int(stored["overlap"]))
    z = ltmr(
        seen, subspace, grid, labels_of(stored["labels"]), settings=settings, monitor=Monitor()
    )
    assert relative(back(z), stored["Z_after_3"]) < 1e-9


def test_lttr_three_iterations(shared):
    stored = load(shared, "lttr/kernel_mini_run_3_iterations")
    settings = LttrSettings(
        regularisation=float(stored["lambda"]), penalty=float(stored["mu"]), iterations=3
    )
    grid = covering_grid((16, 16), int(stored["patch"]), int(stored["overlap"]))
    labels = labels_of(stored["labels"])
    z = lttr(small_observations(stored), grid, labels, settings, Monitor())
    assert relative(back(z), stored["Z_after_3"]) < 1e-9


@pytest.mark.slow
def test_ltmr_whole_run(shared):
    seen, _ = observed(shared, "A")
    stored = load(shared, "ltmr/case_A")
    labels = labels_of(stored["cluster_labels_0based"])
    grid = grid_with_last((64, 64), 7, 4)
    subspace = tensor(stored["subspace"])
    z = ltmr(seen, subspace, grid, labels, settings=LtmrSettings(), monitor=Monitor())
    assert relative(z, stored["output"]) < 1e-9


@pytest.mark.slow
def test_lttr_whole_run(shared):
    seen, gt = observed(shared, "A")
    stored = load(shared, "lttr/case_A")
    labels = labels_of(stored["cluster_labels_0based"])
    trace = Trace(gt)
    z = lttr(seen, covering_grid((64, 64), 8, 4), labels, LttrSettings(), trace)
    assert relative(z, stored["output"]) < 1e-9
    np.testing.assert_allclose(trace.errors, stored["rmse_per_iteration"], rtol=1e-9)


@pytest.mark.slow
def test_cstf_whole_run(shared):
    seen, gt = observed(shared, "A")
    stored = load(shared, "cstf/case_A")
    z = cstf(seen, tensor(stored["D3_init"]), CstfSettings(), Monitor())
    assert psnr(z.numpy(), gt) == pytest.approx(float(stored["psnr"]), abs=0.05)


@pytest.mark.slow
def test_repaired_utv(shared):
    """Ten of the sixty iterations: the file has the error of each."""
    seen, gt = observed(shared, "A")
    stored = load(shared, "utv/case_A_repaired_inner_solver")
    start = load(shared, "utv/case_A")
    trace = Trace(gt)
    dictionaries = [tensor(start[f"D{k}_init"]) for k in (3, 1, 2)]
    utv(seen, dictionaries, UtvSettings(iterations=10), trace)
    np.testing.assert_allclose(trace.errors, stored["rmse_per_iteration"][:10], rtol=1e-3)


@pytest.mark.slow
def test_a_job_finds_the_instruments_by_itself(shared):
    """With other groups of patches than the stored ones: half a dB between seeds is usual."""
    pair, _, _, gt = case(shared, "B")
    config = FuseConfig.checked(method="ltmr", align="off")
    job, sink = prepare_job(ArrayScene(pair), config), ArraySink()
    job.run(sink, quiet=True)
    known = float(load(shared, "ltmr/case_B")["psnr"])
    assert psnr(sink.hrms, gt) == pytest.approx(known, abs=0.5)


def replayed(stored: dict[str, np.ndarray], passes: int) -> Iterator[Tensor]:
    labels = stored["cluster_labels_0based_per_inner_call"].astype(np.int64)
    inner = int(json.loads(str(stored["params_json"]))["Int_Iter"])
    calls = inner * int(stored["outer_iterations_per_pass"][:passes].sum())
    return iter(torch.from_numpy(labels[:calls]))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "settings", "passes"),
    [
        ("case_A", IrTensrSettings(), 2),
        ("case_A_pavia_preset", PAVIA, 2),
        ("case_A_pavia_lambda5e-5", replace(PAVIA, regularisation=5e-5), 3),
    ],
)
def test_ir_tensr_passes(shared, file, settings, passes):
    """The stored labels run out exactly where the passes end: as many iterations were taken."""
    seen, gt = observed(shared, "A")
    stored = load(shared, f"ir_tensr/{file}")
    labels, trace = replayed(stored, passes), Trace(gt)
    ir_tensr(seen, replace(settings, passes=passes), lambda _: next(labels), trace)
    assert next(labels, None) is None
    np.testing.assert_allclose(trace.errors, stored["rmse_per_iteration"][:passes], rtol=1e-9)


@pytest.mark.slow
def test_ir_tensr_whole_run(shared):
    seen, _ = observed(shared, "A")
    stored = load(shared, "ir_tensr/case_A_pavia_lambda5e-5")
    labels = replayed(stored, 6)
    settings = replace(PAVIA, regularisation=5e-5)
    z = ir_tensr(seen, settings, lambda _: next(labels), Monitor())
    assert relative(z, stored["output"]) < 1e-9
