"""Component substitution on a real delivery: neither colour cast nor another brightness."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from bandweave.config import FuseConfig
from bandweave.errors import BandweaveWarning
from bandweave.methods.convention import SCENE
from bandweave.methods.substitution.brovey import Brovey
from bandweave.methods.table import METHODS
from bandweave.mosaic.found.alignment import open_aligned
from bandweave.mosaic.georeferenced import RasterScene
from bandweave.mosaic.runner import RunLimits, fit_method
from bandweave.pair import ImagePair
from bandweave.source import ArraySource
from bandweave.window import Window

NAME = "data/pan/wv3_spacenet_shanghai"


@pytest.fixture(scope="module")
def pair(shared: Callable[[str], Path]) -> ImagePair:
    """Return 256 x 256 pixels of the pair, aligned as `fuse --align auto` does."""
    pan, ms = shared(f"{NAME}_pan.tif"), shared(f"{NAME}_ms.tif")
    with (
        closing(RasterScene(pan, ms, FuseConfig(sensor="wv3"))) as scene,
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore", BandweaveWarning)
        source, displacement = open_aligned(scene, "auto", lambda _: None)
        assert displacement is not None
        return source.read(Window(256, 256, 256, 256), np.float32)


def levels(method, pair: ImagePair) -> np.ndarray:
    """Return the mean of each band over that of the interpolated MS."""
    fused = fit_method(method, ArraySource(pair), RunLimits()).fuse(pair)
    return fused.mean(axis=(1, 2)) / SCENE.upsample(pair).mean(axis=(1, 2))


SUBSTITUTION = [n for n, entry in METHODS.items() if entry.family == "component substitution"]


@pytest.mark.golden
@pytest.mark.parametrize("name", SUBSTITUTION)
def test_each_band_keeps_its_level(name, pair) -> None:
    create = METHODS[name].create
    assert create is not None
    np.testing.assert_allclose(levels(create(), pair), 1, rtol=0, atol=0.005)


@pytest.mark.golden
def test_gdals_brovey_does_not(pair) -> None:
    assert (levels(Brovey("equal"), pair) > 1.1).all()
