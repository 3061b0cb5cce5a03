"""The made-up scene is what it says: truth, observation, georeference, the same each time."""

import numpy as np
import pytest
import rasterio

from bandweave.datasets.synthetic.scene import Instrument, synthetic_scene
from bandweave.degrade.observe import observe
from bandweave.errors import ShapeError
from bandweave.sensors import find_sensor

CLEAN = Instrument(pan_noise=0.0, spectral_noise=0.0)


def test_the_same_seed_is_the_same_place_and_another_seed_another() -> None:
    first, again, other = (synthetic_scene(seed, (96, 132)) for seed in (7, 7, 8))
    assert np.array_equal(first.gt, again.gt)
    assert np.array_equal(first.pair.spatial, again.pair.spatial)
    assert np.abs(first.gt - other.gt).mean() > 20


def test_lrms_is_the_truth_through_the_sensors_mtf() -> None:
    scene = synthetic_scene(7, (96, 132), instrument=CLEAN)
    gains = find_sensor("wv3").mtf_gains(8)
    assert gains is not None
    expected = observe(scene.gt.astype(np.float64), gains, 4, (1.5, 1.5))
    inside = (slice(None), slice(2, -2), slice(2, -2))
    # Rounded to whole DN, and the truth is clipped at full scale after observation.
    error = np.abs(scene.pair.spectral - expected)[inside]
    assert np.quantile(error, 0.99) <= 0.51


def test_the_pan_is_nearly_a_mixture_of_the_bands() -> None:
    scene = synthetic_scene(7, (96, 132), instrument=CLEAN)
    columns = np.column_stack([scene.gt.reshape(8, -1).T, np.ones(96 * 132)])
    pan = scene.pair.spatial.ravel()
    residual = pan - columns @ np.linalg.lstsq(columns, pan, rcond=None)[0]
    assert residual.std() < 0.1 * pan.std()


def test_noise_grows_with_the_signal_and_can_be_switched_off() -> None:
    loud = Instrument(pan_noise=10.0)
    clean, noisy = (synthetic_scene(7, (96, 132), instrument=i).pair.spatial for i in (CLEAN, loud))
    difference = noisy - clean
    sigma = 10 * np.sqrt(np.maximum(clean, 20) / 500)
    assert abs((difference / sigma).std() - 1) < 0.05


def test_values_are_plausible_dn() -> None:
    scene = synthetic_scene(11, (256, 256))
    assert scene.gt.min() >= 0
    assert scene.gt.max() <= 2047
    means = scene.gt.mean(axis=(1, 2))
    assert (means > 100).all()
    assert (means < 1200).all()
    assert scene.pair.spectral.shape == (8, 64, 64)
    assert np.array_equal(scene.pair.spatial, np.rint(scene.pair.spatial))


def test_the_written_pair_is_georeferenced_and_named(tmp_path) -> None:
    scene = synthetic_scene(7, (96, 132))
    pan, ms, truth = scene.write_geotiff_pair(tmp_path / "new")
    with rasterio.open(pan) as a, rasterio.open(ms) as b, rasterio.open(truth) as c:
        assert (a.shape, b.shape, c.shape) == ((96, 132), (24, 33), (96, 132))
        assert a.crs == b.crs == c.crs
        assert b.transform.a == pytest.approx(4 * a.transform.a)
        assert (a.transform.c, a.transform.f) == (b.transform.c, b.transform.f)
        assert b.descriptions[5] == "red edge"
        assert np.array_equal(b.read(), scene.pair.spectral)
        assert np.abs(c.read() - scene.gt).max() <= 0.5


def test_sizes_that_do_not_nest_are_refused() -> None:
    with pytest.raises(ShapeError, match="multiples of 4"):
        synthetic_scene(7, (97, 132))
