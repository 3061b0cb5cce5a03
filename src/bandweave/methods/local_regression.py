"""Local regression: what neighbouring pixels say of bands and guides, applied to sharper guides.

In a small window every band is nearly an affine function of the sharp image's bands. The relation
is learned on the coarse grid, where both are known once the sharp image is blurred and sampled as
the coarse instrument would, and applied on the fine grid. Nothing is trained.

`hyperspectral_base` returns the mean of six variants (windows of 3 and 5 pixels and a Gaussian of
0.8, each with and without the residual), made consistent with both images. `RegressionEnsemble`
adds the guides' squares and roots as further guides; a network can be handed its members one by
one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np

from bandweave.degrade.cubic import cubic_apron, interpolate_cubic
from bandweave.degrade.instrument import Blur, Instrument
from bandweave.errors import GridMismatchError
from bandweave.instruments import HyperspectralModel, PointSpread
from bandweave.methods.base import Local
from bandweave.methods.consistency import DEFAULT_NOISE, Consistency
from bandweave.methods.convention import require_blur
from bandweave.methods.local_affine import Box, Gaussian, RegressionWindow, fit_locally
from bandweave.methods.statistics import Features, Measurement, SceneStatistics
from bandweave.pair import ImagePair, Mask, PairProfile
from bandweave.radiometry import Image
from bandweave.sensors import Sensor
from bandweave.window import Window

# ε as a share of the squared unit range: below it the guides' variance is taken for noise.
_FLOOR = 1e-6

# Share of the kernel that has to lie on valid pixels for a coarse pixel to count, as in the
# consistency step.
_SEEN = 0.8


# The same where powers of the guides, in the unit range, are guides as well.
_POWERS_FLOOR = 1e-7


class Guides(StrEnum):
    """What the bands are regressed on."""

    LINEAR = "linear"
    """The sharp bands z."""
    SQUARES = "squares"
    """z and z²: a relation that bends."""
    ROOTS = "roots"
    """z and √z: one that bends in the dark."""


@dataclass(frozen=True, slots=True)
class Variant:
    """One way to regress."""

    window: RegressionWindow
    adds_residual: bool
    """Whether y − A x₀ is interpolated and added."""
    guides: Guides = Guides.LINEAR


HYPERSPECTRAL_VARIANTS = tuple(
    Variant(window, adds_residual)
    for window in (Box(3), Box(5), Gaussian(0.8))
    for adds_residual in (False, True)
)
"""Their mean is better than each of them where there are several guides."""
ENSEMBLE_VARIANTS = (
    Variant(Box(3), adds_residual=False),
    Variant(Box(5), adds_residual=True),
    Variant(Gaussian(0.8), adds_residual=False),
    Variant(Box(7), adds_residual=False, guides=Guides.SQUARES),
    Variant(Box(5), adds_residual=False, guides=Guides.ROOTS),
    Variant(Box(7), adds_residual=False, guides=Guides.ROOTS),
)
"""Relations that bend are found in larger windows; they err elsewhere than the straight ones do."""
PAN_VARIANTS = (Variant(Box(5), adds_residual=True),)
"""One guide explains less of the bands; the residual gives back what it leaves."""


@dataclass(frozen=True, slots=True)
class FittedLocalRegression:
    """Local regression with everything settled."""

    reach: Local
    blur: Blur
    variants: tuple[Variant, ...]
    unit: float
    """What the sharp image is divided by before its powers are taken, and ε is a share of."""
    consistency: Consistency | None
    """Step that follows, or None."""

    def fuse(self, pair: ImagePair) -> Image:
        """Return the mean of the variants."""
        hrms: Image = np.zeros((pair.spectral.shape[0], *pair.shape), pair.spectral.dtype)
        for bands, x0, count in self._results(pair):
            hrms[bands] += x0 * (count / len(self.variants))
        if self.consistency is not None:
            hrms = self.consistency.apply(hrms, pair)
        return hrms

    @property
    def count(self) -> int:
        """Return the number of variants."""
        return len(self.variants)

    def members(self, pair: ImagePair, core: Window) -> Iterator[Image]:
        """Return every variant by itself on a part of a pair; `fuse` returns their mean.

        Each is made consistent where the mean is.
        """
        for variant in self.variants:
            yield core.cut(replace(self, variants=(variant,)).fuse(pair))

    def _results(self, pair: ImagePair) -> Iterator[tuple[slice | list[int], Image, int]]:
        """Return for bands that are blurred alike: which, a result, and how often it counts."""
        instrument = Instrument(self.blur, pair.ratio, pair.phase)
        for part, bands in instrument.parts(pair.spectral.shape[0]):
            some = pair.replace(spectral=pair.spectral[bands])
            step = Consistency(part.blur, noise=0.0)
            for guides in dict.fromkeys(variant.guides for variant in self.variants):
                of_these = [variant for variant in self.variants if variant.guides == guides]
                taught, floor = self._guided_by(guides, some)
                seen, counted = _seen_guides(taught, part)
                for window in dict.fromkeys(variant.window for variant in of_these):
                    field = fit_locally(seen, some.spectral, window, floor, counted)
                    x0 = field.apply(taught.spatial, pair.ratio, pair.phase)
                    uses = [variant for variant in of_these if variant.window == window]
                    yield bands, x0, len(uses)
                    with_residual = sum(variant.adds_residual for variant in uses)
                    if with_residual:
                        residual = step.residual(x0, some)
                        detail = interpolate_cubic(residual, pair.ratio, pair.phase)
                        yield bands, detail, with_residual

    def _guided_by(self, guides: Guides, pair: ImagePair) -> tuple[ImagePair, float]:
        """Return the pair with all guides for its sharp bands, and ε for them."""
        if guides is Guides.LINEAR:
            return pair, _FLOOR * self.unit**2
        z = pair.spatial / self.unit
        power = z**2 if guides is Guides.SQUARES else np.sqrt(np.maximum(z, 0))
        return pair.replace(spatial=np.concatenate([z, power])), _POWERS_FLOOR


@dataclass(frozen=True, slots=True)
class LocalRegression:
    """Local affine regression of the bands on the sharp image, learned on the coarse grid.

    With z_d = A z the sharp image as the coarse instrument sees it, in windows of coarse pixels
    y_b ≈ a_bᵀ z_d + b_b by least squares; a and b are smoothed by the same window and interpolated
    to the fine grid (Keys' cubic, at the pair's phase), where x₀ = aᵀ z + b. A variant may add the
    interpolated residual y − A x₀. The result is the mean over the variants.

    Any number of guides and bands, any ratio and phase; A by point spread or by MTF per band.
    Masked pixels do not enter the moments.

    Source: K. He, J. Sun and X. Tang, 2013, "Guided image filtering", IEEE TPAMI 35(6), 1397-1409;
    here with several guides and across resolutions.
    """

    variants: tuple[Variant, ...] | None = None
    """What is averaged; by default `PAN_VARIANTS` for one guide, else `HYPERSPECTRAL_VARIANTS`."""
    is_consistent: bool = False
    """Make the mean consistent with both images, for use as the start of something better."""
    id: str = "local_regression"
    precision: type[np.float32 | np.float64] = np.float64

    def measurement(self, profile: PairProfile) -> Measurement | None:
        """Find the largest value of the sharp image where the full scale is not known."""
        require_blur(profile, self.id)
        if profile.full_scale is not None:
            return None

        def features(pair: ImagePair, core: Window) -> Features:
            none = core.coarse(pair.ratio).cut(pair.spectral)[:0]
            return Features(core.cut(pair.spatial), none)

        return Measurement(features, apron=0)

    def fit(
        self, profile: PairProfile, statistics: SceneStatistics | None
    ) -> FittedLocalRegression:
        """Settle the instrument, the variants and ε.

        Raises:
            SensorModelError: Neither a point spread nor MTF gains are known.
        """
        blur = require_blur(profile, self.id)
        variants = self.variants
        if variants is None:
            variants = PAN_VARIANTS if profile.spatial_bands == 1 else HYPERSPECTRAL_VARIANTS
        unit = profile.full_scale
        if unit is None:
            assert statistics is not None
            unit = float(np.abs([statistics.fine.smallest, statistics.fine.largest]).max())
        consistency = _consistency(blur, profile) if self.is_consistent else None
        return FittedLocalRegression(
            Local(_apron(blur, profile, variants, consistency)),
            blur,
            variants,
            # A sharp image of zeros has no scale; any ε makes its regression a mean.
            unit or 1.0,
            consistency,
        )


@dataclass(frozen=True, slots=True)
class RegressionEnsemble(LocalRegression):
    """Mean of local regressions on the sharp bands, on their squares and on their roots.

    Within a window the relation of a band to the sharp ones is a line as long as two materials mix;
    with three or more, or where shading meets colour, it bends. z² and √z let it, and are seen by
    the coarse instrument as A z² and A √z, which are known: z is. Straight and bent relations err
    in different places, so that their mean is better than each.

    Source: as `LocalRegression`; the powers are ours (docs/hyperspectral.md gives what they bring).
    """

    variants: tuple[Variant, ...] | None = ENSEMBLE_VARIANTS
    id: str = "regression_ensemble"


def hyperspectral_base(spatial: Image, spectral: Image, model: HyperspectralModel) -> Image:
    """Return the best closed form known here: the mean of six local regressions, consistent.

    Args:
        spatial: RGB or MSI `(c, H, W)`, unit range.
        spectral: Hyperspectral image `(C, h, w)`, unit range, H = ratio · h.
        model: Point spread, phase and response.

    Returns:
        `(C, H, W)`, float64, unit range up to overshoot. Degraded again it gives back `spectral`,
        mixed by the response it gives back `spatial`; both exactly where they are free of noise.

    Raises:
        GridMismatchError: The sizes are not a whole ratio apart.
        BandCountError: The response is for other bands.
    """
    ratio = spatial.shape[1] // max(spectral.shape[1], 1)
    if spatial.shape[1:] != (spectral.shape[1] * ratio, spectral.shape[2] * ratio):
        raise GridMismatchError(
            f"The sharp image must be a whole number of times as large as the coarse one, got "
            f"{spatial.shape[1:]} and {spectral.shape[1:]}."
        )
    sensor = Sensor("model", "the given model", (), psf=model.psf, response=model.response)
    pair = ImagePair(
        spatial.astype(np.float64),
        spectral.astype(np.float64),
        ratio,
        model.phase,
        full_scale=1.0,
        sensor=sensor,
    )
    method = LocalRegression(HYPERSPECTRAL_VARIANTS, is_consistent=True)
    return method.fit(pair.profile, None).fuse(pair)


def _seen_guides(pair: ImagePair, instrument: Instrument) -> tuple[Image, Mask | None]:
    """Return the sharp image as the coarse instrument sees it, and where that tells something.

    Bands that the instrument blurs alike are given; the guides are blurred as they are.
    """
    one = replace(instrument, blur=_one_blur(instrument.blur))
    if pair.valid is None or pair.valid.all():
        return one.observe(pair.spatial), None
    share = one.observe(pair.valid[None].astype(pair.spatial.dtype))[0]
    coarse = pair.coarse_valid
    assert coarse is not None
    counted: Mask = (share > _SEEN) & coarse
    seen = one.observe(np.where(pair.valid, pair.spatial, 0))
    return seen / np.where(counted, share, 1), counted


def _one_blur(blur: Blur) -> Blur:
    return blur if isinstance(blur, PointSpread) else blur[:1]


def _consistency(blur: Blur, profile: PairProfile) -> Consistency:
    """Return the step that follows: exact for a point spread, tolerant for MTF gains."""
    assert profile.sensor is not None
    noise = 0.0 if isinstance(blur, PointSpread) else DEFAULT_NOISE
    return Consistency(blur, noise, profile.sensor.response)


def _apron(
    blur: Blur, profile: PairProfile, variants: tuple[Variant, ...], consistency: Consistency | None
) -> int:
    """Return the context that makes everything exact: each step's own, one behind the other."""
    ratio, phase = profile.ratio, profile.phase
    seen = Instrument(blur, ratio, phase).apron
    radius = max(variant.window.radius for variant in variants)
    total = seen + 2 * radius * ratio + cubic_apron(ratio)
    if any(variant.adds_residual for variant in variants):
        total += seen + cubic_apron(ratio)
    if consistency is not None:
        total += consistency.apron(ratio, phase)
    return total
