"""The MTF-matched generalised Laplacian pyramid: detail added (FS) or multiplied (HPM, HPM-R)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from bandweave.methods.base import Fitted, Local, Reach
from bandweave.methods.convention import Convention, low_pan_apron, require_gains
from bandweave.methods.modulation import EPSILON, FLOOR_SHARE, contrast
from bandweave.methods.portions import row_portions
from bandweave.methods.statistics import Features, Moments, SceneStatistics, Vector
from bandweave.methods.two_pass import TwoPass, require_varying
from bandweave.pair import ImagePair, PairProfile
from bandweave.radiometry import Image
from bandweave.window import Window


@dataclass(frozen=True, slots=True)
class BandFilters:
    """The MTF gain of each band; bands of one gain share a filtered PAN."""

    gains: tuple[float, ...]

    @property
    def distinct(self) -> list[float]:
        """Return the gains that occur, each once."""
        return sorted(set(self.gains))

    @property
    def index(self) -> list[int]:
        """Return for each band its place in `distinct`."""
        return [self.distinct.index(gain) for gain in self.gains]


@dataclass(frozen=True, slots=True, eq=False)
class FittedInjection:
    """MTF-GLP with settled gains: F_b = M_b + g_b · (P − P_L,b)."""

    reach: Reach
    convention: Convention
    filters: BandFilters
    injection: Vector
    """`(C,)`, g."""

    def fuse(self, pair: ImagePair) -> Image:
        """Add the PAN's detail to each band."""
        return self.fuse_core(pair, Window.whole(pair.shape))

    def fuse_core(self, pair: ImagePair, core: Window) -> Image:
        """Return the same of a part."""
        hrms = self.convention.upsample(pair, core)
        low = self.convention.low_pan(pair, self.filters.distinct, core)
        pan = core.cut(pair.spatial)[0]
        kind = hrms.dtype.type
        for rows in row_portions(*pan.shape):
            detail = pan[rows] - low[:, rows]
            for band, k in enumerate(self.filters.index):
                hrms[band, rows] += kind(self.injection[band]) * detail[k]
        return hrms


@dataclass(frozen=True, slots=True, eq=False)
class FittedModulation:
    """MTF-GLP-HPM with the PAN matched to each band: F_b = M_b · P_b / P_bL, P_b = a_b P + c_b."""

    reach: Reach
    convention: Convention
    filters: BandFilters
    slope: Vector
    """`(C,)`, a."""
    offset: Vector
    """`(C,)`, c."""
    floor: Vector | None
    """`(C,)`, smallest P_bL to divide by, DN; None for the toolbox's quotient without floor."""
    is_offset_filtered: bool
    """Whether P_bL is the filtered P_b, or a_b P_L + c_b. Equal where kernels sum to 1."""

    def fuse(self, pair: ImagePair) -> Image:
        """Scale each band by the contrast of its matched PAN."""
        return self.fuse_core(pair, Window.whole(pair.shape))

    def fuse_core(self, pair: ImagePair, core: Window) -> Image:
        """Return the same of a part."""
        hrms = self.convention.upsample(pair, core)
        low = self.convention.low_pan(pair, self.filters.distinct, core)
        pan = core.cut(pair.spatial)[0]
        if self.floor is None:
            self._divide(hrms, pair, pan, low)
            return hrms
        for rows in row_portions(*pan.shape):
            self._modulate(hrms[:, rows], pan[rows], low[:, rows])
        return hrms

    def _modulate(self, bands: Image, pan: Image, low: Image) -> None:
        """Scale some rows, in place."""
        assert self.floor is not None
        kind = bands.dtype.type
        detail = pan - low
        for band, k in enumerate(self.filters.index):
            slope, offset = kind(self.slope[band]), kind(self.offset[band])
            matched = slope * low[k]
            matched += offset
            bands[band] *= contrast(slope * detail[k], matched, float(self.floor[band]))

    def _divide(self, hrms: Image, pair: ImagePair, pan: Image, low: Image) -> None:
        """Multiply by the quotient as the toolbox has it: of the pair as a whole."""
        ones = np.ones_like(low)
        if self.is_offset_filtered:
            flat = pair.replace(spatial=np.ones_like(pair.spatial))
            ones = self.convention.low_pan(flat, self.filters.distinct)
        for band, k in enumerate(self.filters.index):
            slope, offset = self.slope[band], self.offset[band]
            sharp = slope * pan + offset
            hrms[band] *= sharp / (slope * low[k] + offset * ones[k] + EPSILON)


@dataclass(frozen=True, slots=True)
class _MtfGlp(TwoPass):
    """What the three variants share."""

    needs_gains: ClassVar[bool] = True

    def apron(self, profile: PairProfile) -> int:
        """Return the reach of filtering, decimating and interpolating the PAN."""
        return low_pan_apron(profile.ratio)

    def _filters(self, profile: PairProfile) -> BandFilters:
        return BandFilters(require_gains(profile, self.id))

    def _modulation(
        self, profile: PairProfile, moments: Moments, slope: Vector, *, is_offset_filtered: bool
    ) -> FittedModulation:
        """Settle P_b = a_b P + c_b such that its mean is the band's."""
        mean = moments.mean[: profile.bands]
        return FittedModulation(
            reach=Local(self.apron(profile)),
            convention=self.convention,
            filters=self._filters(profile),
            slope=slope,
            offset=mean - slope * moments.mean[profile.bands],
            floor=None if self.toolbox else FLOOR_SHARE * mean,
            is_offset_filtered=is_offset_filtered,
        )


