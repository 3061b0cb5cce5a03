"""Correlation coefficient."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bandweave.metrics import compilation
from bandweave.metrics.inputs import Array, pixels
from bandweave.pair import Mask
from bandweave.radiometry import Image


@dataclass(frozen=True, slots=True, eq=False)
class CorrelationTally:
    """Means and co-moments of both images, for each band (Chan, Golub and LeVeque 1979)."""

    count: int
    """Number of pixels."""
    means: Array
    """`(2, C)`: of the estimate and the reference."""
    comoments: Array
    """`(3, C)`: Σ (f − mean)², Σ (g − mean)², Σ (f − mean)(g − mean)."""

    @classmethod
    def of(cls, f: Image, g: Image, valid: Mask | None = None) -> CorrelationTally:
        """Sum over the valid pixels of images `(C, H, W)`, which are finite."""
        count = f.shape[1] * f.shape[2] if valid is None else int(np.count_nonzero(valid))
        if count == 0:
            return cls(0, np.zeros((2, len(f))), np.zeros((3, len(f))))
        if compilation.is_compiled():
            from bandweave.metrics.compiled.moments import moments  # noqa: PLC0415  # an extra

            return cls(count, *moments(f, g, count, valid))
        f, g = (x.reshape(len(x), -1) if valid is None else x[:, valid] for x in (f, g))
        means = np.stack([x.mean(axis=1, dtype=np.float64) for x in (f, g)])
        x, y = f - means[0][:, None], g - means[1][:, None]
        pairs = ((x, x), (y, y), (x, y))
        return cls(count, means, np.stack([np.einsum("cn,cn->c", a, b) for a, b in pairs]))

    def merged(self, other: CorrelationTally) -> CorrelationTally:
        """Add the pixels of another area."""
        count = self.count + other.count
        if self.count == 0 or other.count == 0:
            return other if self.count == 0 else self
        step = other.means - self.means
        cross = np.stack([step[0] ** 2, step[1] ** 2, step[0] * step[1]])
        return CorrelationTally(
            count,
            self.means + step * (other.count / count),
            self.comoments + other.comoments + cross * (self.count * other.count / count),
        )

    @classmethod
    def joined(cls, bands: Sequence[CorrelationTally]) -> CorrelationTally:
        """Put the tallies of several bands of the same pixels side by side."""
        means = np.concatenate([band.means for band in bands], axis=1)
        comoments = np.concatenate([band.comoments for band in bands], axis=1)
        return cls(bands[0].count, means, comoments)

    def coefficient(self) -> float:
        """Return the mean over bands; bands whose reference is constant are left out."""
        var_f, var_g, covariance = self.comoments
        varies = var_g > 0
        if not varies.any():
            return float("nan")
        spread = np.sqrt(var_f[varies]) * np.sqrt(var_g[varies])
        each = np.zeros(len(spread))  # a constant estimate tells nothing of a varying reference
        np.divide(covariance[varies], spread, out=each, where=spread > 0)
        return float(np.clip(each, -1.0, 1.0).mean())


def cc(estimate: Image, reference: Image, *, valid: Mask | None = None) -> float:
    """Return the mean over bands of Pearson's correlation of both images.

    Args:
        estimate: F `(C, H, W)`, physical values.
        reference: G, the same shape and unit.
        valid: `(H, W)`, True where a pixel counts; None means everywhere.

    Returns:
        Dimensionless in [−1, 1], 1 at identity. A constant estimate counts as 0, bands with a
        constant reference are left out; nan where all are.

    Raises:
        ShapeError: Shapes or mask do not fit each other.
        NodataError: No pixel is valid, or a valid one is not finite.

    Example:
        >>> image = np.arange(12.0).reshape(1, 3, 4)
        >>> round(cc(5 - 2 * image, image), 9)
        -1.0
    """
    f, g = (columns[:, None] for columns in pixels(estimate, reference, valid))
    return CorrelationTally.of(f, g).coefficient()
