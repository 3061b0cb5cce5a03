"""Seams and quality of blended tiles against the released hard cut, on a real scene with truth.

    .venv/bin/python benchmarks/bench_seams.py

Needs the published checkpoint and the SpaceNet pair in ../shared (or $BANDWEAVE_SHARED). Prints,
for each tiling, the gradient of the error across tile borders over that elsewhere, and the PSNR.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np

from bandweave.methods.learned import LearnedMethod
from bandweave.methods.nets.zoo import load_named
from bandweave.methods.official_tiling import OfficialTiling
from bandweave.metrics.psnr import psnr
from bandweave.mosaic.runner import ArraySink, run_scene
from bandweave.source import ArraySource

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))
from test_seams import borders_of_blended_tiles, gradient_ratio, reduced_spacenet  # noqa: E402

SHARED = Path(os.environ.get("BANDWEAVE_SHARED", ROOT.parent / "shared"))


def main() -> None:
    pair, gt = reduced_spacenet(SHARED.joinpath)
    weights = load_named(str(SHARED / "weights" / "u2net_wv3_200000_iter.pth"))
    tilings = {
        "blended, 48 + 2 x 8": (LearnedMethod(weights), borders_of_blended_tiles(320)),
        "released, 64 + 2 x 4": (OfficialTiling(weights), np.arange(64, 320, 64)),
    }
    for name, (method, borders) in tilings.items():
        sink = ArraySink()
        run_scene(method.fit(pair.profile, None), ArraySource(pair), sink, precision=np.float32)
        error = sink.hrms - gt
        print(
            f"{name}: error gradient at borders {gradient_ratio(error, borders):.3f} of that "
            f"elsewhere, PSNR {psnr(sink.hrms, gt, peak=2047.0):.2f} dB"
        )


if __name__ == "__main__":
    main()
