"""Bands far from the PAN are interpolated, and leave no trace in the others."""

from __future__ import annotations

import numpy as np
import pytest

from bandweave.methods.base import Local, WholeScene
from bandweave.methods.convention import SCENE
from bandweave.methods.covered_bands import CoveredBands, pair_of
from bandweave.methods.table import METHODS
from bandweave.mosaic import plan as plan_module
from bandweave.mosaic.runner import ArraySink, RunLimits, fit_method, run_scene
from bandweave.pair import ImagePair
from bandweave.sensors import find_sensor
from bandweave.source import ArraySource
from scenes import smooth_truth

CLASSICAL = [
    name
    for name, entry in METHODS.items()
    if entry.create is not None and not entry.is_hyperspectral
]
COVERED, REST = (0, 2, 3), (1, 4)


def make_pair(shape: tuple[int, int] = (37, 31), ratio: int = 2) -> ImagePair:
    """Return five bands, of which the second and the last have nothing to do with the PAN."""
    height, width = shape[0] * ratio, shape[1] * ratio
    truth = smooth_truth(5, height, width, seed=3)
    truth[list(REST)] = 20 * smooth_truth(2, height, width, seed=4)
    cells = truth.reshape(5, shape[0], ratio, shape[1], ratio).mean(axis=(2, 4))
    phase = (ratio - 1) / 2
    pan = truth[list(COVERED)].mean(axis=0, keepdims=True)
    return ImagePair(pan, cells, ratio, (phase, phase), sensor=find_sensor("none"))


def fit(name: str, pair: ImagePair, *, is_restricted: bool = True):
    entry = METHODS[name]
    assert entry.create is not None
    method = entry.create()
    used = CoveredBands(method, COVERED) if is_restricted else method
    return fit_method(used, ArraySource(pair), RunLimits())


@pytest.mark.parametrize("name", CLASSICAL)
def test_covered_bands_are_fused_as_if_alone_and_the_rest_is_interpolated(name):
    pair = make_pair()
    fused = fit(name, pair).fuse(pair)
    alone = pair_of(pair, COVERED)
    expected = fit(name, alone, is_restricted=False).fuse(alone)
    np.testing.assert_array_equal(fused[list(COVERED)], expected)
    np.testing.assert_allclose(fused[list(REST)], SCENE.upsample(pair)[list(REST)], rtol=1e-12)


@pytest.mark.parametrize("name", ["brovey", "bt_h", "mtf_glp_fs", "bdsd_pc"])
def test_tiled_is_whole(name, monkeypatch):
    monkeypatch.setattr(plan_module, "LOCAL_BLOCK", (48, 60))
    monkeypatch.setattr(plan_module, "ROW_BLOCK", (48, 60))
    pair = make_pair((59, 83))
    fitted = fit(name, pair)
    assert isinstance(fitted.reach, Local)
    sink = ArraySink()
    run_scene(fitted, ArraySource(pair), sink, precision=np.float64)
    monkeypatch.undo()
    assert np.abs(sink.hrms - fit(name, pair).fuse(pair)).max() <= 1e-9


def test_a_whole_scene_method_stays_one():
    pair = make_pair()
    reach, alone = fit("tv", pair).reach, fit("tv", pair_of(pair, COVERED), is_restricted=False)
    assert isinstance(reach, WholeScene)
    assert reach.bytes_per_pixel > alone.reach.bytes_per_pixel


def test_gains_and_names_belong_to_the_bands_that_are_kept():
    sensor = find_sensor("wv3")
    pair = make_pair().replace(
        spectral=np.ones((8, 37, 31)) * np.arange(1, 9)[:, None, None], sensor=sensor
    )
    part = pair_of(pair, (1, 4, 7))
    assert part.spectral[:, 0, 0].tolist() == [2, 5, 8]
    assert part.sensor is not None
    assert part.sensor.mtf_gains(3) == (0.355, 0.365, 0.315)
    assert part.profile.band_names == ("blue", "red", "nir2")
