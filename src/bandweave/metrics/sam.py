"""Spectral angle mapper."""

from __future__ import annotations

import numpy as np

from bandweave.metrics.inputs import Array, pixels
from bandweave.pair import Mask
from bandweave.radiometry import Image


def sam(estimate: Image, reference: Image, *, valid: Mask | None = None) -> float:
    """Return the mean angle between the spectra of both images (Kruse et al. 1993).

    Per pixel arccos(⟨f, g⟩ / (‖f‖ ‖g‖)); pixels where either spectrum is zero have no angle and
    are left out. The cosine is clipped to [−1, 1]; near identity the arccos resolves no angles
    below about 1e-6 degrees.

    Args:
        estimate: F `(C, H, W)`, physical values.
        reference: G, the same shape and unit.
        valid: `(H, W)`, True where a pixel counts; None means everywhere.

    Returns:
        Degrees in [0, 180], 0 at identity; nan where no pixel has an angle.

    Raises:
        ShapeError: Shapes or mask do not fit each other.
        NodataError: No pixel is valid, or a valid one is not finite.

    Example:
        >>> red, green = np.zeros((2, 2, 3, 4))
        >>> red[0], green[1] = 7.0, 9.0
        >>> round(sam(red, green), 9)
        90.0
    """
    angles = spectral_angles(*pixels(estimate, reference, valid))
    return float(angles.mean()) if angles.size else float("nan")


def spectral_angles(f: Array, g: Array) -> Array:
    """Return the angles in degrees of those columns of `(C, N)` that have one."""
    inner = np.einsum("cn,cn->n", f, g)
    norms = np.sqrt(np.einsum("cn,cn->n", f, f) * np.einsum("cn,cn->n", g, g))
    defined = norms > 0
    cosine = inner[defined] / norms[defined]
    angles: Array = np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0)))
    return angles
