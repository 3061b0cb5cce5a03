"""K-SVD: a dictionary in which every signal is a sum of a few atoms."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]

# An atom is replaced where its coherence with another exceeds this ...
_TWIN = 0.99
# ... or where fewer signals use it.
_FEWEST_USERS = 4


def ksvd(signals: Matrix, dictionary: Matrix, *, nonzeros: int = 2, sweeps: int = 100) -> Matrix:
    """Adapt a dictionary to signals, in the approximate form that needs no singular values.

    Each sweep codes all signals by orthogonal matching pursuit, then updates one atom after the
    other with the signals J that use it,

        a ∝ X_J γᵀ − D (Γ_J γᵀ) + d (γ γᵀ),    γ = aᵀ X_J − (aᵀ D) Γ_J + (aᵀ d) γ.

    An atom that no signal uses becomes the worst represented signal not yet taken; so does, after
    the sweep, an atom that is nearly another one or has fewer than 4 users.

    Args:
        signals: X `(n, count)`.
        dictionary: `(n, atoms)`, unit columns to start from.
        nonzeros: Atoms per signal.
        sweeps: How often.

    Returns:
        `(n, atoms)`, unit columns.

    Source: R. Rubinstein, M. Zibulevsky and M. Elad, 2008, "Efficient implementation of the K-SVD
    algorithm using batch orthogonal matching pursuit", Technion CS-2008-08.
    """
    d = dictionary.copy()
    for _ in range(sweeps):
        codes = matching_pursuit(signals, d, nonzeros)
        untaken = np.ones(signals.shape[1], dtype=bool)
        for j in range(d.shape[1]):
            _update_atom(signals, d, codes, j, untaken)
        _replace_poor_atoms(signals, d, codes, untaken)
    return d


def starting_atoms(signals: Matrix, count: int) -> Matrix:
    """Return the first `count` signals that are not zero, normalised; fewer if there are fewer."""
    norms = np.linalg.norm(signals, axis=0)
    used = np.flatnonzero(norms > 0)[:count]
    atoms: Matrix = signals[:, used] / norms[used]
    return atoms


def matching_pursuit(signals: Matrix, dictionary: Matrix, nonzeros: int) -> Matrix:
    """Return the codes Γ `(atoms, count)` with at most `nonzeros` values per signal.

    Orthogonal matching pursuit: take the atom nearest in direction to what is left of the signal,
    fit all atoms taken so far anew. All signals advance together.
    """
    count = signals.shape[1]
    each = np.arange(count)
    gram = dictionary.T @ dictionary
    products = dictionary.T @ signals
    codes = np.zeros((dictionary.shape[1], count))
    chosen = np.zeros((0, count), dtype=np.intp)
    left = products
    active = np.linalg.norm(signals, axis=0) > 0
    for _ in range(nonzeros):
        atom = np.argmax(np.abs(left), axis=0)
        # Atoms that are linear combinations of those taken cannot be fitted with them.
        active &= ~(chosen == atom).any(axis=0)
        chosen = np.vstack([chosen, atom])
        columns = chosen[:, active]
        local = gram[columns.T[:, :, None], columns.T[:, None, :]]
        right = products[columns, each[active]].T[:, :, None]
        fitted = np.linalg.solve(local, right)[:, :, 0].T
        codes[:, active] = 0
        codes[columns, each[active]] = fitted
        left = products - gram @ codes
    return codes


def _update_atom(
    signals: Matrix, d: Matrix, codes: Matrix, j: int, untaken: NDArray[np.bool_]
) -> None:
    users = np.flatnonzero(codes[j])
    if not users.size:
        d[:, j] = _worst_signal(signals, d, codes, untaken)
        return
    gamma, coded = codes[j, users], codes[:, users]
    atom = signals[:, users] @ gamma - d @ (coded @ gamma) + d[:, j] * (gamma @ gamma)
    atom /= np.linalg.norm(atom)
    codes[j, users] = atom @ signals[:, users] - (atom @ d) @ coded + (atom @ d[:, j]) * gamma
    d[:, j] = atom


def _replace_poor_atoms(
    signals: Matrix, d: Matrix, codes: Matrix, untaken: NDArray[np.bool_]
) -> None:
    users = (np.abs(codes) > 1e-7).sum(axis=1)
    errors = ((signals - d @ codes) ** 2).sum(axis=0)
    for j in range(d.shape[1]):
        coherence = np.abs(d[:, j] @ d)
        coherence[j] = 0
        if coherence.max() > _TWIN or users[j] < _FEWEST_USERS:
            d[:, j] = _taken(signals, errors, untaken)


def _worst_signal(signals: Matrix, d: Matrix, codes: Matrix, untaken: NDArray[np.bool_]) -> Matrix:
    return _taken(signals, ((signals - d @ codes) ** 2).sum(axis=0), untaken)


def _taken(signals: Matrix, errors: Matrix, untaken: NDArray[np.bool_]) -> Matrix:
    """Return the signal of the largest error among those not taken yet, and take it."""
    worst = int(np.argmax(np.where(untaken, errors, -1)))
    untaken[worst] = False
    signal: Matrix = signals[:, worst] / np.linalg.norm(signals[:, worst])
    return signal
