"""Is this PAN as sharp as the weights expect?

A network knows the PAN it was trained on, and one that is sharper or softer than that costs it
several dB. Which blur brings the PAN into range shows without any reference: the fused image,
degraded again with the sensor's MTF, must give back the MS (Wald's first property, 1997).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import scipy
from numpy.typing import NDArray

from bandweave.degrade.observe import observe
from bandweave.errors import SensorModelError
from bandweave.methods.base import Fitted, FixedTile
from bandweave.mosaic.runner import ArraySink, run_scene
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
        slopes = slopes * scipy.ndimage.binary_erosion(pair.valid)[:-1, :-1]
    return float(slopes.sum())


def _reprojection(
    fitted: Fitted,
    patch: ImagePair,
    gains: Sequence[float],
    precision: type[np.float32 | np.float64],
) -> NDArray[np.float64]:
    """Return |A x − y| at the coarse pixels of a patch that can be compared, all bands."""
    sink = ArraySink(patch.shape[0])
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
    inner: Mask = scipy.ndimage.binary_erosion(whole, around)
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
