"""UTV: a Tucker model whose dictionaries vary little along rows, columns and bands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from bandweave.methods.variational.iterations import Monitor
from bandweave.methods.variational.ksvd import ksvd, starting_atoms
from bandweave.methods.variational.model_based import ModelBased, Observations
from bandweave.methods.variational.shrinkage import soft
from bandweave.methods.variational.tucker import (
    CoreSettings,
    FactorSystem,
    Sight,
    conjugate_gradient,
    core_step,
    expand,
    factor_system,
    spectral_dictionary,
    two_sights,
    unfold,
)


@dataclass(frozen=True, slots=True)
class UtvSettings:
    """Parameters of UTV, for data in the unit range."""

    atoms: tuple[int, int, int] = (12, 280, 300)
    """Dictionary sizes (bands, rows, columns) for 512 x 512 pixels, as in the program's demo;
    those of rows and columns scale with the image."""
    variation: tuple[float, float, float] = (1e2, 1e-8, 1e-4)
    """Weights of the first differences along bands, rows and columns: λ₄, λ₂, λ₃."""
    sparsity: float = 1e-7
    """λ₁ of the core's ℓ₁ norm."""
    proximity: float = 1e-2
    """β towards the previous iterate."""
    penalty: float = 1e-2
    """μ of the augmented Lagrangians."""
    tolerance: float = 1e-2
    """Relative change that ends the inner iterations."""
    iterations: int = 60
    """Outer iterations."""
    inner_iterations: int = 100
    """At most, per block."""
    gradient_steps: int = 40
    """Conjugate gradient steps per inner iteration."""
    sweeps: int = 100
    """Of K-SVD for the dictionaries to start from."""
    released: bool = False
    """Solve as the released program does, with its defect: its conjugate gradients leave the
    penalty out of the search and each dictionary starts at zero. It diverges."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Utv(ModelBased):
    """UTV: the objective of CSTF + Σ_k λ_k ‖∇D_k‖₁, ∇ the first differences along the rows of D_k.

    The weights are those of the published program, whose shrinkage (λ/2)·μ stands in place of
    λ/(2μ): they were chosen with it. `UtvSettings.released` tells of the program's other defect,
    which is corrected by default.

    Source: T. Xu, T.-Z. Huang, L.-J. Deng, X.-L. Zhao and J. Huang, 2020, "Hyperspectral image
    superresolution using unidirectional total variation with Tucker decomposition", IEEE JSTARS
    13, 4381-4398.
    """

    settings: UtvSettings = field(default_factory=UtvSettings)
    id: ClassVar[str] = "utv"
    planes: ClassVar[int] = 10

    def solve(self, seen: Observations, rng: np.random.Generator, monitor: Monitor) -> Tensor:
        """Find the dictionaries to start from, then iterate."""
        bands, *sides = self.settings.atoms
        msi = seen.msi.clamp(min=0)
        spatial = [
            spatial_dictionary(msi, mode, atoms, self.settings.sweeps)
            for mode, atoms in zip((1, 2), sides, strict=True)
        ]
        endmembers = spectral_dictionary(seen.hsi.clamp(min=0), bands, rng)
        return utv(seen, [endmembers, *spatial], self.settings, monitor)


def utv(
    seen: Observations, start: Sequence[Tensor], settings: UtvSettings, monitor: Monitor
) -> Tensor:
    """Iterate from given dictionaries.

    Args:
        seen: Both images and their instruments; negative values count as 0.
        start: D₃ `(C, p₃)`, D₁ `(H, p₁)`, D₂ `(W, p₂)`.
        settings: Parameters.
        monitor: Told of every iteration.

    Returns:
        Z `(C, H, W)`.
    """
    sights = [Sight(sight.data.clamp(min=0), sight.maps) for sight in two_sights(seen)]
    core_settings = CoreSettings(
        settings.sparsity,
        settings.proximity,
        settings.penalty,
        settings.inner_iterations,
        settings.tolerance,
    )
    dictionaries = list(start)
    nothing = seen.msi.new_zeros([d.shape[1] for d in dictionaries])
    core = core_step(sights, dictionaries, nothing, core_settings)
    estimate = expand(core, dictionaries)
    for _ in range(settings.iterations):
        for mode in (1, 2, 0):
            system = factor_system(sights, core, dictionaries, mode, settings.proximity)
            dictionaries[mode] = smooth_factor(
                system, dictionaries[mode], settings.variation[mode], settings
            )
        core = core_step(sights, dictionaries, core, core_settings)
        previous, estimate = estimate, expand(core, dictionaries)
        if monitor.settled(estimate, previous):
            break
    return estimate


def smooth_factor(
    system: FactorSystem, previous: Tensor, variation: float, settings: UtvSettings
) -> Tensor:
    """Return the dictionary that fits the system with small first differences, by ADMM.

    Args:
        system: That of the dictionary without the variation.
        previous: The dictionary so far.
        variation: λ of ‖∇D‖₁.
        settings: Penalty, tolerance and iterations.
    """
    mu = settings.penalty
    factor = torch.zeros_like(previous) if settings.released else previous
    dual = torch.zeros_like(previous[1:])
    for iteration in range(settings.inner_iterations):
        split = soft(differences(factor) - dual, variation / 2 * mu)
        old, factor = factor, penalised_step(system, factor, split + dual, settings)
        dual = dual + split - differences(factor)
        size = float(torch.linalg.matrix_norm(old, 2))
        if iteration > 0 and float((factor - old).norm()) < settings.tolerance * size:
            break
    return factor


def penalised_step(
    system: FactorSystem, start: Tensor, target: Tensor, settings: UtvSettings
) -> Tensor:
    """Take the conjugate gradient steps on the system + μ‖∇D − target‖²."""
    mu = settings.penalty

    def penalised(factor: Tensor) -> Tensor:
        return system.apply(factor) + mu * differences_adjoint(differences(factor))

    right = system.right + mu * differences_adjoint(target)
    search = system.apply if settings.released else penalised
    return conjugate_gradient(search, right, start, settings.gradient_steps, first=penalised)


def spatial_dictionary(msi: Tensor, mode: int, atoms: int, sweeps: int) -> Tensor:
    """Return a dictionary of the rows (mode 1) or columns (mode 2) of the sharp image by K-SVD.

    Args:
        msi: Y `(c, H, W)`.
        mode: 1 or 2.
        atoms: Number of atoms for 512 pixels; scaled to the size of the image.
        sweeps: Of K-SVD.
    """
    signals = unfold(msi, mode).cpu().numpy()
    count = max(1, round(atoms * signals.shape[0] / 512))
    found = ksvd(signals, starting_atoms(signals, count), sweeps=sweeps)
    return torch.from_numpy(found).to(msi.device)


def differences(factor: Tensor) -> Tensor:
    """Return ∇D: each row minus the next."""
    return factor[:-1] - factor[1:]


def differences_adjoint(rows: Tensor) -> Tensor:
    """Apply ∇ᵀ."""
    result = torch.zeros(len(rows) + 1, rows.shape[1], dtype=rows.dtype, device=rows.device)
    result[:-1] += rows
    result[1:] -= rows
    return result
