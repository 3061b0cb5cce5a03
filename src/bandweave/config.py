"""What a run was asked to do: frozen, validated, unknown keys refused."""

from __future__ import annotations

import os
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from bandweave.errors import ConfigError


def available_cores() -> int:
    """Return the number of cores this process may use, eight at most.

    More threads hold more blocks at a time, and the disk is the limit long before.
    """
    return min(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 2, 8)


def machine_memory() -> int | None:
    """Return the bytes of memory this machine has, or None where the system does not tell."""
    names = getattr(os, "sysconf_names", {})
    if "SC_PHYS_PAGES" not in names or "SC_PAGE_SIZE" not in names:
        return None
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


class RunConfig(BaseModel):
    """Base of every run's configuration."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @classmethod
    def checked(cls, **options: Any) -> Self:
        """Validate options.

        Raises:
            ConfigError: One sentence that names the first wrong option.
        """
        try:
            return cls(**options)
        except ValidationError as error:
            first = error.errors()[0]
            name = ".".join(str(part) for part in first["loc"]) or "options"
            if first["type"] == "extra_forbidden":
                raise ConfigError(
                    f"There is no option {name!r}; valid ones are {', '.join(cls.model_fields)}."
                ) from None
            raise ConfigError(
                f"Option {name!r}: {first['msg']}, got {first.get('input')!r}."
            ) from None


class FuseConfig(RunConfig):
    """Options of `bandweave fuse` and `bandweave.fuse`."""

    method: str | None = None
    """Method id; None for U2Net where a weight file fits, else the best classical method."""
    weights: str | None = None
    """Name of shipped weights, or a file (.safetensors, or a published .pth)."""
    sensor: str | None = None
    """Sensor id or name; None for what the files say."""
    full_scale: float | None = Field(default=None, gt=0)
    """Value that maps to 1.0 in learned methods."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    window: tuple[int, int, int, int] | None = None
    """Column, row, width, height in PAN pixels: fuse this part only."""
    bbox: tuple[float, float, float, float] | None = None
    """Left, bottom, right, top in the PAN's coordinates: fuse this part only."""
    extent: Literal["intersection", "pan"] = "intersection"
    """Write the whole MS pixels inside the PAN, or the PAN's whole grid."""
    align: Literal["auto", "off"] | tuple[float, float] = "auto"
    """Correct a measured displacement, none, or the given one (rows, columns) in PAN pixels."""
    pan_sharpness: Literal["auto", "off"] | float = "auto"
    """Match the PAN to the weights, leave it, or blur it with this sigma (learned methods)."""
    consistent: bool | None = None
    """Move the result to the nearest image that gives back the MS when its instrument sees it; None
    where the weights were trained so."""
    consistency_noise: float | None = Field(default=None, ge=0)
    """Variance of the noise in the MS over that of the error in the result; 0 for exactness, None
    for what the weights were trained with, else 1e-3."""
    mtf_gain: tuple[float, ...] | None = None
    """MTF of the MS at its Nyquist frequency, per band or one for all, over the sensor's."""
    psf: Literal["auto"] | float | None = None
    """Point spread of the spectral image: sigma of a Gaussian in sharp pixels, or found from the
    pair; None for what the sensor says, found where a method needs it."""
    srf: str | None = None
    """Response that makes the spatial image of the spectral bands: a CSV file, or `auto` to find it
    from the pair; None for what the sensor says, found where a method needs it."""
    uncovered: Literal["pass", "fuse", "refuse"] = "pass"
    """Bands far from the PAN's wavelengths: interpolate them, fuse them too, or stop (classical
    methods)."""
    convention: Literal["scene", "toolbox"] = "scene"
    """Classical methods as scenes need them, or equal to the MATLAB toolbox (parity)."""
    tiling: Literal["blend", "official"] = "blend"
    """Overlapped and blended tiles, or the released program's cut tiles (parity)."""
    bands: tuple[int, ...] | None = None
    """MS bands to take, counted from 1, in this order."""
    mask: Literal["auto", "nodata", "internal", "alpha", "none"] = "auto"
    nodata: float | None = None
    """Nodata value of both inputs, over what the files say."""
    dtype: str | None = None
    """Type of the output; None for the MS's."""
    cog: bool = False
    """Write a Cloud Optimized GeoTIFF."""
    driver: Literal["GTiff", "ENVI"] = "GTiff"
    """Format of the output; ENVI is plain binary with a header that names the wavelengths."""
    overviews: bool = True
    """Add averaged overviews to the output."""
    creation_options: dict[str, str] = Field(default_factory=dict)
    """GDAL creation options, KEY to VALUE."""
    workers: int = Field(default_factory=available_cores, ge=1)
    """Threads; as many as there are cores by default."""
    max_memory: float | None = Field(default=None, gt=0)
    """GiB that a whole-scene method may take; None for the machine's memory."""
    overwrite: bool = False
    resume: bool = False

    @field_validator("pan_sharpness")
    @classmethod
    def _sigma(cls, value: str | float) -> str | float:
        if isinstance(value, float) and value < 0:
            raise ValueError("a blur must be 0 or more PAN pixels wide")
        return value

    @field_validator("psf")
    @classmethod
    def _width(cls, value: str | float | None) -> str | float | None:
        if isinstance(value, float) and value <= 0:
            raise ValueError("a point spread must be wider than 0 pixels")
        return value

    @field_validator("mtf_gain")
    @classmethod
    def _gain(cls, value: tuple[float, ...] | None) -> tuple[float, ...] | None:
        if value is not None and not (value and all(0 < gain < 1 for gain in value)):
            raise ValueError("MTF gains lie between 0 and 1, both excluded")
        return value

    @field_validator("bands")
    @classmethod
    def _counted_from_one(cls, value: tuple[int, ...] | None) -> tuple[int, ...] | None:
        if value is not None and (not value or min(value) < 1):
            raise ValueError("bands are counted from 1")
        return value
