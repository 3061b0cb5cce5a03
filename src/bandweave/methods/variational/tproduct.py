"""The t-product: tensors as matrices of tubes, multiplied by circular convolution.

Tensors `(rows, cols, tubes)` are kept as their Fourier slices `(slices, rows, cols)`, of which the
first tubes // 2 + 1 suffice for real tensors. There the t-product is the plain product of slices,
the transpose the conjugate transpose, and the t-SVD the SVD of each slice.

Source: M. E. Kilmer and C. D. Martin, 2011, "Factorization strategies for third-order tensors",
Linear Algebra and its Applications 435(3), 641-658.
"""

from __future__ import annotations

import numpy as np
import scipy
import torch
from torch import Tensor


def to_slices(tensor: Tensor) -> Tensor:
    """Return the Fourier slices `(tubes // 2 + 1, rows, cols)` of a tensor, not normalised."""
    slices: Tensor = torch.fft.rfft(tensor, dim=-1).movedim(-1, 0)
    return slices


def from_slices(slices: Tensor, tubes: int) -> Tensor:
    """Return the tensor `(rows, cols, tubes)` of Fourier slices."""
    tensor: Tensor = torch.fft.irfft(slices.movedim(0, -1), n=tubes, dim=-1)
    return tensor


def leading_lateral(slices: Tensor, count: int) -> Tensor:
    """Return the first `count` lateral slices of U in the t-SVD, as Fourier slices.

    The phases of singular vectors are free, but patches of the coefficients depend on them. So
    they are always those of LAPACK's `gesvd`, on every device, as in the published program.
    """
    found = [
        scipy.linalg.svd(part, full_matrices=False, lapack_driver="gesvd")[0][:, :count]
        for part in slices.cpu().numpy()
    ]
    return torch.from_numpy(np.stack(found)).to(slices.device)


def nearest_orthogonal(slices: Tensor) -> Tensor:
    """Return V ∗ Uᵀ for the t-SVD U ∗ S ∗ Vᵀ: what maximises ⟨slicesᵀ, B⟩ over orthogonal B."""
    u, _, vh = torch.linalg.svd(slices, full_matrices=False)
    orthogonal: Tensor = vh.mH @ u.mH
    return orthogonal
