"""VCA: endmembers of a hyperspectral image, as the corners of the cloud of its spectra."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]


def vca(spectra: Matrix, count: int, draws: Matrix, *, basis: Matrix | None = None) -> Matrix:
    """Return `count` endmembers `(C, count)` by vertex component analysis.

    The spectra are projected on a subspace: if the signal-to-noise ratio is above
    23 + 10 ln p dB on the p leading eigenvectors of X Xᵀ, and perspectively on the plane of the
    mean; else on the p − 1 leading eigenvectors of the covariance. Then, p times, a random
    direction orthogonal to the endmembers found so far picks the spectrum that lies farthest out.

    The threshold is that of the programs of CSTF and UTV; the paper has 15 + 10 log₁₀ p.

    Args:
        spectra: X `(C, n)`.
        count: p, at most C.
        draws: `(p, p)`, uniform in [0, 1]: column i directs the search for endmember i.
        basis: Eigenvectors to use in place of those computed here, `(C, p)` or `(C, p − 1)`:
            their signs are free, and matter since the directions are not negative.

    Source: J. M. P. Nascimento and J. M. Bioucas-Dias, 2005, "Vertex component analysis: a fast
    algorithm to unmix hyperspectral data", IEEE TGRS 43(4), 898-910.
    """
    mean = spectra.mean(axis=1, keepdims=True)
    if signal_to_noise(spectra, count) > 23 + 10 * math.log(count):
        axes = _leading(spectra, count) if basis is None else basis
        projected = axes.T @ spectra
        corners = projected / (projected.mean(axis=1) @ projected)
        offset = np.zeros_like(mean)
    else:
        axes = _leading(spectra - mean, count - 1) if basis is None else basis
        projected = axes.T @ (spectra - mean)
        farthest = np.sqrt((projected**2).sum(axis=0).max())
        corners = np.vstack([projected, np.full((1, projected.shape[1]), farthest)])
        offset = mean
    endmembers: Matrix = axes @ projected[:, _pure_pixels(corners, draws)] + offset
    return endmembers


def signal_to_noise(spectra: Matrix, count: int) -> float:
    """Return the signal-to-noise ratio in dB if the signal fills `count` dimensions."""
    bands, pixels = spectra.shape
    mean = spectra.mean(axis=1, keepdims=True)
    projected = _leading(spectra - mean, count).T @ (spectra - mean)
    total = float((spectra**2).sum()) / pixels
    signal = float((projected**2).sum()) / pixels + float((mean**2).sum())
    noise = total - signal
    if noise <= 0:
        return math.inf
    return abs(10 * math.log10(abs(signal - count / bands * total) / noise))


def _leading(spectra: Matrix, count: int) -> Matrix:
    """Return the leading eigenvectors of X Xᵀ, those of the largest eigenvalues first."""
    vectors = np.linalg.eigh(spectra @ spectra.T)[1]
    leading: Matrix = vectors[:, ::-1][:, :count]
    return leading


def _pure_pixels(corners: Matrix, draws: Matrix) -> list[int]:
    count = len(corners)
    found = np.zeros((count, count))
    found[-1, 0] = 1
    pixels: list[int] = []
    for i in range(count):
        direction = draws[:, i] - found @ (np.linalg.pinv(found) @ draws[:, i])
        # Its length changes no maximum; dividing keeps the numbers in range.
        direction /= np.linalg.norm(direction)
        pixels.append(int(np.argmax(np.abs(direction @ corners))))
        found[:, i] = corners[:, pixels[-1]]
    return pixels
