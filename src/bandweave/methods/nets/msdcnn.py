"""MSDCNN: a deep branch with kernels of three sizes, and a shallow branch beside it.

Y. Wei, Q. Yuan, X. Meng, H. Shen, L. Zhang, M. Ng (2017): "Multi-scale-and-depth convolutional
neural network for remote sensed imagery pan-sharpening", IGARSS, 3413-3416.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from bandweave.methods.nets.architecture import Architecture
from bandweave.methods.nets.blocks import Residual, same_conv
from bandweave.methods.nets.network import RefiningNetwork

# Sides of the parallel kernels.
_SCALES = (3, 5, 7)


@dataclass(frozen=True, slots=True, kw_only=True)
class MsdCnnConfig(Architecture):
    """Architecture of an MSDCNN; the defaults are those of the published weights.

    Raises:
        ValueError: A number is below 1, or the deep width is no multiple of 6.
    """

    deep_width: int = 60
    """Channels of the deep branch at first; half of them later."""
    shallow_width: int = 64
    """Channels of the shallow branch at first; half of them later."""

    def __post_init__(self) -> None:
        Architecture.__post_init__(self)
        if self.deep_width % (2 * len(_SCALES)):
            raise ValueError(
                "The deep width is halved, then shared by three kernel sizes, so it must be a "
                f"multiple of 6, got {self.deep_width}."
            )
        if self.shallow_width % 2:
            raise ValueError(f"The shallow width must be even, got {self.shallow_width}.")


class MSDCNN(RefiningNetwork):
    """fused = ReLU(deep(start, spatial) + shallow(start, spatial)).

    Through the last ReLU no result is negative, and a sample below zero in training gets no
    gradient.

    Both images are in the unit range; the result is not clamped from above, and nothing is added
    to it.
    """

    config_type = MsdCnnConfig
    # Kernels of the deep branch: 7, 7 (the largest of three), 3, 7, 5.
    receptive_radius = 3 + 3 + 1 + 3 + 2

    def __init__(self, config: MsdCnnConfig) -> None:
        super().__init__()
        self.config: MsdCnnConfig = config
        channels = config.bands + config.spatial_bands
        wide, narrow = config.deep_width, config.deep_width // 2
        self.deep = nn.Sequential(
            same_conv(channels, wide, 7),
            nn.ReLU(),
            Residual(MultiScale(wide)),
            nn.ReLU(),
            same_conv(wide, narrow, 3),
            nn.ReLU(),
            Residual(MultiScale(narrow)),
            nn.ReLU(),
            same_conv(narrow, config.bands, 5),
        )
        wide, narrow = config.shallow_width, config.shallow_width // 2
        self.shallow = nn.Sequential(
            same_conv(channels, wide, 9),
            nn.ReLU(),
            same_conv(wide, narrow, 1),
            nn.ReLU(),
            same_conv(narrow, config.bands, 5),
        )

    def refine(self, spatial: Tensor, spectral: Tensor, start: Tensor) -> Tensor:
        """Return what both branches make of the stacked images."""
        del spectral
        stacked = torch.cat((start, spatial), dim=1)
        return functional.relu(self.deep(stacked) + self.shallow(stacked))


class MultiScale(nn.Module):
    """Convolutions 3x3, 5x5 and 7x7 side by side, a third of the width each."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            same_conv(width, width // len(_SCALES), side) for side in _SCALES
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return the three results one after the other, of x's shape `(B, width, H, W)`."""
        return torch.cat([branch(x) for branch in self.branches], dim=1)
