"""Singular values made smaller, against the singular value decomposition itself."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bandweave.methods.variational.groups import group_batches
from bandweave.methods.variational.lttr import unfolding_prox, unfolding_weights
from bandweave.methods.variational.shrinkage import log_gain, shrink, shrink_tubes, soft, soft_gain
from hisr_golden import load, relative, tensor


def log_sum(s: np.ndarray, threshold: float) -> np.ndarray:
    return np.array(
        [(v + np.sqrt(v * v - 4 * threshold)) / 2 if v * v > 4 * threshold else 0 for v in s]
    )


@pytest.mark.parametrize("shape", [(9, 4), (4, 9), (5, 5), (1, 6)])
@pytest.mark.parametrize("threshold", [0.0, 0.7, 1e3])
def test_singular_values_are_changed_and_vectors_kept(shape, threshold, rng):
    matrix = rng.normal(size=shape) + 1j * rng.normal(size=shape)
    u, s, vh = np.linalg.svd(matrix, full_matrices=False)
    for gain, changed in (
        (log_gain(threshold), log_sum(s, threshold)),
        (soft_gain(threshold), np.maximum(s - threshold, 0)),
    ):
        found = shrink(torch.from_numpy(matrix), gain)
        np.testing.assert_allclose(found.resolve_conj().numpy(), (u * changed) @ vh, atol=1e-12)


def test_tubes_are_shrunk_in_the_fourier_domain(rng):
    tensors = rng.normal(size=(3, 4, 7))
    slices = np.fft.fft(tensors, axis=-1)
    for k in range(7):
        u, s, vh = np.linalg.svd(slices[:, :, k], full_matrices=False)
        slices[:, :, k] = (u * np.maximum(s - 2, 0)) @ vh
    found = shrink_tubes(torch.from_numpy(tensors), soft_gain(2.0))
    np.testing.assert_allclose(found.numpy(), np.fft.ifft(slices, axis=-1).real, atol=1e-12)


def test_soft_keeps_the_sign():
    values = torch.tensor([-3.0, -0.5, 0.0, 0.5, 3.0])
    assert soft(values, 1.0).tolist() == [-2, 0, 0, 0, 2]


def test_unfoldings_of_groups_by_a_loop(rng):
    labels = torch.from_numpy(np.repeat([0, 1, 2], [10, 9, 3]))
    patches = rng.normal(size=(22, 5, 16))
    sides = {0: lambda t: t.reshape(16, -1, order="F"), 1: lambda t: t.reshape(80, -1, order="F")}
    sides[2] = lambda t: t.reshape(4, -1, order="F")
    for unfolding, unfold in sides.items():
        found = unfolding_prox(
            torch.from_numpy(patches), group_batches(labels), unfolding, 2.0
        ).numpy()
        for label in range(3):
            own = labels.numpy() == label
            group = patches[own].transpose(2, 1, 0).reshape(4, 4, 5, -1, order="F")
            roots = np.sqrt([min(16, 5 * own.sum()), min(80, own.sum()), 4])
            u, s, vh = np.linalg.svd(unfold(group), full_matrices=False)
            changed = (u * log_sum(s, 2.0 * roots[unfolding] / roots.sum())) @ vh
            expected = changed.reshape(16, 5, -1, order="F").transpose(2, 1, 0)
            np.testing.assert_allclose(found[own], expected, rtol=0, atol=1e-11)


@pytest.mark.golden
def test_golden_log_sum(shared):
    stored = load(shared, "ltmr/kernel_log_svt")
    gain = log_gain(float(stored["C"]))
    assert relative(shrink(tensor(stored["Y"]), gain), stored["X"]) < 1e-9
    assert relative(shrink(tensor(stored["Yc"]), gain).resolve_conj(), stored["Xc"]) < 1e-9
    big = shrink(tensor(stored["Y"]), log_gain(float(stored["Ybig_C"])))
    np.testing.assert_allclose(big.numpy(), stored["Xbig"], atol=1e-12)


@pytest.mark.golden
def test_golden_tensor_nuclear_norms(shared):
    stored = load(shared, "ltmr/kernel_log_tnn_prox")
    for kind in ("odd", "even", "one"):
        found = shrink_tubes(tensor(stored[f"Y_{kind}"]), log_gain(float(stored["rho"])))
        np.testing.assert_allclose(found.numpy(), stored[f"X_{kind}"], rtol=0, atol=1e-9)
    stored = load(shared, "ir_tensr/kernel_tproduct_tools")
    gain = soft_gain(float(stored["prox_rho"]))
    assert relative(shrink_tubes(tensor(stored["A"]), gain), stored["prox"]) < 1e-9
    assert relative(shrink_tubes(tensor(stored["A6"]), gain), stored["prox6"]) < 1e-9


@pytest.mark.golden
def test_golden_tensor_train(shared):
    stored = load(shared, "lttr/kernel_tt_prox")
    patches = tensor(stored["X"].reshape(16, 3, 6, order="F").transpose(2, 1, 0))
    weights = unfolding_weights(torch.tensor([6]), 3, 4)[:, 0]
    assert relative(weights, stored["weights"][0]) < 1e-12
    batches = group_batches(torch.zeros(6, dtype=torch.long))
    threshold = float(stored["lambda"]) / (2 * float(stored["mu"]))
    for t in range(3):
        found = unfolding_prox(patches, batches, t, threshold).numpy().transpose(2, 1, 0)
        assert relative(found.reshape(4, 4, 3, 6, order="F"), stored[f"V{t + 1}"]) < 1e-9
