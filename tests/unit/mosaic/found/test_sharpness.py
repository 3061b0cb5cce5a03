"""The blur that makes a result consistent, where it is known in closed form, and on real data."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace

import numpy as np
import pytest
import rasterio
from scipy.io import loadmat

from bandweave.config import FuseConfig
from bandweave.datasets.synthetic.scene import synthetic_scene
from bandweave.degrade.observe import observe
from bandweave.degrade.sampling import blur_gaussian, imresize
from bandweave.errors import SensorModelError
from bandweave.methods.base import FixedTile, Local
from bandweave.methods.nets.checkpoint import save_weights
from bandweave.methods.nets.zoo import load_named
from bandweave.mosaic.found.sharpness import (
    SIGMAS,
    choose_patches,
    match_sharpness,
)
from bandweave.mosaic.in_memory import ArrayScene
from bandweave.mosaic.prepare import prepare_job
from bandweave.mosaic.runner import ArraySink, run_scene
from bandweave.pair import ImagePair
from bandweave.radiometry import Image
from bandweave.sensors import find_sensor
from bandweave.source import ArraySource
from oracles.two_instruments import seen, simulate

GAINS = (0.3,)
REACH = Local(8)


@dataclass
class BlurredPan:
    """A method whose result is the blurred PAN, in every band, plus a constant."""

    sigma: float
    offset: float = 0.0
    reach: Local | FixedTile = REACH

    def fuse(self, pair: ImagePair) -> Image:
        bands = len(pair.spectral)
        return np.repeat(blur_gaussian(pair.spatial, self.sigma) + self.offset, bands, axis=0)


def consistent_pair(rng, sigma: float, shape=(300, 260), phase=(2.0, 2.0)) -> ImagePair:
    """Return a pair whose MS is what the coarse instrument sees of the PAN blurred with `sigma`."""
    sharp = simulate(rng, shape=shape, pan_sigma=0.2).spatial
    truth = seen(sharp, sigma)
    lrms = observe(np.repeat(truth, 2, axis=0), GAINS, 4, phase)
    return ImagePair(sharp, lrms, 4, phase)


@pytest.mark.parametrize("sigma", [0.5, 0.65, 0.8, 1.05])
def test_the_blur_that_makes_the_result_consistent_is_found(rng, sigma) -> None:
    source = ArraySource(consistent_pair(rng, sigma))
    match = match_sharpness(source, BlurredPan, gains=GAINS, precision=np.float64)
    assert match.acted
    # A sampled Gaussian of 0.5 pixels is a little narrower than the exact one.
    assert match.sigma == pytest.approx(sigma, abs=0.05)
    assert match.fall > 0.5


@pytest.mark.parametrize("phase", [(1.5, 1.5), (1.8, 1.2)])
def test_the_pair_s_own_phase_is_used(rng, phase) -> None:
    source = ArraySource(consistent_pair(rng, 0.8, phase=phase))
    match = match_sharpness(source, BlurredPan, gains=GAINS, precision=np.float64)
    assert match.sigma == pytest.approx(0.8, abs=0.05)
    assert min(error for _, error in match.errors) < 0.1 * match.errors[0][1]


def test_a_pan_that_fits_is_left_and_the_search_ends_early(rng) -> None:
    source = ArraySource(consistent_pair(rng, 0.0))
    match = match_sharpness(source, BlurredPan, gains=GAINS, precision=np.float64)
    assert not match.acted
    assert match.sigma == 0.0
    assert len(match.errors) < len(SIGMAS)


def test_a_small_fall_beside_a_large_error_is_no_evidence(rng) -> None:
    source = ArraySource(consistent_pair(rng, 0.8))

    def biased(sigma: float) -> BlurredPan:
        return BlurredPan(sigma, offset=200.0)

    match = match_sharpness(source, biased, gains=GAINS, precision=np.float64)
    assert 0 <= match.fall < 0.25
    assert not match.acted
    assert match.sigma == 0.0


def test_without_mtf_gains_the_message_says_what_to_do(rng) -> None:
    source = ArraySource(simulate(rng))
    with pytest.raises(SensorModelError, match=r"4 bands.*--sensor"):
        match_sharpness(source, BlurredPan)


def test_gains_come_from_the_sensor(rng) -> None:
    pair = consistent_pair(rng, 0.8).replace(sensor=find_sensor("none"))
    match = match_sharpness(ArraySource(pair), BlurredPan, precision=np.float64)
    assert match.sigma == pytest.approx(0.8, abs=0.05)


def test_masked_pixels_are_not_compared(rng) -> None:
    pair = consistent_pair(rng, 0.8)
    valid = np.ones(pair.shape, dtype=bool)
    valid[40:60, 30:200] = False
    spoilt = pair.replace(spatial=np.where(valid, pair.spatial, 4000.0), valid=valid)
    match = match_sharpness(ArraySource(spoilt), BlurredPan, gains=GAINS, precision=np.float64)
    assert match.sigma == pytest.approx(0.8, abs=0.05)


def test_patches_lie_where_the_pan_varies_and_fit_the_tile(rng) -> None:
    pair = simulate(rng, shape=(480, 480))
    spatial = pair.spatial.copy()
    spatial[:, :, :240] = 500.0
    source = ArraySource(pair.replace(spatial=spatial))
    patches = choose_patches(source, BlurredPan(0.0, reach=FixedTile(64, 16)))
    assert len(patches) == 3
    assert {patch.shape for patch in patches} == {(96, 96)}
    assert all(np.ptp(patch.spatial) > 0 for patch in patches)


def test_a_scene_smaller_than_a_patch_is_taken_whole(rng) -> None:
    source = ArraySource(simulate(rng, shape=(64, 40)))
    (patch,) = choose_patches(source, BlurredPan(0.0))
    assert patch.shape == (64, 40)


# With the published weights on real data. PSNR: mean over bands, peak 2047, whole image.


def published(shared, pair: ImagePair):
    """Return the source and the published network at any blur of the PAN."""
    from bandweave.methods.learned import LearnedMethod
    from bandweave.methods.nets.compat import load_published_wv3

    weights = load_published_wv3(shared("weights/u2net_wv3_200000_iter.pth"))
    method = LearnedMethod(weights, device="cpu")
    source = ArraySource(pair.replace(full_scale=2047.0))
    return source, lambda sigma: replace(method, pan_sigma=sigma).fit(source.profile, None)


def psnr(source, fitted, gt: Image, border: int = 0) -> float:
    sink = ArraySink()
    run_scene(fitted, source, sink, precision=np.float32)
    inner = slice(border, -border or None)
    squared = (sink.hrms.astype(np.float64) - gt)[:, inner, inner] ** 2
    return float((10 * np.log10(2047**2 / squared.mean(axis=(1, 2)))).mean())


@pytest.mark.golden
@pytest.mark.slow
def test_a_sharp_pan_is_brought_to_the_published_weights(shared) -> None:
    content = loadmat(shared("data/pan/wv3_cdif_rr.mat"))
    pan, lrms, gt = (
        np.atleast_3d(content[key]).astype(np.float64).transpose(2, 0, 1) * 2047
        for key in ("pan", "lrms", "gt")
    )
    pair = ImagePair(pan, lrms, 4, (2.0, 2.0), sensor=find_sensor("wv3"))
    source, fitted_at = published(shared, pair)
    match = match_sharpness(source, fitted_at)
    assert match.acted
    assert match.fall > 0.4
    assert psnr(source, fitted_at(match.sigma), gt) >= 37.4


@pytest.mark.golden
@pytest.mark.slow
def test_a_fall_of_few_percent_is_not_followed(shared) -> None:
    content = loadmat(shared("data/pan/wv2_grip_fr.mat"))
    gt = content["I_MS"][:256, :256].astype(np.float64).transpose(2, 0, 1)
    pan = observe(content["I_PAN"][None, :1024, :1024].astype(np.float64), (0.11,), 4, (2.0, 2.0))
    sensor = find_sensor("wv2")
    gains = sensor.mtf_gains(8)
    assert gains is not None
    pair = ImagePair(pan, observe(gt, gains, 4, (2.0, 2.0)), 4, (2.0, 2.0), sensor=sensor)
    source, fitted_at = published(shared, pair)
    match = match_sharpness(source, fitted_at)
    assert not match.acted
    assert match.fall < 0.1
    assert psnr(source, fitted_at(match.sigma), gt) > 28.5


@pytest.mark.golden
@pytest.mark.slow
@pytest.mark.parametrize("kind", ["imresize", "area"])
def test_an_ordinary_degradation_costs_little(shared, kind) -> None:
    gt, pan = spacenet_reduced(shared, kind)
    sensor = find_sensor("wv3")
    gains = sensor.mtf_gains(8)
    assert gains is not None
    pair = ImagePair(pan, observe(gt, gains, 4, (2.0, 2.0)), 4, (2.0, 2.0), sensor=sensor)
    source, fitted_at = published(shared, pair)
    match = match_sharpness(source, fitted_at)
    best = min(match.errors, key=lambda item: item[1])[0]
    off, on = (psnr(source, fitted_at(sigma), gt, border=20) for sigma in (0.0, best))
    chosen = on if match.acted else off
    assert chosen >= max(off, on) - 0.3


def spacenet_reduced(shared, kind: str) -> tuple[Image, Image]:
    """Return `gt` and the PAN of protocol.md section 8, sample 2."""
    with warnings.catch_warnings(action="ignore"):
        with rasterio.open(shared("data/pan/wv3_spacenet_shanghai_pan.tif")) as file:
            native = file.read().astype(np.float64)[:, 3:1283, :1280]
        with rasterio.open(shared("data/pan/wv3_spacenet_shanghai_ms.tif")) as file:
            gt = file.read().astype(np.float64)[:, :320, :320]
    if kind == "imresize":
        return gt, imresize(native, 0.25, method="bicubic")
    return gt, native.reshape(1, 320, 4, 320, 4).mean(axis=(2, 4))


def test_weights_behind_the_consistency_step_take_the_pan_as_it_is(tmp_path) -> None:
    """What a blur would do to the reprojection error is no reason there, so nobody asks."""
    made = synthetic_scene(3, (128, 128))
    behind = load_named("u2net-l-wv")
    before = tmp_path / "before.safetensors"
    save_weights(before, behind.model, behind.card.model_copy(update={"consistent": False}))
    asked = {}
    for weights in (str(before), "u2net-l-wv"):
        notes: list[str] = []
        config = FuseConfig.checked(align="off", workers=1, weights=weights)
        prepare_job(ArrayScene(made.pair), config, tell=notes.append)
        asked[weights] = any(note.startswith("PAN sharpness") for note in notes)
    assert asked == {str(before): True, "u2net-l-wv": False}
