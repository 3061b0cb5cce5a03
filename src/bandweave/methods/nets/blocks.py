"""Layers that several networks share."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from bandweave.errors import ShapeError

# Side of the box that the published high-pass filters subtract.
_BOX = 5


class Residual(nn.Module):
    """x ← x + F(x), with nothing after the sum."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """Return the new x, of the same shape."""
        change: Tensor = self.layers(x)
        return x + change


def same_conv(channels_in: int, channels_out: int, kernel: int = 3) -> nn.Conv2d:
    """Return a convolution with bias and zero padding that keeps the size; the kernel is odd."""
    return nn.Conv2d(channels_in, channels_out, kernel, padding=kernel // 2)


def residual_block(width: int, activation: nn.Module) -> Residual:
    """Return two 3x3 convolutions with an activation between them, around an identity."""
    return Residual(same_conv(width, width), activation, same_conv(width, width))


def residual_trunk(channels_in: int, width: int, blocks: int, channels_out: int) -> nn.Sequential:
    """Return the 3x3 network that PanNet introduced and FusionNet keeps.

    A convolution with ReLU, `blocks` residual blocks with a ReLU inside, and a last convolution;
    2 · blocks + 2 convolutions in all.
    """
    return nn.Sequential(
        same_conv(channels_in, width),
        nn.ReLU(),
        *(residual_block(width, nn.ReLU()) for _ in range(blocks)),
        same_conv(width, channels_out),
    )


def learned_upsampling(channels: int, ratio: int) -> nn.Sequential:
    """Return a 3x3 convolution to ratio² times the channels and the pixel shuffle of these."""
    return nn.Sequential(same_conv(channels, ratio**2 * channels), nn.PixelShuffle(ratio))


def enlarge_bilinear(spectral: Tensor, ratio: int) -> Tensor:
    """Interpolate bilinearly; beyond the outermost samples the image is constant.

    Args:
        spectral: `(B, C, h, w)`; coarse sample k lies at fine index ratio · k + (ratio - 1) / 2.
        ratio: Fine pixels per coarse one.

    Returns:
        `(B, C, ratio h, ratio w)`.
    """
    return functional.interpolate(
        spectral, scale_factor=ratio, mode="bilinear", align_corners=False
    )


def bilinear_radius(ratio: int) -> int:
    """Return how many fine pixels per side `enlarge_bilinear` reaches.

    A coarse pixel counts as reached as soon as one of its fine pixels is.
    """
    # The last fine pixel before the centre of its coarse pixel still uses the coarse pixel before.
    return ratio // 2


def high_pass(image: Tensor) -> Tensor:
    """Return `image` minus its 5x5 box mean, band by band.

    The border is reflected without repeating the edge pixel.

    Args:
        image: `(B, C, H, W)`.

    Raises:
        ShapeError: There are fewer rows or columns than the reflection needs.
    """
    margin = _BOX // 2
    height, width = image.shape[2:]
    if min(height, width) <= margin:
        raise ShapeError(
            f"The 5x5 high-pass needs {margin + 1} rows and columns or more, "
            f"got {height} x {width}; use a larger image or tile."
        )
    padded = functional.pad(image, (margin,) * 4, mode="reflect")
    return image - functional.avg_pool2d(padded, _BOX, stride=1)


@torch.no_grad()
def start_truncated_normal(module: nn.Module, variance: float) -> None:
    """Draw the weights of all convolutions anew, with biases of zero.

    Weights are normal, drawn again beyond two standard deviations, times √(variance / fan_in).
    Transposed convolutions keep what they have.

    Args:
        module: A convolution, or what holds some; changed in place.
        variance: Of the untruncated normal, times fan_in; 2.6 in several published programs.
    """
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            deviation = math.sqrt(variance / layer.weight[0].numel())
            nn.init.trunc_normal_(layer.weight, std=deviation, a=-2 * deviation, b=2 * deviation)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
