"""LTMR: in a spectral subspace, groups of similar patches have a low tensor multi-rank."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from bandweave.methods.variational.groups import group_batches, map_groups
from bandweave.methods.variational.iterations import Monitor
from bandweave.methods.variational.kmeans import drawn_centroids, kmeans
from bandweave.methods.variational.model_based import ModelBased, Observations
from bandweave.methods.variational.patches import PatchGrid, grid_with_last
from bandweave.methods.variational.periodic import CoefficientStep
from bandweave.methods.variational.shrinkage import log_gain, shrink_tubes


@dataclass(frozen=True, slots=True)
class LtmrSettings:
    """Parameters of LTMR, for data in the unit range."""

    subspace: int = 10
    """p: spectral dimensions."""
    clusters: int = 200
    """K: 201 in the paper, 200 in its program."""
    regularisation: float = 3e-2
    """λ: 3e-2 for CAVE, 1e-3 for Pavia."""
    penalty: float = 1e-3
    """μ of the augmented Lagrangian."""
    patch: int = 7
    """Pixels per side."""
    overlap: int = 4
    """Pixels that neighbouring patches share."""
    iterations: int = 100
    """At most, as the program has it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ltmr(ModelBased):
    """LTMR: min ‖X − HDA‖² + ‖Y − RDA‖² + 2λ Σ_groups Σ log(singular values), Z = D A.

    D are the first p left singular vectors of X. A group of similar 7 x 7 patches of A is a tensor
    n x p x 49; the singular values are those of its Fourier slices along the 49 pixels. Solved by
    ADMM.

    Source: R. Dian and S. Li, 2019, "Hyperspectral image super-resolution via subspace-based low
    tensor multi-rank regularization", IEEE TIP 28(10), 5135-5146.
    """

    settings: LtmrSettings = field(default_factory=LtmrSettings)
    id: ClassVar[str] = "ltmr"
    planes: ClassVar[int] = 16

    def solve(self, seen: Observations, rng: np.random.Generator, monitor: Monitor) -> Tensor:
        """Take the subspace from X, group the patches of Y by k-means, then iterate."""
        settings = self.settings
        vectors = torch.linalg.svd(seen.hsi.flatten(1), full_matrices=False)[0]
        grid = grid_with_last(
            (seen.msi.shape[1], seen.msi.shape[2]), settings.patch, settings.overlap
        )
        points = grid.cut(seen.msi).flatten(1)
        labels = kmeans(points, drawn_centroids(points, settings.clusters, rng))
        subspace = vectors[:, : settings.subspace]
        return ltmr(seen, subspace, grid, labels, settings=settings, monitor=monitor)


def ltmr(
    seen: Observations,
    subspace: Tensor,
    grid: PatchGrid,
    labels: Tensor,
    *,
    settings: LtmrSettings,
    monitor: Monitor,
) -> Tensor:
    """Iterate with a given subspace and given groups of patches.

    Args:
        seen: Both images and their instruments.
        subspace: D `(C, p)`, orthonormal columns.
        grid: Where the patches lie.
        labels: `(patches,)`, cluster of each patch, numbered from 0 without gaps.
        settings: Parameters.
        monitor: Told of every iteration.

    Returns:
        Z = D A `(C, H, W)`.
    """
    mu = settings.penalty
    batches = group_batches(labels)
    mixed = seen.response @ subspace
    identity = torch.eye(subspace.shape[1], dtype=subspace.dtype, device=subspace.device)
    step = CoefficientStep(seen.view, mixed.mT @ mixed + mu * identity)
    known = torch.tensordot(subspace.mT, seen.back_projected(), dims=1)
    gain = log_gain(settings.regularisation / (2 * mu))
    split = seen.enlarged(torch.tensordot(subspace.mT, seen.hsi, dims=1))
    multiplier = torch.zeros_like(split)
    a = split
    for _ in range(settings.iterations):
        previous = a
        a = step.solve(known + mu * split + multiplier / 2)
        patches = grid.cut(a - multiplier / (2 * mu))
        split = grid.join(
            map_groups(patches, batches, lambda stacks, _: shrink_tubes(stacks, gain))
        )
        multiplier += 2 * mu * (split - a)
        if monitor.settled(a, previous):
            break
    estimate: Tensor = torch.tensordot(subspace, a, dims=1)
    return estimate
