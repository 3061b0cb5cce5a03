"""A handful of windows spread over a scene, in which the PAN is regressed on the MS bands.

What relates the two images (where they lie on each other, how sharp each is) shows in a least
squares fit of the blurred and sampled PAN on the bands: blur and place are right where the fit is
best. One window needs some thousand coarse pixels, and a few windows speak for a scene.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy
from numpy.typing import NDArray

from bandweave.degrade.mtf import kernel_size
from bandweave.degrade.sampling import blur_gaussian
from bandweave.pair import ImagePair, Mask
from bandweave.sensors import find_sensor
from bandweave.source import PairSource
from bandweave.window import Window

Plane = NDArray[np.float64]
Places = NDArray[np.intp]

WINDOWS_PER_AXIS = 5
"""At most 25 windows: a scene is read in seconds, however large it is."""
LARGEST_SIDE = 64
"""Coarse pixels per side of a window: 4096 samples fix the place to some hundredths of a pixel."""
SMALLEST_SIDE = 16
"""Below this a window is not divided: 256 samples still outnumber the bands many times."""
_MOST_BANDS = 16
"""Spectral bands that take part, spread evenly: more only fit the noise of a hyperspectral cube."""
_SAMPLES_PER_BAND = 10
"""Samples that a window must have per unknown of its regression."""
_MASKED_SHARE = 0.1
"""Share of a kernel that may rest on masked pixels before its sample is left out."""


def kernel_sigma(gain: float, ratio: int) -> float:
    """Return the width in fine pixels of the Gaussian that is the MTF kernel of `gain`.

    σ = √(−2 ln gain) / (2π f) with f = (N − 1) / N / (2·ratio): the toolboxes' kernels of N taps
    reach their gain a little below the coarse Nyquist frequency.

    Example:
        >>> round(kernel_sigma(0.3, 4), 3)
        2.025
    """
    return float(np.sqrt(-2 * np.log(gain)) / (2 * np.pi * _gain_frequency(ratio)))


def kernel_gain(sigma: float, ratio: int) -> float:
    """Return the gain of the MTF kernel of `sigma` fine pixels: the inverse of `kernel_sigma`."""
    return float(np.exp(-2 * (np.pi * sigma * _gain_frequency(ratio)) ** 2))


def _gain_frequency(ratio: int) -> float:
    size = kernel_size(ratio)
    return (size - 1) / size / (2 * ratio)


def default_gain(source: PairSource) -> float:
    """Return the mean MTF gain of the MS bands, the protocol's neutral value where unknown."""
    profile = source.profile
    known = None if profile.sensor is None else profile.sensor.mtf_gains(profile.bands)
    neutral = find_sensor("none").default_mtf_gain
    assert neutral is not None
    return neutral if known is None else float(np.mean(known))


