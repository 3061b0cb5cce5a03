"""Local regression: what neighbouring pixels say of bands and guides, applied to sharper guides.

In a small window every band is nearly an affine function of the sharp image's bands. The relation
is learned on the coarse grid, where both are known once the sharp image is blurred and sampled as
the coarse instrument would, and applied on the fine grid. Nothing is trained.

For a hyperspectral network that starts from the best closed form, `hyperspectral_base` returns the
mean of six variants of it (windows of 3 and 5 pixels and a Gaussian of 0.8, each with and without
the residual), made consistent with both images.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

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

# ε as a share of the squared unit range: below it the guides' variance is taken for noise.
_FLOOR = 1e-6

# Share of the kernel that has to lie on valid pixels for a coarse pixel to count, as in the
# consistency step.
_SEEN = 0.8


@dataclass(frozen=True, slots=True)
class Variant:
    """One way to regress."""

    window: RegressionWindow
    adds_residual: bool
    """Whether y − A x₀ is interpolated and added."""


HYPERSPECTRAL_VARIANTS = tuple(
    Variant(window, adds_residual)
    for window in (Box(3), Box(5), Gaussian(0.8))
    for adds_residual in (False, True)
)
"""Their mean is better than each of them where there are several guides."""
PAN_VARIANTS = (Variant(Box(5), adds_residual=True),)
"""One guide explains less of the bands; the residual gives back what it leaves."""


@dataclass(frozen=True, slots=True)
class FittedLocalRegression:
    """Local regression with everything settled."""

    reach: Local
    blur: Blur
    variants: tuple[Variant, ...]
    floor: float
    """ε in the guides' unit squared."""
    consistency: Consistency | None
    """Step that follows, or None."""

    def fuse(self, pair: ImagePair) -> Image:
        """Return the mean of the variants."""
        instrument = Instrument(self.blur, pair.ratio, pair.phase)
        hrms: Image = np.zeros((pair.spectral.shape[0], *pair.shape))
        for part, bands in instrument.parts(pair.spectral.shape[0]):
            some = pair.replace(spectral=pair.spectral[bands])
            hrms[bands] = self._mean_of_variants(some, part)
        if self.consistency is not None:
            hrms = self.consistency.apply(hrms, pair)
        return hrms.astype(pair.spectral.dtype, copy=False)

    def _mean_of_variants(self, pair: ImagePair, instrument: Instrument) -> Image:
        """Fuse bands that are blurred alike."""
        seen, counted = _seen_guides(pair, instrument)
        total = np.zeros((pair.spectral.shape[0], *pair.shape))
        step = Consistency(instrument.blur, noise=0.0)
        for window in dict.fromkeys(variant.window for variant in self.variants):
            field = fit_locally(seen, pair.spectral, window, self.floor, counted)
            x0 = field.apply(pair.spatial, pair.ratio, pair.phase)
            uses = [variant for variant in self.variants if variant.window == window]
            total += len(uses) * x0
            with_residual = sum(variant.adds_residual for variant in uses)
            if with_residual:
                residual = step.residual(x0, pair)
                total += with_residual * interpolate_cubic(residual, pair.ratio, pair.phase)
        return total / len(self.variants)


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
        return Measurement(
            lambda pair, core: Features(core.cut(pair.spatial), pair.spectral[:0]), apron=0
        )

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
            _FLOOR * (unit or 1.0) ** 2,
            consistency,
        )


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
