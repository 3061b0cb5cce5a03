"""Is this PAN as sharp as the weights expect, and how sharp is it against the MS?

A network knows the PAN it was trained on, and one that is sharper or softer than that costs it
several dB. Which blur brings the PAN into range shows without any reference: the fused image,
degraded again with the sensor's MTF, must give back the MS (Wald's first property, 1997).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, optimize

from bandweave.degrade.mtf import kernel_size
from bandweave.degrade.observe import observe
from bandweave.errors import SensorModelError
from bandweave.methods.base import Fitted, FixedTile
from bandweave.mosaic.probe import Probe, SplinePlane, read_probes
from bandweave.mosaic.runner import ArraySink, run_scene
from bandweave.mosaic.shift import Displacement, default_search
from bandweave.pair import ImagePair, Mask, PairProfile
from bandweave.source import ArraySource, PairSource
from bandweave.window import Window

SIGMAS = (0.0, 0.4, 0.6, 0.8, 1.0, 1.2)
"""PAN blurs that are tried, in PAN pixels. At 0.2 a sampled Gaussian gives its neighbours 4e-6 of
the weight: it is no blur, so the set jumps to 0.4."""
ACT_BELOW = 0.75
"""Share of the error without blur from which on a blur is taken: a fall of a quarter or more."""

_PATCHES = 3
"""Patches that are fused per blur: 12 tiles of a network with tiles of 64."""
_CANDIDATES_PER_AXIS = 5
_LOCAL_SIDE = 128
"""PAN pixels per side of a patch for methods without a tile of their own."""
_EDGE = 2
"""Coarse pixels per side of a patch that are not compared: the MTF reaches beyond the patch."""
_REFINEMENT = 0.1
"""PAN pixels to both sides of the best blur that are tried as well."""
_PROBES = 9
"""Windows in which the PAN is compared with the MS."""
_BLUR_RANGE = (0.08, 0.9)
"""Blurs between PAN and MS that are looked for, in coarse pixels: gains of 0.97 to 0.018."""


@dataclass(frozen=True, slots=True)
class SharpnessMatch:
    """Which blur of the PAN a method's result is most consistent with."""

    sigma: float
    """Standard deviation in PAN pixels of the Gaussian to blur the PAN with; 0 to leave it."""
    errors: tuple[tuple[float, float], ...]
    """(blur, mean |A x − y| in physical units) for each blur tried, by rising blur."""
    acted: bool
    """Whether the error fell clearly; if not, `sigma` is 0."""

    @property
    def fall(self) -> float:
        """Return the share of the error without blur that the best blur takes away."""
        without = self.errors[0][1]
        return 1 - min(error for _, error in self.errors) / without if without > 0 else 0.0


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


def match_sharpness(
    source: PairSource,
    fitted_at: Callable[[float], Fitted],
    *,
    gains: Sequence[float] | None = None,
    precision: type[np.float32 | np.float64] = np.float32,
) -> SharpnessMatch:
    """Find the PAN blur at which a method's result is most consistent with the MS.

    For each blur σ a few patches are fused, filtered with the sensor's MTF, sampled at the pair's
    phase and compared with `lrms`. The best σ is refined between the tried ones, and taken only
    where the error falls to `ACT_BELOW` of that without blur.

    Args:
        source: The scene; only the patches are read.
        fitted_at: Gives the method that blurs the PAN with a Gaussian of σ PAN pixels first.
        gains: MTF gains of the bands; those of the source's sensor without it.
        precision: Type in which pairs are handed to the method.

    Raises:
        SensorModelError: Neither the gains nor a sensor that has them were given.
    """
    gains = gains or _known_gains(source.profile)
    patches = choose_patches(source, fitted_at(0.0))

    def error(sigma: float) -> float:
        fitted = fitted_at(sigma)
        parts = [_reprojection(fitted, patch, gains, precision) for patch in patches]
        return float(np.concatenate(parts).mean())

    errors = {0.0: error(0.0)}
    for sigma in SIGMAS[1:]:
        errors[sigma] = error(sigma)
        # The error has one minimum over the blur: twice in a row above it, and it is passed.
        if min(list(errors.values())[-2:]) > min(errors.values()):
            break
    best = min(errors, key=errors.__getitem__)
    if errors[best] > ACT_BELOW * errors[0.0]:
        return SharpnessMatch(0.0, tuple(sorted(errors.items())), acted=False)
    for sigma in (best - _REFINEMENT, best + _REFINEMENT):
        errors[round(sigma, 2)] = error(round(sigma, 2))
    return SharpnessMatch(_lowest(errors), tuple(sorted(errors.items())), acted=True)


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
        gain = _gain_of(blur, ratio)
        shares = [_unexplained(probe, gain, displacement) for probe in probes]
        return float(np.mean(np.log(np.maximum(shares, 1e-12))))

    low, high = (share * ratio for share in _BLUR_RANGE)
    found = optimize.minimize_scalar(
        score, bounds=(low, high), method="bounded", options={"xatol": 0.01 * ratio}
    )
    blur = float(found.x)
    return RelativeSharpness(blur, _gain_of(blur, ratio), float(np.exp(found.fun)))


