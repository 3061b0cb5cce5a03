"""Reduced-resolution pairs with a reference (L. Wald, T. Ranchin and M. Mangolini, 1997).

The observed spectral image becomes the reference `gt`; both images are made coarser by the ratio.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import scipy

from bandweave.degrade.noise import Noise, add_noise
from bandweave.degrade.operators import Degradation, Imresize, MtfFilter
from bandweave.degrade.record import DegradationRecord, ImageDegradation
from bandweave.degrade.sampling import interpolate
from bandweave.degrade.srf import SpectralResponse
from bandweave.errors import SensorModelError, ShapeError
from bandweave.pair import ImagePair, Mask, PairProfile
from bandweave.radiometry import Image
from bandweave.source import PairSource
from bandweave.window import Window


@dataclass(frozen=True, slots=True)
class WaldProtocol:
    """What is done to both images."""

    spectral: Degradation
    """Makes `lrms` from the observed spectral image."""
    spatial: Degradation = field(default_factory=Imresize)
    """Makes the reduced PAN; the field's simulation uses bicubic `imresize`."""
    phase: tuple[float, float] | None = None
    """Fine index of coarse sample 0 in the reduced pair; ratio / 2 by default, as the toolboxes."""
    noise: Noise | None = None
    """Noise added last, or None."""

    @classmethod
    def of_sensor(
        cls,
        profile: PairProfile,
        *,
        spatial: Degradation | None = None,
        phase: tuple[float, float] | None = None,
        is_normalised: bool = False,
    ) -> WaldProtocol:
        """Use the MTF gains of the pair's sensor.

        Raises:
            SensorModelError: The sensor, or the MTF of its bands, is not known.
        """
        gains = None if profile.sensor is None else profile.sensor.mtf_gains(profile.bands)
        if gains is None:
            known = "no sensor is known" if profile.sensor is None else profile.sensor.name
            raise SensorModelError(
                f"The MTF gains of {profile.bands} bands are needed, but {known}"
                f"{'' if profile.sensor is None else ' has none for them'}; give the gains "
                "(--mtf-gain), or the sensor `none` for the toolboxes' convention of 0.30."
            )
        return cls(MtfFilter(gains, is_normalised), spatial or Imresize(), phase)

    def phase_at(self, ratio: int) -> tuple[float, float]:
        """Return the phase of the reduced pair."""
        return self.phase or (ratio / 2, ratio / 2)

    def record(self, profile: PairProfile) -> DegradationRecord:
        """Describe what this protocol makes of a pair with `profile`."""
        ratio, phase = profile.ratio, self.phase_at(profile.ratio)
        noise, sensor = self.noise, profile.sensor
        return DegradationRecord(
            ratio=ratio,
            phase=phase,
            sensor=None if sensor is None else sensor.id,
            spatial=self.spatial.describe(ratio, profile.phase),
            spectral=self.spectral.describe(ratio, phase),
            interpolation="23-tap kernel",
            assumptions=self._assumptions(profile),
            noise_spatial=None if noise is None else noise.spatial,
            noise_spectral=None if noise is None else noise.spectral,
            seed=None if noise is None else noise.seed,
        )

    def _assumptions(self, profile: PairProfile) -> tuple[str, ...]:
        """Return the sensor's conventions where this protocol uses its gains."""
        sensor = profile.sensor
        if sensor is None or not isinstance(self.spectral, MtfFilter):
            return ()
        return sensor.assumptions if self.spectral.gains == sensor.mtf_gains(profile.bands) else ()


@dataclass(frozen=True, slots=True, eq=False)
class ReducedPair:
    """A simulated pair with its reference."""

    pair: ImagePair
    """The coarser images."""
    gt: Image
    """`(C, H, W)`, the reference on the pair's fine grid, in the same unit."""
    record: DegradationRecord
    """How the pair was made."""

    @property
    def ms_up(self) -> Image:
        """Return `lrms` interpolated by the 23-tap kernel as the toolboxes do, border circular."""
        return interpolate(self.pair.spectral, self.pair.ratio, self.pair.phase, border="circular")

    def crop(self, window: Window) -> ReducedPair:
        """Cut out a window of the reduced pair's fine grid."""
        rows, cols = window.slices
        return ReducedPair(self.pair.crop(window), self.gt[:, rows, cols], self.record)


