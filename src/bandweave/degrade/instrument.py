"""A: what the coarse instrument makes of a fine image, whatever is known of its optics."""

from __future__ import annotations

from dataclasses import dataclass

from bandweave.degrade.observe import observation_apron, observe, observe_adjoint
from bandweave.degrade.sampling import correlate_decimate, correlate_decimate_adjoint
from bandweave.instruments import PointSpread
from bandweave.radiometry import Image

Blur = tuple[float, ...] | PointSpread
"""MTF gains at the coarse Nyquist frequency, one per band or one for all; or one point spread."""


@dataclass(frozen=True, slots=True)
class Instrument:
    """Blur and sampling on given grids; kernels sum to 1, the border is replicated."""

    blur: Blur
    ratio: int
    """Fine pixels per coarse pixel."""
    phase: tuple[float, float]
    """Fine index (rows, columns) of coarse sample 0; a point spread has its own place."""

    def observe(self, image: Image) -> Image:
        """Return A x `(C, H / ratio, W / ratio)` of a fine image `(C, H, W)`.

        Raises:
            BandCountError: There are neither one nor C gains.
            SensorModelError: A gain is outside (0, 1).
        """
        if isinstance(self.blur, PointSpread):
            return correlate_decimate(image, self.blur.kernel[None], self.ratio, self._middle)
        return observe(image, self.blur, self.ratio, self.phase)

    def adjoint(self, image: Image) -> Image:
        """Apply Aᵀ: from `(C, h, w)` to `(C, ratio·h, ratio·w)`."""
        if isinstance(self.blur, PointSpread):
            shape = (image.shape[1] * self.ratio, image.shape[2] * self.ratio)
            return correlate_decimate_adjoint(
                image, self.blur.kernel[None], self.ratio, self._middle, shape
            )
        return observe_adjoint(image, self.blur, self.ratio, self.phase)

    @property
    def apron(self) -> int:
        """Return the fine pixels of context that make `observe` exact, a multiple of the ratio."""
        if isinstance(self.blur, PointSpread):
            first, taps = self.blur.start, self.blur.shape
            beyond = [s + k - self.ratio for s, k in zip(first, taps, strict=True)]
            return -(-max(0, *(-s for s in first), *beyond) // self.ratio) * self.ratio
        return observation_apron(self.ratio)

    def parts(self, bands: int) -> list[tuple[Instrument, list[int]]]:
        """Return the instruments of one blur each, with the bands that they see."""
        if isinstance(self.blur, PointSpread) or len(self.blur) == 1:
            return [(self, list(range(bands)))]
        return [
            (
                Instrument((gain,), self.ratio, self.phase),
                [band for band, own in enumerate(self.blur) if own == gain],
            )
            for gain in dict.fromkeys(self.blur)
        ]

    @property
    def _middle(self) -> tuple[int, int]:
        """Return the fine index that `correlate` puts tap number k // 2 on at sample 0."""
        assert isinstance(self.blur, PointSpread)
        (row, col), (k, m) = self.blur.start, self.blur.shape
        return row + k // 2, col + m // 2
