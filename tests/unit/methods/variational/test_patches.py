"""Patches: where they lie, how they are numbered, how they are put together again."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bandweave.errors import ShapeError
from bandweave.methods.variational.groups import group_batches, map_groups
from bandweave.methods.variational.patches import PatchGrid, covering_grid, grid_with_last
from hisr_golden import back, image, load, relative


@pytest.fixture
def picture(rng) -> torch.Tensor:
    return torch.from_numpy(rng.normal(size=(2, 37, 31)))


@pytest.mark.parametrize("make", [grid_with_last, covering_grid])
def test_patches_are_numbered_by_row_first(make, picture):
    grid = make((37, 31), 7, 4)
    patches = grid.cut(picture).numpy()
    assert patches.shape == (grid.count, 2, 49)
    number = 0
    for col in grid.cols:
        for row in grid.rows:
            part = picture[:, row : row + 7, col : col + 7].numpy()
            np.testing.assert_array_equal(patches[number], part.transpose(0, 2, 1).reshape(2, 49))
            number += 1


@pytest.mark.parametrize("make", [grid_with_last, covering_grid])
def test_joining_what_was_cut_is_the_identity(make, picture):
    grid = make((37, 31), 8, 4)
    np.testing.assert_allclose(grid.join(grid.cut(picture)).numpy(), picture.numpy(), atol=1e-14)


def test_sum_is_the_transpose_of_cut(picture, rng):
    grid = grid_with_last((37, 31), 7, 4)
    patches = torch.from_numpy(rng.normal(size=(grid.count, 2, 49)))
    left = float((grid.cut(picture) * patches).sum())
    assert left == pytest.approx(float((picture * grid.sum(patches)).sum()), rel=1e-12)


def test_a_covering_grid_repeats_nothing():
    assert covering_grid((16, 18), 8, 4) == PatchGrid(8, (0, 4, 8), (0, 4, 8, 10), (16, 18))


def test_an_image_smaller_than_a_patch_is_refused():
    with pytest.raises(ShapeError, match="at least as large, got 6 x 40"):
        covering_grid((6, 40), 8, 4)


def test_groups_of_any_size_come_back_as_they_went(rng):
    labels = torch.from_numpy(rng.permutation(np.repeat(np.arange(6), [1, 1, 2, 9, 10, 40])))
    patches = torch.from_numpy(rng.normal(size=(63, 3, 4)))
    batches = group_batches(labels)
    assert torch.equal(map_groups(patches, batches, lambda stacks, _: stacks), patches)
    seen = 0
    for batch in batches:
        for members, present, size in zip(batch.members, batch.present, batch.sizes, strict=True):
            assert len(labels[members[present]].unique()) == 1
            assert int(size) == int((labels == labels[members[0]]).sum())
            seen += 1
    assert seen == 6


def test_what_fills_up_a_stack_is_zero(rng):
    labels = torch.tensor([0] * 9 + [1] * 10)
    (batch,) = group_batches(labels)
    stacks = batch.take(torch.from_numpy(rng.normal(size=(19, 2, 3))))
    assert not stacks[~batch.present].any()
    assert stacks[batch.present].all()


@pytest.mark.golden
def test_golden_starts(shared):
    stored = load(shared, "ltmr/kernel_patches")
    for size in (16, 17, 64):
        starts = stored[f"start_1based_{size}"].ravel() - 1
        assert grid_with_last((size, size), 7, 4).rows == tuple(starts.astype(int))


@pytest.mark.golden
@pytest.mark.parametrize(
    ("name", "make", "size", "numbers"),
    [("ltmr", grid_with_last, 7, (3, 7)), ("lttr", covering_grid, 8, (2,))],
)
def test_golden_patches(shared, name, make, size, numbers):
    stored = load(shared, f"{name}/kernel_patches")
    grid = make((16, 16), size, 4)
    patches = grid.cut(image(stored["image"]))
    assert grid.count == int(stored["num_patches"])
    for number in numbers:
        expected = stored[f"patch_index_{number}"].reshape(size**2, 2, order="F").T
        np.testing.assert_array_equal(patches[number - 1].numpy(), expected)
    scale = 1 + 0.1 * torch.arange(1, grid.count + 1, dtype=torch.float64)
    joined = grid.join(patches * scale[:, None, None])
    assert relative(back(joined), stored["joined_of_scaled"]) < 1e-12
