"""SSRNet: three convolutions, for fusion, spatial and spectral reconstruction, with edge losses.

X. Zhang, W. Huang, Q. Wang, X. Li (2021): "SSR-NET: Spatial-Spectral Reconstruction Network for
Hyperspectral and Multispectral Image Fusion", IEEE Trans. Geosci. Remote Sens. 59(7), 5953-5965.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from bandweave.methods.nets.architecture import Architecture
from bandweave.methods.nets.blocks import bilinear_radius, enlarge_bilinear, same_conv
from bandweave.methods.nets.network import EnlargingNetwork


@dataclass(frozen=True, slots=True, kw_only=True)
class SsrnetConfig(Architecture):
    """Architecture of an SSRNet.

    Raises:
        ValueError: A count is below 1, or the band counts leave nothing to overwrite.
    """

    spatial_bands: int = 3
    """Bands c of the spatial image."""
    joining: Literal["stack", "overwrite"] = "stack"
    """How the spatial image comes in. The published network overwrites c spectral bands at equal
    distances, first and last included, with its bands in their order. That is right where these
    were picked from the spectral image itself, and wrong for red, green and blue, which it puts
    into the bands from short to long wavelengths; `stack` hands all bands of both images to the
    first convolution."""

    def __post_init__(self) -> None:
        Architecture.__post_init__(self)
        if self.joining == "overwrite" and not 2 <= self.spatial_bands <= self.bands:
            raise ValueError(
                "Overwriting needs two spatial bands or more, and as many spectral ones, "
                f"got {self.spatial_bands} and {self.bands}."
            )

    @property
    def overwritten(self) -> list[int]:
        """Return the spectral bands that the spatial ones replace, counted from 0."""
        gaps = self.spatial_bands - 1
        return [k * self.bands // gaps for k in range(gaps)] + [self.bands - 1]


class Stages(NamedTuple):
    """Both reconstructions `(B, C, H, W)`, unit range."""

    spatial: Tensor
    """After the spatial reconstruction, the second convolution."""
    fused: Tensor
    """After the spectral reconstruction, the third: the result."""


class SSRNet(EnlargingNetwork):
    """x ← ReLU(conv(joined)), x ← x + ReLU(conv(x)), x ← x + ReLU(conv(x)), all 3x3.

    The spectral image is interpolated bilinearly. The result is not negative. Both images are in
    the unit range; nothing else is clamped.
    """

    config_type = SsrnetConfig

    def __init__(self, config: SsrnetConfig) -> None:
        super().__init__()
        self.config: SsrnetConfig = config
        self.stride = config.ratio
        self.receptive_radius = 3 + bilinear_radius(config.ratio)
        bands = config.bands
        joined = bands + config.spatial_bands if config.joining == "stack" else bands
        self.fusion = same_conv(joined, bands)
        self.spatial_reconstruction = same_conv(bands, bands)
        self.spectral_reconstruction = same_conv(bands, bands)

    @property
    def unused_as_published(self) -> int:
        """Return 1: the released class holds a number that nothing uses."""
        return 1

    def combine(self, spatial: Tensor, spectral: Tensor) -> Tensor:
        """Return the result of the last stage."""
        return self.stages(spatial, spectral).fused

    def stages(self, spatial: Tensor, spectral: Tensor) -> Stages:
        """Return both reconstructions; arguments as for `forward`, not checked."""
        x = functional.relu(self.fusion(self._joined(spatial, spectral)))
        x = x + functional.relu(self.spatial_reconstruction(x))
        return Stages(x, x + functional.relu(self.spectral_reconstruction(x)))

    def loss(self, spatial: Tensor, spectral: Tensor, start: Tensor | None, gt: Tensor) -> Tensor:
        """Return the paper's loss: squared errors of the result and of edges in space and spectrum.

        MSE(fused) + ½ MSE(row differences of x) + ½ MSE(column differences of x) + MSE(band
        differences of fused), where x is the spatial reconstruction and differences are between
        neighbours.

        Args:
            spatial: As for `forward`.
            spectral: As for `forward`.
            start: None.
            gt: `(B, C, H, W)`, unit range.

        Raises:
            BandCountError: The band counts are not those of the configuration.
            ShapeError: The sizes do not fit the ratio.
        """
        self.check(spatial, spectral, start)
        stages = self.stages(spatial, spectral)
        # Differences are linear: those of two images differ by those of their difference.
        error, spatial_error = stages.fused - gt, stages.spatial - gt
        return (
            error.square().mean()
            + 0.5 * spatial_error.diff(dim=2).square().mean()
            + 0.5 * spatial_error.diff(dim=3).square().mean()
            + error.diff(dim=1).square().mean()
        )

    def _joined(self, spatial: Tensor, spectral: Tensor) -> Tensor:
        """Return the input of the first convolution, see `SsrnetConfig.joining`."""
        enlarged = enlarge_bilinear(spectral, self.config.ratio)
        if self.config.joining == "stack":
            return torch.cat((enlarged, spatial), dim=1)
        bands = list(enlarged.unbind(dim=1))
        for band, replacement in zip(self.config.overwritten, spatial.unbind(dim=1), strict=True):
            bands[band] = replacement
        return torch.stack(bands, dim=1)
