"""The coarse instrument on a periodic grid, and the step that inverts it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bandweave.degrade.instrument import Instrument
from bandweave.degrade.psf import gaussian_spread
from bandweave.instruments import PointSpread
from bandweave.methods.variational.periodic import CoefficientStep, PeriodicView
from hisr_golden import (
    CPU,
    back,
    image,
    load,
    relative,
    small_observations,
    tensor,
    view_of,
)

SHAPE = (36, 30)


def skewed() -> PointSpread:
    """Return a point spread that is neither symmetric nor separable."""
    taps = np.random.default_rng(5).uniform(0.1, 1, (3, 5))
    taps /= taps.sum()
    return PointSpread(tuple(map(tuple, taps.tolist())), (-1, 1), "skewed")


SPREADS = {
    "3 x 3 at 1": gaussian_spread(0.5, 3, (1, 1)),
    "even at 0.5 and 1.5": gaussian_spread(1.2, 4, (0.5, 1.5)),
    "wide": gaussian_spread(4.0, 25, (0, 2)),
    "skewed": skewed(),
}


@pytest.mark.parametrize("ratio", [2, 3])
@pytest.mark.parametrize("name", SPREADS)
def test_inside_it_is_the_instrument(name, ratio, rng):
    fine = rng.normal(size=(2, *SHAPE))
    seen = PeriodicView.of(SPREADS[name], ratio, SHAPE, CPU).apply(torch.from_numpy(fine))
    expected = Instrument(SPREADS[name], ratio, (0, 0)).observe(
        np.pad(fine, ((0, 0), (36, 36), (30, 30)), mode="wrap")
    )
    rows, cols = SHAPE[0] // ratio, SHAPE[1] // ratio
    np.testing.assert_allclose(
        seen.numpy(), expected[:, rows : 2 * rows, cols : 2 * cols], rtol=0, atol=1e-12
    )


@pytest.mark.parametrize("name", SPREADS)
def test_the_adjoint_is_the_transpose(name, rng):
    view = PeriodicView.of(SPREADS[name], 3, SHAPE, CPU)
    fine = torch.from_numpy(rng.normal(size=(2, *SHAPE)))
    coarse = torch.from_numpy(rng.normal(size=(2, 12, 10)))
    left = float((view.apply(fine) * coarse).sum())
    assert left == pytest.approx(float((fine * view.adjoint(coarse)).sum()), rel=1e-12)


@pytest.mark.parametrize("name", SPREADS)
def test_the_step_solves_its_equation(name, rng):
    view = PeriodicView.of(SPREADS[name], 3, SHAPE, CPU)
    root = torch.from_numpy(rng.normal(size=(4, 3)))
    matrix = root @ root.T + 1e-3 * torch.eye(4, dtype=torch.float64)
    right = torch.from_numpy(rng.normal(size=(4, *SHAPE)))
    a = CoefficientStep(view, matrix).solve(right)
    left = torch.tensordot(matrix, a, dims=1) + view.adjoint(view.apply(a))
    np.testing.assert_allclose(left.numpy(), right.numpy(), rtol=0, atol=1e-9)


@pytest.mark.golden
def test_golden_blur_and_decimation(shared):
    stored = load(shared, "common/kernel_blur_decimate_phase2")
    view = view_of(stored["psf"], (8, 12))
    assert relative(view.apply(image(stored["image"]))[0], stored["down_from_index2"]) < 1e-12
    assert relative(view.adjoint(image(stored["x"]))[0], stored["adjoint_of_x"]) < 1e-12


@pytest.mark.golden
def test_golden_coefficients_in_a_subspace(shared):
    stored = load(shared, "ltmr/kernel_coef_step")
    seen, mu, basis = small_observations(stored), float(stored["mu"]), tensor(stored["D"])
    mixed = seen.response @ basis
    step = CoefficientStep(seen.view, mixed.T @ mixed + mu * torch.eye(3, dtype=torch.float64))
    right = torch.tensordot(basis.T, seen.back_projected(), dims=1)
    right = right + mu * image(stored["V"]) + image(stored["G"]) / 2
    assert relative(back(step.solve(right)), stored["A"]) < 1e-9


@pytest.mark.golden
def test_golden_coefficients_of_all_bands(shared):
    stored = load(shared, "lttr/kernel_coef_step")
    seen, mu = small_observations(stored), float(stored["mu"])
    matrix = seen.response.T @ seen.response + 3 * mu * torch.eye(5, dtype=torch.float64)
    right = seen.back_projected()
    for t in "123":
        right = right + mu * image(stored[f"V{t}"]) + image(stored[f"G{t}"]) / 2
    assert relative(back(CoefficientStep(seen.view, matrix).solve(right)), stored["Z"]) < 1e-9


@pytest.mark.golden
def test_golden_start(shared):
    stored = load(shared, "common/kernel_bicubic_x4")
    seen = small_observations(load(shared, "ltmr/kernel_coef_step"))
    wide = type(seen)(seen.hsi, torch.zeros(3, 20, 24), seen.response, seen.view)
    assert relative(back(wide.enlarged(image(stored["x"]))), stored["y"]) < 1e-12
