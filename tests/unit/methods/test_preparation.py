"""What a network starts from: on a part of a scene, and in which blocks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bandweave.methods.consistency import Consistency
from bandweave.methods.nets.checkpoint import Weights
from bandweave.methods.nets.zoo import load_named
from bandweave.methods.preparation import FittedBase, fitted_base, make_base
from bandweave.mosaic.runner import RunLimits, fit_method
from bandweave.pair import ImagePair, PairProfile
from bandweave.sensors import find_sensor
from bandweave.source import ArraySource
from bandweave.window import Window

RATIO, GAIN = 4, 0.3


def make_pair(height: int, width: int) -> ImagePair:
    rng = np.random.default_rng(3)
    cells = rng.uniform(200, 900, (4, height // RATIO, width // RATIO))
    truth = cells.repeat(RATIO, axis=1).repeat(RATIO, axis=2)
    truth += rng.normal(0, 40, (1, height, width))
    return ImagePair(
        spatial=truth.mean(axis=0, keepdims=True),
        spectral=cells,
        ratio=RATIO,
        phase=(1.5, 1.5),
        full_scale=1023.0,
        sensor=find_sensor("gf2"),
    )


def make_base_of(pair: ImagePair, name: str, members: int) -> FittedBase:
    fitted = fit_method(make_base(name), ArraySource(pair), RunLimits())
    step = Consistency((GAIN,))
    base = FittedBase(fitted, np.float64, step, 0.7, members, fitted.reach)
    apron = fitted.reach.apron + step.apron(RATIO, pair.phase) + RATIO
    return replace(base, reach=replace(fitted.reach, apron=apron))


@pytest.mark.parametrize(("name", "members"), [("classical_ensemble", 4), ("local_regression", 1)])
def test_a_part_with_its_context_is_what_the_whole_gives_there(name: str, members: int) -> None:
    pair = make_pair(388, 452)
    base = make_base_of(pair, name, members)
    whole = base.fuse(pair)
    core = Window(188, 200, 32, 44)
    seen = core.padded(base.reach.apron).intersection(Window.whole(pair.shape))
    assert seen.shape != pair.shape  # or nothing is shown
    part = base.fuse_core(pair.crop(seen), core.relative_to(seen))
    assert part.shape == (members * 4, 32, 44)
    assert part.dtype == np.float32
    np.testing.assert_allclose(part, core.cut(whole), rtol=2e-7, atol=0)


def profile(width: int) -> PairProfile:
    return replace(
        make_pair(16, 16).profile, shape=(20_000, width), bands=8, sensor=find_sensor("wv3")
    )


@pytest.mark.parametrize(
    ("width", "block"), [(900, (512, 512)), (2000, (260, 512)), (20_000, (64, 512))]
)
def test_wide_scenes_are_cut_into_flatter_blocks(width: int, block: tuple[int, int]) -> None:
    weights: Weights = load_named("u2net-l-wv")
    method = make_base("local_regression")
    base = fitted_base(method, profile(width), None, weights, 0.0)
    assert base.members == 4
    assert base.reach.block == block
