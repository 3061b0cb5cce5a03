"""LTTR: groups of similar patches have a low tensor-train rank."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from bandweave.methods.variational.groups import GroupBatch, group_batches, map_groups
from bandweave.methods.variational.iterations import Monitor
from bandweave.methods.variational.kmeans import kmeans, spread_centroids
from bandweave.methods.variational.model_based import ModelBased, Observations
from bandweave.methods.variational.patches import PatchGrid, covering_grid
from bandweave.methods.variational.periodic import CoefficientStep
from bandweave.methods.variational.shrinkage import log_gain, shrink


@dataclass(frozen=True, slots=True)
class LttrSettings:
    """Parameters of LTTR, for data in the unit range."""

    clusters: int = 120
    """K: 120 for CAVE in the paper, 160 in its program's demo, 460 for Pavia."""
    regularisation: float = 1e-2
    """λ: 0.01 for CAVE, 4e-4 for Pavia."""
    penalty: float = 1e-3
    """μ of the augmented Lagrangian."""
    patch: int = 8
    """Pixels per side."""
    overlap: int = 4
    """Pixels that neighbouring patches share."""
    iterations: int = 25
    """At most, as the program has it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lttr(ModelBased):
    """LTTR: min ‖X − HZ‖² + ‖Y − RZ‖² + 2λ Σ_groups Σ_t α_t Σ log(singular values of T_[t]).

    T is a group of similar 8 x 8 patches of the cube, 8 x 8 x C x n; its unfoldings T_[t] are
    64 x (C·n), (64·C) x n and 8 x (8·C·n), weighted by α_t = √β_t / Σ√β, β = (min(64, C·n),
    min(64·C, n), 8). Solved by ADMM with one split V_t per unfolding.

    Source: R. Dian, S. Li and L. Fang, 2019, "Learning a low tensor-train rank representation for
    hyperspectral image super-resolution", IEEE TNNLS 30(9), 2672-2683.
    """

    settings: LttrSettings = field(default_factory=LttrSettings)
    id: ClassVar[str] = "lttr"
    planes: ClassVar[int] = 44

    def solve(self, seen: Observations, rng: np.random.Generator, monitor: Monitor) -> Tensor:
        """Group the patches of Y by k-means, then iterate."""
        settings = self.settings
        grid = covering_grid(
            (seen.msi.shape[1], seen.msi.shape[2]), settings.patch, settings.overlap
        )
        points = grid.cut(seen.msi).flatten(1)
        labels = kmeans(points, spread_centroids(points, settings.clusters, rng))
        return lttr(seen, grid, labels, settings, monitor)


def lttr(
    seen: Observations, grid: PatchGrid, labels: Tensor, settings: LttrSettings, monitor: Monitor
) -> Tensor:
    """Iterate with given groups of patches.

    Args:
        seen: Both images and their instruments.
        grid: Where the patches lie.
        labels: `(patches,)`, cluster of each patch, numbered from 0 without gaps.
        settings: Parameters.
        monitor: Told of every iteration.

    Returns:
        Z `(C, H, W)`.
    """
    mu, response = settings.penalty, seen.response
    batches = group_batches(labels)
    identity = torch.eye(response.shape[1], dtype=response.dtype, device=response.device)
    step = CoefficientStep(seen.view, response.mT @ response + 3 * mu * identity)
    known = seen.back_projected()
    z = seen.enlarged(seen.hsi)
    splits = [z.clone() for _ in range(3)]
    multipliers = [torch.zeros_like(z) for _ in range(3)]
    for _ in range(settings.iterations):
        previous = z
        right = known + sum(mu * v + g / 2 for v, g in zip(splits, multipliers, strict=True))
        z = step.solve(right)
        for t in range(3):
            patches = grid.cut(z - multipliers[t] / (2 * mu))
            shrunk = unfolding_prox(patches, batches, t, settings.regularisation / (2 * mu))
            splits[t] = grid.join(shrunk)
            multipliers[t] += 2 * mu * (splits[t] - z)
        if monitor.settled(z, previous):
            break
    return z


def unfolding_prox(
    patches: Tensor, batches: list[GroupBatch], unfolding: int, threshold: float
) -> Tensor:
    """Shrink the singular values of unfolding 0, 1 or 2 of every group.

    Args:
        patches: `(patches, C, size²)`, pixels with the row fastest.
        batches: The groups.
        unfolding: t, counted from 0.
        threshold: λ / (2μ); multiplied by the unfolding's weight.
    """
    side = round(patches.shape[2] ** 0.5)

    def change(stacks: Tensor, batch: GroupBatch) -> Tensor:
        groups, largest, bands, pixels = stacks.shape
        # Transposes of the unfoldings, since pixels lie last; singular values are the same.
        rows = (largest * bands, largest, largest * bands * side)[unfolding]
        matrices = stacks.reshape(groups, rows, -1)
        weight = unfolding_weights(batch.sizes, bands, side)[unfolding]
        gain = log_gain(threshold * weight[:, None])
        return shrink(matrices, gain).reshape(groups, largest, bands, pixels)

    return map_groups(patches, batches, change)


def unfolding_weights(sizes: Tensor, bands: int, side: int) -> Tensor:
    """Return α `(3, groups)` for groups of `sizes` patches of side x side pixels."""
    pixels = side**2
    roots = (
        torch.stack(
            [
                (bands * sizes).clamp(max=pixels),
                sizes.clamp(max=pixels * bands),
                torch.full_like(sizes, side),
            ]
        )
        .double()
        .sqrt()
    )
    return roots / roots.sum(dim=0)
