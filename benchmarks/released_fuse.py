"""Fuse two files as the released program does: all in memory, one tile after the other.

    python benchmarks/released_fuse.py PAN MS OUT WEIGHTS

WEIGHTS is a weight file of U2Net. The rival in `bench_memory.py`; see
`tests/oracles/released_u2net.py`.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import rasterio

from bandweave.methods.nets.compat import PUBLISHED_NAMES
from bandweave.methods.nets.zoo import load_named

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from oracles.released_u2net import FULL_SCALE, fuse_released


def main() -> None:
    pan, ms, out, weights = sys.argv[1:]
    state = load_named(weights).model.state_dict()
    theirs = {name: state[ours] for name, ours in PUBLISHED_NAMES.items()}
    with rasterio.open(pan) as file:
        spatial, profile = file.read(1).astype(np.float32) / np.float32(FULL_SCALE), file.profile
    with rasterio.open(ms) as file:
        spectral = file.read().astype(np.float32) / np.float32(FULL_SCALE)
    fused = fuse_released(theirs, spatial, spectral)
    profile.update(count=len(fused))
    with rasterio.open(out, "w", **profile) as file:
        file.write(fused.round().astype(profile["dtype"]))


if __name__ == "__main__":
    main()
