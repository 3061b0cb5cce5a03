"""Clusters are what Lloyd's iterations leave in peace."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bandweave.methods.variational.kmeans import (
    cluster_means,
    drawn_centroids,
    kmeans,
    spread_centroids,
)
from hisr_golden import labels_of, load, relative, tensor


@pytest.mark.parametrize("draw", [drawn_centroids, spread_centroids])
def test_every_point_is_nearest_to_its_own_mean(draw, rng):
    points = torch.from_numpy(rng.normal(size=(211, 5)))
    labels = kmeans(points, draw(points, 13, rng))
    distances = torch.cdist(points, cluster_means(points, labels))
    assert torch.equal(distances.argmin(dim=1), labels)
    assert torch.equal(labels.unique(), torch.arange(13))


def test_far_groups_are_found(rng):
    centres = np.array([[0.0, 0], [50, 0], [0, 50]])
    truth = rng.integers(3, size=90)
    points = torch.from_numpy(centres[truth] + rng.normal(size=(90, 2)))
    labels = kmeans(points, spread_centroids(points, 3, rng)).numpy()
    assert len({*zip(truth.tolist(), labels.tolist(), strict=True)}) == 3


@pytest.mark.parametrize("draw", [drawn_centroids, spread_centroids])
def test_the_seed_decides(draw, rng):
    points = torch.from_numpy(rng.normal(size=(50, 3)))
    first, second, other = (draw(points, 4, np.random.default_rng(s)) for s in (1, 1, 2))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


def test_more_clusters_than_different_points(rng):
    points = torch.ones(6, 2, dtype=torch.float64)
    for draw in (drawn_centroids, spread_centroids):
        assert not kmeans(points, draw(points, 9, rng)).any()


@pytest.mark.golden
def test_golden_from_a_given_start(shared):
    stored = load(shared, "common/kernel_kmeans_given_start")
    labels = kmeans(tensor(stored["X"]), tensor(stored["C0"]))
    expected = labels_of(stored["label"])
    pairs = {*zip(labels.tolist(), expected.tolist(), strict=True)}
    assert len(pairs) == len(set(expected.tolist()))
    means = cluster_means(tensor(stored["X"]), labels)
    order = [b for _, b in sorted(pairs)]
    assert relative(means, stored["centroid"][order]) < 1e-12
