"""Tucker models: products, factor systems, the core, and the dictionaries to start from."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bandweave.methods.variational.ksvd import ksvd, matching_pursuit, starting_atoms
from bandweave.methods.variational.tucker import (
    CoreSettings,
    Sight,
    conjugate_gradient,
    core_step,
    expand,
    factor_system,
    leading_dictionary,
    unfold,
)
from bandweave.methods.variational.utv import (
    UtvSettings,
    differences,
    differences_adjoint,
    penalised_step,
    smooth_factor,
)
from bandweave.methods.variational.vca import signal_to_noise, vca
from hisr_golden import back, image, load, relative, tensor


def sampling(line: np.ndarray, size: int) -> np.ndarray:
    """Return blur by three taps around index 2, 6, ... of `size` periodic pixels."""
    matrix = np.zeros((size // 4, size))
    for k in range(size // 4):
        for tap, weight in enumerate(line):
            matrix[k, (4 * k + 1 + tap) % size] += weight
    return matrix


@pytest.fixture
def model(rng):
    """Return two sights, a core and dictionaries of unequal sizes."""
    rows, cols = (tensor(sampling(np.array([0.2, 0.5, 0.3]), n)) for n in (12, 16))
    response = torch.from_numpy(rng.uniform(size=(2, 5)))
    dictionaries = [torch.from_numpy(rng.normal(size=s)) for s in ((5, 3), (12, 4), (16, 6))]
    core = torch.from_numpy(rng.normal(size=(3, 4, 6)))
    sights = (
        Sight(torch.from_numpy(rng.normal(size=(5, 3, 4))), (None, rows, cols)),
        Sight(torch.from_numpy(rng.normal(size=(2, 12, 16))), (response, None, None)),
    )
    return sights, core, dictionaries


def objective(sights, core, dictionaries) -> torch.Tensor:
    """Squared misfit of both images."""
    return sum((expand(core, s.seen(dictionaries)) - s.data).square().sum() for s in sights)


def test_expansion_by_einsum(model):
    _, core, (bands, rows, cols) = model
    expected = torch.einsum("abc,ia,jb,kc->ijk", core, bands, rows, cols)
    torch.testing.assert_close(expand(core, (bands, rows, cols)), expected)


@pytest.mark.parametrize("mode", [0, 1, 2])
def test_the_factor_system_is_half_the_gradient(model, mode):
    sights, core, dictionaries = model
    system = factor_system(sights, core, dictionaries, mode, 0.1)
    # The proximal term has no gradient at the present dictionary itself.
    residual = system.apply(dictionaries[mode]) - system.right
    moved = [d.clone().requires_grad_(requires_grad=True) for d in dictionaries]
    objective(sights, core, moved).backward()
    torch.testing.assert_close(residual, moved[mode].grad / 2)


def test_conjugate_gradients_end_at_the_solution(model):
    sights, core, dictionaries = model
    system = factor_system(sights, core, dictionaries, 1, 0.1)
    found = conjugate_gradient(system.apply, system.right, dictionaries[1], 200)
    torch.testing.assert_close(system.apply(found), system.right, rtol=1e-8, atol=1e-8)


def test_the_core_minimises_its_objective(model):
    sights, core, dictionaries = model
    settings = CoreSettings(sparsity=0.3, proximity=0.2, penalty=20.0, iterations=2000)
    found = core_step(sights, dictionaries, core, settings).requires_grad_(requires_grad=True)
    (objective(sights, found, dictionaries) + 0.2 * (found - core).square().sum()).backward()
    gradient, values = found.grad, found.detach()
    # The subdifferential of 0.3 |G|_1 is 0.3 sign(G), or anything up to 0.3 where G is 0.
    inside = values.abs() > 1e-9
    torch.testing.assert_close(gradient[inside], -0.3 * values[inside].sign(), atol=1e-3, rtol=0)
    assert float(gradient[~inside].abs().max()) <= 0.301


def test_leading_dictionary_spans_most_of_the_image(rng):
    picture = torch.from_numpy(rng.normal(size=(3, 8, 9)))
    found = leading_dictionary(picture, 2, 4)
    torch.testing.assert_close(found.T @ found, torch.eye(4, dtype=torch.float64))
    values = torch.linalg.svdvals(unfold(picture, 2))
    assert float((found.T @ unfold(picture, 2)).norm()) == pytest.approx(float(values[:4].norm()))


def test_differences_and_their_transpose(rng):
    factor, rows = (torch.from_numpy(rng.normal(size=(n, 3))) for n in (7, 6))
    left = float((differences(factor) * rows).sum())
    assert left == pytest.approx(float((factor * differences_adjoint(rows)).sum()))


def test_pure_pixels_are_endmembers(rng):
    pure = rng.uniform(size=(20, 4))
    shares = rng.dirichlet(np.ones(4), 300).T
    shares[:, :4] = np.eye(4)
    found = vca(pure @ shares, 4, rng.uniform(size=(4, 4)))
    for spectrum in found.T:
        assert np.abs(pure - spectrum[:, None]).max(axis=0).min() < 1e-9


def test_signals_of_two_atoms_are_coded_exactly(rng):
    truth = np.linalg.qr(rng.normal(size=(8, 8)))[0]
    codes = np.zeros((8, 200))
    for column in codes.T:
        column[rng.choice(8, 2, replace=False)] = rng.uniform(1, 2, 2)
    found = matching_pursuit(truth @ codes, truth, 2)
    np.testing.assert_allclose(found, codes, atol=1e-12)


def test_ksvd_lowers_the_error(rng):
    signals = rng.normal(size=(8, 12)) @ (
        rng.normal(size=(12, 150)) * (rng.random((12, 150)) < 0.2)
    )
    start = starting_atoms(signals, 10)
    errors = [
        np.square(signals - d @ matching_pursuit(signals, d, 2)).sum()
        for d in (start, ksvd(signals, start, sweeps=10))
    ]
    assert errors[1] < 0.6 * errors[0]


def stored_model(stored):
    """Return the sights, core and dictionaries of a kernel file."""
    line = stored["psf1d"].ravel()
    rows, cols = (tensor(sampling(line, n)) for n in (8, 12))
    sights = (
        Sight(image(stored["HSI"]), (None, rows, cols)),
        Sight(image(stored["MSI"]), (tensor(stored["R"]), None, None)),
    )
    dictionaries = [tensor(stored[name]) for name in ("D3", "D1", "D2")]
    return sights, image(stored["C"]), dictionaries


@pytest.mark.golden
def test_golden_cstf(shared):
    stored = load(shared, "cstf/kernel_one_of_each_step")
    sights, core, dictionaries = stored_model(stored)
    beta = float(stored["beta"])
    assert relative(sights[0].seen(dictionaries)[1], stored["D1_blurdown"]) < 1e-12
    for mode, name in ((1, "D1_new"), (0, "D3_new")):
        system = factor_system(sights, core, dictionaries, mode, beta)
        found = conjugate_gradient(system.apply, system.right, dictionaries[mode], 30)
        assert relative(found, stored[name]) < 1e-9
    found = core_step(sights, dictionaries, core, CoreSettings(float(stored["lambda"]), beta))
    assert relative(back(found), stored["C_new"]) < 1e-9


@pytest.mark.golden
@pytest.mark.parametrize(
    ("file", "released", "tag"),
    [
        ("kernel_one_of_each_step", True, ""),
        ("kernel_one_of_each_step", True, "_b"),
        ("kernel_repaired_steps", False, "_b"),
    ],
)
def test_golden_utv_factors(shared, file, released, tag):
    stored = load(shared, "utv/kernel_one_of_each_step")
    sights, core, dictionaries = stored_model(stored)
    expected = load(shared, f"utv/{file}")
    settings = UtvSettings(
        penalty=float(stored["mu"]), tolerance=float(stored[f"tol{tag}"]), released=released
    )
    for mode, name in ((1, "D1"), (0, "D3")):
        system = factor_system(sights, core, dictionaries, mode, float(stored["beta"]))
        variation = float(stored[f"lambda_{name}{tag}"])
        found = smooth_factor(system, dictionaries[mode], variation, settings)
        assert relative(found, expected[f"{name}_new{tag}"]) < 1e-9


@pytest.mark.golden
def test_golden_utv_inner_steps_and_core(shared):
    stored = load(shared, "utv/kernel_one_of_each_step")
    sights, core, dictionaries = stored_model(stored)
    beta, mu = float(stored["beta"]), float(stored["mu"])
    system = factor_system(sights, core, dictionaries, 1, beta)
    target = tensor(stored["cg_v"] + stored["cg_d"])
    for released, file in ((True, "kernel_one_of_each_step"), (False, "kernel_repaired_steps")):
        settings = UtvSettings(penalty=mu, released=released)
        found = penalised_step(system, tensor(stored["cg_start"]), target, settings)
        assert relative(found, load(shared, f"utv/{file}")["cg_D1_out"]) < 1e-9
    settings = CoreSettings(float(stored["lambda_core"]), beta, mu, 100, float(stored["tol"]))
    assert relative(back(core_step(sights, dictionaries, core, settings)), stored["C_new"]) < 1e-9


@pytest.mark.golden
def test_golden_ksvd(shared):
    stored = load(shared, "utv/kernel_ksvd_small")
    start = starting_atoms(stored["X"], 6)
    assert relative(start, stored["Dinit"]) < 1e-12
    assert relative(ksvd(stored["X"], start, sweeps=int(stored["iters"])), stored["D"]) < 1e-9


@pytest.mark.golden
@pytest.mark.parametrize("number", [1, 2])
def test_golden_vca(shared, number):
    stored = load(shared, f"common/kernel_vca_{number}")
    count = int(stored["p"])
    found = vca(stored["X"], count, stored["w"], basis=stored["Ud"])
    assert relative(found, stored["U"]) < 1e-9
    # At the ratios of these files a few digits of the noise's power are left.
    assert signal_to_noise(stored["X"], count) == pytest.approx(float(stored["snr_db"]), abs=1e-4)