def probe_windows(shape: tuple[int, int], ratio: int, margin: int) -> list[Window]:
    """Spread windows evenly over a scene; they overlap only where it is small.

    Args:
        shape: Fine rows and columns of the scene.
        ratio: Fine pixels per coarse pixel.
        margin: Coarse pixels per side that are read but not used as samples.

    Returns:
        Fine windows with their margins; none where the scene is too small for one.
    """
    rows = _spread(shape[0] // ratio, margin)
    cols = _spread(shape[1] // ratio, margin)
    return [
        Window(row, col, height, width).fine(ratio) for row, height in rows for col, width in cols
    ]


def _spread(size: int, margin: int) -> list[tuple[int, int]]:
    """Return start and length of the windows along one direction, in coarse pixels."""
    usable = size - 2 * margin
    if usable < SMALLEST_SIDE:
        return []
    count = min(max(usable // SMALLEST_SIDE, 1), WINDOWS_PER_AXIS)
    side = min(max(usable // count, SMALLEST_SIDE), LARGEST_SIDE)
    last = usable - side
    return [(round(k * last / max(count - 1, 1)), side + 2 * margin) for k in range(count)]


class Regression:
    """Least squares of values on the bands of the MS at the same samples, with an intercept.

    Example:
        >>> bands = np.array([[0.0, 1.0, 2.0, 4.0]])
        >>> round(float(Regression(bands).unexplained(3 * bands + 5)[0]), 12)
        0.0
    """

    def __init__(self, bands: Plane) -> None:
        """Prepare for values at the samples of `bands` `(C, N)`."""
        centred = bands - bands.mean(axis=1, keepdims=True)
        _, strength, axes = np.linalg.svd(centred, full_matrices=False)
        # Directions this far below the strongest hold rounding: repeated or constant bands.
        self._axes = axes[strength > 1e-10 * max(strength[0], 1e-300)]

    def residual(self, values: Plane) -> Plane:
        """Return what the bands leave unexplained of `values` `(K, N)`, same shape."""
        centred = values - values.mean(axis=1, keepdims=True)
        remainder: Plane = centred - (centred @ self._axes.T) @ self._axes
        return remainder

    def unexplained(self, values: Plane) -> Plane:
        """Return 1 − R² for each row of `values` `(K, N)`, in [0, 1]; 1 for constant rows."""
        centred = values - values.mean(axis=1, keepdims=True)
        total = np.einsum("kn,kn->k", centred, centred)
        explained = ((centred @ self._axes.T) ** 2).sum(axis=1)
        # A row that is constant but for rounding has nothing to explain.
        is_constant = total <= 1e-20 * (values**2).sum(axis=1)
        safe = np.where(is_constant, 1.0, total)
        share: Plane = np.where(is_constant, 1.0, np.clip(1 - explained / safe, 0.0, 1.0))
        return share


@dataclass(frozen=True, eq=False)
class Probe:
    """One window: the PAN, and the coarse pixels at which the fit is made."""

    pan: Plane
    """`(H, W)`, physical values, mean of the spatial bands; masked pixels hold 0."""
    weight: Plane
    """`(H, W)`, 1 where the PAN counts and 0 where it is masked."""
    bands: Plane
    """`(C, N)`, the MS at the samples."""
    numbers: tuple[int, ...]
    """`C` places of these bands in the MS, from 0."""
    rows: Places
    """`(N,)`, first fine row of the coarse pixel of each sample."""
    cols: Places
    """`(N,)`, first fine column."""
    ratio: int
    phase: tuple[float, float]

    @cached_property
    def regression(self) -> Regression:
        """Return the fit on the bands."""
        return Regression(self.bands)

    def blurred(self, sigma: float) -> Plane:
        """Return the PAN blurred with a Gaussian of `sigma` fine pixels.

        Masked pixels are left out of the weighted mean, so that they spoil nothing around them.
        """
        if self.weight.all():
            whole: Plane = blur_gaussian(self.pan[None], sigma)[0]
            return whole
        both = blur_gaussian(np.stack([self.pan, self.weight]), sigma)
        mean: Plane = both[0] / np.maximum(both[1], 1e-6)
        return mean


class SplinePlane:
    """An image that can be sampled between its pixels, by a cubic spline.

    Exact to far below the noise for the blurred PAN, which has nothing left near its Nyquist.
    """

    def __init__(self, image: Plane) -> None:
        self._coefficients = scipy.ndimage.spline_filter(image, order=3, mode="mirror")

    def at(self, probe: Probe, rows: float, cols: float) -> Plane:
        """Return the `(N,)` values at the samples' places, displaced by `rows` and `cols`."""
        places = np.stack(
            [probe.rows + (probe.phase[0] + rows), probe.cols + (probe.phase[1] + cols)]
        )
        values: Plane = scipy.ndimage.map_coordinates(
            self._coefficients, places, order=3, mode="mirror", prefilter=False
        )
        return values


def read_probes(source: PairSource, search: int) -> Iterator[Probe]:
    """Read the windows of a scene one after the other; those without enough samples are left out.

    Args:
        source: The scene.
        search: Fine pixels by which samples will be displaced at most, per direction.
    """
    profile = source.profile
    # Two ratios beyond the search hold the kernel (4 σ) and the spline; the phase adds its own.
    reach = search + 2 * profile.ratio + max(*(abs(p) for p in profile.phase), 1)
    margin = math.ceil(reach / profile.ratio)
    for window in probe_windows(profile.shape, profile.ratio, margin):
        probe = _probe(source.read(window, np.float64), margin, search)
        if probe is not None:
            yield probe


def _probe(pair: ImagePair, margin: int, search: int) -> Probe | None:
    """Choose the samples of a window; None where there are too few or nothing varies."""
    count = len(pair.spectral)
    chosen = np.linspace(0, count - 1, min(count, _MOST_BANDS)).round().astype(int)
    bands = pair.spectral[chosen]
    weight = np.ones(pair.shape) if pair.valid is None else pair.valid.astype(np.float64)
    usable = _usable(pair, weight, search)
    usable[:margin], usable[-margin:] = False, False
    usable[:, :margin], usable[:, -margin:] = False, False
    rows, cols = np.nonzero(usable)
    samples = bands[:, rows, cols].astype(np.float64)
    if len(rows) < _SAMPLES_PER_BAND * (len(bands) + 1) or not np.ptp(samples, axis=1).any():
        return None
    pan = pair.spatial.astype(np.float64).mean(axis=0) * weight
    return Probe(
        pan=pan,
        weight=weight,
        bands=samples,
        numbers=tuple(int(k) for k in chosen),
        rows=rows * pair.ratio,
        cols=cols * pair.ratio,
        ratio=pair.ratio,
        phase=pair.phase,
    )


def _usable(pair: ImagePair, weight: Plane, search: int) -> Mask:
    """Return the coarse pixels that are whole, and around which the PAN is nearly whole."""
    h, w = pair.spectral.shape[1:]
    if pair.valid is None:
        return np.ones((h, w), dtype=bool)
    cells = pair.valid.reshape(h, pair.ratio, w, pair.ratio)
    # A Gaussian of half a ratio stands for the kernel; every place of the search has to be whole.
    support = scipy.ndimage.gaussian_filter(weight, pair.ratio / 2, mode="nearest")
    support = scipy.ndimage.minimum_filter(support, size=2 * search + 1, mode="nearest")
    centre = support[pair.ratio // 2 :: pair.ratio, pair.ratio // 2 :: pair.ratio]
    whole: Mask = cells.all(axis=(1, 3)) & (centre >= 1 - _MASKED_SHARE)
    return whole
