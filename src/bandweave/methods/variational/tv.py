"""TV: the image that explains both inputs with the least total variation."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from bandweave.degrade.sampling import imresize
from bandweave.errors import BandCountError
from bandweave.methods.base import WholeScene
from bandweave.methods.statistics import Measurement, SceneStatistics
from bandweave.methods.substitution.brovey import require_pan
from bandweave.pair import ImagePair, PairProfile
from bandweave.radiometry import Image

# The toolbox reads the vertical gradient planes four planes on, whatever the number of bands.
_TOOLBOX_PLANES = 4


@dataclass(frozen=True, slots=True)
class TvSettings:
    """Weights and step sizes of the minimisation."""

    weights: tuple[float, ...]
    """Share of each band in the PAN."""
    regularisation: float
    """λ, DN: a larger one smooths more."""
    step: float = 0.75
    """α of the majorisation in the image."""
    iterations: int = 50
    dual_step: float = 8.0
    """c of the majorisation in the gradients; 8 bounds the norm of D Dᵀ."""


_WV3 = TvSettings((0.0657, 0.1012, 0.1537, 0.1473, 0.1245, 0.1545, 0.1338, 0.1192), 1e-3)
_GE1 = TvSettings((0.1552, 0.3959, 0.2902, 0.1587), 157.8954)
_IKONOS = TvSettings((0.1091, 0.2127, 0.2928, 0.3854), 0.47106, step=1.064, iterations=10)
# What the corrected iteration takes, since the toolbox's λ was found with its defects: with 158 DN
# it paints a GeoEye-1 scene flat (docs/classical.md).
_MILD = 1e-3
# As the toolbox has them; it has none for WorldView-2, whose bands are WorldView-3's.
SETTINGS: dict[str, TvSettings] = {
    "wv2": _WV3,
    "wv3": _WV3,
    "wv4": _GE1,
    "ge1": _GE1,
    "ikonos": _IKONOS,
    "qb": _IKONOS,
}


@dataclass(frozen=True, slots=True)
class FittedTv:
    """TV with settled parameters."""

    reach: WholeScene
    settings: TvSettings
    toolbox: bool

    def fuse(self, pair: ImagePair) -> Image:
        """Iterate from zero, see `Tv`."""
        kind = pair.spectral.dtype
        settings = self.settings
        step, dual_step = kind.type(settings.step), kind.type(settings.dual_step)
        bands = pair.spectral.shape[0]
        x = np.zeros((bands, *pair.shape), dtype=kind)
        z = np.zeros((2, bands, *pair.shape), dtype=kind)
        for _ in range(settings.iterations):
            b = step * x + self._backprojected_residual(pair, x)
            dx = gradient(x)
            weight = np.sqrt(dx[0] ** 2 + dx[1] ** 2)
            weight *= kind.type(2 * settings.step / settings.regularisation)
            weight += dual_step
            turned = gradient(self._divergence(z))
            if not self.toolbox:
                turned = dual_step * z - turned
            z = (gradient(b) + turned) / weight
            x = (b - self._divergence(z)) / step
        return x

    def _backprojected_residual(self, pair: ImagePair, x: Image) -> Image:
        """Return A†(y − A x): resized up for the bands, spread by their weights for the PAN."""
        weights = np.asarray(self.settings.weights, dtype=x.dtype)
        coarse = pair.spectral - imresize(x, 1 / pair.ratio, method="bilinear")
        result = imresize(coarse, float(pair.ratio), method="bilinear")
        fine = pair.spatial[0] - np.tensordot(weights, x, axes=1)
        result += weights[:, None, None] * fine
        return result

    def _divergence(self, z: Image) -> Image:
        """Return Dᵀ z, in toolbox mode with its wrong plane."""
        if not self.toolbox:
            return gradient_adjoint(z)
        planes = z.reshape(-1, *z.shape[2:])
        bands = z.shape[1]
        read = np.stack([z[0], planes[_TOOLBOX_PLANES : _TOOLBOX_PLANES + bands]])
        return gradient_adjoint(read)


@dataclass(frozen=True, slots=True)
class Tv:
    """TV: minimise ‖y − A x‖² + λ·TV(x), y = {`lrms`, PAN}, by majorisation-minimisation.

    A x = the bands resized by 1 / ratio (bilinear, antialiased), and Σ w_b x_b; A† resizes up and
    spreads by w. D = horizontal and vertical differences of every band, Dᵀ its adjoint, one
    weight Q per pixel and band. From x = z = 0:

        b = α x + A†(y − A x)
        Q = (2α / λ) · |D x| + c
        z ← (D b + (c − D Dᵀ) z) / Q
        x ← (b − Dᵀ z) / α

    The resizing couples everything, so the method wants the whole scene. Its pixels lie at phase
    (ratio − 1) / 2. The result depends on the unit of the data through λ.

    The toolbox's program differs in two places, which published numbers contain: it computes
    D Dᵀ z where c z − D Dᵀ z belongs, and takes the vertical plane of band i from plane i + 4 of
    all 2C, which is right for four bands only. `toolbox` does the same, with the toolbox's λ.

    Source: F. Palsson, J. R. Sveinsson and M. O. Ulfarsson, 2013, "A new pansharpening algorithm
    based on total variation", IEEE GRSL 11(1), 318-322.
    """

    settings: TvSettings | None = None
    """None for those of the sensor in `SETTINGS`, for others equal weights; λ = 1e-3, in toolbox
    mode the sensor's."""
    toolbox: bool = False
    """Equal to the field's MATLAB toolbox, with both defects."""
    id: str = "tv"
    precision: type[np.float32 | np.float64] = np.float32

    def measurement(self, profile: PairProfile) -> Measurement | None:
        """Everything happens at once."""
        del profile
        return None

    def fit(self, profile: PairProfile, statistics: SceneStatistics | None) -> FittedTv:
        """Settle the parameters.

        Raises:
            BandCountError: The spatial image is no PAN, there is not one weight per band, or the
                toolbox's program cannot take so few bands.
        """
        del statistics
        require_pan(profile, self.id)
        settings = self.settings or _settings_of(profile, toolbox=self.toolbox)
        if len(settings.weights) != profile.bands:
            raise BandCountError(
                f"tv needs one weight per band: {profile.bands} bands, "
                f"{len(settings.weights)} weights."
            )
        if self.toolbox and profile.bands < _TOOLBOX_PLANES:
            raise BandCountError(
                f"tv in toolbox mode needs {_TOOLBOX_PLANES} bands or more, found {profile.bands}; "
                "leave out the toolbox mode."
            )
        # At most 13 planes per band are alive at once, besides the pair.
        size = np.dtype(self.precision).itemsize
        return FittedTv(WholeScene(size * 15 * profile.bands), settings, self.toolbox)


def _settings_of(profile: PairProfile, *, toolbox: bool) -> TvSettings:
    known = None if profile.sensor is None else SETTINGS.get(profile.sensor.id)
    if known is None or len(known.weights) != profile.bands:
        return TvSettings((1 / profile.bands,) * profile.bands, _MILD)
    return known if toolbox else replace(known, regularisation=_MILD)


def gradient(x: Image) -> Image:
    """Return forward differences `(2, C, H, W)`: along columns, then rows; 0 at the end."""
    result = np.zeros((2, *x.shape), dtype=x.dtype)
    np.subtract(x[..., 1:], x[..., :-1], out=result[0, ..., :-1])
    np.subtract(x[:, 1:], x[:, :-1], out=result[1, :, :-1])
    return result


def gradient_adjoint(z: Image) -> Image:
    """Apply the transpose of `gradient`: from `(2, C, H, W)` to `(C, H, W)`."""
    result = np.zeros(z.shape[1:], dtype=z.dtype)
    result[..., 1:] += z[0, ..., :-1]
    result[..., :-1] -= z[0, ..., :-1]
    result[:, 1:] += z[1, :, :-1]
    result[:, :-1] -= z[1, :, :-1]
    return result
