"""What is chosen where nothing is asked for, and why."""

from __future__ import annotations

import numpy as np
import pytest

from bandweave.config import FuseConfig
from bandweave.errors import MissingWeightsError
from bandweave.methods.nets.zoo import WEIGHTS
from bandweave.mosaic.select import select_method
from bandweave.pair import ImagePair, PairProfile
from bandweave.sensors import find_sensor


def profile(sensor: str, bands: int, ratio: int = 4) -> PairProfile:
    images = np.ones((1, 8 * ratio, 8 * ratio)), np.ones((bands, 8, 8))
    return ImagePair(*images, ratio, (1.5, 1.5), 2047.0, None, find_sensor(sensor)).profile


def test_weights_that_anybody_may_use_come_first() -> None:
    chosen = select_method(FuseConfig(), profile("wv3", 8))
    assert chosen.weights == "u2net-l-wv"
    assert chosen.card is not None
    assert chosen.card.licence == "CC-BY-SA-4.0"


def test_research_weights_are_named_but_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in set(WEIGHTS) - {"u2net-wv"}:
        monkeypatch.delitem(WEIGHTS, name)
    chosen = select_method(FuseConfig(), profile("wv3", 8))
    assert chosen.entry.id == "pracs"
    assert chosen.weights is None
    assert "(--weights u2net-wv)" in chosen.reason
    assert "for research use only" in chosen.reason
    # Their method asked for by name takes them.
    asked = select_method(FuseConfig(method="u2net_ensemble"), profile("wv3", 8))
    assert asked.weights == "u2net-wv"


@pytest.mark.parametrize("sensor", ["gf2", "ikonos", "ge1"])
def test_four_bands_have_free_weights(sensor: str) -> None:
    assert select_method(FuseConfig(), profile(sensor, 4)).weights == "u2net-l-4band"


def test_weights_that_end_consistent_wait_for_the_mtf_gains() -> None:
    chosen = select_method(FuseConfig(), profile("gf1", 4))
    assert chosen.entry.id == "pracs"
    assert "u2net-l-4band, which fit, need the MTF gains (--mtf-gain)" in chosen.reason
    told = FuseConfig(mtf_gain=(0.3, 0.3, 0.3, 0.3))
    assert select_method(told, profile("gf1", 4)).weights == "u2net-l-4band"


def test_a_network_without_fitting_weights_names_one_that_has_them() -> None:
    with pytest.raises(MissingWeightsError, match=r"No shipped weights of PNN fit .*u2net-l-wv"):
        select_method(FuseConfig(method="pnn"), profile("wv3", 8))


def test_without_fitting_weights_the_best_classical_method() -> None:
    chosen = select_method(FuseConfig(), profile("landsat8", 7, 2))
    assert chosen.entry.id == "pracs"
    assert "no shipped weights fit Landsat-8" in chosen.reason
    with pytest.raises(MissingWeightsError, match="No shipped weights of U2Net fit"):
        select_method(FuseConfig(method="u2net"), profile("landsat8", 7, 2))
