"""torchmetrics and scikit-image: equal where the definition is, and known to differ elsewhere.

The numbers of docs/metrics.md come from benchmarks/compare_metrics.py.
"""

from __future__ import annotations

import math

import numpy as np
import pytest

from bandweave.metrics.ergas import ergas
from bandweave.metrics.psnr import psnr
from bandweave.metrics.rmse import rmse
from bandweave.metrics.sam import sam
from bandweave.metrics.ssim import ssim
from bandweave.metrics.uqi import uqi

torch = pytest.importorskip("torch")
functional = pytest.importorskip("torchmetrics.functional.image")
skimage = pytest.importorskip("skimage.metrics")


@pytest.fixture
def images(rng):
    reference = rng.uniform(1, 2047, (5, 37, 41))
    return reference + rng.normal(0, 90, reference.shape), reference


def batch(image):
    return torch.from_numpy(image)[None]


def test_rmse(images):
    assert rmse(*images) == pytest.approx(math.sqrt(skimage.mean_squared_error(*images)), rel=1e-12)


def test_psnr_is_the_mean_of_their_bands(images):
    estimate, reference = images
    theirs = [
        skimage.peak_signal_noise_ratio(g, f, data_range=2047)
        for f, g in zip(estimate, reference, strict=True)
    ]
    assert psnr(estimate, reference, peak=2047) == pytest.approx(np.mean(theirs), rel=1e-12)
    by_band = functional.peak_signal_noise_ratio(
        torch.from_numpy(estimate), torch.from_numpy(reference), data_range=2047.0,
        reduction="elementwise_mean", dim=(1, 2),
    )  # fmt: skip
    assert psnr(estimate, reference, peak=2047) == pytest.approx(float(by_band), rel=1e-6)
    pooled = skimage.peak_signal_noise_ratio(reference, estimate, data_range=2047)
    assert pooled < psnr(estimate, reference, peak=2047)


def test_sam_is_theirs_in_degrees(images):
    theirs = functional.spectral_angle_mapper(*map(batch, images))
    assert sam(*images) == pytest.approx(math.degrees(float(theirs)), rel=1e-9)


def test_sam_of_pixels_without_spectrum_is_nan_there(images):
    estimate, reference = images
    estimate[:, 3, 4] = 0.0
    assert math.isnan(float(functional.spectral_angle_mapper(batch(estimate), batch(reference))))
    assert math.isfinite(sam(estimate, reference))


def test_ergas(images):
    theirs = functional.error_relative_global_dimensionless_synthesis(*map(batch, images), ratio=4)
    assert ergas(*images, ratio=4) == pytest.approx(float(theirs), rel=1e-9)


def test_ssim_with_window_and_border_set_alike(images):
    estimate, reference = images
    theirs = functional.structural_similarity_index_measure(
        *map(batch, images), gaussian_kernel=True, sigma=1.5, kernel_size=11, data_range=2047.0
    )
    # Theirs has a third border: reflected without repeating the edge, one window per pixel.
    reflected = [np.pad(image, ((0, 0), (5, 5), (5, 5)), mode="reflect") for image in images]
    assert ssim(*reflected, peak=2047) == pytest.approx(float(theirs), abs=1e-9)
    assert abs(ssim(*images, peak=2047) - float(theirs)) > 1e-6
    by_band = [
        skimage.structural_similarity(
            g, f, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=2047
        )
        for f, g in zip(estimate, reference, strict=True)
    ]
    assert ssim(*images, peak=2047) == pytest.approx(np.mean(by_band), abs=1e-9)


def test_uqi_is_another_index_there(rng):
    """Theirs has a Gaussian window: in smooth images it sees noise where 32 pixels see structure."""
    reference = np.add.outer(np.arange(64.0), np.arange(64.0))[None] + 400
    estimate = reference + rng.normal(0, 5, reference.shape)
    theirs = float(functional.universal_image_quality_index(batch(estimate), batch(reference)))
    assert uqi(estimate, reference) > 0.9
    assert theirs < 0.7
