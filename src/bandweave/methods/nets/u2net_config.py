"""What distinguishes one U2Net from another, and how many parameters follow; needs no torch."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from pydantic import ConfigDict, with_config


class Variant(StrEnum):
    """The full network or one of the paper's ablations (Table 3).

    Where the paper is silent on an ablation, the definition is ours: it is given with each name.
    """

    FULL = "full"
    """Spatial and spectral self-correlation, two U-Nets."""
    SINGLE_BRANCH = "v1"
    """V1: one U-Net on the stacked images, S2(x, x), no ResBlocks (details ours)."""
    CONCATENATION = "v2"
    """V2: two U-Nets; a linear map of the concatenated tokens replaces (1) to (3) (ours)."""
    SPATIAL_ONLY = "v3"
    """V3: T_fus = C_spa T^c, without W_d."""
    SPECTRAL_ONLY = "v4"
    """V4: T_fus = T^a C_spe, without W_b; the one map of y left is T^a to us, T^b to the paper."""


@with_config(ConfigDict(extra="forbid"))  # in weight cards, unknown keys are refused
@dataclass(frozen=True, slots=True, kw_only=True)
class U2NetConfig:
    """Architecture of a U2Net.

    The defaults of `width`, `head_width` and the switches are those of the released WorldView-3
    network (S. Peng, C. Guo, X. Wu and L.-J. Deng, 2023).

    Raises:
        ValueError: The widths do not fit each other, or a switch has nothing to act on.
    """

    bands: int
    """Bands C of the spectral image."""
    spatial_bands: int = 1
    """Bands c of the spatial image: 1 for PAN, 3 for RGB."""
    ratio: Literal[2, 4] = 4
    """Spatial pixels per spectral pixel. It changes the learned up-sampling only."""
    width: int = 32
    """Width S of stage 1."""
    head_width: int = 16
    """Width S' of one attention head; divides `width`."""
    variant: Variant = Variant.FULL
    """The full network or an ablation."""
    spectral_scaling: Literal["release", "paper"] = "release"
    """Factor in (2): √S'/(HW) in the released program, N/√(S'³) in the paper."""
    spatial_factor: Literal["release", "paper"] = "release"
    """Second factor of (3): T^a C_spe in the released program, T^b C_spe in the paper."""
    base: str | None = None
    """Closed form (key in METHODS) whose result replaces the learned up-sampling B^U, both as
    spectral input and as the image that the output is added to; None for the paper's network."""
    residual_scale: float = 1.0
    """Factor on the residual; 1 in the paper. On a good base the residual is so small that with 1 a
    single step of Adam moves the output by more than the base's whole error."""

    def __post_init__(self) -> None:
        for name in ("bands", "spatial_bands", "width", "head_width"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be 1 or more, got {getattr(self, name)}.")
        if not self.residual_scale > 0:
            raise ValueError(f"residual_scale must be positive, got {self.residual_scale}.")
        if self.ratio not in (2, 4):
            raise ValueError(f"The ratio of a U2Net is 2 or 4, got {self.ratio}.")
        if self.width % self.head_width:
            raise ValueError(
                f"The head width {self.head_width} does not divide the width {self.width}."
            )
        if self.width % 2:
            raise ValueError(f"The width must be even, got {self.width}.")
        has_c_spe = self.variant not in (Variant.CONCATENATION, Variant.SPATIAL_ONLY)
        if self.spectral_scaling == "paper" and not has_c_spe:
            raise ValueError(f"Variant {self.variant} has no equation (2) to scale.")
        if self.spatial_factor == "paper" and (
            not has_c_spe or self.variant is Variant.SPECTRAL_ONLY
        ):
            raise ValueError(f"Variant {self.variant} has no choice between T^a and T^b in (3).")

    @property
    def stage_widths(self) -> tuple[int, int, int, int, int]:
        """Return the widths d of stages 1 to 5."""
        s = self.width
        return s, 2 * s, 4 * s, 2 * s, s


def parameter_count(config: U2NetConfig) -> int:
    """Return the number of parameters that take part in the forward pass.

    For the full network at ratio 4: 505 S² + 156.5 S + 18 C S + 9 c S + 144 C² + C.

    Example:
        >>> parameter_count(U2NetConfig(bands=8))
        536248
    """
    C, c, S = config.bands, config.spatial_bands, config.width
    single = config.variant is Variant.SINGLE_BRANCH
    inputs = 9 * (C + c) * S + S if single else 9 * C * S + S + 9 * c * S + S
    down = sum(6 * d**2 + 23 * d for d in (S, 2 * S))
    up = sum(17 * d**2 + 2 * d for d in (2 * S, S))
    res = 0 if single else sum(9 * d**2 + d // 2 + d for d in config.stage_widths[:4])
    head = 9 * S**2 + S + 9 * S * C + C
    s2 = sum(_s2block_count(d, config.variant) for d in config.stage_widths)
    upsampling = 9 * config.ratio**2 * C**2 if config.base is None else 0
    return upsampling + inputs + s2 + down + up + res + head


def published_parameter_count(config: U2NetConfig) -> int:
    """Return what the released class counts: it also holds layers that no forward pass uses.

    These are a second down-sampling (max pooling, 1x1 and depthwise convolution) in each Down and
    a second up-sampling in each Up: 100 S² + 105 S parameters that never receive a gradient.

    Example:
        >>> published_parameter_count(U2NetConfig(bands=8))
        642008
    """
    return parameter_count(config) + 100 * config.width**2 + 105 * config.width


def _s2block_count(d: int, variant: Variant) -> int:
    """Count one S2Block of width d with its MLP."""
    norms_and_mlp = 4 * d + d**2 + d // 2 + d
    if variant is Variant.CONCATENATION:
        return norms_and_mlp + 2 * d**2 + d
    maps = 3 if variant in (Variant.SPATIAL_ONLY, Variant.SPECTRAL_ONLY) else 4
    return norms_and_mlp + maps * d**2 + d**2 + d
