"""Every model-based method of METHODS against the properties that all of them have."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from bandweave.degrade.instrument import Instrument
from bandweave.degrade.psf import gaussian_spread
from bandweave.errors import BandCountError, ResourceError, ScaleError, SensorModelError
from bandweave.instruments import PointSpread, ResponseMatrix
from bandweave.methods.base import WholeScene
from bandweave.methods.table import METHODS
from bandweave.methods.variational.iterations import Iteration
from bandweave.methods.variational.model_based import ModelBased
from bandweave.mosaic.runner import ArraySink, RunLimits, run_scene
from bandweave.pair import ImagePair
from bandweave.sensors import find_sensor
from bandweave.source import ArraySource
from scenes import smooth_truth

NAMES = [name for name, entry in METHODS.items() if entry.is_hyperspectral]
RESPONSE: ResponseMatrix = ((0.5, 0.3, 0.2, 0.0, 0.0), (0.0, 0.0, 0.2, 0.3, 0.5))
# Small images need small groups and few iterations.
QUICK: dict[str, dict[str, Any]] = {
    "cstf": {"atoms": (4, 20, 20), "iterations": 2},
    "ltmr": {"subspace": 4, "clusters": 6, "iterations": 12, "regularisation": 1e-4},
    "lttr": {"clusters": 6, "iterations": 6, "regularisation": 1e-4},
    "utv": {"atoms": (4, 512, 512), "iterations": 5, "sweeps": 3},
    "ir_tensr": {"clusters": 4, "patch": 5, "passes": 4, "iterations": 8, "coupling": 5e-5},
}


def truth(shape: tuple[int, int], full_scale: float = 1.0) -> np.ndarray:
    """Return five correlated bands in [0.1, 0.9] times the full scale."""
    bands = smooth_truth(5, *shape, seed=1)
    span = bands.max() - bands.min()
    unit: np.ndarray = 0.1 + 0.8 * (bands - bands.min()) / span
    return unit * full_scale


def observed(gt: np.ndarray, psf: PointSpread, ratio: int, full_scale: float = 1.0) -> ImagePair:
    phase = (ratio / 2, ratio / 2)
    spatial = np.tensordot(np.array(RESPONSE), gt, axes=1)
    return ImagePair(spatial, Instrument(psf, ratio, phase).observe(gt), ratio, phase, full_scale)


def make(name: str, psf: PointSpread | None, **run: Any) -> ModelBased:
    create = METHODS[name].create
    assert create is not None
    method = create()
    assert isinstance(method, ModelBased)
    settings = replace(method.settings, **QUICK[name])
    return replace(method, psf=psf, response=RESPONSE, device="cpu", settings=settings, **run)


def fuse(name: str, pair: ImagePair, psf: PointSpread, **run: Any) -> np.ndarray:
    return make(name, psf, **run).fit(pair.profile, None).fuse(pair)


def rms(image: np.ndarray) -> float:
    return float(np.sqrt(np.square(image).mean()))


def test_all_five_are_there():
    assert sorted(NAMES) == ["cstf", "ir_tensr", "ltmr", "lttr", "utv"]


@pytest.mark.parametrize(
    ("ratio", "size", "shape"), [(2, 4, (34, 42)), (3, 5, (39, 33)), (4, 3, (36, 28))]
)
@pytest.mark.parametrize("name", NAMES)
def test_any_ratio_and_phase_and_a_shape_that_is_not_square(name, ratio, size, shape):
    middle = ratio / 2 - (0.5 if size % 2 == ratio % 2 == 0 else 0)
    psf = gaussian_spread(0.8, size, (middle, middle))
    gt = truth(shape)
    pair = observed(gt, psf, ratio)
    fused = fuse(name, pair, psf)
    assert fused.shape == gt.shape
    # Far better than interpolation, which is off by the detail.
    enlarged = np.kron(pair.spectral, np.ones((1, ratio, ratio)))
    assert rms(fused - gt) < 0.5 * rms(enlarged - gt)


@pytest.mark.parametrize("name", NAMES)
def test_the_phase_matters(name):
    gt = truth((36, 28))
    right, wrong = (gaussian_spread(0.5, 3, (p, p)) for p in (2, 0))
    pair = observed(gt, right, 4)
    assert rms(fuse(name, pair, right) - gt) < 0.8 * rms(fuse(name, pair, wrong) - gt)


@pytest.mark.parametrize("name", NAMES)
def test_physical_values_go_in_and_come_out(name):
    psf = gaussian_spread(0.5, 3, (2, 2))
    unit, dn = (observed(truth((36, 28), s), psf, 4, s) for s in (1.0, 1024.0))
    before = dn.spatial.copy(), dn.spectral.copy()
    np.testing.assert_allclose(fuse(name, dn, psf) / 1024, fuse(name, unit, psf), rtol=0, atol=1e-9)
    np.testing.assert_array_equal(dn.spatial, before[0])
    np.testing.assert_array_equal(dn.spectral, before[1])
    single = dn.replace(
        spatial=dn.spatial.astype(np.float32), spectral=dn.spectral.astype(np.float32)
    )
    assert fuse(name, single, psf).dtype == np.float32


@pytest.mark.parametrize("name", NAMES)
def test_the_seed_repeats_a_run_and_progress_reports_it(name):
    psf = gaussian_spread(0.5, 3, (2, 2))
    pair = observed(truth((36, 28)), psf, 4)
    reported: list[Iteration] = []
    first = fuse(name, pair, psf, seed=3, tolerance=0.0, progress=reported.append)
    np.testing.assert_array_equal(first, fuse(name, pair, psf, seed=3, tolerance=0.0))
    wanted = QUICK[name].get("passes", QUICK[name]["iterations"])
    assert [i.number for i in reported] == list(range(1, wanted + 1))
    assert all(i.change > 0 for i in reported)
    assert sorted(i.seconds for i in reported) == [i.seconds for i in reported]


@pytest.mark.parametrize("name", NAMES)
def test_a_settled_run_ends_early(name):
    psf = gaussian_spread(0.5, 3, (2, 2))
    pair = observed(truth((36, 28)), psf, 4)
    reported: list[Iteration] = []
    fuse(name, pair, psf, tolerance=np.inf, progress=reported.append)
    # The first pass of IR-TenSR starts from nothing, so that its change says nothing.
    assert len(reported) == (2 if name == "ir_tensr" else 1)


@pytest.mark.parametrize("name", NAMES)
def test_the_sensor_of_the_pair_stands_in(name):
    psf = gaussian_spread(0.5, 3, (2, 2))
    sensor = replace(find_sensor("none"), psf=psf, response=RESPONSE)
    pair = observed(truth((36, 28)), psf, 4)
    create = METHODS[name].create
    assert create is not None
    with pytest.raises(SensorModelError, match="point spread"):
        create().fit(pair.profile, None)
    fitted = create().fit(replace(pair.profile, sensor=sensor), None)
    assert isinstance(fitted.reach, WholeScene)
    assert fitted.psf == psf


@pytest.mark.parametrize("name", NAMES)
def test_what_does_not_fit_is_said_in_words(name):
    psf = gaussian_spread(0.5, 3, (2, 2))
    pair = observed(truth((36, 28)), psf, 4)
    with pytest.raises(BandCountError, match="2 broad and 5 narrow bands, the images have 1 and 5"):
        fuse(name, pair.replace(spatial=pair.spatial[:1]), psf)
    with pytest.raises(ScaleError, match="--full-scale"):
        fuse(name, pair.replace(full_scale=None), psf)


@pytest.mark.parametrize("name", NAMES)
def test_a_scene_beyond_the_memory_is_refused(name):
    psf = gaussian_spread(0.5, 3, (2, 2))
    pair = observed(truth((36, 28)), psf, 4)
    fitted, limits = make(name, psf).fit(pair.profile, None), RunLimits(max_memory=100)
    with pytest.raises(ResourceError, match="works on the whole scene at once"):
        run_scene(fitted, ArraySource(pair), ArraySink(), precision=np.float64, limits=limits)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("name", NAMES)
def test_a_gpu_gives_the_same(name):
    psf = gaussian_spread(0.5, 3, (2, 2))
    pair = observed(truth((36, 28)), psf, 4)
    on_gpu = replace(make(name, psf), device="cuda").fit(pair.profile, None).fuse(pair)
    np.testing.assert_allclose(on_gpu, fuse(name, pair, psf), rtol=0, atol=1e-8)
