"""Our own recipes: the networks they build, and what these are handed."""

from __future__ import annotations

import numpy as np
import pytest

from bandweave.train.config import SyntheticSource
from bandweave.train.recipes.presets import find_preset
from bandweave.train.runtime import built
from bandweave.train.simulate import scene_makers
from bandweave.train.start import Starter


@pytest.mark.parametrize("name", ["u2net-wv", "u2net-l-wv", "u2net-4band", "u2net-l-4band"])
def test_networks_for_pansharpening_are_handed_what_their_base_makes(name: str) -> None:
    config = find_preset(name)
    network = built(config)
    bands, count = network.config.bands, network.members
    assert len(config.card.band_names) == bands
    source = next(s for s in config.data.training if isinstance(s, SyntheticSource))
    maker = scene_makers(source.model_copy(update={"size": 64}), config.data)[0]
    reduced = maker.make(np.random.default_rng(3))
    scene = Starter(network.base, config.consistency_noise, count).scene(reduced, name)
    assert scene.start is not None
    assert scene.start.shape == (count * bands, 64, 64)
    # Each shows the scene, in its own way.
    errors = np.abs(scene.start.reshape(count, bands, 64, 64) - scene.gt).mean(axis=(1, 2, 3))
    assert len(set(errors.tolist())) == count
    spread = np.abs(scene.gt - scene.gt.mean(axis=(1, 2), keepdims=True)).mean()
    assert errors.max() < 0.5 * spread


@pytest.mark.parametrize("name", ["u2net-l-wv", "u2net-l-4band"])
def test_light_networks_have_100_000_parameters_at_most(name: str) -> None:
    assert sum(p.numel() for p in built(find_preset(name)).parameters()) <= 100_000
