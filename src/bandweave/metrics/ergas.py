"""Relative dimensionless global error in synthesis (ERGAS)."""

from __future__ import annotations

from typing import Literal

import numpy as np

from bandweave.errors import ScaleError
from bandweave.metrics.inputs import Array, pixels
from bandweave.pair import Mask
from bandweave.radiometry import Image

Denominator = Literal["gt", "estimate"]


def ergas(
    estimate: Image,
    reference: Image,
    *,
    ratio: float,
    denominator: Denominator = "gt",
    valid: Mask | None = None,
) -> float:
    """Return (100 / ratio)·√(mean_b(MSE_b / μ_b²)) (Wald 2000).

    Args:
        estimate: F `(C, H, W)`, physical values.
        reference: G, the same shape and unit.
        ratio: GSD of the coarse image divided by that of the fine one.
        denominator: Image whose band means are μ_b: `gt`, the definition, or `estimate`, which
            published CAVE tables hold.
        valid: `(H, W)`, True where a pixel counts; None means everywhere.

    Returns:
        Dimensionless, 0 at identity, unbounded above; +inf where a band has an error and mean 0.

    Raises:
        ScaleError: `ratio` is not a positive number.
        ShapeError: Shapes or mask do not fit each other.
        NodataError: No pixel is valid, or a valid one is not finite.

    Example:
        >>> ergas(np.full((2, 3, 4), 90.0), np.full((2, 3, 4), 100.0), ratio=4)
        2.5
    """
    f, g = pixels(estimate, reference, valid)
    means = (g if denominator == "gt" else f).mean(axis=1)
    return ergas_of(np.mean((f - g) ** 2, axis=1), means, ratio=ratio)


def ergas_of(mse: Array, means: Array, *, ratio: float) -> float:
    """Return the ERGAS of bands with mean squared errors `mse` and means `means`, both `(C,)`."""
    if not (np.isfinite(ratio) and ratio > 0):
        raise ScaleError(f"ERGAS needs a positive ratio, got {ratio}.")
    relative = np.zeros_like(mse)  # a band without error adds nothing, whatever its mean
    with np.errstate(divide="ignore"):
        np.divide(mse, means**2, out=relative, where=mse > 0)
    return float(100.0 / ratio * np.sqrt(relative.mean()))
