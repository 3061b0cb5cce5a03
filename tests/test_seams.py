"""Seams: the error must not change faster where tiles meet than inside them.

RMSE and SAM cannot see seams. The gradient of the error can: at tile borders it grows when
neighbouring tiles disagree.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bandweave.degrade.observe import observe
from bandweave.degrade.sampling import imresize
from bandweave.methods.base import FixedTile
from bandweave.methods.learned import LearnedMethod
from bandweave.methods.nets.zoo import load_named
from bandweave.methods.official_tiling import OfficialTiling
from bandweave.mosaic.runner import ArraySink, run_scene
from bandweave.pair import ImagePair
from bandweave.raster.reader import open_image
from bandweave.sensors import find_sensor
from bandweave.source import ArraySource
from bandweave.window import Window

WRITTEN = 48  # fine pixels per side that a 64-pixel tile with overlap 16 adds to the scene


def gradient_ratio(error: np.ndarray, borders: np.ndarray) -> float:
    """Return the mean |∂ error| across the given borders over the mean elsewhere, both directions."""
    across = []
    inside = []
    for axis in (1, 2):
        steps = np.abs(np.diff(error, axis=axis)).mean(axis=tuple({0, 1, 2} - {axis}))
        places = borders[(borders > 0) & (borders <= steps.size)] - 1
        is_border = np.isin(np.arange(steps.size), places)
        across.append(steps[is_border])
        inside.append(steps[~is_border])
    return float(np.concatenate(across).mean() / np.concatenate(inside).mean())


def borders_of_blended_tiles(size: int) -> np.ndarray:
    """Return where a tile begins, ends, and where two have equal weight."""
    middles = np.arange(0, size + WRITTEN, WRITTEN)
    return np.concatenate([middles - 8, middles, middles + 8])


def test_the_measure_sees_a_seam(rng) -> None:
    error = rng.normal(size=(2, 200, 192))
    borders = np.arange(48, 192, 48)
    assert abs(gradient_ratio(error, borders) - 1) < 0.05
    error[:, :, 96:] += 1.5
    assert gradient_ratio(error, borders) > 1.05


def reduced_spacenet(find: Callable[[str], Path]) -> tuple[ImagePair, np.ndarray]:
    """Reduce the SpaceNet pair by Wald's protocol: the MS is the truth."""
    folder = "data/pan/wv3_spacenet_shanghai"
    ms, pan = open_image(find(f"{folder}_ms.tif")), open_image(find(f"{folder}_pan.tif"))
    gt = ms.read(Window(0, 0, 320, 320), np.float64)[0]
    # The delivery is displaced by three PAN pixels.
    fine = pan.read(Window(3, 0, 1280, 1280), np.float64)[0]
    gains = find_sensor("wv3").mtf_gains(8)
    assert gains is not None
    pair = ImagePair(
        spatial=imresize(fine, 0.25).astype(np.float32),
        spectral=observe(gt, gains, 4, (2, 2)).astype(np.float32),
        ratio=4,
        phase=(2, 2),
        full_scale=2047,
    )
    return pair, gt


@pytest.mark.golden
@pytest.mark.slow
def test_blended_tiles_have_no_seams(shared) -> None:
    pair, gt = reduced_spacenet(shared)
    weights = load_named(str(shared("weights/u2net_wv3_200000_iter.pth")))

    def fused(method: LearnedMethod | OfficialTiling) -> np.ndarray:
        sink = ArraySink()
        fitted = method.fit(pair.profile, None)
        run_scene(fitted, ArraySource(pair), sink, precision=np.float32)
        return sink.hrms - gt

    method = LearnedMethod(weights)
    reach = method.fit(pair.profile, None).reach
    assert isinstance(reach, FixedTile)
    assert reach.size - reach.overlap == WRITTEN
    blended = fused(method)
    assert gradient_ratio(blended, borders_of_blended_tiles(320)) <= 1.02
    official = fused(OfficialTiling(weights))
    # The released hard cut shows its seams, and blending also gains quality.
    assert gradient_ratio(official, np.arange(64, 320, 64)) > 1.02
    assert np.square(blended).mean() < np.square(official).mean()
