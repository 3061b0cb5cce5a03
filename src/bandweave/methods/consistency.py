"""Keep what is known exactly: seen again by the coarse instrument, a result gives its image back.

Consistency is the first property that L. Wald et al. (1997) ask of a fused image. Any result x₀ is
moved to the nearest image that has it,

    x = x₀ + Aᵀ (A Aᵀ + λ I)⁻¹ (y − A x₀),

where A filters with the MTF and samples, and y is the spectral image. It is the solution of
min ‖x − x₀‖² + ‖A x − y‖² / λ, and for λ = 0 that of min ‖x − x₀‖² with A x = y. A Aᵀ is a
convolution on the coarse grid, so that its inverse is one small filter there: one pass, linear,
local, and the same in every tile.

Where the sharp image is made of the very bands that are sought, z = P x with a spectral response
P (RGB or MSI beside a hyperspectral image), each pixel is moved to the nearest spectrum that has
it,

    x = x₀ + Pᵀ (P Pᵀ + λ I)⁻¹ (z − P x₀).

Both steps commute where all bands have one point spread, so that one of each is the nearest image
that meets both conditions. A PAN is no exact mixture of the bands: it asks for nothing.

Light is not negative. Where a scene is known to have no negative values, those of x₀ are raised to
0 first. The set of such images is convex like that of both conditions, so that neither move can
lengthen the distance to the scene (λ = 0). It matters to methods that meet both images already and
miss the scene within what these leave open.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from bandweave.degrade.instrument import Blur, Instrument
from bandweave.degrade.sampling import Kernels, correlate
from bandweave.errors import BandCountError, SensorModelError, ShapeError
from bandweave.instruments import PointSpread, ResponseMatrix
from bandweave.pair import ImagePair, Mask
from bandweave.radiometry import Image

DEFAULT_NOISE = 1e-3
"""λ for pansharpening: against λ = 0 it costs hundredths of a dB on clean data and gains more than
a tenth where the MS carries noise (docs/consistency.md)."""

# Share of the residual that the cut inverse filter may leave (or add) at any frequency: with it a
# GaoFen-2 image seen again differs by less than 0.01 DN from the MS where λ is 0.
_TOLERANCE = 1e-4
_LARGEST_RADIUS = 32
_FREQUENCIES = 128

# Share of a band's kernel that has to lie on valid pixels for the residual to count. Of the shares
# from 0.6 to 0.99 the error beside a mask is smallest at 0.8 and 0.9 (docs/consistency.md).
_SEEN = 0.8

# Where bands differ in their MTF the two steps do not commute and take turns this often; each turn
# asks for the step's whole context once more.
_TURNS = 4


@dataclass(frozen=True, slots=True)
class Consistency:
    """The step that makes a fused image consistent with the spectral image it was made of.

    Kernels are normalised, so that constant images are consistent with each other. Beyond the
    scene's edge the residual is continued as its mirror image.

    Example:
        >>> lrms = np.random.default_rng(0).uniform(0, 2047, (3, 32, 32))
        >>> pair = ImagePair(np.zeros((1, 128, 128)), lrms, 4, (1.5, 1.5))
        >>> step, x0 = Consistency((0.3,), noise=0.0), np.full((3, 128, 128), 1000.0)
        >>> inside = step.comparable(pair)
        >>> misfits = [abs(step.residual(x, pair))[inside] for x in (x0, step.apply(x0, pair))]
        >>> bool(misfits[1].mean() < 1e-4 * misfits[0].mean())
        True
    """

    blur: Blur
    """MTF gains at the coarse Nyquist frequency, one per band or one for all, in (0, 1); or the
    point spread of all bands."""
    noise: float = DEFAULT_NOISE
    """λ, 0 or more: variance of the noise in the images over that of the error in x₀."""
    response: ResponseMatrix | None = None
    """P `(c, C)` where the spatial image is made of the spectral bands, else None."""
    is_nonnegative: bool = False
    """Whether the scene has no negative values: those of x₀ are then raised to 0 before the steps,
    but for coarse pixels that are negative themselves. The result may still fall below 0."""

    def __post_init__(self) -> None:
        if not self.noise >= 0:
            raise SensorModelError(f"The consistency noise must be 0 or more, got {self.noise}.")

    def apply(self, hrms: Image, pair: ImagePair) -> Image:
        """Return the image nearest to `hrms` that the instrument could have seen as `spectral`.

        Args:
            hrms: Any fused image `(C, H, W)`, physical values; the values of invalid pixels have
                no influence.
            pair: What it was made of; the coarse pixels of its masked part ask for nothing.

        Returns:
            `(C, H, W)` in the type of `hrms`, not clipped to any range.

        Raises:
            BandCountError: There are neither one nor C gains, or the response has other bands.
            SensorModelError: A gain is outside (0, 1), or too low for so small a λ.
            ShapeError: The image does not lie on the pair's fine grid.
        """
        if self.is_nonnegative:
            hrms = _raised(hrms, pair)
        for _ in range(self._turns):
            hrms = self._seen_as_spectral(hrms, pair)
            if self.response is not None:
                hrms = seen_as_spatial(hrms, pair, self.response, self.noise)
        return hrms

    def _seen_as_spectral(self, hrms: Image, pair: ImagePair) -> Image:
        """Return the nearest image that gives back the spectral one."""
        instrument = self._instrument(pair)
        filters = inverse_filters(self.blur, pair.ratio, pair.phase, self.noise)
        radius, margin = filters.shape[-1] // 2, instrument.apron // pair.ratio
        around = [(0, 0), *[(margin + radius, margin + radius)] * 2]
        residual = np.pad(self.residual(hrms, pair), around, mode="symmetric")
        filtered = correlate(residual, filters)[:, radius:-radius, radius:-radius]
        correction = instrument.adjoint(filtered)
        height, width = pair.shape
        top = margin * pair.ratio
        return hrms + correction[:, top : top + height, top : top + width]

    def residual(self, hrms: Image, pair: ImagePair) -> Image:
        """Return y − A x `(C, h, w)`; 0 where the mask hides the pixel or what it sees.

        Beside a mask, A averages over the valid pixels alone.

        Raises:
            ShapeError: The image does not lie on the pair's fine grid.
        """
        wanted = (pair.spectral.shape[0], *pair.shape)
        if hrms.shape != wanted:
            raise ShapeError(f"The fused image must be {wanted} as its pair, got {hrms.shape}.")
        lrms = pair.spectral.astype(hrms.dtype, copy=False)
        if pair.valid is None or pair.valid.all():
            return lrms - self._instrument(pair).observe(hrms)
        share = self._seen(pair.valid, len(hrms), pair)
        counted = self._counted(share, pair)
        seen = self._instrument(pair).observe(np.where(pair.valid, hrms, 0))
        residual = np.zeros_like(lrms)
        residual[counted] = lrms[counted] - seen[counted] / share[counted]
        return residual

    def comparable(self, pair: ImagePair) -> Mask:
        """Return where `residual` tells the truth of a pair that was cut out of a larger one.

        Returns:
            `(C, h, w)`, False beside and under masks, and where A reaches beyond the pair.
        """
        margin = self._instrument(pair).apron // pair.ratio
        inner = np.zeros(pair.spectral.shape, dtype=bool)
        height, width = pair.spectral.shape[1:]
        inner[:, margin : height - margin, margin : width - margin] = True
        if pair.valid is not None and not pair.valid.all():
            inner &= self._counted(self._seen(pair.valid, len(inner), pair), pair)
        return inner

    def apron(self, ratio: int, phase: tuple[float, float]) -> int:
        """Return the fine pixels of context that make `apply` exact, a multiple of the ratio.

        Raises:
            SensorModelError: A gain is outside (0, 1), or too low for so small a λ.
        """
        radius: int = inverse_filters(self.blur, ratio, phase, self.noise).shape[-1] // 2
        # x₀ is seen by A, the residual by the inverse filter, and its result by Aᵀ.
        once = 2 * Instrument(self.blur, ratio, phase).apron + radius * ratio
        return self._turns * once

    @property
    def _turns(self) -> int:
        """Return how often the steps take turns: once where they commute."""
        one_blur = isinstance(self.blur, PointSpread) or len(set(self.blur)) == 1
        return 1 if self.response is None or one_blur else _TURNS

    def _instrument(self, pair: ImagePair) -> Instrument:
        return Instrument(self.blur, pair.ratio, pair.phase)

    def _seen(self, valid: Mask, bands: int, pair: ImagePair) -> Image:
        """Return the share of each kernel that lies on valid pixels `(C, h, w)`."""
        mask = np.repeat(valid[None].astype(pair.spectral.dtype), bands, axis=0)
        return self._instrument(pair).observe(mask)

    def _counted(self, share: Image, pair: ImagePair) -> Mask:
        coarse = pair.coarse_valid
        assert coarse is not None
        counted: Mask = (share > _SEEN) & coarse
        return counted


def _raised(hrms: Image, pair: ImagePair) -> Image:
    """Return the image without negative values, but where the spectral image is negative, too.

    Noise and atmospheric corrections leave some there, which the step has to give back.
    """
    is_low = (pair.spectral < 0).repeat(pair.ratio, axis=1).repeat(pair.ratio, axis=2)
    return np.where(is_low, hrms, np.maximum(hrms, 0))


def seen_as_spatial(
    hrms: Image, pair: ImagePair, response: ResponseMatrix, noise: float = 0.0
) -> Image:
    """Return the image nearest to `hrms` whose bands, mixed by the response, are the spatial image.

    Args:
        hrms: `(C, H, W)`, physical values.
        pair: Its spatial image is `(c, H, W)`; invalid pixels are left as they are.
        response: P, `(c, C)`; rows that depend on each other count once.
        noise: λ, 0 or more.

    Raises:
        BandCountError: The response is for other bands.
    """
    matrix = np.array(response)
    if matrix.shape != (pair.spatial.shape[0], hrms.shape[0]):
        raise BandCountError(
            f"The spectral response makes {matrix.shape[0]} bands of {matrix.shape[1]}, the pair "
            f"has {pair.spatial.shape[0]} spatial and {hrms.shape[0]} spectral bands."
        )
    missing = pair.spatial - np.tensordot(matrix.astype(hrms.dtype), hrms, axes=1)
    if pair.valid is not None:
        missing = np.where(pair.valid, missing, 0)
    # λ as rows of their own: the pseudo-inverse then holds for λ = 0 and dependent rows, too.
    count = len(matrix)
    widened = np.hstack([matrix, np.sqrt(noise) * np.eye(count)])
    inverse = np.linalg.pinv(widened)[: matrix.shape[1]]
    back: Image = np.tensordot(inverse.astype(hrms.dtype), missing, axes=1)
    return hrms + back


@lru_cache(maxsize=64)
def inverse_filters(blur: Blur, ratio: int, phase: tuple[float, float], noise: float) -> Kernels:
    """Return the filters (A Aᵀ + λ I)⁻¹ on the coarse grid, one per gain or one for all bands.

    Each is the inverse transform of 1 / (S + λ), S(ω) = Σ_k c_k exp(−iωk) being the symbol of A Aᵀ
    and c its answer to a single coarse pixel: the kernel's autocorrelation at multiples of the
    ratio. It is cut at the smallest radius that leaves at most 1e-4 of any frequency. Where the
    kernels of neighbouring samples do not overlap it is 1 / (‖h‖² + λ).

    Returns:
        `(F, 2·radius + 1, 2·radius + 1)`, read-only.

    Raises:
        SensorModelError: A gain is outside (0, 1), or too low for so small a λ.
    """
    single: list[Blur] = [blur] if isinstance(blur, PointSpread) else [(gain,) for gain in blur]
    inverses = [_inverse(Instrument(one, ratio, phase), noise) for one in single]
    radius = max(_radius(symbol, taps) for symbol, taps in inverses)
    if radius > _LARGEST_RADIUS:
        raise SensorModelError(
            f"With the noise {noise:g} {_name(blur)} cannot be inverted locally; "
            f"give --consistency-noise {max(DEFAULT_NOISE, 10 * noise):g} or more."
        )
    filters = np.stack([_cut(taps, radius) for _, taps in inverses])
    filters.setflags(write=False)
    return filters


def _inverse(instrument: Instrument, noise: float) -> tuple[NDArray[np.float64], Kernels]:
    """Return S + λ at the frequencies of a grid, and its inverse with the middle tap centred."""
    # Two kernels overlap up to twice their half width; one more cell for the fraction of the phase.
    reach = 2 * instrument.apron // instrument.ratio + 1
    size = 2 * reach + 1
    pixel = np.zeros((1, size, size))
    pixel[0, reach, reach] = 1
    answer = instrument.observe(instrument.adjoint(pixel))[0]
    symbol = _transform(answer) + noise
    # What rounding makes of a symbol without power may be 0 or less: `_radius` finds the filter of
    # a positive one endless.
    symbol = np.maximum(symbol, np.finfo(np.float64).eps * symbol.max())
    return symbol, np.fft.fftshift(np.fft.ifft2(1 / symbol).real)


def _name(blur: Blur) -> str:
    return blur.name if isinstance(blur, PointSpread) else f"an MTF gain of {min(blur):g}"


def _transform(taps: Kernels) -> NDArray[np.float64]:
    """Return the transform of a symmetric kernel about its middle tap, which is real."""
    reach = taps.shape[0] // 2
    padded = np.zeros((_FREQUENCIES, _FREQUENCIES))
    padded[: taps.shape[0], : taps.shape[1]] = taps
    transform: NDArray[np.float64] = np.fft.fft2(np.roll(padded, (-reach, -reach), (0, 1))).real
    return transform


def _cut(taps: Kernels, radius: int) -> Kernels:
    middle = taps.shape[0] // 2
    kept = slice(middle - radius, middle + radius + 1)
    return taps[kept, kept]


def _radius(symbol: NDArray[np.float64], taps: Kernels) -> int:
    """Return the smallest radius within the tolerance, one above the largest if there is none."""
    for radius in range(1, _LARGEST_RADIUS + 1):
        left = np.abs(symbol * _transform(_cut(taps, radius)) - 1)
        if left.max() <= _TOLERANCE:
            return radius
    return _LARGEST_RADIUS + 1
