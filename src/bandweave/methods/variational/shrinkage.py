"""Make singular values smaller: the steps that favour matrices and tensors of low rank."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Gain = Callable[[Tensor], Tensor]
"""From squared singular values to the factor by which each singular value is multiplied."""


def log_gain(threshold: float | Tensor) -> Gain:
    """Return the factor of the log-sum penalty: s → (s + √(s² − 4τ)) / 2 where s² > 4τ, else 0.

    Args:
        threshold: τ, 0 or more; a tensor must broadcast against the squared singular values.
    """

    def gain(squared: Tensor) -> Tensor:
        kept = squared > 4 * threshold
        inside = torch.where(kept, 1 - 4 * threshold / squared, 0.0)
        return torch.where(kept, (1 + inside.sqrt()) / 2, 0.0)

    return gain


def soft_gain(threshold: float) -> Gain:
    """Return the factor of the nuclear norm: s → max(s − τ, 0)."""

    def gain(squared: Tensor) -> Tensor:
        return torch.where(squared > threshold**2, 1 - threshold / squared.sqrt(), 0.0)

    return gain


def shrink(matrices: Tensor, gain: Gain) -> Tensor:
    """Return U diag(s · gain(s²)) Vᴴ for each of the matrices U diag(s) Vᴴ `(..., m, n)`.

    Computed from the eigenvectors of the smaller Gram matrix, M V diag(gain) Vᴴ, which needs no
    second set of singular vectors. Squaring loses the singular values below 1e-8 of the largest:
    thresholds in use are far above.
    """
    if matrices.shape[-2] < matrices.shape[-1]:
        return shrink(matrices.mH, gain).mH
    squared, vectors = torch.linalg.eigh(matrices.mH @ matrices)
    factor = gain(squared.clamp(min=0))
    # Eigenvalues ascend: the last ones are kept, and few of many.
    kept = int((factor > 0).sum(dim=-1).max())
    first = factor.shape[-1] - kept
    axes = vectors[..., first:]
    shrunk: Tensor = ((matrices @ axes) * factor[..., None, first:]) @ axes.mH
    return shrunk


def shrink_tubes(tensors: Tensor, gain: Gain) -> Tensor:
    """Shrink every Fourier slice of tensors `(..., n, p, tubes)` along their last axis.

    The transform is not normalised: singular values are those of the plain Fourier sums. This is
    the proximal step of tensor nuclear norms and of their log-sum variants.
    """
    tubes = tensors.shape[-1]
    slices = torch.fft.rfft(tensors, dim=-1).movedim(-1, -3)
    tensor: Tensor = torch.fft.irfft(shrink(slices, gain).movedim(-3, -1), n=tubes, dim=-1)
    return tensor


def soft(values: Tensor, threshold: float) -> Tensor:
    """Return sign(v) · max(|v| − τ, 0)."""
    return torch.nn.functional.softshrink(values, threshold)