def choose_patches(source: PairSource, fitted: Fitted) -> list[ImagePair]:
    """Read a few patches from the half of the scene whose PAN varies most.

    They are spread over that half: the most detailed places alone exaggerate what a blur changes.
    Their size is one that the method runs well on.
    """
    windows = _candidates(source.profile, fitted)
    detail = [_detail(source.read(window, np.float32)) for window in windows]
    ranked = sorted(range(len(windows)), key=lambda k: -detail[k])
    informative = ranked[: max(_PATCHES, len(ranked) // 2)]
    chosen = np.linspace(0, len(informative) - 1, min(_PATCHES, len(informative)))
    return [source.read(windows[informative[round(k)]], np.float64) for k in chosen]


def _candidates(profile: PairProfile, fitted: Fitted) -> list[Window]:
    """Spread windows over the scene without overlap; the whole of a scene that is smaller."""
    reach, ratio = fitted.reach, profile.ratio
    side = 2 * (reach.size - reach.overlap) if isinstance(reach, FixedTile) else _LOCAL_SIDE
    side = max(side // ratio, 1) * ratio
    starts = []
    for size in profile.shape:
        count = min(max(size // side, 1), _CANDIDATES_PER_AXIS)
        last = max(size - side, 0)
        starts.append([round(k * last / max(count - 1, 1) / ratio) * ratio for k in range(count)])
    scene = Window.whole(profile.shape)
    return [Window(r, c, side, side).intersection(scene) for r in starts[0] for c in starts[1]]


def _detail(pair: ImagePair) -> float:
    """Return the mean squared slope of the valid PAN, summed over the pixels that count."""
    pan = pair.spatial.mean(axis=0)
    slopes = np.square(np.diff(pan, axis=0)[:, :-1]) + np.square(np.diff(pan, axis=1)[:-1])
    if pair.valid is not None:
        slopes = slopes * ndimage.binary_erosion(pair.valid)[:-1, :-1]
    return float(slopes.sum())


def _reprojection(
    fitted: Fitted,
    patch: ImagePair,
    gains: Sequence[float],
    precision: type[np.float32 | np.float64],
) -> NDArray[np.float64]:
    """Return |A x − y| at the coarse pixels of a patch that can be compared, all bands."""
    sink = ArraySink()
    run_scene(fitted, ArraySource(patch), sink, precision=precision)
    seen = observe(sink.hrms.astype(np.float64), gains, patch.ratio, patch.phase)
    difference: NDArray[np.float64] = np.abs(seen - patch.spectral)[:, _comparable(patch)]
    return difference.ravel()


def _comparable(patch: ImagePair) -> Mask:
    """Return the coarse pixels whose surroundings lie inside the patch and are valid."""
    h, w = patch.spectral.shape[1:]
    valid = np.ones(patch.shape, dtype=bool) if patch.valid is None else patch.valid
    whole = np.all(valid.reshape(h, patch.ratio, w, patch.ratio), axis=(1, 3))
    around = np.ones((2 * _EDGE + 1, 2 * _EDGE + 1), dtype=bool)
    inner: Mask = ndimage.binary_erosion(whole, around)
    return inner


def _known_gains(profile: PairProfile) -> tuple[float, ...]:
    known = None if profile.sensor is None else profile.sensor.mtf_gains(profile.bands)
    if known is None:
        raise SensorModelError(
            f"Matching the PAN's sharpness needs the MTF gains of the {profile.bands} bands, but "
            "the sensor is not known or has no published gains; name it with --sensor, or switch "
            "the matching off with --pan-sharpness off."
        )
    return known


def _lowest(errors: dict[float, float]) -> float:
    """Return the vertex of the parabola through the lowest error and its neighbours."""
    sigmas = sorted(errors)
    place = min(range(len(sigmas)), key=lambda k: errors[sigmas[k]])
    if not 0 < place < len(sigmas) - 1:
        return sigmas[place]
    left, middle, right = sigmas[place - 1 : place + 2]
    curvature, slope, _ = np.polyfit(
        np.array([left, middle, right]) - middle, [errors[s] for s in (left, middle, right)], 2
    )
    vertex = middle - slope / (2 * curvature) if curvature > 0 else middle
    return round(float(np.clip(vertex, left, right)), 2)


def _unexplained(probe: Probe, gain: float, displacement: Displacement) -> float:
    plane = SplinePlane(probe.blurred(gain))
    values = plane.at(probe, displacement.rows, displacement.cols)
    return float(probe.regression.unexplained(values[None])[0])


def _gain_of(blur: float, ratio: int) -> float:
    """Return the gain of the MTF kernel that is a Gaussian of `blur` fine pixels."""
    # The toolboxes' kernels of N taps reach their gain at (N - 1) / N of the Nyquist frequency.
    size = kernel_size(ratio)
    frequency = (size - 1) / size / (2 * ratio)
    return float(np.exp(-2 * (np.pi * blur * frequency) ** 2))
