"""Quality with no reference."""

from __future__ import annotations


def qnr(d_lambda: float, d_s: float) -> float:
    """Return (1 − D_λ)(1 − D_s) (Alparone et al. 2008), 1 at best.

    Args:
        d_lambda: Spectral distortion by `d_lambda`.
        d_s: Spatial distortion by `d_s`.

    Example:
        >>> round(qnr(0.1, 0.2), 3)
        0.72
    """
    return (1.0 - d_lambda) * (1.0 - d_s)
