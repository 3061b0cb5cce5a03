"""A hyperspectral raster file as the truth that pairs are made from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bandweave.datasets.reduced import MadeScene
from bandweave.degrade.noise import Noise, mean_power, noise_sigma
from bandweave.degrade.operators import Degradation
from bandweave.degrade.sampling import imresize
from bandweave.degrade.srf import SpectralResponse, box_response, nikon_d700, read_response
from bandweave.degrade.wald import simulate_pair, usable_cells
from bandweave.errors import ScaleError, SensorModelError
from bandweave.grid import Grid
from bandweave.pair import Mask
from bandweave.radiometry import Image, to_unit
from bandweave.raster.image import open_image
from bandweave.raster.spectral import centre_wavelength
from bandweave.sensors import find_sensor
from bandweave.window import Window


@dataclass(frozen=True, slots=True, eq=False)
class HyperspectralImage:
    """A whole hyperspectral image in memory."""

    cube: Image
    """`(C, H, W)`, float32, in the file's unit."""
    valid: Mask | None
    """`(H, W)`, or None where all pixels are valid."""
    wavelengths: tuple[float, ...] | None
    """Band centres in nanometres where the file states them."""
    grid: Grid

    def as_unit(self, full_scale: float | None) -> HyperspectralImage:
        """Divide by `full_scale`, so that the values lie in [0, 1].

        Raises:
            ScaleError: The values exceed 1 and no full scale is given.
        """
        if full_scale is None and self.cube.max() > 1.1:
            raise ScaleError(
                f"Sets of hyperspectral pairs hold values in [0, 1] and this image reaches "
                f"{self.cube.max():g}; give the value that stands for 1 (--full-scale)."
            )
        cube = to_unit(self.cube, full_scale or 1.0)
        return HyperspectralImage(cube, self.valid, self.wavelengths, self.grid)


def read_hyperspectral(path: str | Path) -> HyperspectralImage:
    """Read a cube that rasterio opens, whole.

    Raises:
        FileFormatError: The file is missing, no raster, or damaged.
    """
    with open_image(path) as image:
        cube, valid = image.read(Window.whole(image.shape), np.float32)
        centres = [centre_wavelength(tags) for tags in image.facts.band_tags]
        known = tuple(centre for centre in centres if centre is not None)
        wavelengths = known if known and len(known) == len(centres) else None
        return HyperspectralImage(cube, valid, wavelengths, image.grid)


def find_response(name: str, wavelengths: Sequence[float] | None) -> SpectralResponse:
    """Return a spectral response by name.

    Args:
        name: `nikon-d700`; a CSV file; a sensor id, for the mean over its bands' limits; or
            `<sensor>:pan`, for that over its PAN's.
        wavelengths: Centres of the image's bands in nanometres; needed for sensors.

    Raises:
        UnknownSensorError: The name is none of these.
        SensorModelError: The sensor's limits or the image's wavelengths are not known.
        FileFormatError: The CSV file is damaged.
    """
    if name == "nikon-d700":
        return nikon_d700()
    if Path(name).suffix.lower() == ".csv":
        return read_response(name)
    key, _, part = name.partition(":")
    sensor = find_sensor(key)
    limits = {band.name: band.limits for band in sensor.bands}
    if part == "pan":
        limits = {"pan": sensor.pan_limits}
    known = {band: span for band, span in limits.items() if span is not None}
    if not known or len(known) < len(limits):
        raise SensorModelError(f"The band limits of {name} are not known; give a CSV file.")
    if wavelengths is None:
        raise SensorModelError(
            f"The response of {name} needs the wavelengths of the image's bands and the file "
            "states none; give a CSV file with one weight per band."
        )
    return box_response(known, wavelengths, name=name)


def hyperspectral_scene(
    image: HyperspectralImage,
    response: SpectralResponse,
    psf: Degradation,
    ratio: int,
    *,
    phase: tuple[float, float] | None = None,
    snr_db: float | None = None,
    seed: int = 0,
    full_scale: float | None = None,
) -> MadeScene:
    """Make the pair of a hyperspectral image; `HSI_up` is bicubic, as the literature has it.

    Args:
        image: Becomes the reference.
        response: Makes the spatial image.
        psf: Makes the spectral image.
        ratio: Fine pixels per coarse pixel.
        phase: Fine index of coarse sample 0; ratio / 2 by default.
        snr_db: Signal-to-noise ratio of both images in decibels; no noise by default.
        seed: Seed of the noise.
        full_scale: Value that maps to 1.0, or None where not known.
    """
    noise = None
    if snr_db is not None:
        broad = mean_power(response.integrate(image.cube))
        noise = Noise(noise_sigma(broad, snr_db), noise_sigma(mean_power(image.cube), snr_db), seed)
    made = simulate_pair(
        image.cube, response, psf, ratio, phase=phase, noise=noise, full_scale=full_scale
    )
    whole = Window(0, 0, *made.pair.shape)
    rows, cols = whole.slices
    valid = None if image.valid is None else usable_cells(image.valid[rows, cols], ratio)
    pair = made.pair.replace(valid=valid, grid=image.grid.window(whole))
    return MadeScene(type(made)(pair, made.gt, made.record), imresize(pair.spectral, ratio))
