"""Percentiles of a scene from merged parts, against NumPy's on the whole."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.io import loadmat

from bandweave.methods.distribution import LARGEST_SIZE, Distribution


def merged(values: np.ndarray, parts: int) -> Distribution:
    total = Distribution.of(values[:0])
    for part in np.array_split(values, parts):
        total = total.merged(Distribution.of(part))
    return total


@pytest.mark.parametrize("percent", [0, 1, 37.3, 50, 99.9, 100])
@pytest.mark.parametrize("size", [1, 2, 97, 1147])
def test_percentiles_follow_the_midpoint_rule(rng, percent, size):
    values = rng.normal(0, 300, size).round(1)  # with repetitions, negative values and zeros
    expected = np.percentile(values, percent, method="hazen")
    assert merged(values, 5).percentile(percent) == pytest.approx(expected, rel=1e-13)


def test_large_scenes_are_rounded_independently_of_the_order(rng):
    values = rng.gamma(3.0, 120.0, 300_000)
    once = Distribution.of(values)
    backwards = merged(values[::-1], 7)
    assert once.codes.size <= LARGEST_SIZE
    assert np.array_equal(once.codes, backwards.codes)
    assert np.array_equal(once.counts, backwards.counts)
    for percent in (0.1, 1, 50, 99):
        expected = np.percentile(values, percent, method="hazen")
        assert once.percentile(percent) == pytest.approx(expected, rel=1e-4)


def test_no_pixel_has_no_percentile():
    with pytest.raises(ValueError, match="at least one pixel"):
        Distribution.of(np.zeros(0)).percentile(1)


@pytest.mark.golden
def test_percentile_is_the_toolbox_s(shared):
    golden = loadmat(shared("golden/classical/wv3_8b_components.mat"))
    expected = golden["prctile_1"].item()
    assert Distribution.of(golden["x"]).percentile(1) == pytest.approx(expected, rel=1e-14)
