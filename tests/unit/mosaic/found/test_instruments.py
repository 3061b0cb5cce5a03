"""Sensor models of a job: given, found, or not needed; and the methods that use them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from bandweave.config import FuseConfig
from bandweave.degrade.instrument import Instrument
from bandweave.degrade.psf import gaussian_spread
from bandweave.errors import AssumptionWarning, BandCountError, ConfigError
from bandweave.mosaic.found import instruments as module
from bandweave.mosaic.found.instruments import find_instruments, with_instruments
from bandweave.mosaic.in_memory import ArrayScene
from bandweave.mosaic.prepare import prepare_job
from bandweave.mosaic.runner import ArraySink
from bandweave.pair import ImagePair
from bandweave.source import ArraySource

RESPONSE = np.array([[0.0, 0.1, 0.3, 0.6, 0.0, 0.0], [0.5, 0.3, 0.2, 0.0, 0.0, 0.0]])
PHASE = (2.0, 2.0)
PSF = gaussian_spread(0.6, 3, PHASE)


def make_pair(rng: np.random.Generator, side: int = 26) -> tuple[ImagePair, np.ndarray]:
    """Return a pair that claims to be registered at the corner, and its scene."""
    rough = rng.normal(size=(4, 4 * side, 4 * side + 8))
    fields = sum(ndimage.gaussian_filter(rough, (0, s, s)) * s for s in (0.7, 2, 6))
    scene = np.tensordot(rng.uniform(0, 1, (6, 4)), fields, axes=1)
    scene = (scene - scene.min()) / np.ptp(scene)
    coarse = Instrument(PSF, 4, PHASE).observe(scene)
    return ImagePair(np.tensordot(RESPONSE, scene, axes=1), coarse, 4, (1.5, 1.5)), scene


def fuse(pair: ImagePair, **options) -> tuple[np.ndarray, list[str]]:
    job = prepare_job(ArrayScene(pair), FuseConfig(align="off", **options))
    sink = ArraySink()
    job.run(sink, quiet=True)
    return sink.hrms, list(job.report.notes)


def test_by_default_a_hyperspectral_pair_is_regressed_with_what_it_tells(rng) -> None:
    pair, scene = make_pair(rng)
    fused, notes = fuse(pair, consistent=True)
    assert any("local_regression" in note for note in notes)
    assert any("sigma 0.6, 3 x 3" in note for note in notes)
    np.testing.assert_allclose(Instrument(PSF, 4, PHASE).observe(fused), pair.spectral, atol=1e-9)
    np.testing.assert_allclose(np.tensordot(RESPONSE, fused, axes=1), pair.spatial, atol=1e-9)
    plain, _ = fuse(pair, method="exp")
    assert np.mean((fused - scene) ** 2) < 0.2 * np.mean((plain - scene) ** 2)


def test_a_hyperspectral_pair_is_taken_for_light_and_a_pan_is_left_alone(rng) -> None:
    pair, _ = make_pair(rng)
    pan = pair.replace(spatial=pair.spatial[:1], spectral=pair.spectral[:4])
    for one, gain, is_light in ((pair, None, True), (pan, (0.3,), False)):
        job = prepare_job(ArrayScene(one), FuseConfig(align="off", consistent=True, mtf_gain=gain))
        assert job.consistency is not None
        assert job.consistency.is_nonnegative == is_light


def test_methods_that_need_no_model_get_none(rng) -> None:
    _, notes = fuse(make_pair(rng)[0], method="exp")
    assert not any("Sensor model" in note for note in notes)


def test_what_is_given_is_taken(rng, tmp_path) -> None:
    pair, _ = make_pair(rng)
    path = tmp_path / "response.csv"
    rows = [",".join(["b", *map(str, row)]) for row in RESPONSE]
    path.write_text("\n".join(rows), encoding="utf-8")
    fused, notes = fuse(pair.replace(phase=PHASE), psf=0.5, srf=str(path), consistent=True)
    assert any("as given" in note for note in notes)
    # The width that was given, cut at 2 sigma, and not that of the pair.
    given = Instrument(gaussian_spread(0.5, 3, PHASE), 4, PHASE)
    residual = given.observe(fused) - pair.spectral
    assert 1e-4 < np.abs(residual).max() < 0.05
    np.testing.assert_allclose(np.tensordot(RESPONSE, fused, axes=1), pair.spatial, atol=1e-9)


def test_a_response_for_other_bands_is_refused(rng, tmp_path) -> None:
    path = tmp_path / "response.csv"
    path.write_text("red,1,2,3\n", encoding="utf-8")
    with pytest.raises(BandCountError, match="one row per sharp band"):
        fuse(make_pair(rng)[0], srf=str(path))


def test_a_width_of_nothing_is_refused() -> None:
    with pytest.raises(ConfigError, match="auto, or a number above 0"):
        FuseConfig.checked(psf=0.0)


def test_large_scenes_are_sampled_and_small_ones_read_whole(rng, monkeypatch) -> None:
    pair, _ = make_pair(rng, side=40)
    whole = find_instruments(ArraySource(pair))
    monkeypatch.setattr(module, "_WHOLE_BELOW", 100)
    monkeypatch.setattr(module, "_SIDE", 16)
    sampled = find_instruments(ArraySource(pair))
    assert sampled.samples < whole.samples
    np.testing.assert_allclose(sampled.sigma, 0.6, atol=1e-6)
    np.testing.assert_allclose(sampled.model.phase, PHASE, atol=1e-6)


def test_images_that_tell_nothing_are_warned_of(rng) -> None:
    pair, _ = make_pair(rng)
    noise = pair.replace(spatial=rng.uniform(size=pair.spatial.shape))
    with pytest.warns(AssumptionWarning, match="confidence"):
        _, found = with_instruments(ArraySource(noise), FuseConfig(psf="auto"), lambda _: None)
    assert found is not None
    assert not any(found.explained)
