"""The classical ensemble: its members are the methods alone, measured together."""

from __future__ import annotations

import numpy as np
import pytest

from bandweave.errors import BandCountError, FusionError
from bandweave.methods.base import Local
from bandweave.methods.classical_ensemble import ClassicalEnsemble
from bandweave.methods.preparation import Ensemble, estimates
from bandweave.methods.table import METHODS
from bandweave.mosaic import plan as plan_module
from bandweave.mosaic.runner import RunLimits, fit_method
from bandweave.pair import ImagePair
from bandweave.sensors import find_sensor
from bandweave.source import ArraySource
from bandweave.window import Window
from scenes import smooth_truth

MEMBERS = ("bt_h", "mtf_glp_hpm_r", "bdsd_pc", "local_regression")


def make_pair(*, full_scale: float | None = None) -> ImagePair:
    """Return a masked GaoFen-2 pair of 37 x 31 coarse pixels: haze from percentiles by name."""
    truth = smooth_truth(4, 148, 124, seed=2)
    cells = truth.reshape(4, 37, 4, 31, 4).mean(axis=(2, 4))
    valid = np.ones((148, 124), dtype=bool)
    valid[20:41, 30:57] = False
    return ImagePair(
        spatial=truth.mean(axis=0, keepdims=True),
        spectral=cells + np.random.default_rng(5).normal(0, 3, cells.shape),
        ratio=4,
        phase=(1.5, 1.5),
        full_scale=full_scale,
        sensor=find_sensor("gf2"),
        valid=valid,
    )


def fit(name: str, pair: ImagePair):
    entry = METHODS[name]
    assert entry.create is not None
    return fit_method(entry.create(), ArraySource(pair), RunLimits())


# With the full scale known, local regression measures nothing and the others do.
@pytest.mark.parametrize("full_scale", [None, 1023.0])
def test_its_members_are_the_methods_alone(full_scale, monkeypatch) -> None:
    monkeypatch.setattr(plan_module, "LOCAL_BLOCK", (96, 60))  # sums of several blocks
    monkeypatch.setattr(plan_module, "ROW_BLOCK", (96, 60))
    pair = make_pair(full_scale=full_scale)
    fitted = fit("classical_ensemble", pair)
    alone = [fit(name, pair) for name in MEMBERS]
    images = np.stack([one.fuse(pair) for one in alone])
    whole = Window.whole(pair.shape)
    np.testing.assert_allclose([*fitted.members(pair, whole)], images, rtol=0, atol=1e-9)
    np.testing.assert_allclose(fitted.fuse(pair), images.mean(axis=0), rtol=0, atol=1e-9)
    assert fitted.reach == Local(max(one.reach.apron for one in alone))


def test_a_network_is_handed_its_members() -> None:
    pair = make_pair()
    fitted = fit("classical_ensemble", pair)
    assert isinstance(fitted, Ensemble)
    handed = estimates(fitted, pair, Window.whole(pair.shape), len(MEMBERS), None)
    assert handed.shape == (4 * len(MEMBERS), 148, 124)
    np.testing.assert_array_equal(handed[:4], fit("bt_h", pair).fuse(pair))


def test_what_a_member_refuses_is_refused_in_its_words() -> None:
    pair = make_pair()
    colours = pair.replace(spatial=np.concatenate([pair.spatial] * 3))
    unknown = pair.replace(sensor=None)
    for bad, member in ((colours, "bt_h"), (unknown, "mtf_glp_hpm_r")):
        sentences = []
        for name in (member, "classical_ensemble"):
            with pytest.raises(FusionError) as caught:
                fit(name, bad)
            sentences.append(str(caught.value))
        assert sentences[0] == sentences[1]
    with pytest.raises(BandCountError):
        ClassicalEnsemble().measurement(colours.profile)


def test_members_that_measure_nothing_need_no_sums() -> None:
    pair = make_pair(full_scale=1023.0)
    local = ClassicalEnsemble(methods=(ClassicalEnsemble().methods[-1],))
    assert local.measurement(pair.profile) is None
    expected = fit("local_regression", pair).fuse(pair)
    np.testing.assert_array_equal(local.fit(pair.profile, None).fuse(pair), expected)
