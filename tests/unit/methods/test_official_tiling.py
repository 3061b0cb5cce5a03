"""The released tiling against the slow oracle, on self-made weights."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bandweave.errors import BandCountError, ConfigError, ShapeError
from bandweave.methods.base import WholeScene
from bandweave.methods.nets.card import PUBLISHED_WV3
from bandweave.methods.nets.checkpoint import Weights
from bandweave.methods.nets.compat import PUBLISHED_NAMES
from bandweave.methods.nets.table import settings_of
from bandweave.methods.nets.u2net import U2Net
from bandweave.methods.nets.u2net_config import U2NetConfig
from bandweave.methods.official_tiling import OfficialTiling
from bandweave.pair import ImagePair
from oracles import released_u2net


@pytest.fixture(scope="module")
def weights() -> Weights:
    torch.manual_seed(5)
    config = U2NetConfig(bands=3, width=16)
    card = PUBLISHED_WV3.model_copy(
        update={"config": settings_of(config), "band_names": ("b", "g", "r"), "wavelengths": None}
    )
    model = U2Net(config).eval()
    with torch.no_grad():
        model.head[-1].bias += 0.4
    return Weights(model, card, "0" * 64)


def _pair(rng: np.random.Generator, height: int, width: int) -> ImagePair:
    pan = rng.uniform(0, 2047, (1, height, width)).astype(np.float32)
    lrms = rng.uniform(0, 2047, (3, height // 4, width // 4)).astype(np.float32)
    return ImagePair(pan, lrms, 4, (2, 2), full_scale=2047.0)


@pytest.mark.parametrize(("height", "width"), [(44, 76), (64, 20)])
def test_equals_the_released_way(weights, rng, height, width):
    """No multiple of the tile in one case, one in the other, where the release adds tiles."""
    pair = _pair(rng, height, width)
    fitted = OfficialTiling(weights, device="cpu", threads=1).fit(pair.profile, None)
    assert isinstance(fitted.reach, WholeScene)
    state = weights.model.state_dict()
    published = {theirs: state[ours] for theirs, ours in PUBLISHED_NAMES.items()}
    expected = released_u2net.fuse_released(published, pair.spatial[0] / 2047, pair.spectral / 2047)
    # Inputs and outputs in float32, attention in another order.
    np.testing.assert_allclose(fitted.fuse(pair), expected, rtol=0, atol=2e-5 * 2047)


def test_a_scene_too_small_to_reflect_is_refused(weights, rng):
    pair = _pair(rng, 4, 32)
    fitted = OfficialTiling(weights, device="cpu").fit(pair.profile, None)
    with pytest.raises(ShapeError, match="larger than that, got 4 x 32"):
        fitted.fuse(pair)


def test_other_bands_are_refused(weights, rng):
    pair = _pair(rng, 32, 32)
    two = pair.replace(spectral=pair.spectral[:2])
    with pytest.raises(BandCountError, match="fuse 3 spectral bands"):
        OfficialTiling(weights).fit(two.profile, None)


def test_other_networks_are_refused(weights, rng):
    pair = _pair(rng, 32, 32)
    model = U2Net(U2NetConfig(bands=3, width=16, base="exp"))
    based = Weights(model, weights.card, "0" * 64)
    with pytest.raises(ConfigError, match="another network: use --tiling blend"):
        OfficialTiling(based).fit(pair.profile, None)
