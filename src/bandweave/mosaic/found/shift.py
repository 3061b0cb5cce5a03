"""Where the content of the coarse pixels lies in the PAN: misregistration, to parts of a pixel.

The PAN, filtered with the MTF of the MS and sampled where the coarse pixels lie, is nearly an
affine function of the MS bands, aliasing included. Sampled anywhere else it is not. So the place
is found by regression: every whole displacement first, then the minimum between them. (Phase
correlation of the PAN with an MS band is drawn towards zero, because both are aliased alike at
every displacement; B. Aiazzi et al. (2007) use the same regression to find intensity weights.)
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bandweave.mosaic.found.probe import (
    Plane,
    Probe,
    SplinePlane,
    default_gain,
    kernel_sigma,
    read_probes,
)
from bandweave.source import PairSource

WARN_ABOVE = 0.3
"""Coarse pixels of displacement above which fusion visibly suffers (docs/alignment.md)."""
CORRECT_ABOVE = 0.125
"""Coarse pixels from which a displacement is corrected (docs/alignment.md)."""
TRUST_FROM = 0.5
"""Confidence from which a displacement is corrected (docs/alignment.md)."""

_DISTINCT_FROM = 0.2
"""Fall of the residual below which a window is flat: noise alone stays below."""
_AGREES_WITHIN = 0.25
"""Coarse pixels around the answer within which a window agrees with it."""
_WANTED_WINDOWS = 3
"""Windows that have to agree before they are believed fully."""
_SCENE_SCATTER = 0.1
"""PAN pixels by which windows of real scenes differ, however well each is determined."""
_STEPS = 6
"""Gauss-Newton steps: enough from any start within a pixel."""
_SLOPE_STEP = 0.25
"""PAN pixels over which the slope of the blurred PAN is taken."""


@dataclass(frozen=True, slots=True)
class Displacement:
    """How far the MS content lies from where the grids say, in PAN pixels."""

    rows: float
    """Positive where the MS content is found further down in the PAN."""
    cols: float
    """Positive where it is found further right."""
    confidence: float
    """In [0, 1]: mean over the windows with content of the share of the regression's residual that
    vanishes at the displacement, where windows that find another place count as 0; a third or two
    thirds of that where only one or two windows agree. Near 0 for unrelated images, at 0.9 and
    above for pairs of one scene (docs/alignment.md)."""
    phase: tuple[float, float]
    """Fine index (row, column) at which the content of coarse sample 0 lies, as measured."""
    windows: int
    """Windows with content that were used."""
    scatter: tuple[float, float]
    """Robust standard deviation over the windows (rows, columns) in PAN pixels."""

    @property
    def distance(self) -> float:
        """Return the length of the displacement in PAN pixels."""
        return math.hypot(self.rows, self.cols)


def measure_displacement(source: PairSource, *, search: int | None = None) -> Displacement:
    """Find the displacement between PAN and MS beyond what the grids say.

    Per window: min over (d, a) of Σ_k (p(r·k + phase + d) − aᵀ y_k − a₀)², with p the PAN blurred
    by the mean MTF of the bands and y the MS; d over whole pixels by exhaustion, then by
    Gauss-Newton. The answer is the weighted median over up to 25 windows of the scene.

    Args:
        source: The scene; only the windows are read.
        search: PAN pixels per direction within which the displacement is looked for;
            `default_search` without it.

    Returns:
        The displacement; zero with confidence 0 where no window has content, or none could be laid
        into so small a scene.
    """
    ratio = source.profile.ratio
    search = default_search(ratio) if search is None else search
    sigma = kernel_sigma(default_gain(source), ratio)
    findings = [_find(probe, sigma, search) for probe in read_probes(source, search)]
    return _agree([found for found in findings if found is not None], source)


def default_search(ratio: int) -> int:
    """Return the PAN pixels within which a displacement is looked for: 3 coarse pixels, 8 or more.

    Example:
        >>> default_search(4), default_search(2)
        (12, 8)
    """
    return max(8, 3 * ratio)


def decide_alignment(displacement: Displacement, ratio: int) -> tuple[float, float] | None:
    """Return the offset (rows, columns) in PAN pixels to correct by, or None to leave the pair.

    A displacement is corrected from `CORRECT_ABOVE` coarse pixels on, where its confidence reaches
    `TRUST_FROM`: below, it cannot be told from the scatter of registered deliveries.

    Example:
        >>> found = Displacement(2.7, 0.0, 0.93, (4.2, 1.5), 25, (0.1, 0.1))
        >>> decide_alignment(found, 4)
        (2.7, 0.0)
    """
    is_certain = displacement.confidence >= TRUST_FROM
    if not is_certain or displacement.distance < CORRECT_ABOVE * ratio:
        return None
    return displacement.rows, displacement.cols


@dataclass(frozen=True, slots=True, eq=False)
class _Finding:
    """What one window says."""

    place: NDArray[np.float64]
    """`(2,)`, displacement in PAN pixels."""
    error: NDArray[np.float64]
    """`(2,)`, standard error of the fit."""
    distinctness: float
    """1 − residual at the place / median residual over the search."""


def _find(probe: Probe, sigma: float, search: int) -> _Finding | None:
    """Find the place of one window; None where it has no content."""
    blurred = probe.blurred(sigma)
    residuals, lowest = _search_whole(probe, blurred, search)
    typical = float(np.median(residuals))
    plane = SplinePlane(blurred)
    place, error = _refine(probe, plane, lowest)
    # Beyond the neighbouring pixel lies another minimum, or no minimum at all.
    if np.abs(place - lowest).max() > 1.5 or np.abs(place).max() > search:
        return None
    best = float(probe.regression.unexplained(plane.at(probe, *place)[None])[0])
    distinctness = 1 - best / typical
    return None if distinctness < _DISTINCT_FROM else _Finding(place, error, distinctness)


def _search_whole(probe: Probe, blurred: Plane, search: int) -> tuple[Plane, NDArray[np.float64]]:
    """Regress at every whole pixel within the search; return residuals and the best place."""
    starts = [math.floor(p) for p in probe.phase]
    width = blurred.shape[1]
    base = (probe.rows + starts[0]) * width + probe.cols + starts[1]
    steps = np.arange(-search, search + 1)
    flat = blurred.ravel()
    residuals = np.stack(
        [
            probe.regression.unexplained(flat[base + (step * width + steps)[:, None]])
            for step in steps
        ]
    )
    row, col = np.unravel_index(int(residuals.argmin()), residuals.shape)
    fraction = np.array(probe.phase) - starts
    return residuals, np.array([steps[row], steps[col]]) - fraction


def _refine(
    probe: Probe, plane: SplinePlane, start: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Minimise the squared residual between the pixels; return the place and its standard error."""
    regression, place, h = probe.regression, start.copy(), _SLOPE_STEP
    normal = np.eye(2)
    remainder = np.zeros(1)
    for _ in range(_STEPS):
        row, col = place
        ahead = np.stack([plane.at(probe, row + h, col), plane.at(probe, row, col + h)])
        behind = np.stack([plane.at(probe, row - h, col), plane.at(probe, row, col - h)])
        slopes = regression.residual((ahead - behind) / (2 * h))
        remainder = regression.residual(plane.at(probe, row, col)[None])[0]
        normal = slopes @ slopes.T
        # Where edges run in one direction only, the other stays where the search put it.
        step = np.linalg.lstsq(normal, slopes @ remainder, rcond=1e-6)[0]
        place = place - np.clip(step, -1, 1)
    variance = remainder @ remainder / len(remainder)
    ridge = 1e-12 * max(np.trace(normal), 1e-300)
    return place, np.sqrt(variance * np.diag(np.linalg.inv(normal + ridge * np.eye(2))))


