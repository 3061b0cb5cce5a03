"""How a simulated pair was made: written into every file that holds one."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from bandweave import __version__


class ImageDegradation(BaseModel):
    """How one image of a pair was made."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    method: Literal["mtf", "kernel", "imresize", "response"]
    """Filter and decimation by MTF or by a given kernel, resizing, or a spectral response."""
    kernel: str
    """The kernel or the response in words."""
    gains: tuple[float, ...] | None = None
    """MTF at Nyquist per band, or one for all."""
    taps: tuple[tuple[float, ...], ...] | None = None
    """The kernel itself, where it was given."""
    is_normalised: bool | None = None
    """Whether the kernel was divided by its sum."""
    phase: tuple[float, float] | None = None
    """Fine index of the first sample kept."""
    border: str
    """What was assumed beyond the edge of the scene."""


class DegradationRecord(BaseModel):
    """How both images of a simulated pair were made."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    ratio: int
    """Fine pixels per coarse pixel."""
    phase: tuple[float, float]
    """Fine index of coarse sample 0 in the simulated pair."""
    sensor: str | None
    """Id of the sensor, or None."""
    spatial: ImageDegradation
    """How the PAN or MSI was made."""
    spectral: ImageDegradation
    """How the MS or HSI was made."""
    interpolation: str
    """How the interpolated image in the file (`lms`, `HSI_up`) was made."""
    assumptions: tuple[str, ...] = ()
    """Conventions that stood in for unknown measurements."""
    noise_spatial: tuple[float, ...] | None = None
    """Standard deviation of the noise per spatial band, or None."""
    noise_spectral: tuple[float, ...] | None = None
    """Standard deviation of the noise per spectral band, or None."""
    seed: int | None = None
    """Seed of the noise."""
    rounding: str = "none"
    """What was done to the simulated values before they were stored."""
    bandweave: str = __version__
    """Version that made the pair."""
