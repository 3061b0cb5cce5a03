"""IR-TenSR's tools and steps."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from bandweave.methods.variational.ir_tensr import (
    IrTensrSettings,
    basis_step,
    coefficient_step,
)
from bandweave.methods.variational.periodic import CoefficientStep
from bandweave.methods.variational.tproduct import (
    from_slices,
    leading_lateral,
    nearest_orthogonal,
    to_slices,
)
from hisr_golden import back, image, labels_of, load, relative, small_observations, tensor


def arranged(picture: torch.Tensor) -> torch.Tensor:
    """Return rows x bands x columns of an image as Fourier slices."""
    return to_slices(picture.permute(1, 0, 2))


@pytest.mark.parametrize("tubes", [5, 6])
def test_the_product_is_circular_convolution(tubes, rng):
    a, b = rng.normal(size=(3, 2, tubes)), rng.normal(size=(2, 4, tubes))
    expected = np.zeros((3, 4, tubes))
    for s in range(tubes):
        for t in range(tubes):
            expected[:, :, (s + t) % tubes] += a[:, :, s] @ b[:, :, t]
    found = from_slices(to_slices(torch.from_numpy(a)) @ to_slices(torch.from_numpy(b)), tubes)
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-12)


def test_the_nearest_orthogonal_tensor_is_orthogonal_and_nearest(rng):
    slices = to_slices(torch.from_numpy(rng.normal(size=(2, 6, 5))))
    best = nearest_orthogonal(slices)
    identity = torch.eye(2, dtype=best.dtype).expand(3, 2, 2)
    torch.testing.assert_close(best.mH @ best, identity)

    def product(candidate: torch.Tensor) -> float:
        return float(torch.einsum("skh,shk->", slices, candidate).real)

    for _ in range(20):
        other = nearest_orthogonal(to_slices(torch.from_numpy(rng.normal(size=(2, 6, 5)))))
        assert product(other) < product(best)


@pytest.mark.golden
def test_golden_tensor_tools(shared):
    stored = load(shared, "ir_tensr/kernel_tproduct_tools")
    a, b = to_slices(tensor(stored["A"])), to_slices(tensor(stored["B"]))
    assert relative(from_slices(a @ b, 5), stored["AB"]) < 1e-12
    assert relative(from_slices(a.mH, 5), stored["At"]) < 1e-12
    assert relative(from_slices(leading_lateral(a, 3), 5), stored["U_real"]) < 1e-9


@pytest.mark.golden
def test_golden_image_basis_and_centre(shared):
    stored = load(shared, "ir_tensr/kernel_A_and_B_steps")
    seen = small_observations(stored)
    mu, beta = float(stored["mu"]), float(stored["beta"])
    basis, coefficients = to_slices(tensor(stored["B"])), to_slices(tensor(stored["C"]))
    matrix = seen.response.T @ seen.response + (mu + beta) * torch.eye(5, dtype=torch.float64)
    product = from_slices(basis @ coefficients, 12).permute(1, 0, 2)
    right = seen.back_projected() + mu * product + beta * image(stored["A_prev"])
    a = CoefficientStep(seen.view, matrix).solve(right)
    assert relative(back(a), stored["A_new"]) < 1e-9
    basis = basis_step(coefficients, arranged(a), basis, beta / mu)
    assert relative(from_slices(basis, 12), stored["B_new"]) < 1e-9
    centre = (mu * basis.mH @ arranged(a) + beta * coefficients) / (mu + beta)
    assert relative(from_slices(centre, 12), stored["C0"]) < 1e-9
    start = leading_lateral(arranged(seen.enlarged(seen.hsi)), 2)
    assert relative(from_slices(start, 12), stored["init_B_from_bicubic"]) < 1e-9


@pytest.mark.golden
def test_golden_coefficients(shared):
    stored = load(shared, "ir_tensr/kernel_C_step")
    assert int(stored["overlap"]) == 5 // 2
    gamma, threshold = float(stored["gama"]), float(stored["thr"])
    # The threshold is λ / (γ (μ + β)).
    settings = replace(
        IrTensrSettings(patch=int(stored["patch"]), inner_iterations=int(stored["iterations"])),
        penalty=gamma,
        coupling=0.5,
        proximity=0.5,
        regularisation=threshold * gamma,
    )
    labels = iter([labels_of(row) for row in stored["labels"]])
    result, multiplier = coefficient_step(image(stored["C0"]), settings, lambda _: next(labels))
    assert relative(back(result), stored["C_out"]) < 1e-9
    assert relative(back(multiplier), stored["O_out"]) < 1e-9
