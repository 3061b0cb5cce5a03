"""Hybrid quality with no reference."""

from __future__ import annotations


def hqnr(d_lambda_k: float, d_s: float) -> float:
    """Return (1 − D_λ^K)(1 − D_s) (Aiazzi et al. 2014), 1 at best.

    Published tables often call it QNR: look at the D_λ beside it.

    Args:
        d_lambda_k: Spectral distortion by `d_lambda_k`.
        d_s: Spatial distortion by `d_s`.

    Example:
        >>> round(hqnr(0.1, 0.2), 3)
        0.72
    """
    return (1.0 - d_lambda_k) * (1.0 - d_s)
