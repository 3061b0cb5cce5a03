"""What a fused image has to fulfil where no reference is known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from bandweave.degrade.instrument import Instrument
from bandweave.methods.convention import require_blur
from bandweave.pair import ImagePair, PairProfile
from bandweave.train.layer import TileOperator

# Of both terms beside the error on the reduced scene.
_WEIGHT = 0.2


@dataclass(frozen=True, slots=True, eq=False)
class FullResolutionTerm:
    """Reprojection error plus disagreement of the detail, both as mean absolute values.

    mean |A f − y| + mean |(I − L)(Σ_b α_b f_b) − (I − L) p|, where A is the instrument, L the
    box mean over a coarse pixel's neighbourhood, and α, the weights of the bands in the PAN, are
    regressed on the coarse grid, as the PAN is no exact mixture of the bands.
    """

    seen: Tensor
    """A on a tile, `(C or 1, n, H W)`: the coarse samples whose kernels lie inside it."""
    inner: tuple[int, int]
    """First and last of these samples in each direction."""
    weights: Tensor
    """α, `(C,)`."""
    ratio: int

    @classmethod
    def of(cls, pairs: list[ImagePair], tile: int, profile: PairProfile) -> FullResolutionTerm:
        """Settle instrument and weights for a scene.

        Raises:
            SensorModelError: The MTF gains are not known.
        """
        operator = TileOperator.of_sensor(
            profile.sensor, profile.bands, profile.ratio, profile.phase
        )
        count = tile // profile.ratio
        # Beyond two coarse pixels a kernel of gain 0.2 or more holds next to nothing.
        inner = (2, count - 2)
        dense = operator.matrix(tile).reshape(-1, count, count, tile * tile)
        seen = dense[:, inner[0] : inner[1], inner[0] : inner[1]]
        seen = seen.reshape(len(seen), -1, tile * tile)
        return cls(
            torch.from_numpy(seen / seen.sum(axis=2, keepdims=True)).float(),
            inner,
            torch.from_numpy(_pan_weights(pairs, profile)).float(),
            profile.ratio,
        )

    def __call__(self, fused: Tensor, spatial: Tensor, spectral: Tensor) -> Tensor:
        """Return the weighted sum of both terms.

        Args:
            fused: `(B, C, H, W)`, unit range.
            spatial: PAN `(B, 1, H, W)`.
            spectral: `(B, C, h, w)`.
        """
        inside = slice(*self.inner)
        observed = (self.seen @ fused.flatten(2)[..., None])[..., 0]
        reprojection = (observed - spectral[..., inside, inside].flatten(2)).abs().mean()
        mixed = torch.einsum("c,bchw->bhw", self.weights, fused)[:, None]
        detail = (self._detail(mixed) - self._detail(spatial.mean(dim=1, keepdim=True))).abs()
        return _WEIGHT * (reprojection + detail.mean())

    def _detail(self, image: Tensor) -> Tensor:
        size = 2 * self.ratio + 1
        return image[
            ..., self.ratio : -self.ratio, self.ratio : -self.ratio
        ] - functional.avg_pool2d(image, size, stride=1)


def _pan_weights(pairs: list[ImagePair], profile: PairProfile) -> np.ndarray:
    """Regress the PAN, as the coarse instrument sees it, on the bands, with an intercept."""
    blur = require_blur(profile, "adapt")
    one = blur if not isinstance(blur, tuple) else (float(np.mean(blur)),)
    bands, pans = [], []
    for pair in pairs:
        seen = Instrument(one, pair.ratio, pair.phase).observe(
            pair.spatial.mean(axis=0, keepdims=True)
        )
        bands.append(pair.spectral.reshape(len(pair.spectral), -1))
        pans.append(seen.ravel())
    columns = np.concatenate(bands, axis=1)
    design = np.vstack([columns, np.ones(columns.shape[1])]).T
    solution, *_ = np.linalg.lstsq(design, np.concatenate(pans), rcond=None)
    return np.asarray(solution[:-1])
