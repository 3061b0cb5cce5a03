"""Groups of similar patches as batches of equally large stacks.

Stacks are filled up with zero patches: these change none of the other singular values or vectors,
so that clusters of different size share one call of the linear algebra.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

# Patches that are worked on at once, zero ones included: bounds the memory.
_PATCHES_AT_ONCE = 4096
# Smallest cluster of a batch relative to its largest: zeros cost time as well.
_SMALLEST_SHARE = 0.9


@dataclass(frozen=True, slots=True, eq=False)
class GroupBatch:
    """Some clusters of patches, each filled up to the size of the largest."""

    members: Tensor
    """`(groups, largest)`: patch numbers; any number where `present` is False."""
    present: Tensor
    """`(groups, largest)`: True where there is a patch."""

    @property
    def sizes(self) -> Tensor:
        """Return the number of patches `(groups,)` of each cluster."""
        return self.present.sum(dim=1)

    def take(self, patches: Tensor) -> Tensor:
        """Return `(groups, largest, ...)` with zeros where there is no patch."""
        taken = patches[self.members]
        absent = ~self.present
        if bool(absent.any()):
            taken[absent] = 0
        return taken

    def put(self, stacks: Tensor, patches: Tensor) -> None:
        """Write the stacks back into `patches`."""
        patches[self.members[self.present]] = stacks[self.present]


def group_batches(labels: Tensor) -> list[GroupBatch]:
    """Arrange the clusters of `labels` `(n,)`, numbered from 0 without gaps, in batches."""
    sizes = torch.bincount(labels)
    ends = torch.cumsum(sizes, dim=0)
    by_label = torch.argsort(labels, stable=True)
    largest_first = torch.argsort(sizes, descending=True, stable=True).tolist()
    counts, firsts = sizes.tolist(), (ends - sizes).tolist()
    batches: list[GroupBatch] = []
    while largest_first:
        largest = counts[largest_first[0]]
        limit = max(1, _PATCHES_AT_ONCE // largest)
        similar = [c for c in largest_first[:limit] if counts[c] >= _SMALLEST_SHARE * largest]
        largest_first = largest_first[len(similar) :]
        position = torch.arange(largest, device=labels.device)
        size = torch.tensor([counts[c] for c in similar], device=labels.device)[:, None]
        first = torch.tensor([firsts[c] for c in similar], device=labels.device)[:, None]
        members = by_label[first + torch.minimum(position, size - 1)]
        batches.append(GroupBatch(members, position < size))
    return batches


def map_groups(
    patches: Tensor, batches: list[GroupBatch], change: Callable[[Tensor, GroupBatch], Tensor]
) -> Tensor:
    """Return `patches` with `change(stacks, batch)` in place of every group's stack."""
    result = torch.empty_like(patches)
    for batch in batches:
        batch.put(change(batch.take(patches), batch), result)
    return result
