"""Local affine regression pixel by pixel: one window, one least-squares problem at a time."""

from __future__ import annotations

import numpy as np


def ridge_at(
    guides: np.ndarray,
    target: np.ndarray,
    row: int,
    col: int,
    size: int,
    floor: float,
    counted: np.ndarray,
) -> np.ndarray | None:
    """Return slopes and offset at one pixel, or None where nothing counts.

    min over (a, b) of mean (y - aᵀz - b)² + floor·‖a‖² over the window's pixels, repeated beyond
    the border, by an augmented least-squares problem.
    """
    height, width = target.shape
    reach = range(-(size // 2), size // 2 + 1)
    seen = [
        (min(max(row + i, 0), height - 1), min(max(col + j, 0), width - 1))
        for i in reach
        for j in reach
    ]
    seen = [place for place in seen if counted[place]]
    if not seen:
        return None
    z = np.array([[guide[place] for guide in guides] + [1.0] for place in seen])
    y = np.array([target[place] for place in seen])
    ridge = np.sqrt(floor * len(seen)) * np.eye(len(guides), len(guides) + 1)
    return np.linalg.lstsq(
        np.vstack([z, ridge]), np.concatenate([y, np.zeros(len(guides))]), rcond=None
    )[0]


def smoothed_at(
    fields: dict[tuple[int, int], np.ndarray], shape: tuple[int, int], row: int, col: int, size: int
) -> np.ndarray:
    """Return the mean of the coefficients over the window, where there are any."""
    reach = range(-(size // 2), size // 2 + 1)
    places = [
        (min(max(row + i, 0), shape[0] - 1), min(max(col + j, 0), shape[1] - 1))
        for i in reach
        for j in reach
    ]
    return np.mean([fields[place] for place in places if place in fields], axis=0)
