"""k-means: group similar vectors (S. Lloyd, 1982)."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

# Points whose distances are computed at once: bounds the memory of large scenes.
_POINTS_AT_ONCE = 8192
# Lloyd's iterations always end, but rounding may let two labellings alternate.
_MOST_ITERATIONS = 1000


def kmeans(points: Tensor, centroids: Tensor) -> Tensor:
    """Return the cluster `(n,)` of each point, numbered from 0 without gaps.

    Lloyd's iterations until no label changes; clusters that run empty are dropped.

    Args:
        points: `(n, features)`.
        centroids: `(k, features)`, where to start.
    """
    labels = _nearest(points, centroids)
    for _ in range(_MOST_ITERATIONS):
        labels = torch.unique(labels, return_inverse=True)[1]
        updated = _nearest(points, cluster_means(points, labels))
        if torch.equal(updated, labels):
            break
        labels = updated
    numbered: Tensor = torch.unique(labels, return_inverse=True)[1]
    return numbered


def cluster_means(points: Tensor, labels: Tensor) -> Tensor:
    """Return the mean `(k, features)` of the points of each label 0 ... k − 1."""
    count = int(labels.max()) + 1
    sums = points.new_zeros(count, points.shape[1]).index_add_(0, labels, points)
    return sums / torch.bincount(labels, minlength=count)[:, None]


def drawn_centroids(points: Tensor, count: int, rng: np.random.Generator) -> Tensor:
    """Return `count` of the points, or all if there are fewer, drawn without replacement."""
    chosen = rng.choice(len(points), size=min(count, len(points)), replace=False)
    return points[torch.from_numpy(chosen).to(points.device)]


def spread_centroids(points: Tensor, count: int, rng: np.random.Generator) -> Tensor:
    """Return up to `count` points drawn far from each other, by k-means++.

    Each is drawn with a probability in proportion to its squared distance from those before.
    Source: D. Arthur and S. Vassilvitskii, 2007.
    """
    chosen = [int(rng.integers(len(points)))]
    distance = _squared_distance(points, points[chosen[0]])
    while len(chosen) < min(count, len(points)):
        weights = np.cumsum(distance.cpu().numpy())
        if weights[-1] <= 0:
            break  # all remaining points repeat chosen ones
        chosen.append(int(np.searchsorted(weights, rng.uniform(0, weights[-1]), side="right")))
        distance = torch.minimum(distance, _squared_distance(points, points[chosen[-1]]))
    return points[torch.tensor(chosen, device=points.device)]


def _squared_distance(points: Tensor, centre: Tensor) -> Tensor:
    return (points - centre).square().sum(dim=1)


def _nearest(points: Tensor, centroids: Tensor) -> Tensor:
    """Return the number of each point's nearest centroid."""
    half_norms = centroids.square().sum(dim=1) / 2
    parts = [
        torch.argmax(part @ centroids.mT - half_norms, dim=1)
        for part in torch.split(points, _POINTS_AT_ONCE)
    ]
    return torch.cat(parts)
