"""The coarse instrument on a periodic fine grid, as matrices, and the step that inverts it.

A separable kernel that is sampled every `ratio` pixels is one matrix per axis, H x = P₁ x P₂ᵀ; any
other kernel is a short sum of such terms. On a periodic grid H Hᵀ is a convolution of the coarse
grid, which the Fourier transform makes diagonal.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from bandweave.instruments import PointSpread

# Singular values of the kernel below this share of the largest are rounding.
_NEGLIGIBLE = 1e-14


@dataclass(frozen=True, slots=True, eq=False)
class PeriodicView:
    """H: blur with a point spread, keep every `ratio`-th pixel, continue the image periodically."""

    rows: Tensor
    """`(terms, h, H)`: P₁ of each separable term."""
    cols: Tensor
    """`(terms, w, W)`: P₂ of each separable term."""
    symbol: Tensor
    """`(h, w // 2 + 1)`: eigenvalues of H Hᵀ at the frequencies of `rfft2`, 0 or more."""

    @classmethod
    def of(
        cls, psf: PointSpread, ratio: int, shape: tuple[int, int], device: torch.device
    ) -> PeriodicView:
        """Make the matrices for fine images of `shape`, multiples of the ratio.

        Args:
            psf: Taps and the fine index that the first of them stands on for coarse sample 0, so
                that every phase of the decimation is covered.
            ratio: Fine pixels per coarse pixel.
            shape: Rows and columns of the fine grid.
            device: Where to compute.
        """
        kernel = torch.from_numpy(psf.kernel).to(device)
        u, s, vh = torch.linalg.svd(kernel)
        terms = int((s > _NEGLIGIBLE * s[0]).sum())
        rows = [
            _sampling_matrix(u[:, t] * s[t], psf.start[0], ratio, shape[0]) for t in range(terms)
        ]
        cols = [_sampling_matrix(vh[t], psf.start[1], ratio, shape[1]) for t in range(terms)]
        both = torch.stack(rows), torch.stack(cols)
        impulse = torch.zeros(1, shape[0] // ratio, shape[1] // ratio, dtype=torch.float64)
        impulse[0, 0, 0] = 1
        response = _apply(_spread(impulse.to(device), *both), *both)
        return cls(*both, torch.fft.rfft2(response)[0].real.clamp(min=0))

    def apply(self, fine: Tensor) -> Tensor:
        """Return H x `(bands, h, w)` of images `(bands, H, W)`."""
        return _apply(fine, self.rows, self.cols)

    def adjoint(self, coarse: Tensor) -> Tensor:
        """Apply Hᵀ: from `(bands, h, w)` to `(bands, H, W)`."""
        return _spread(coarse, self.rows, self.cols)


class CoefficientStep:
    """Solve K A + A (HᵀH) = Q for A `(p, H, W)`, the Sylvester equation of coupled fusion.

    K = U diag(κ) Uᵀ is symmetric and positive, so that each row of Ã = Uᵀ A has its own system
    (κ I + HᵀH) ã = q̃, solved by the matrix inversion lemma:

        ã = (q̃ − Hᵀ (κ I + H Hᵀ)⁻¹ H q̃) / κ

    where κ I + H Hᵀ is divided out in the Fourier domain of the coarse grid. It is exact.

    Source: Q. Wei, N. Dobigeon and J.-Y. Tourneret, 2015, "Fast fusion of multi-band images based
    on solving a Sylvester equation", IEEE TIP 24(11), 4109-4121.
    """

    def __init__(self, view: PeriodicView, matrix: Tensor) -> None:
        """Decompose K `(p, p)`, symmetric with positive eigenvalues."""
        self._view = view
        kappa, self._vectors = torch.linalg.eigh(matrix)
        self._kappa = kappa[:, None, None]

    def solve(self, right: Tensor) -> Tensor:
        """Return A `(p, H, W)` for Q `(p, H, W)`."""
        q = torch.tensordot(self._vectors.mT, right, dims=1)
        coarse = self._view.apply(q)
        spectrum = torch.fft.rfft2(coarse) / (self._kappa + self._view.symbol)
        inverse = torch.fft.irfft2(spectrum, s=coarse.shape[-2:])
        a = (q - self._view.adjoint(inverse)) / self._kappa
        solution: Tensor = torch.tensordot(self._vectors, a, dims=1)
        return solution


def _apply(fine: Tensor, rows: Tensor, cols: Tensor) -> Tensor:
    return sum(
        (p1 @ fine @ p2.mT for p1, p2 in zip(rows[1:], cols[1:], strict=True)),
        start=rows[0] @ fine @ cols[0].mT,
    )


def _spread(coarse: Tensor, rows: Tensor, cols: Tensor) -> Tensor:
    return sum(
        (p1.mT @ coarse @ p2 for p1, p2 in zip(rows[1:], cols[1:], strict=True)),
        start=rows[0].mT @ coarse @ cols[0],
    )


def _sampling_matrix(line: Tensor, start: int, ratio: int, size: int) -> Tensor:
    """Return `(size / ratio, size)`: row k holds `line` from fine index ratio·k + start on."""
    coarse = size // ratio
    matrix = torch.zeros(coarse, size, dtype=line.dtype, device=line.device)
    samples = torch.arange(coarse, device=line.device)
    for tap, weight in enumerate(line):
        # Kernels wider than the image wrap around and add up.
        matrix[samples, (samples * ratio + start + tap) % size] += weight
    return matrix
