"""Q2n: against the recursion of the definition, for any number of bands."""

from __future__ import annotations

import math

import numpy as np
import pytest

from bandweave.errors import ShapeError
from bandweave.metrics import q2n as module
from bandweave.metrics.q2n import q2n, q2n_map
from bandweave.metrics.rounding import mirrored_index
from bandweave.metrics.uqi import uqi
from oracles import toolbox_metrics as oracle


def noisy(rng, bands, height=70, width=50):
    reference = rng.uniform(0, 2047, (bands, height, width))
    return reference + rng.normal(0, 150, reference.shape), reference


@pytest.mark.parametrize("bands", [1, 2, 3, 4, 5, 8, 31])
def test_every_block_equals_the_recursion(rng, bands):
    f, g = noisy(rng, bands)
    np.testing.assert_allclose(q2n_map(f, g), oracle.q2n_map(f, g), rtol=1e-12)


def test_two_hundred_bands(rng):
    f, g = noisy(rng, 200, 33, 32)
    np.testing.assert_allclose(q2n_map(f, g), oracle.q2n_map(f, g), rtol=1e-12)


@pytest.mark.parametrize(("block", "shift"), [(32, 16), (16, 16), (32, 7), (8, 8), (64, 64)])
def test_blocks_and_shifts(rng, block, shift):
    f, g = noisy(rng, 3)
    ours = q2n_map(f, g, block=block, shift=shift)
    np.testing.assert_allclose(ours, oracle.q2n_map(f, g, block, shift), rtol=1e-12)


def test_chunks_do_not_matter(rng, monkeypatch, by_passes):
    f, g = noisy(rng, 3, 197, 40)
    whole = q2n_map(f, g)
    monkeypatch.setattr(module, "_VALUES_AT_ONCE", 1)
    assert np.array_equal(q2n_map(f, g), whole)


@pytest.mark.parametrize(
    ("size", "block", "step"), [(215, 32, 32), (256, 32, 32), (5, 32, 32), (70, 32, 7), (1, 8, 8)]
)
def test_mirrored_lines(size, block, step):
    missing = max(-size % step, block - size)
    expected = np.pad(np.arange(size), (0, missing), mode="symmetric")
    assert np.array_equal(mirrored_index(size, block, step), expected)


@pytest.mark.parametrize("planes", [1, 2, 4, 8, 16])
def test_multiplication_table(planes):
    """Basis element times conjugated basis element, by the recursion."""
    part, sign = module._multiplication(planes)
    basis = np.eye(planes)
    for i in range(planes):
        for j in range(planes):
            conjugate = oracle.conjugate(basis[j][:, None])
            product = oracle.product(basis[i][:, None], conjugate)[:, 0]
            assert np.array_equal(product, sign[i, j] * basis[part[i, j]])


def test_one_band_is_the_uqi_of_the_normalised_block(rng):
    f, g = (np.floor(image + 0.5).clip(0) for image in noisy(rng, 1, 32, 32))
    mean, std = g.mean(), g.std(ddof=1)
    expected = abs(uqi((f - mean) / std + 1, (g - mean) / std + 1))
    assert q2n(f, g) == pytest.approx(expected, abs=1e-12)


def test_an_offset_changes_the_luminance_alone():
    """F = G + d·σ in one band: q = 1 and the means are 1 and 1 + d."""
    g = np.random.default_rng(4).integers(500, 900, (1, 32, 32)).astype(float)
    std = g.std(ddof=1)
    f = g + 200
    d = 200 / std
    assert q2n(f, g) == pytest.approx(2 * (1 + d) / (1 + (1 + d) ** 2), abs=1e-12)


@pytest.mark.parametrize("bands", [1, 3, 8])
def test_flat_blocks(bands):
    """Nothing varies: the luminance of the normalised means remains, 1 for equal blocks."""
    flat = np.full((bands, 64, 32), 7.0)
    assert q2n(flat, flat) == 1.0
    # Normalised by the epsilon that stands for the deviation, any other value is infinitely far.
    assert q2n(flat + 1, flat) == pytest.approx(0.0, abs=1e-12)
    np.testing.assert_allclose(q2n_map(flat + 1, flat), oracle.q2n_map(flat + 1, flat), atol=1e-15)


def test_flat_and_zero_bands_as_the_recursion_has_them(rng):
    f, g = noisy(rng, 4)
    g[0, :32, :32] = 0.0
    g[1, :32] = 7.3
    f[2, 32:, 32:] = 5.0
    np.testing.assert_allclose(q2n_map(f, g), oracle.q2n_map(f, g), atol=1e-12)


def test_rounding_and_saturation(rng):
    """Half away from zero, negatives to 0, beyond 65535 to 65535."""
    f, g = noisy(rng, 2, 32, 32)
    odd = f.copy()
    odd[0, 0, :4] = [2.5, -3.0, 70000.0, 3.49]
    even = np.floor(f + 0.5).clip(0)
    even[0, 0, :4] = [3.0, 0.0, 65535.0, 3.0]
    assert q2n(odd, g) == q2n(even, g)


@pytest.mark.parametrize("shape", [(5, 7), (20, 40), (33, 31)])
def test_smaller_than_a_block_is_mirrored_as_often_as_needed(rng, shape):
    f, g = noisy(rng, 3, *shape)
    rows, cols = (-size % 32 for size in shape)
    pad = ((0, 0), (0, rows), (0, cols))
    mirrored = [np.pad(image, pad, mode="symmetric") for image in (f, g)]
    assert q2n(f, g) == pytest.approx(oracle.q2n(*mirrored), abs=1e-12)


def test_masked_blocks_are_left_out(rng):
    f, g = noisy(rng, 3, 64, 80)
    valid = np.ones((64, 80), bool)
    valid[40, 10] = False
    f[:, ~valid] = np.nan
    values = oracle.q2n_map(np.nan_to_num(f), g)
    values[1, 0] = np.nan
    assert q2n(f, g, valid=valid) == pytest.approx(np.nanmean(values), abs=1e-12)
    valid[40, 79] = False  # mirrored into the last block
    values[1, 2] = np.nan
    assert q2n(f, g, valid=valid) == pytest.approx(np.nanmean(values), abs=1e-12)
    valid[::2] = False
    assert math.isnan(q2n(f, g, valid=valid))


@pytest.mark.parametrize(("block", "shift"), [(1, 1), (32, 0), (32, 33), (32, -1)])
def test_impossible_blocks(block, shift):
    image = np.ones((2, 40, 40))
    with pytest.raises(ShapeError, match="blocks of 2 or more"):
        q2n(image, image, block=block, shift=shift)
