"""Reference numbers of the model-based methods, as this project's values."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from bandweave.instruments import PointSpread, ResponseMatrix
from bandweave.methods.variational.model_based import Observations
from bandweave.methods.variational.periodic import PeriodicView
from bandweave.pair import ImagePair

Shared = Callable[[str], Path]
CPU = torch.device("cpu")
FOLDER = "golden/hisr"


def load(shared: Shared, name: str) -> dict[str, np.ndarray]:
    with np.load(shared(f"{FOLDER}/{name}.npz")) as file:
        return dict(file)


def spread_of(psf: np.ndarray, phase: int) -> PointSpread:
    """Return the point spread whose middle tap lies at `phase`."""
    start = tuple(phase - k // 2 for k in psf.shape)
    return PointSpread(tuple(map(tuple, psf.tolist())), (start[0], start[1]), "golden")


def view_of(psf: np.ndarray, shape: tuple[int, int], ratio: int = 4) -> PeriodicView:
    return PeriodicView.of(spread_of(psf, 2), ratio, shape, CPU)


def image(values: np.ndarray) -> Tensor:
    """Turn rows x columns x bands into channels first."""
    return torch.from_numpy(np.ascontiguousarray(np.atleast_3d(values).transpose(2, 0, 1)))


def back(values: Tensor) -> np.ndarray:
    """Turn channels first into rows x columns x bands."""
    return values.numpy().transpose(1, 2, 0)


def tensor(values: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values))


def labels_of(values: np.ndarray) -> Tensor:
    """Turn stored labels, from 0 or 1, into labels from 0."""
    flat = torch.from_numpy(values.ravel().astype(np.int64))
    return flat - flat.min()


def small_observations(kernel: dict[str, np.ndarray]) -> Observations:
    """Return the images of a kernel file with its instruments."""
    view = view_of(kernel["psf"], kernel["MSI"].shape[:2])
    return Observations(image(kernel["HSI"]), image(kernel["MSI"]), tensor(kernel["R"]), view)


def case(shared: Shared, name: str) -> tuple[ImagePair, PointSpread, ResponseMatrix, np.ndarray]:
    """Return a cut-out of CAVE: the pair, its instruments, the truth."""
    stored = load(shared, f"inputs/case_{name}")
    pair = ImagePair(stored["msi"], stored["lrhsi"], 4, (2.0, 2.0), 1.0)
    response = tuple(tuple(float(w) for w in row) for row in stored["srf"])
    return pair, spread_of(stored["psf"], 2), response, stored["gt"]


def psnr(estimate: np.ndarray, gt: np.ndarray) -> float:
    """Mean over bands, peak 1, as the golden files have it."""
    return float(np.mean(-10 * np.log10(np.square(estimate - gt).mean(axis=(1, 2)))))


def relative(found: np.ndarray | Tensor, expected: np.ndarray) -> float:
    """Largest deviation relative to the largest value."""
    return float(np.abs(np.asarray(found) - expected).max() / np.abs(expected).max())
