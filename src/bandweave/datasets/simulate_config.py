"""What a simulation is asked to do: frozen, validated, unknown keys refused."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field, field_validator

from bandweave.datasets.splitsets import Cutting
from bandweave.degrade.operators import (
    Degradation,
    Imresize,
    MtfFilter,
    gaussian_psf,
    given_kernel,
)
from bandweave.degrade.wald import WaldProtocol
from bandweave.errors import FileFormatError, SensorModelError
from bandweave.pair import PairProfile
from bandweave.run_config import RunConfig


class SimulationConfig(RunConfig):
    """What all simulations share."""

    phase: Literal["auto", "toolbox", "corner"] = "auto"
    """Where coarse samples lie: ratio / 2, or (ratio - 1) / 2 as on corner-based grids."""
    snr: float | None = None
    """Signal-to-noise ratio of the noise in decibels, or None for no noise."""
    seed: int = Field(default=0, ge=0)
    """Of the noise and of the split."""
    patch: int = Field(default=64, gt=0)
    """Fine pixels per side of the patches in sets."""
    stride: int | None = Field(default=None, gt=0)
    """Fine pixels between patches of a block; the patch size by default."""
    shares: tuple[float, float, float] = (0.8, 0.1, 0.1)
    """Parts of each scene's ground for training, validation and test."""
    overwrite: bool = False
    """Replace existing files."""

    @field_validator("shares")
    @classmethod
    def _has_a_share(cls, shares: tuple[float, float, float]) -> tuple[float, float, float]:
        if min(shares) < 0 or sum(shares) <= 0:
            raise ValueError("shares must be 0 or more, and one of them above 0")
        return shares

    @property
    def cutting(self) -> Cutting:
        """Return how patches are cut and dealt."""
        return Cutting(self.patch, self.stride or self.patch, self.shares, self.seed)

    def phase_at(self, ratio: int, default: Literal["toolbox", "corner"]) -> tuple[float, float]:
        """Return the phase as numbers; `default` is what `auto` means."""
        place = default if self.phase == "auto" else self.phase
        centre = ratio / 2 if place == "toolbox" else (ratio - 1) / 2
        return centre, centre


class PairConfig(SimulationConfig):
    """How native pairs are reduced."""

    sensor: str | None = None
    """Sensor id; what the files state by default."""
    full_scale: float | None = Field(default=None, gt=0)
    """Value that maps to 1.0; what the files state by default."""
    gains: tuple[float, ...] | None = None
    """MTF at Nyquist, one per band or one for all; the sensor's by default."""
    normalised: bool = False
    """Whether MTF kernels sum to 1; the toolboxes' do not."""
    pan_method: str = "bicubic"
    """`bicubic` (imresize), `mtf`, or a CSV file with a kernel."""
    pan_gain: float | None = None
    """MTF of the PAN for `mtf`; the sensor's by default."""

    def protocol(self, profile: PairProfile, default: Literal["toolbox", "corner"]) -> WaldProtocol:
        """Settle what is done to a pair, apart from noise.

        Raises:
            SensorModelError: An MTF is needed that is not known.
            FileFormatError: The kernel file could not be read.
        """
        phase = self.phase_at(profile.ratio, default)
        spatial = self._pan_degradation(profile)
        if self.gains is None:
            return WaldProtocol.of_sensor(
                profile, spatial=spatial, phase=phase, is_normalised=self.normalised
            )
        return WaldProtocol(MtfFilter(self.gains, self.normalised), spatial, phase)

    def _pan_degradation(self, profile: PairProfile) -> Degradation:
        if self.pan_method == "bicubic":
            return Imresize()
        if self.pan_method != "mtf":
            return _kernel_of_file(self.pan_method)
        gains = _spatial_gains(profile) if self.pan_gain is None else (self.pan_gain,)
        return MtfFilter(gains, self.normalised)


class CubeConfig(SimulationConfig):
    """How a pair is made from a hyperspectral image."""

    ratio: int = Field(default=4, ge=2)
    """Fine pixels per coarse pixel."""
    srf: str = "nikon-d700"
    """Spectral response that makes the spatial image, see `find_response`."""
    psf: tuple[float, int] = (0.5, 3)
    """Width in fine pixels and taps per side of the Gaussian; the CAVE protocol's by default."""
    mtf_gain: float | None = None
    """MTF at Nyquist in place of the PSF."""
    full_scale: float | None = Field(default=None, gt=0)
    """Value that stands for reflectance 1."""

    @property
    def blur(self) -> Degradation:
        """Return what makes the spectral image."""
        if self.mtf_gain is not None:
            return MtfFilter((self.mtf_gain,), is_normalised=True)
        return gaussian_psf(*self.psf)


def _spatial_gains(profile: PairProfile) -> tuple[float, ...]:
    """Return the sensor's gain of the PAN, or those of its spatial bands."""
    sensor = profile.sensor
    if sensor is not None and len(sensor.spatial_bands) == profile.spatial_bands:
        known = tuple(band.mtf_gain for band in sensor.spatial_bands if band.mtf_gain is not None)
        if len(known) == profile.spatial_bands:
            return known
    if sensor is not None and sensor.pan_mtf_gain is not None:
        return (sensor.pan_mtf_gain,)
    raise SensorModelError(
        "The MTF of the PAN is not known; give its gain (--pan-gain), or another --pan."
    )


def _kernel_of_file(name: str) -> Degradation:
    try:
        taps = np.loadtxt(name, delimiter=",", ndmin=2)
    except (OSError, ValueError) as error:
        raise FileFormatError(
            f"The PAN is made by `bicubic`, `mtf` or a CSV file with a kernel; {name} could not be "
            f"read as one ({error})."
        ) from error
    return given_kernel(taps.tolist(), Path(name).name)
