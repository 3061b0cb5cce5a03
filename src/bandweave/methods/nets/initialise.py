"""Where training starts. The paper's recipes keep PyTorch's defaults and need nothing from here."""

from __future__ import annotations

import torch
from torch import Tensor

from bandweave.methods.nets.u2net import U2Net


def start_from_interpolation(model: U2Net, phase: tuple[float, float]) -> None:
    """Make an untrained network return a plain interpolation of the spectral image.

    The learned up-sampling becomes quadratic (Lagrange) interpolation band by band, the last
    convolution becomes zero; all other layers stay as they are. In the outermost coarse pixel of
    the tile the up-sampling's zero padding darkens the result.

    Args:
        model: Changed in place.
        phase: Fine index (row, column) of coarse sample 0: where the training data have it.

    Example:
        >>> from bandweave.methods.nets.u2net_config import U2NetConfig
        >>> model = U2Net(U2NetConfig(bands=4, width=16))
        >>> start_from_interpolation(model, (1.5, 1.5))
        >>> fused = model(torch.rand(1, 1, 32, 32), torch.ones(1, 4, 8, 8))
        >>> torch.allclose(fused[..., 4:-4, 4:-4], torch.ones(1, 4, 24, 24))
        True
    """
    ratio, bands = model.config.ratio, model.config.bands
    rows, cols = (_quadratic_taps(ratio, p) for p in phase)
    kernels = torch.einsum("ia,jb->ijab", rows, cols).reshape(ratio**2, 3, 3)
    last = model.head[-1]
    with torch.no_grad():
        weight = model.upsample.conv.weight.zero_()
        for band in range(bands):
            weight[band * ratio**2 : (band + 1) * ratio**2, band] = kernels
        for parameter in last.parameters():
            parameter.zero_()


def start_from_base(model: U2Net) -> None:
    """Make an untrained network return its base: the last convolution becomes zero.

    Args:
        model: Changed in place; its configuration names a base.
    """
    with torch.no_grad():
        for parameter in model.head[-1].parameters():
            parameter.zero_()


def _quadratic_taps(ratio: int, phase: float) -> Tensor:
    """Return `(ratio, 3)`: weights of coarse samples -1, 0, 1 for each fine row of sample 0.

    Three taps are what the 3x3 convolution has room for; these reproduce quadratics exactly.
    """
    t = (torch.arange(ratio) - phase) / ratio
    return torch.stack((t * (t - 1) / 2, 1 - t**2, t * (t + 1) / 2), dim=1)
