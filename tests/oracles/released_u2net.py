"""The released program's way to fuse with U2Net, slow and obvious: written from the specification.

One 72-pixel tile after the other, and attention with the explicit (HW) x (HW) softmax matrix. It
shares no code with `bandweave.methods`: networks are plain functions of the published tensors under
their published names.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

HEAD_WIDTH = 16
CORE, MARGIN = 64, 4  # output pixels of a tile, reflected pixels per side
FULL_SCALE = 2047.0

Weights = Mapping[str, Tensor]


def fuse_released(
    weights: Weights,
    pan: NDArray[np.float32],
    lrms: NDArray[np.float32],
    *,
    core: int = CORE,
    margin: int = MARGIN,
) -> NDArray[np.float32]:
    """Fuse a scene as the released `test.py` does.

    Args:
        weights: Published tensors.
        pan: `(H, W)`, unit range, H and W multiples of 4.
        lrms: `(C, H/4, W/4)`, unit range.
        core: Output pixels per side of a tile, a multiple of 4; the release has 64.
        margin: Context per side of a tile, a multiple of 4; the release has 4.

    Returns:
        `(C, H, W)` in DN, clamped to [0, 2047].
    """
    height, width = pan.shape
    # A full extra tile where the size divides by the core: the released program does that.
    edge = core - height % core, core - width % core
    pan_canvas = _canvas(pan[None], margin, edge)
    lrms_canvas = _canvas(lrms, margin // 4, (edge[0] // 4, edge[1] // 4))
    fused = np.zeros((len(lrms), height + edge[0], width + edge[1]), np.float32)
    size = core + 2 * margin
    for row in range(0, height + edge[0], core):
        for col in range(0, width + edge[1], core):
            rows, cols = slice(row, row + size), slice(col, col + size)
            pan_tile = pan_canvas[None, :, rows, cols]
            rows, cols = slice(row // 4, (row + size) // 4), slice(col // 4, (col + size) // 4)
            lrms_tile = lrms_canvas[None, :, rows, cols]
            with torch.no_grad():
                out = u2net(weights, torch.from_numpy(pan_tile), torch.from_numpy(lrms_tile))
            kept = out.clamp(0, 1)[0, :, margin:-margin, margin:-margin]
            fused[:, row : row + core, col : col + core] = kept.numpy() * FULL_SCALE
    return fused[:, :height, :width]


def _canvas(image: NDArray[np.float32], margin: int, edge: tuple[int, int]) -> NDArray[np.float32]:
    """Reflect a margin on all sides, and leave zeros beyond it at the far edges."""
    bands, height, width = image.shape
    rows, cols = height + 2 * margin, width + 2 * margin
    canvas = np.zeros((bands, rows + edge[0], cols + edge[1]), np.float32)
    canvas[:, :rows, :cols] = np.pad(image, ((0, 0), (margin,) * 2, (margin,) * 2), mode="reflect")
    return canvas


def u2net(p: Weights, pan: Tensor, lrms: Tensor) -> Tensor:
    """Run the network: `(B, c, H, W)` and `(B, C, H/4, W/4)` to `(B, C, H, W)`."""
    u = functional.pixel_shuffle(
        functional.conv2d(lrms, p["upsample.upsamle.0.weight"], padding=1), 4
    )
    x = functional.leaky_relu(conv(p, "raise_ms_dim.0", u))
    y = functional.leaky_relu(conv(p, "raise_pan_dim.0", pan))
    x1 = s2block(p, "s2block0", x, y)
    y1 = resblock(p, "resblock0", y)
    x, y = down(p, "down0", x1), down(p, "down0", y1)
    x2 = s2block(p, "s2block1", x, y)
    y2 = resblock(p, "resblock1", y)
    x, y = down(p, "down1", x2), down(p, "down1", y2)
    x, y = s2block(p, "s2block2", x, y), resblock(p, "resblock2", y)
    x, y = up(p, "up0", x, x2), up(p, "up0", y, y2)
    x, y = s2block(p, "s2block3", x, y), resblock(p, "resblock3", y)
    x, y = up(p, "up1", x, x1), up(p, "up1", y, y1)
    x = s2block(p, "s2block4", x, y)
    return conv(p, "to_hrms.2", functional.leaky_relu(conv(p, "to_hrms.0", x))) + u


def s2block(p: Weights, name: str, x: Tensor, y: Tensor) -> Tensor:
    """Attention with residual, then MLP with residual, on tokens."""
    batch, d, height, width = x.shape
    rows = x.reshape(batch, d, height * width).transpose(1, 2)
    other = y.reshape(batch, d, height * width).transpose(1, 2)
    part = f"{name}.layers.0.0.fn"
    rows = rows + attention(
        p, f"{part}.fn", norm(p, f"{part}.norm", rows), norm(p, f"{part}.norm", other)
    )
    part = f"{name}.layers.0.1.fn"
    hidden = functional.leaky_relu(linear(p, f"{part}.fn.net.0", norm(p, f"{part}.norm", rows)))
    rows = rows + linear(p, f"{part}.fn.net.3", hidden)
    return rows.transpose(1, 2).reshape(batch, d, height, width)


def attention(p: Weights, name: str, x: Tensor, y: Tensor) -> Tensor:
    """Equations (1) to (3), head by head in one stack, with the explicit matrices."""
    batch, pixels, d = x.shape

    def heads(tokens: Tensor, weight: str) -> Tensor:
        t = tokens @ p[f"{name}.{weight}.weight"].T
        return t.reshape(batch, pixels, d // HEAD_WIDTH, HEAD_WIDTH).permute(0, 2, 1, 3)

    t_a, t_b, t_c, t_d = heads(y, "sa1"), heads(y, "sa2"), heads(x, "se1"), heads(x, "se2")
    c_spa = torch.softmax(t_a @ t_b.transpose(2, 3) * HEAD_WIDTH**-0.5, dim=-1)
    c_spe = torch.softmax(t_c.transpose(2, 3) @ t_d * HEAD_WIDTH**-0.5 / (pixels / 16), dim=-1)
    fused = (c_spa @ t_c) * (t_a @ c_spe)
    return linear(p, f"{name}.to_out.0", fused.permute(0, 2, 1, 3).reshape(batch, pixels, d))


def down(p: Weights, name: str, x: Tensor) -> Tensor:
    """Halve the map, double the width."""
    x = functional.leaky_relu(
        functional.conv2d(x, p[f"{name}.conv.0.weight"], p[f"{name}.conv.0.bias"], stride=2)
    )
    x = functional.conv2d(x, p[f"{name}.conv.2.weight"], p[f"{name}.conv.2.bias"])
    weight = p[f"{name}.conv.3.weight"]
    x = functional.conv2d(x, weight, p[f"{name}.conv.3.bias"], padding=1, groups=len(weight))
    return functional.leaky_relu(x)


def up(p: Weights, name: str, x: Tensor, skip: Tensor) -> Tensor:
    """Double the map, halve the width, add the skip."""
    x = functional.conv_transpose2d(x, p[f"{name}.up1.0.weight"], p[f"{name}.up1.0.bias"], stride=2)
    return functional.leaky_relu(conv(p, f"{name}.conv", functional.leaky_relu(x) + skip))


def resblock(p: Weights, name: str, y: Tensor) -> Tensor:
    """Add two convolutions to the identity."""
    return y + conv(p, f"{name}.conv1", functional.leaky_relu(conv(p, f"{name}.conv0", y)))


def conv(p: Weights, name: str, x: Tensor) -> Tensor:
    """Convolve 3x3, same size."""
    return functional.conv2d(x, p[f"{name}.weight"], p[f"{name}.bias"], padding=1)


def norm(p: Weights, name: str, tokens: Tensor) -> Tensor:
    """Normalise over channels."""
    return functional.layer_norm(
        tokens, tokens.shape[-1:], p[f"{name}.weight"], p[f"{name}.bias"], 1e-5
    )


def linear(p: Weights, name: str, tokens: Tensor) -> Tensor:
    """Apply a linear map with bias."""
    return tokens @ p[f"{name}.weight"].T + p[f"{name}.bias"]
