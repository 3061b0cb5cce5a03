"""A Tucker model Z = G ×₁ D₁ ×₂ D₂ ×₃ D₃ seen by two instruments, and the steps that fit it.

Cores and images have the bands first, `(bands, rows, cols)`, and so have the lists of
dictionaries. Each instrument maps every mode by a matrix of its own: X sees P₁ D₁, P₂ D₂, D₃ and Y
sees D₁, D₂, R D₃.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from bandweave.methods.variational.iterations import relative_change
from bandweave.methods.variational.model_based import Observations
from bandweave.methods.variational.shrinkage import soft
from bandweave.methods.variational.vca import vca

Dictionaries = Sequence[Tensor]
"""D₃ `(C, p₃)`, D₁ `(H, p₁)`, D₂ `(W, p₂)`: those of the bands, rows and columns."""
Operator = Callable[[Tensor], Tensor]


@dataclass(frozen=True, slots=True, eq=False)
class Sight:
    """One image of the scene, and how its instrument maps each mode."""

    data: Tensor
    """`(bands, rows, cols)` of this image."""
    maps: tuple[Tensor | None, Tensor | None, Tensor | None]
    """Matrix per mode, None for the identity."""

    def seen(self, dictionaries: Dictionaries) -> list[Tensor]:
        """Return the dictionaries as this instrument sees them."""
        return [d if m is None else m @ d for m, d in zip(self.maps, dictionaries, strict=True)]


def two_sights(seen: Observations) -> tuple[Sight, Sight]:
    """Return what the Tucker model sees of a pair.

    It needs a separable point spread, a factor per axis. Of any other it takes the nearest
    separable one, its first term.
    """
    rows, cols = seen.view.rows[0], seen.view.cols[0]
    return (
        Sight(seen.hsi, (None, rows, cols)),
        Sight(seen.msi, (seen.response, None, None)),
    )


def expand(core: Tensor, dictionaries: Dictionaries) -> Tensor:
    """Return G ×₁ D₁ ×₂ D₂ ×₃ D₃ `(bands, rows, cols)`."""
    bands, rows, cols = dictionaries
    expanded: Tensor = torch.tensordot(bands, rows @ core @ cols.mT, dims=1)
    return expanded


def unfold(tensor: Tensor, mode: int) -> Tensor:
    """Return the matrix whose columns are the fibres along a mode."""
    return tensor.movedim(mode, 0).flatten(1)


def leading_dictionary(image: Tensor, mode: int, atoms: int) -> Tensor:
    """Return the leading left singular vectors of an unfolding, at most as many as its rows."""
    vectors: Tensor = torch.linalg.svd(unfold(image, mode), full_matrices=False)[0]
    return vectors[:, :atoms]


def spectral_dictionary(hsi: Tensor, atoms: int, rng: np.random.Generator) -> Tensor:
    """Return endmembers of the hyperspectral image `(C, atoms)`, see `vca`."""
    atoms = min(atoms, hsi.shape[0])
    spectra = hsi.flatten(1).cpu().numpy()
    found = vca(spectra, atoms, rng.uniform(size=(atoms, atoms)))
    return torch.from_numpy(found).to(hsi.device)


@dataclass(frozen=True, slots=True, eq=False)
class FactorSystem:
    """Σ_o LᵀL D M + β D = right: the dictionary of one mode that fits both images best."""

    terms: tuple[tuple[Tensor | None, Tensor], ...]
    """LᵀL `(n, n)` or None for the identity, and M = A Aᵀ `(p, p)`, per image."""
    proximity: float
    """β."""
    right: Tensor
    """`(n, p)`."""

    def apply(self, dictionary: Tensor) -> Tensor:
        """Return the left side."""
        result = self.proximity * dictionary
        for gram, matrix in self.terms:
            product = dictionary @ matrix
            result = result + (product if gram is None else gram @ product)
        return result


def factor_system(
    sights: Sequence[Sight], core: Tensor, dictionaries: Dictionaries, mode: int, proximity: float
) -> FactorSystem:
    """Return the system of the dictionary of `mode`, all others held.

    A is the unfolding of the core expanded by the other dictionaries, as each image sees them;
    β draws towards the present dictionary.
    """
    right = proximity * dictionaries[mode]
    terms = []
    for sight in sights:
        factors = sight.seen(dictionaries)
        atoms = dictionaries[mode].shape[1]
        factors[mode] = torch.eye(atoms, dtype=core.dtype, device=core.device)
        a = unfold(expand(core, factors), mode)
        own = sight.maps[mode]
        data = unfold(sight.data, mode) @ a.mT
        right = right + (data if own is None else own.mT @ data)
        terms.append((None if own is None else own.mT @ own, a @ a.mT))
    return FactorSystem(tuple(terms), proximity, right)


def conjugate_gradient(
    apply: Operator, right: Tensor, start: Tensor, steps: int, *, first: Operator | None = None
) -> Tensor:
    """Take `steps` conjugate gradient steps on apply(x) = right from `start`.

    Args:
        apply: Symmetric, positive operator.
        right: Right side, of any shape.
        start: Where to start.
        steps: How many steps, fewer where the residual vanishes.
        first: Operator of the first residual, where it is not the same (a defect of UTV's
            program).
    """
    x = start
    residual = right - (first or apply)(start)
    direction = residual
    size = float(residual.square().sum())
    for _ in range(steps):
        if size == 0:
            break
        turned = apply(direction)
        length = size / float((direction * turned).sum())
        x = x + length * direction
        residual = residual - length * turned
        smaller = float(residual.square().sum())
        direction = residual + smaller / size * direction
        size = smaller
    return x


@dataclass(frozen=True, slots=True)
class CoreSettings:
    """How the sparse core is found."""

    sparsity: float
    """λ of λ‖G‖₁."""
    proximity: float
    """β towards the previous core."""
    penalty: float = 1e-2
    """μ of the augmented Lagrangian."""
    iterations: int = 60
    """At most."""
    tolerance: float = 0.0
    """Relative change below which the iterations end, from the second on."""


def core_step(
    sights: Sequence[Sight], dictionaries: Dictionaries, previous: Tensor, settings: CoreSettings
) -> Tensor:
    """Return the core: min ‖X − G×…‖² + ‖Y − G×…‖² + λ‖G‖₁ + β‖G − G_previous‖², by ADMM."""
    mu, beta = settings.penalty, settings.proximity
    ridges = [_Ridge(sight, dictionaries, mu) for sight in sights]
    core = torch.zeros_like(previous)
    multipliers = [core for _ in sights]
    for iteration in range(settings.iterations):
        splits = [r.solve(core - v) for r, v in zip(ridges, multipliers, strict=True)]
        total = beta * previous
        for split, multiplier in zip(splits, multipliers, strict=True):
            total = total + mu * (split + multiplier)
        old = core
        core = soft(total / (2 * mu + beta), settings.sparsity / (4 * mu + 2 * beta))
        multipliers = [v + split - core for v, split in zip(multipliers, splits, strict=True)]
        # Without a tolerance the change is not looked at: on a GPU that would wait for it.
        looks = iteration > 0 and settings.tolerance > 0
        if looks and relative_change(core, old) < settings.tolerance:
            break
    return core


class _Ridge:
    """Solve (DᵀD + μ I) g = Dᵀ data + μ v for D = D₃⊗D₂⊗D₁ as one image sees them.

    The eigenvectors of the three small Gram matrices make it diagonal.
    """

    def __init__(self, sight: Sight, dictionaries: Dictionaries, penalty: float) -> None:
        factors = sight.seen(dictionaries)
        values, vectors = zip(*(torch.linalg.eigh(d.mT @ d) for d in factors), strict=True)
        self._vectors, self._penalty = vectors, penalty
        self._denominator = values[0][:, None, None] * values[1][:, None] * values[2] + penalty
        turned = [u.mT @ d.mT for u, d in zip(vectors, factors, strict=True)]
        self._data = expand(sight.data, turned)

    def solve(self, v: Tensor) -> Tensor:
        turned = expand(v, [u.mT for u in self._vectors])
        return expand((self._data + self._penalty * turned) / self._denominator, self._vectors)
