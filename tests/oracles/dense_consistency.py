"""The consistency step by dense linear algebra: A as a matrix, tap by tap, and a solver."""

from __future__ import annotations

import numpy as np


def dense_observation(
    kernel: np.ndarray, shape: tuple[int, int], ratio: int, phase: tuple[int, int], border: str
) -> np.ndarray:
    """Return A `(h·w, H·W)` for fine images of `shape`; `border` is a mode of `np.pad`."""
    half = kernel.shape[0] // 2
    origin = np.pad(np.arange(shape[0] * shape[1]).reshape(shape), half, mode=border)
    rows, cols = (range(first, size, ratio) for first, size in zip(phase, shape, strict=True))
    matrix = np.zeros((len(rows) * len(cols), shape[0] * shape[1]))
    for k, (row, col) in enumerate((r, c) for r in rows for c in cols):
        seen = origin[row : row + 2 * half + 1, col : col + 2 * half + 1]
        np.add.at(matrix[k], seen.ravel(), kernel.ravel())
    return matrix


def dense_step(matrix: np.ndarray, x0: np.ndarray, y: np.ndarray, noise: float) -> np.ndarray:
    """Return x0 + Aᵀ (A Aᵀ + λ I)⁻¹ (y - A x0) for one band."""
    gram = matrix @ matrix.T + noise * np.eye(len(matrix))
    multipliers = np.linalg.solve(gram, y.ravel() - matrix @ x0.ravel())
    return x0 + (matrix.T @ multipliers).reshape(x0.shape)
