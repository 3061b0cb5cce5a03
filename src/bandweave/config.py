"""What `fuse` was asked to do: frozen, checked, unknown options refused."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, Self

from bandweave.checks import (
    Check,
    flag,
    matching,
    number,
    one_of,
    optional,
    several,
    text,
    texts_by_text,
    whole,
)
from bandweave.errors import ConfigError
from bandweave.machine import available_threads

_CUDA_DEVICES = r"cuda(:\d+)?(,cuda(:\d+)?)*"


@dataclass(frozen=True, slots=True)
class FuseConfig:
    """Options of `bandweave fuse` and `bandweave.fuse`.

    Raises:
        ConfigError: One sentence that names the first wrong option.
    """

    method: str | None = None
    """Method id; None for U2Net where a weight file fits, else the best classical method."""
    weights: str | None = None
    """Name of shipped weights, or a file (.safetensors, or a published .pth)."""
    sensor: str | None = None
    """Sensor id or name; None for what the files say."""
    full_scale: float | None = None
    """Value that maps to 1.0 in learned methods."""
    device: str = "auto"
    """Where networks compute: `auto` for a GPU if there is one, `cpu`, `cuda`, `cuda:1`, or several
    GPUs that share the scene, `cuda:0,cuda:1`."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """Rounding of the products in the attention of networks; `auto` takes bf16 where the processor
    multiplies it and it was measured to cost less than 0.02 dB."""
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
    consistency_noise: float | None = None
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
    band_weights: tuple[float, ...] | Literal["equal"] | None = None
    """Weight of each fused band in brovey's intensity, as `gdal_pansharpen -w`, or `equal` ones as
    it has by default; None: fitted to the PAN."""
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
    creation_options: dict[str, str] = field(default_factory=dict)
    """GDAL creation options, KEY to VALUE."""
    workers: int = field(default_factory=available_threads)
    """Threads; by default as many as this process may use cores, eight at most."""
    max_memory: float | None = None
    """GiB that a whole-scene method may take; None for what the machine or the container has."""
    dask: str | None = None
    """Address of a Dask scheduler whose workers fuse (raster files only); None for this machine."""
    overwrite: bool = False
    resume: bool = False

    def __post_init__(self) -> None:
        for name, check in _CHECKS.items():
            value = getattr(self, name)
            try:
                object.__setattr__(self, name, check(value))
            except (TypeError, ValueError) as error:
                raise ConfigError(f"Option {name!r}: {error}, got {value!r}.") from None

    @classmethod
    def checked(cls, **options: Any) -> Self:
        """Make a configuration of options by name.

        Raises:
            ConfigError: One sentence that names the first wrong option.
        """
        for name in options:
            if name not in _CHECKS:
                raise ConfigError(
                    f"There is no option {name!r}; valid ones are {', '.join(_CHECKS)}."
                )
        return cls(**options)


_CHECKS: dict[str, Check] = {
    "method": optional(text),
    "weights": optional(text),
    "sensor": optional(text),
    "full_scale": optional(number(above=0)),
    "device": one_of(
        "auto", "cpu", otherwise=matching(_CUDA_DEVICES, "cuda, cuda:1 or cuda:0,cuda:1")
    ),
    "precision": one_of("auto", "fp32", "bf16"),
    "window": optional(several(whole(), 4)),
    "bbox": optional(several(number(), 4)),
    "extent": one_of("intersection", "pan"),
    "align": one_of("auto", "off", otherwise=several(number(), 2)),
    "pan_sharpness": one_of("auto", "off", otherwise=number(least=0)),
    "consistent": optional(flag),
    "consistency_noise": optional(number(least=0)),
    "mtf_gain": optional(several(number(above=0, below=1))),
    "psf": optional(one_of("auto", otherwise=number(above=0))),
    "srf": optional(text),
    "uncovered": one_of("pass", "fuse", "refuse"),
    "band_weights": optional(one_of("equal", otherwise=several(number(least=0)))),
    "convention": one_of("scene", "toolbox"),
    "tiling": one_of("blend", "official"),
    "bands": optional(several(whole(least=1))),
    "mask": one_of("auto", "nodata", "internal", "alpha", "none"),
    "nodata": optional(number()),
    "dtype": optional(text),
    "cog": flag,
    "driver": one_of("GTiff", "ENVI"),
    "overviews": flag,
    "creation_options": texts_by_text,
    "workers": whole(least=1),
    "max_memory": optional(number(above=0)),
    "dask": optional(text),
    "overwrite": flag,
    "resume": flag,
}
