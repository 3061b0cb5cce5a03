"""Untrained weights and scenes of noise: what is timed does not depend on what it is shown."""

from __future__ import annotations

import numpy as np
import torch

from bandweave.methods.nets.card import PUBLISHED_WV3
from bandweave.methods.nets.checkpoint import Weights
from bandweave.methods.nets.u2net import U2Net
from bandweave.methods.nets.u2net_config import U2NetConfig
from bandweave.pair import ImagePair
from gpu.bench import BANDS, FULL_SCALE


def random_weights() -> Weights:
    """Return U2Net for WorldView-3, untrained."""
    torch.manual_seed(0)
    return Weights(U2Net(U2NetConfig(bands=BANDS)).eval(), PUBLISHED_WV3, "random")


def random_pair(side: int) -> ImagePair:
    """Return whole numbers, as an instrument delivers them."""
    rng = np.random.default_rng(0)
    most = int(FULL_SCALE) + 1
    return ImagePair(
        spatial=rng.integers(0, most, (1, side, side)).astype(np.float32),
        spectral=rng.integers(0, most, (BANDS, side // 4, side // 4)).astype(np.float32),
        ratio=4,
        phase=PUBLISHED_WV3.phase,
        full_scale=FULL_SCALE,
    )
