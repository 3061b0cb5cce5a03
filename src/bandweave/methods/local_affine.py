"""Local affine regression: within a window every band is an affine function of the guides.

The guided filter of K. He, J. Sun and X. Tang (IEEE TPAMI 35(6), 2013) with several guides, across
resolutions: what holds between the guides and the bands on the coarse grid is applied to the
guides on the fine grid.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy

from bandweave.degrade.cubic import interpolate_cubic
from bandweave.pair import Mask
from bandweave.radiometry import Image


@dataclass(frozen=True, slots=True)
class Box:
    """Equal weights over a square of coarse pixels."""

    size: int
    """Coarse pixels per side, odd."""

    @property
    def radius(self) -> int:
        """Return the coarse pixels that the window reaches to each side."""
        return self.size // 2

    def mean(self, image: Image) -> Image:
        """Return the window's mean around each pixel of `(..., h, w)`, the border replicated."""
        sizes = (1,) * (image.ndim - 2) + (self.size, self.size)
        averaged: Image = scipy.ndimage.uniform_filter(image, sizes, mode="nearest")
        return averaged


@dataclass(frozen=True, slots=True)
class Gaussian:
    """Weights that fall off with the distance, cut at 4 σ."""

    sigma: float
    """Width in coarse pixels."""

    @property
    def radius(self) -> int:
        """Return the coarse pixels that the window reaches to each side."""
        return int(4 * self.sigma + 0.5)

    def mean(self, image: Image) -> Image:
        """Return the window's mean around each pixel of `(..., h, w)`, the border replicated."""
        sigmas = (0.0,) * (image.ndim - 2) + (self.sigma, self.sigma)
        averaged: Image = scipy.ndimage.gaussian_filter(image, sigmas, mode="nearest")
        return averaged


RegressionWindow = Box | Gaussian


@dataclass(frozen=True, slots=True, eq=False)
class AffineField:
    """y_b(p) = Σ_k slopes[b, k](p) · z_k(p) + offsets[b](p), on the coarse grid."""

    slopes: Image
    """`(C, c, h, w)`."""
    offsets: Image
    """`(C, h, w)`."""

    def apply(self, guides: Image, ratio: int, phase: tuple[float, float]) -> Image:
        """Return `(C, H, W)`: the relation, interpolated by Keys' cubic, on fine guides.

        In the type of the guides.
        """
        result = np.empty((len(self.offsets), *guides.shape[1:]), guides.dtype)
        for band, (slopes, offset) in enumerate(zip(self.slopes, self.offsets, strict=True)):
            coarse = np.concatenate([slopes, offset[None]]).astype(guides.dtype, copy=False)
            fine = interpolate_cubic(coarse, ratio, phase)
            result[band] = np.einsum("khw,khw->hw", fine[:-1], guides) + fine[-1]
        return result


def fit_locally(
    guides: Image,
    targets: Image,
    window: RegressionWindow,
    floor: float,
    counted: Mask | None = None,
) -> AffineField:
    """Regress each target on all guides within a window around each pixel.

    With the window's mean m: Σ = m(z zᵀ) − m(z) m(z)ᵀ + ε I, a = Σ⁻¹ (m(z y) − m(z) m(y)),
    b = m(y) − aᵀ m(z); then a and b are averaged by the same window.

    Args:
        guides: z, `(c, h, w)`: the sharp image as the coarse instrument sees it.
        targets: y, `(C, h, w)`.
        window: Where pixels count together.
        floor: ε, the variance that is taken for noise, in the guides' unit squared.
        counted: `(h, w)`, False for pixels that tell nothing; their values have no influence.

    Returns:
        The relation everywhere; where no pixel counts within the window's radius it is y = y.
    """
    z, y = guides.astype(np.float64), targets.astype(np.float64)
    if counted is not None:
        z, y = (np.where(counted, image, 0) for image in (z, y))
    mean = _Mean(window, counted)
    mean_z, mean_y = mean(z), mean(y)
    slopes = np.linalg.solve(
        _covariance(z, mean_z, z, mean_z, mean) + floor * np.eye(len(z)),
        _covariance(z, mean_z, y, mean_y, mean),
    )
    # (h, w, c, C) to (C, c, h, w)
    slopes = slopes.transpose(3, 2, 0, 1)
    offsets = mean_y - np.einsum("bkhw,khw->bhw", slopes, mean_z)
    again = _Mean(window, None if counted is None else mean.known)
    field = AffineField(again(slopes), again(offsets))
    if counted is not None:
        field.offsets[:, ~again.known] = targets[:, ~again.known]
    return field


class _Mean:
    """A window's mean over the pixels that count."""

    def __init__(self, window: RegressionWindow, counted: Mask | None) -> None:
        self._window = window
        self._weights: Image | None = None
        if counted is not None:
            self._weights = counted.astype(np.float64)
            share = window.mean(self._weights)
            # Running sums leave rounding where nothing counts; a counted pixel is far above it.
            self.known: Mask = share > 1e-9
            self._share: Image = np.where(self.known, share, np.inf)

    def __call__(self, image: Image) -> Image:
        if self._weights is None:
            return self._window.mean(image)
        averaged: Image = self._window.mean(image * self._weights) / self._share
        return averaged


def _covariance(z: Image, mean_z: Image, y: Image, mean_y: Image, mean: _Mean) -> Image:
    """Return cov(z_i, y_j) around each pixel as `(h, w, c, C)`."""
    products = mean(z[:, None] * y[None]) - mean_z[:, None] * mean_y[None]
    return products.transpose(2, 3, 0, 1)
