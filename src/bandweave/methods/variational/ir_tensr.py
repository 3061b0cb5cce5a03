"""IR-TenSR: a tensor subspace along the rows, low-rank coefficients, residuals fed back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from bandweave.methods.variational.groups import group_batches, map_groups
from bandweave.methods.variational.iterations import Monitor, relative_change
from bandweave.methods.variational.kmeans import drawn_centroids, kmeans
from bandweave.methods.variational.model_based import ModelBased, Observations
from bandweave.methods.variational.patches import grid_with_last
from bandweave.methods.variational.periodic import CoefficientStep
from bandweave.methods.variational.shrinkage import shrink_tubes, soft_gain
from bandweave.methods.variational.tproduct import (
    from_slices,
    leading_lateral,
    nearest_orthogonal,
    to_slices,
)

Labeller = Callable[[Tensor], Tensor]
"""From patches `(patches, features)` to the cluster `(patches,)` of each."""


@dataclass(frozen=True, slots=True)
class IrTensrSettings:
    """Parameters of IR-TenSR, for data in the unit range.

    By default the published program's for Indian Pines; its other set is `PAVIA`. For CAVE nothing
    is published.
    """

    subspace: int = 8
    """k: lateral slices of the tensor subspace B."""
    clusters: int = 32
    """K groups of patches of the coefficients."""
    patch: int = 9
    """Pixels per side; neighbours share half, rounded down."""
    regularisation: float = 1e-7
    """λ of the tensor nuclear norms."""
    coupling: float = 5e-7
    """μ between the image and B ∗ C."""
    proximity: float = 1e-5
    """β towards the previous iterate."""
    penalty: float = 1e-5
    """γ of the augmented Lagrangian in the coefficients."""
    inner_iterations: int = 2
    """Of the coefficients, per iteration."""
    iterations: int = 100
    """At most, per pass."""
    tolerance: float = 1e-2
    """Relative change of the coefficients that ends a pass."""
    passes: int = 7
    """How often what is left of the observations is solved for and added."""


PAVIA = IrTensrSettings(
    subspace=3,
    clusters=2,
    patch=21,
    regularisation=5e-3,
    coupling=1e-4,
    proximity=5e-7,
    penalty=0.1,
    inner_iterations=7,
    iterations=17,
    passes=6,
)
"""The published program's parameters for Pavia; on CAVE λ = 5e-5 is far better."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IrTensr(ModelBased):
    """IR-TenSR: Z = 𝒯⁻¹(B ∗ C) by t-products along the columns, 𝒯 arranges Z as H x C x W.

    Each pass minimises ‖X − HA‖² + ‖Y − RA‖² + μ‖A − 𝒯⁻¹(B ∗ C)‖² + 2λ Σ_groups TNN(C), B
    orthogonal, the groups those of similar patches of C. What is left of X and Y is then solved
    for in the same way and added.

    The released program takes that rest from the noise-free data; here it is X − HZ and Y − RZ,
    the same where there is no noise.

    Source: T. Xu, T.-Z. Huang, L.-J. Deng and N. Yokoya, 2022, "An iterative regularization method
    based on tensor subspace representation for hyperspectral image super-resolution", IEEE TGRS 60.
    """

    settings: IrTensrSettings = field(default_factory=IrTensrSettings)
    id: ClassVar[str] = "ir_tensr"
    planes: ClassVar[int] = 16

    def solve(self, seen: Observations, rng: np.random.Generator, monitor: Monitor) -> Tensor:
        """Cluster the patches of the coefficients anew in every inner iteration."""
        clusters = self.settings.clusters

        def label(points: Tensor) -> Tensor:
            return kmeans(points, drawn_centroids(points, clusters, rng))

        return ir_tensr(seen, self.settings, label, monitor)