def _agree(findings: list[_Finding], source: PairSource) -> Displacement:
    """Take the weighted median of the windows, and ask how many of them agree with it."""
    phase = source.profile.phase
    if not findings:
        return Displacement(0.0, 0.0, 0.0, phase, 0, (0.0, 0.0))
    places = np.stack([found.place for found in findings])
    weights = 1 / (np.stack([found.error for found in findings]) ** 2 + _SCENE_SCATTER**2)
    answer = np.array([_weighted_median(places[:, k], weights[:, k]) for k in range(2)])
    # Factor 1.4826: the median absolute deviation of a normal distribution to its σ.
    scatter = 1.4826 * np.median(np.abs(places - answer), axis=0)
    near = np.hypot(*(places - answer).T) <= _AGREES_WITHIN * source.profile.ratio
    distinctness = np.array([found.distinctness for found in findings])
    confidence = (distinctness * near).mean() * min(near.sum() / _WANTED_WINDOWS, 1.0)
    return Displacement(
        rows=float(answer[0]),
        cols=float(answer[1]),
        confidence=float(confidence),
        phase=(phase[0] + float(answer[0]), phase[1] + float(answer[1])),
        windows=len(findings),
        scatter=(float(scatter[0]), float(scatter[1])),
    )


def _weighted_median(values: NDArray[np.float64], weights: NDArray[np.float64]) -> float:
    """Return the value with half of the weight on either side, linear between the samples."""
    order = np.argsort(values)
    middles = np.cumsum(weights[order]) - weights[order] / 2
    return float(np.interp(weights.sum() / 2, middles, values[order]))
