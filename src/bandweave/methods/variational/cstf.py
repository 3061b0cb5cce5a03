"""CSTF: a Tucker model with a sparse core, fitted to both images."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from torch import Tensor

from bandweave.methods.variational.iterations import Monitor
from bandweave.methods.variational.model_based import ModelBased, Observations
from bandweave.methods.variational.tucker import (
    CoreSettings,
    conjugate_gradient,
    core_step,
    expand,
    factor_system,
    leading_dictionary,
    spectral_dictionary,
    two_sights,
)


@dataclass(frozen=True, slots=True)
class CstfSettings:
    """Parameters of CSTF, for data in the unit range."""

    atoms: tuple[int, int, int] = (15, 260, 260)
    """Dictionary sizes (bands, rows, columns), cut to the image's: 15, 260, 260 for CAVE in the
    paper of LTMR; 9, 240, 240 in the program's demo."""
    sparsity: float = 1e-5
    """λ of the core's ℓ₁ norm."""
    proximity: float = 1e-3
    """β towards the previous iterate: 1e-3 in the program and for Pavia, 1e-1 for Cuprite."""
    iterations: int = 3
    """Outer iterations: 3 in the program, 20 in the paper."""
    gradient_steps: int = 30
    """Conjugate gradient steps per dictionary."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cstf(ModelBased):
    """CSTF: min ‖X − G×₁P₁D₁×₂P₂D₂×₃D₃‖² + ‖Y − G×₁D₁×₂D₂×₃RD₃‖² + λ‖G‖₁.

    P₁ and P₂ blur and decimate rows and columns, so that the point spread has to be separable; of
    any other the nearest separable one is used. D₁ and D₂ start as singular vectors of Y, D₃ as
    endmembers of X; then each block is solved in turn, held near its last value by β.

    Source: S. Li, R. Dian, L. Fang and J. M. Bioucas-Dias, 2018, "Fusing hyperspectral and
    multispectral images via coupled sparse tensor factorization", IEEE TIP 27(8), 4118-4130.
    """

    settings: CstfSettings = field(default_factory=CstfSettings)
    id: ClassVar[str] = "cstf"
    planes: ClassVar[int] = 10

    def solve(self, seen: Observations, rng: np.random.Generator, monitor: Monitor) -> Tensor:
        """Find the spectral dictionary by VCA, then iterate."""
        bands = spectral_dictionary(seen.hsi, self.settings.atoms[0], rng)
        return cstf(seen, bands, self.settings, monitor)


def cstf(seen: Observations, bands: Tensor, settings: CstfSettings, monitor: Monitor) -> Tensor:
    """Iterate from a given spectral dictionary.

    Args:
        seen: Both images and their instruments.
        bands: D₃ `(C, p₃)` to start from.
        settings: Parameters.
        monitor: Told of every iteration.

    Returns:
        Z `(C, H, W)`.
    """
    sights = two_sights(seen)
    core_settings = CoreSettings(settings.sparsity, settings.proximity)
    dictionaries = [
        bands,
        *(leading_dictionary(seen.msi, mode, settings.atoms[mode]) for mode in (1, 2)),
    ]
    nothing = seen.msi.new_zeros([d.shape[1] for d in dictionaries])
    core = core_step(sights, dictionaries, nothing, core_settings)
    estimate = expand(core, dictionaries)
    for _ in range(settings.iterations):
        for mode in (1, 2, 0):
            system = factor_system(sights, core, dictionaries, mode, settings.proximity)
            dictionaries[mode] = conjugate_gradient(
                system.apply, system.right, dictionaries[mode], settings.gradient_steps
            )
        core = core_step(sights, dictionaries, core, core_settings)
        previous, estimate = estimate, expand(core, dictionaries)
        if monitor.settled(estimate, previous):
            break
    return estimate
