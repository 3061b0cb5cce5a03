"""How sharp is the PAN against the MS, and how alike are they? Measured without any network.

The PAN, blurred until it is as soft as the MS, is nearly an affine function of the bands; so the
blur at which a regression fits best says how much sharper the PAN is, and the fit how alike.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy

from bandweave.methods.statistics import Moments
from bandweave.mosaic.found.probe import Plane, Probe, SplinePlane, kernel_gain, read_probes
from bandweave.mosaic.found.shift import Displacement, default_search
from bandweave.source import PairSource

_PROBES = 9
"""Windows in which the PAN is compared with the MS."""
_BLUR_RANGE = (0.08, 0.9)
"""Blurs between PAN and MS that are looked for, in coarse pixels: gains of 0.97 to 0.018."""


@dataclass(frozen=True, slots=True)
class RelativeSharpness:
    """How much sharper the PAN is than the MS, measured without any network."""

    blur: float
    """Standard deviation in PAN pixels of the Gaussian that makes the PAN most like the MS."""
    gain: float
    """The same as an MTF gain at the coarse Nyquist frequency: the MS's over the PAN's.
    Near the sensor's MTF gain where the PAN is sharp; above it the PAN is soft, below it the MS is
    softer than the table says."""
    unexplained: float
    """Share of the PAN's variance that the bands do not explain at that blur."""
    correlations: tuple[tuple[int, float], ...]
    """(band, correlation with the PAN at that blur), bands from 1; of many bands some."""


def measure_sharpness(source: PairSource, displacement: Displacement) -> RelativeSharpness | None:
    """Find the Gaussian that makes the PAN most like the MS; needs no network and no MTF table.

    Minimises over σ the mean over windows of ln(1 − R²), R² from the regression of the PAN,
    blurred with σ and sampled where the coarse pixels lie, on the MS bands.

    Args:
        source: The scene; only a few windows are read.
        displacement: Where the content of the coarse pixels lies.

    Returns:
        The blur, or None where no window of the scene has content.
    """
    probes = list(read_probes(source, default_search(source.profile.ratio)))
    probes = probes[:: -(-len(probes) // _PROBES) or 1]
    if not probes:
        return None
    ratio = source.profile.ratio

    def score(blur: float) -> float:
        shares = [_unexplained(probe, blur, displacement) for probe in probes]
        return float(np.mean(np.log(np.maximum(shares, 1e-12))))

    low, high = (share * ratio for share in _BLUR_RANGE)
    found = scipy.optimize.minimize_scalar(
        score, bounds=(low, high), method="bounded", options={"xatol": 0.01 * ratio}
    )
    blur = float(found.x)
    return RelativeSharpness(
        blur=blur,
        gain=kernel_gain(blur, ratio),
        unexplained=float(np.exp(found.fun)),
        correlations=_correlations(probes, blur, displacement),
    )


def _unexplained(probe: Probe, blur: float, displacement: Displacement) -> float:
    return float(probe.regression.unexplained(_as_seen(probe, blur, displacement)[None])[0])


def _as_seen(probe: Probe, blur: float, displacement: Displacement) -> Plane:
    """Return the PAN at the samples, blurred and displaced."""
    plane = SplinePlane(probe.blurred(blur))
    return plane.at(probe, displacement.rows, displacement.cols)


def _correlations(
    probes: list[Probe], blur: float, displacement: Displacement
) -> tuple[tuple[int, float], ...]:
    """Correlate each band with the PAN over all windows, by the sum of their co-moments."""
    total = Moments.empty(1 + len(probes[0].bands))
    for probe in probes:
        values = _as_seen(probe, blur, displacement)
        total = total.merged(Moments.of(np.concatenate([values[None], probe.bands])[:, :, None]))
    covariance = total.covariance()
    spread = np.sqrt(np.maximum(np.diag(covariance), 1e-300))
    shares = covariance[0, 1:] / (spread[0] * spread[1:])
    return tuple(
        (number + 1, float(share)) for number, share in zip(probes[0].numbers, shares, strict=True)
    )