@dataclass(frozen=True, slots=True)
class MtfGlpFs(_MtfGlp):
    """MTF-GLP-FS: add the PAN's detail with a gain regressed at full scale.

    F_b = M_b + g_b · (P − P_L,b), g_b = cov(M_b, P) / cov(P_L,b, P), where P_L,b is the PAN behind
    the MTF of band b, decimated and interpolated again.

    Source: G. Vivone, R. Restaino and J. Chanussot, 2018, "Full scale regression-based injection
    coefficients for panchromatic sharpening", IEEE TIP 27(7), 3418-3431.
    """

    id: ClassVar[str] = "mtf_glp_fs"

    def features(self, pair: ImagePair, profile: PairProfile, core: Window) -> Features:
        """Return M, P and the distinct P_L."""
        return _bands_and_low_pan(self.convention, pair, self._filters(profile), core)

    def settle(self, profile: PairProfile, statistics: SceneStatistics) -> Fitted:
        """Regress the gain of each band.

        Raises:
            NodataError: The PAN does not vary.
        """
        filters = self._filters(profile)
        moments, bands = statistics.fine, profile.bands
        low = [bands + 1 + k for k in filters.index]
        require_varying(moments, bands, "a PAN", self.id)
        injection = moments.comoment[:bands, bands] / moments.comoment[low, bands]
        reach = Local(self.apron(profile))
        return FittedInjection(reach, self.convention, filters, injection)


@dataclass(frozen=True, slots=True)
class MtfGlpHpm(_MtfGlp):
    """MTF-GLP-HPM: multiply each band by the contrast of the PAN matched to it.

    P_b = (P − mean P) · std(M_b) / std(LP(P)) + mean(M_b), with LP a Gaussian of gain 0.3;
    F_b = M_b · P_b / P_bL, where P_bL is P_b behind the MTF of band b, decimated and interpolated.
    Denominators below a tenth of mean(M_b) are raised to that value.

    Source: G. Vivone, R. Restaino, M. Dalla Mura, G. Licciardi and J. Chanussot, 2014, "Contrast
    and error-based fusion schemes for multispectral image pansharpening", IEEE GRSL 11(5), 930-934.
    """

    id: ClassVar[str] = "mtf_glp_hpm"

    def features(self, pair: ImagePair, profile: PairProfile, core: Window) -> Features:
        """Return M, P and LP(P)."""
        del profile
        smooth = self.convention.smooth_pan(pair, core)
        bands = self.convention.upsample(pair, core)
        fine = np.concatenate([bands, core.cut(pair.spatial), smooth])
        return Features(fine, coarse=core.coarse(pair.ratio).cut(pair.spectral)[:0])

    def settle(self, profile: PairProfile, statistics: SceneStatistics) -> Fitted:
        """Match the PAN to each band by mean and deviation.

        Raises:
            NodataError: The PAN does not vary.
        """
        moments, bands = statistics.fine, profile.bands
        require_varying(moments, bands + 1, "a PAN", self.id)
        variance = np.diag(moments.comoment)
        slope = np.sqrt(variance[:bands] / variance[bands + 1])
        return self._modulation(profile, moments, slope, is_offset_filtered=True)


@dataclass(frozen=True, slots=True)
class MtfGlpHpmR(_MtfGlp):
    """MTF-GLP-HPM-R: high-pass modulation with the PAN matched by regression.

    g_b = cov(M_b, P_L,b) / var(P_L,b), c_b = mean(M_b) / g_b − mean(P),
    F_b = M_b · (P + c_b) / (P_L,b + c_b). Written with numerator and denominator multiplied by
    g_b, so that a band unrelated to the PAN (g_b = 0) is kept. Denominators below a tenth of
    mean(M_b) are raised to that value.

    Source: G. Vivone, R. Restaino and J. Chanussot, 2018, "A regression-based high-pass modulation
    pansharpening approach", IEEE TGRS 56(2), 984-996.
    """

    id: ClassVar[str] = "mtf_glp_hpm_r"

    def features(self, pair: ImagePair, profile: PairProfile, core: Window) -> Features:
        """Return M, P and the distinct P_L."""
        return _bands_and_low_pan(self.convention, pair, self._filters(profile), core)

    def settle(self, profile: PairProfile, statistics: SceneStatistics) -> Fitted:
        """Regress each band on its low-pass PAN.

        Raises:
            NodataError: The PAN does not vary.
        """
        filters = self._filters(profile)
        moments, bands = statistics.fine, profile.bands
        low = [bands + 1 + k for k in filters.index]
        for feature in sorted(set(low)):
            require_varying(moments, feature, "a PAN", self.id)
        slope = moments.comoment[range(bands), low] / moments.comoment[low, low]
        return self._modulation(profile, moments, slope, is_offset_filtered=False)


def _bands_and_low_pan(
    convention: Convention, pair: ImagePair, filters: BandFilters, core: Window
) -> Features:
    low = convention.low_pan(pair, filters.distinct, core)
    fine = np.concatenate([convention.upsample(pair, core), core.cut(pair.spatial), low])
    return Features(fine, coarse=core.coarse(pair.ratio).cut(pair.spectral)[:0])
