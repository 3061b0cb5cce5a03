"""Single precision against double: on random, natural and adversarial images, tiles and masks."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from bandweave.metrics import evaluate_rr
from bandweave.metrics.similarity import similarity_tally
from bandweave.metrics.windows import BoxSum

pytestmark = pytest.mark.usefixtures("by_passes")  # compiled loops have no single precision

# What docs/metrics.md promises: absolute, PSNR in dB, SAM in degrees, ERGAS and RMSE relative.
PROMISED = {
    "q2n": 1e-5,
    "uqi": 1e-5,
    "ssim": 1e-5,
    "scc": 1e-5,
    "cc": 1e-5,
    "sam": 1e-4,
    "psnr": 1e-4,
    "ergas": 1e-5,
    "rmse": 1e-5,
}
RELATIVE = {"ergas", "rmse"}


def noise(rng):
    reference = rng.uniform(0, 2047, (4, 107, 98))
    return reference + rng.normal(0, 50, reference.shape), reference


def nature(rng):
    """Smooth relief with texture, whole numbers, as sensors deliver."""
    relief = gaussian_filter(rng.normal(0, 1, (4, 107, 98)), (0, 6, 6)) * 4000 + 500
    reference = np.rint(np.clip(relief + rng.normal(0, 8, relief.shape), 1, 2047))
    return gaussian_filter(reference, (0, 1, 1)), reference


def lake(rng):
    """Calm water, far darker than the land around: windows hardly vary beside their distance."""
    estimate, reference = nature(rng)
    reference[:, 20:80, 20:80] = 40 + rng.integers(0, 2, (4, 60, 60))
    estimate[:, 20:80, 20:80] = 40.5 + rng.normal(0, 0.2, (4, 60, 60))
    return estimate, reference


def fill(rng):
    """Flat windows in one image, in both, and of zeros."""
    estimate, reference = nature(rng)
    reference[:, :50, :50] = 0.0
    estimate[:, :50, :50] = 0.0
    reference[:, 60:, 60:] = estimate[:, 60:, 60:] = 2047.0
    reference[:, 60:, :40] = 700.0
    return estimate, reference


def sixteen_bits(rng):
    reference = np.rint(rng.normal(60_000, 900, (4, 107, 98)))
    return reference + rng.normal(0, 30, reference.shape), reference


def gain(rng):
    _, reference = nature(rng)
    return 1.01 * reference, reference


def equal(rng):
    _, reference = nature(rng)
    return reference.copy(), reference


@pytest.mark.parametrize("make", [noise, nature, lake, fill, sixteen_bits, gain, equal])
def test_within_what_is_promised(rng, make):
    images = make(rng)
    options = {"ratio": 4, "full_scale": 65535.0 if make is sixteen_bits else 2047.0}
    exact = evaluate_rr(*images, **options, protocol="dlpan-rr-uncut").values
    fast = evaluate_rr(*images, **options, protocol="dlpan-rr-uncut", is_fast=True).values
    assert exact.keys() == fast.keys() == PROMISED.keys()
    for name, value in exact.items():
        if math.isinf(value):
            assert fast[name] == value, name
            continue
        allowed = PROMISED[name] * (abs(value) if name in RELATIVE else 1.0)
        assert abs(fast[name] - value) <= allowed, name


def test_it_is_computed_in_single_precision(rng):
    images = noise(rng)
    exact = evaluate_rr(*images, ratio=4, full_scale=2047)
    fast = evaluate_rr(*images, ratio=4, full_scale=2047, is_fast=True)
    assert exact.conditions["precision"] == "float64"
    assert fast.conditions["precision"] == "float32"
    assert all(exact.values[name] != fast.values[name] for name in PROMISED)


def test_windows_that_single_precision_does_not_resolve(rng):
    """A dim ripple on a bright slope: double precision takes over, and gives its own value."""
    slope = np.linspace(0, 60_000, 90)[None, :, None] + rng.normal(0, 0.01, (1, 90, 40))
    f, g = ((slope + rng.normal(0, 0.01, slope.shape)).astype(np.float32) for _ in range(2))
    f[:, :45], g[:, :45] = f[:, :1], g[:, :1]

    def box(stack, dtype):
        return BoxSum(stack, dtype, 32)

    exact = similarity_tally(f.astype(float), g.astype(float), box)
    assert similarity_tally(f, g, box).total == exact.total


@pytest.mark.parametrize("name", ["dlpan-rr", "cave"])
def test_threads_do_not_matter(rng, name):
    images = noise(rng)
    runs = [
        evaluate_rr(
            *images, ratio=4, full_scale=4095, protocol=name, threads=threads, is_fast=True
        ).values
        for threads in (1, 3)
    ]
    assert runs[0] == runs[1]


def test_masked_pixels_have_no_influence(rng):
    estimate, reference = nature(rng)
    valid = rng.random(reference.shape[1:]) > 0.0005
    assert not valid.all()
    exact = evaluate_rr(estimate, reference, ratio=4, full_scale=2047, valid=valid).values
    estimate[:, ~valid] = np.nan
    fast = evaluate_rr(
        estimate, reference, ratio=4, full_scale=2047, valid=valid, is_fast=True
    ).values
    for name, value in exact.items():
        assert fast[name] == pytest.approx(value, abs=1e-4, nan_ok=True), name
