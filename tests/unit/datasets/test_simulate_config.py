"""What simulation options mean."""

from __future__ import annotations

import pytest

from bandweave.datasets.simulate_config import CubeConfig, PairConfig
from bandweave.degrade.operators import Imresize, MtfFilter
from bandweave.errors import ConfigError, SensorModelError
from bandweave.pair import PairProfile
from bandweave.sensors import find_sensor


def profile(sensor, *, bands, spatial_bands=1, ratio=4):
    return PairProfile(
        shape=(64, 64),
        spatial_bands=spatial_bands,
        bands=bands,
        ratio=ratio,
        phase=(1.5, 1.5),
        sensor=find_sensor(sensor),
    )


def test_defaults_are_the_toolboxes():
    protocol = PairConfig().protocol(profile("wv3", bands=8), "toolbox")
    assert protocol.spectral == MtfFilter(
        (0.325, 0.355, 0.360, 0.350, 0.365, 0.360, 0.335, 0.315), is_normalised=False
    )
    assert protocol.spatial == Imresize()
    assert protocol.phase == (2.0, 2.0)


def test_phase_can_be_chosen():
    assert PairConfig().phase_at(4, "corner") == (1.5, 1.5)
    assert PairConfig(phase="toolbox").phase_at(6, "corner") == (3.0, 3.0)
    assert PairConfig(phase="corner").phase_at(2, "toolbox") == (0.5, 0.5)


def test_spatial_bands_have_their_own_gains():
    config = PairConfig(pan_method="mtf")
    protocol = config.protocol(profile("sentinel2", bands=6, spatial_bands=4, ratio=2), "toolbox")
    assert protocol.spatial == MtfFilter((0.275, 0.28, 0.25, 0.24))
    assert config.protocol(profile("qb", bands=4), "toolbox").spatial == MtfFilter((0.15,))
    given = PairConfig(pan_method="mtf", pan_gain=0.3)
    assert given.protocol(profile("qb", bands=4), "toolbox").spatial == MtfFilter((0.3,))
    with pytest.raises(SensorModelError, match="MTF of the PAN is not known"):
        PairConfig(pan_method="mtf", gains=(0.3,)).protocol(profile("spot6", bands=4), "toolbox")


def test_blur_of_a_cube():
    assert CubeConfig().blur.name == "Gaussian, sigma 0.5, 3 x 3 taps"
    assert CubeConfig(mtf_gain=0.2).blur == MtfFilter((0.2,), is_normalised=True)


@pytest.mark.parametrize(
    "options",
    [{"shares": (-1, 1, 1)}, {"patch": 0}, {"ratio": 1}, {"unknown": 3}, {"full_scale": 0}],
)
def test_impossible_options_are_named(options):
    with pytest.raises(ConfigError, match=next(iter(options))):
        CubeConfig.checked(**options)
