"""FusionNet: a residual network turns the difference PAN - MS into the detail to inject.

L.-J. Deng, G. Vivone, C. Jin, J. Chanussot (2021): "Detail Injection-Based Deep Convolutional
Neural Networks for Pansharpening", IEEE TGRS 59(8), 6995-7010.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from bandweave.methods.nets.architecture import Architecture
from bandweave.methods.nets.blocks import residual_trunk
from bandweave.methods.nets.network import RefiningNetwork


@dataclass(frozen=True, slots=True, kw_only=True)
class FusionNetConfig(Architecture):
    """Architecture of a FusionNet; the defaults are those of the published weights.

    Raises:
        ValueError: A number is below 1, or there is more than one spatial band.
    """

    width: int = 32
    """Channels between the first and the last convolution."""
    blocks: int = 4
    """Residual blocks."""

    def __post_init__(self) -> None:
        Architecture.__post_init__(self)
        if self.spatial_bands != 1:
            raise ValueError(
                "FusionNet subtracts each band from the one spatial band, "
                f"got {self.spatial_bands} spatial bands."
            )


class FusionNet(RefiningNetwork):
    """fused = start + F(spatial - start), with the PAN repeated for every band.

    Both images are in the unit range; nothing is clamped.
    """

    config_type = FusionNetConfig

    def __init__(self, config: FusionNetConfig) -> None:
        super().__init__()
        self.config: FusionNetConfig = config
        self.receptive_radius = 2 * config.blocks + 2
        self.trunk = residual_trunk(config.bands, config.width, config.blocks, config.bands)

    def refine(self, spatial: Tensor, spectral: Tensor, start: Tensor) -> Tensor:
        """Add the detail that PAN - MS predicts."""
        del spectral
        fused: Tensor = start + self.trunk(spatial - start)
        return fused
