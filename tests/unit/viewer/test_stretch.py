"""Limits are percentiles of the right pixels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from affine import Affine

from bandweave.viewer.layers import FileLayer
from bandweave.viewer.overviews import build_beside
from bandweave.viewer.stretch import Samples, take_sample
from scenes import write_tif

PLACE = Affine(2, 0, 500000, 0, -2, 5000000)


def layer_of(path: Path, image: np.ndarray, **profile: object) -> FileLayer:
    return FileLayer("0", str(write_tif(path, image, PLACE, **profile)), path.name)


def test_limits_are_percentiles_of_valid_pixels(tmp_path: Path, rng) -> None:
    values = rng.permutation(np.arange(1, 1148)).astype(np.uint16)  # 31 x 37, each once
    image = np.stack([values, values[::-1]]).reshape(2, 31, 37)
    image[1][image[1] > 1000] = 0
    layer = layer_of(tmp_path / "a.tif", image, nodata=0)
    first, second = (take_sample(layer, band) for band in (1, 2))
    assert first.limits(0, 100) == (1, 1147)
    assert first.limits(2, 98) == (1 + round(0.02 * 1146), 1 + round(0.98 * 1146))
    assert second.limits(0, 100) == (1, 1000)
    assert first.origin == "31 x 37 pixels"


def test_without_overviews_spots_spread_over_a_large_file_are_read(tmp_path: Path) -> None:
    # Each pixel holds its row number, rising to the last one.
    image = np.repeat(np.arange(2200, dtype=np.uint16)[:, None], 130, axis=1)[None]
    layer = layer_of(tmp_path / "a.tif", image)
    sample = take_sample(layer, 1)
    assert sample.origin == "64 spots of 128 x 128 pixels"
    assert sample.limits(0, 100) == (0, 2199)
    assert sample.limits(50, 100)[0] == pytest.approx(1100, abs=128)  # spots lie 296 rows apart


def test_with_overviews_a_whole_level_is_read(tmp_path: Path) -> None:
    image = np.repeat(np.arange(2200, dtype=np.uint16)[:, None], 130, axis=1)[None]
    path = write_tif(tmp_path / "a.tif", image, PLACE)
    build_beside(str(path))
    sample = take_sample(FileLayer("0", str(path), "a.tif"), 1)
    assert sample.origin == "550 x 33 pixels of level 2"
    assert sample.limits(0, 100) == pytest.approx((1.5, 2197.5), abs=1)


@pytest.mark.parametrize("value", [0, 7])
def test_flat_and_empty_layers_have_limits(tmp_path: Path, value: int) -> None:
    image = np.full((1, 31, 37), value, np.uint8)
    sample = take_sample(layer_of(tmp_path / "a.tif", image, nodata=0), 1)
    assert sample.limits(2, 98) == (value, value + 1)


def test_a_band_is_read_once(tmp_path: Path, monkeypatch) -> None:
    layer = layer_of(tmp_path / "a.tif", np.ones((2, 31, 37), np.uint8))
    samples = Samples()
    first = samples.of(layer, 1)
    monkeypatch.setattr(FileLayer, "read", None)
    assert samples.of(layer, 1) is first