def ir_tensr(
    seen: Observations, settings: IrTensrSettings, label: Labeller, monitor: Monitor
) -> Tensor:
    """Solve for the observations, then for what is left of them, and so on.

    Args:
        seen: Both images and their instruments.
        settings: Parameters.
        label: Clusters patches.
        monitor: Told of every pass.

    Returns:
        Z `(C, H, W)`.
    """
    z = torch.zeros_like(seen.back_projected())
    left = seen
    for _ in range(settings.passes):
        part = one_pass(left, settings, label)
        previous, z = z, z + part
        left = replace(
            left,
            hsi=left.hsi - seen.view.apply(part),
            msi=left.msi - torch.tensordot(seen.response, part, dims=1),
        )
        if monitor.settled(z, previous):
            break
    return z


def one_pass(seen: Observations, settings: IrTensrSettings, label: Labeller) -> Tensor:
    """Return 𝒯⁻¹(B ∗ C) `(C, H, W)` for one pair of observations."""
    mu, beta = settings.coupling, settings.proximity
    width = seen.msi.shape[2]
    response = seen.response
    identity = torch.eye(response.shape[1], dtype=response.dtype, device=response.device)
    step = CoefficientStep(seen.view, response.mT @ response + (mu + beta) * identity)
    known = seen.back_projected()
    start = _arranged(seen.enlarged(seen.hsi))
    basis = leading_lateral(start, settings.subspace)
    coefficients = basis.mH @ start
    held = _along_rows(coefficients, width)
    a = product = _image(basis @ coefficients, width)
    for _ in range(settings.iterations):
        a = step.solve(known + mu * product + beta * a)
        arranged = _arranged(a)
        basis = basis_step(coefficients, arranged, basis, beta / mu)
        centre = (mu * basis.mH @ arranged + beta * coefficients) / (mu + beta)
        old, held = held, coefficient_step(_along_rows(centre, width), settings, label)[0]
        coefficients = to_slices(held.permute(0, 2, 1))
        product = _image(basis @ coefficients, width)
        if relative_change(held, old) < settings.tolerance:
            break
    return product


def basis_step(coefficients: Tensor, arranged: Tensor, basis: Tensor, weight: float) -> Tensor:
    """Return the orthogonal B that maximises ⟨B, 𝒯(A) ∗ Cᵀ + weight · B_previous⟩.

    All as Fourier slices: C `(slices, k, C)`, 𝒯(A) `(slices, H, C)`, B `(slices, H, k)`.
    """
    return nearest_orthogonal(coefficients @ arranged.mH + weight * basis.mH)


def coefficient_step(
    centre: Tensor, settings: IrTensrSettings, label: Labeller
) -> tuple[Tensor, Tensor]:
    """Pull the coefficients towards groups of patches of low tensor nuclear norm, by ADMM.

    Args:
        centre: `(k, W, C)`, the coefficients as an image of W rows and C columns.
        settings: λ, γ, μ, β, patches and number of iterations.
        label: Clusters the patches, anew in every iteration.

    Returns:
        The coefficients and the multiplier, both as `centre`.
    """
    gamma = settings.penalty
    gain = soft_gain(settings.regularisation / (gamma * (settings.coupling + settings.proximity)))
    grid = grid_with_last((centre.shape[1], centre.shape[2]), settings.patch, settings.patch // 2)
    result, multiplier = centre, torch.zeros_like(centre)
    for _ in range(settings.inner_iterations):
        patches = grid.cut(result - multiplier / gamma)
        batches = group_batches(label(patches.flatten(1)))
        shrunk = map_groups(patches, batches, lambda stacks, _: shrink_tubes(stacks, gain))
        split = grid.join(shrunk)
        result = (centre + gamma * split + multiplier) / (1 + gamma)
        multiplier = multiplier + gamma * (split - result)
    return result, multiplier


def _along_rows(slices: Tensor, width: int) -> Tensor:
    """Return coefficients as an image `(k, W, C)`, from Fourier slices `(slices, k, C)`."""
    return from_slices(slices, width).permute(0, 2, 1)


def _arranged(image: Tensor) -> Tensor:
    """Return 𝒯(Z) as Fourier slices `(slices, H, C)` of an image `(C, H, W)`."""
    return to_slices(image.permute(1, 0, 2))


def _image(slices: Tensor, width: int) -> Tensor:
    """Return the image `(C, H, W)` of 𝒯(Z) as Fourier slices."""
    return from_slices(slices, width).permute(1, 0, 2)