def wald_pair(pair: ImagePair, protocol: WaldProtocol) -> ReducedPair:
    """Reduce a pair: `gt` is its spectral image, both images become coarser by the ratio.

    The border is the pair's own (replicated or mirrored, see the record), as in the published test
    images. Rows and columns beyond a multiple of the ratio are left out at the bottom and right.

    Args:
        pair: Native pair; `(c, H, W)` and `(C, h, w)` in any unit.
        protocol: What is done to both images.

    Raises:
        ShapeError: The spectral image is smaller than the ratio.
    """
    ratio = pair.ratio
    height, width = (size // ratio * ratio for size in pair.spectral.shape[1:])
    if not (height and width):
        raise ShapeError(
            f"A spectral image of {pair.spectral.shape[1]} x {pair.spectral.shape[2]} pixels "
            f"cannot be reduced by {ratio}; {ratio} x {ratio} pixels are the least."
        )
    pair = pair.crop(Window(0, 0, height * ratio, width * ratio))
    phase = protocol.phase_at(ratio)
    spectral = protocol.spectral.apply(pair.spectral, ratio, phase)
    spatial = protocol.spatial.apply(pair.spatial, ratio, pair.phase)
    if protocol.noise is not None:
        generator = protocol.noise.generator()
        spatial = add_noise(spatial, protocol.noise.spatial, generator)
        spectral = add_noise(spectral, protocol.noise.spectral, generator)
    reduced = pair.replace(
        spatial=spatial,
        spectral=spectral,
        phase=phase,
        valid=_reduced_valid(pair),
        grid=None if pair.grid is None else pair.grid.coarsened(ratio),
    )
    return ReducedPair(reduced, pair.spectral, protocol.record(pair.profile))


def wald_window(source: PairSource, window: Window, protocol: WaldProtocol) -> ReducedPair:
    """Reduce a part of a scene so that it equals the same part of the reduced scene.

    Args:
        source: Native scene.
        window: Pixels of the reduced scene's fine grid (the native spectral image); its edges are
            multiples of the ratio.
        protocol: What is done to both images; noise is drawn anew at each window.
    """
    profile = source.profile
    ratio = profile.ratio
    scene = Window.whole((profile.shape[0] // ratio, profile.shape[1] // ratio))
    spatial_apron = -(-protocol.spatial.apron(ratio) // ratio)
    apron = max(protocol.spectral.apron(ratio), spatial_apron)
    read = window.padded(apron).intersection(scene).snapped(ratio).intersection(scene)
    pair = source.read(read.fine(ratio), np.float64)
    quiet = WaldProtocol(protocol.spectral, protocol.spatial, protocol.phase)
    reduced = wald_pair(pair, quiet).crop(window.relative_to(read))
    record = protocol.record(profile)
    if protocol.noise is None:
        return ReducedPair(reduced.pair, reduced.gt, record)
    generator = protocol.noise.generator((window.row, window.col))
    noisy = reduced.pair.replace(
        spatial=add_noise(reduced.pair.spatial, protocol.noise.spatial, generator),
        spectral=add_noise(reduced.pair.spectral, protocol.noise.spectral, generator),
    )
    return ReducedPair(noisy, reduced.gt, record)


def simulate_pair(
    cube: Image,
    response: SpectralResponse,
    psf: Degradation,
    ratio: int,
    *,
    phase: tuple[float, float] | None = None,
    noise: Noise | None = None,
    full_scale: float | None = None,
) -> ReducedPair:
    """Make a pair from a hyperspectral image: broad bands by its response, `lrhsi` by its PSF.

    Args:
        cube: `(C, H, W)`, becomes `gt`; cut to multiples of the ratio at the bottom and right.
        response: Makes the spatial image (MSI, RGB or PAN).
        psf: Makes the spectral image.
        ratio: Fine pixels per coarse pixel.
        phase: Fine index of coarse sample 0; ratio / 2 by default.
        noise: Noise added last, or None.
        full_scale: Value that maps to 1.0, or None where not known.

    Raises:
        BandCountError: The response is for another number of bands.
    """
    height, width = (size // ratio * ratio for size in cube.shape[1:])
    gt = cube[:, :height, :width]
    phase = phase or (ratio / 2, ratio / 2)
    spatial, spectral = response.integrate(gt), psf.apply(gt, ratio, phase)
    if noise is not None:
        generator = noise.generator()
        spatial = add_noise(spatial, noise.spatial, generator)
        spectral = add_noise(spectral, noise.spectral, generator)
    record = DegradationRecord(
        ratio=ratio,
        phase=phase,
        sensor=None,
        spatial=ImageDegradation(
            method="response",
            kernel=f"{response.name}: {', '.join(response.band_names)}",
            taps=tuple(tuple(float(weight) for weight in row) for row in response.weights),
            is_normalised=True,
            border="none",
        ),
        spectral=psf.describe(ratio, phase),
        interpolation="imresize bicubic",
        noise_spatial=None if noise is None else noise.spatial,
        noise_spectral=None if noise is None else noise.spectral,
        seed=None if noise is None else noise.seed,
    )
    return ReducedPair(ImagePair(spatial, spectral, ratio, phase, full_scale), gt, record)


def usable_cells(gt_valid: Mask, ratio: int) -> Mask:
    """Return the mask `(H, W)` of whole cells whose coarse sample no invalid pixel spoils.

    An invalid pixel spoils the samples whose kernel reaches it: within 2 ratios, about 4 σ of a
    kernel with gain 0.3.

    Args:
        gt_valid: `(H, W)` on the reduced fine grid, H and W multiples of the ratio.
        ratio: Fine pixels per cell.
    """
    rows, cols = (size // ratio for size in gt_valid.shape)
    reach = np.ones((4 * ratio + 1, 4 * ratio + 1), dtype=bool)
    clean = scipy.ndimage.binary_erosion(gt_valid, reach, border_value=1)
    cells = clean.reshape(rows, ratio, cols, ratio).all(axis=(1, 3))
    spread: Mask = cells.repeat(ratio, axis=0).repeat(ratio, axis=1)
    return spread


def _reduced_valid(pair: ImagePair) -> Mask | None:
    """Return the mask of the reduced pair: all native fine pixels of a pixel have to be valid."""
    if pair.valid is None or pair.valid.all():
        return None
    h, w = pair.spectral.shape[1:]
    gt_valid: Mask = np.all(pair.valid.reshape(h, pair.ratio, w, pair.ratio), axis=(1, 3))
    return usable_cells(gt_valid, pair.ratio)
