"""The synthetic scene: its truth, what the instruments see of it, and the files it becomes."""

from __future__ import annotations

import numpy as np
import pytest
import rasterio
from scipy import ndimage

from bandweave.datasets.synthetic.layout import Painter, painted_place, rectangle
from bandweave.datasets.synthetic.scene import (
    FULL_SCALE,
    Instrument,
    SyntheticScene,
    synthetic_scene,
)
from bandweave.datasets.synthetic.spectra import Surface, drawn_reflectances
from bandweave.errors import ShapeError
from bandweave.mosaic.found.shift import measure_displacement
from bandweave.raster.reader import open_pair
from bandweave.sensors import find_sensor
from bandweave.source import ArraySource
from bandweave.window import Window

SHAPE = (148, 124)
QUIET = {"pan_noise": 0.0, "spectral_noise": 0.0}


@pytest.fixture(scope="module")
def scene() -> SyntheticScene:
    return synthetic_scene(11, SHAPE)


def test_values_are_those_of_an_eleven_bit_sensor(scene) -> None:
    assert scene.gt.shape == (8, *SHAPE)
    assert scene.pair.spectral.shape == (8, SHAPE[0] // 4, SHAPE[1] // 4)
    for image in (scene.gt, scene.pair.spatial, scene.pair.spectral):
        assert image.dtype == np.float32
        assert image.min() >= 0
        assert image.max() <= FULL_SCALE
    for image in (scene.pair.spatial, scene.pair.spectral):
        assert np.array_equal(image, np.rint(image))
    means = scene.gt.mean(axis=(1, 2))
    assert (means > 100).all()
    assert (means < 1200).all()


def test_a_seed_decides_the_scene(scene) -> None:
    again, other = synthetic_scene(11, SHAPE), synthetic_scene(12, SHAPE)
    assert np.array_equal(again.gt, scene.gt)
    assert np.array_equal(again.pair.spatial, scene.pair.spatial)
    assert np.array_equal(again.pair.spectral, scene.pair.spectral)
    assert np.abs(other.gt - scene.gt).mean() > 20


def test_noise_grows_with_the_root_of_the_signal() -> None:
    loud = Instrument(pan_noise=20.0, spectral_noise=9.0)
    quiet, noisy = (
        synthetic_scene(11, SHAPE, instrument=i).pair for i in (Instrument(**QUIET), loud)
    )
    for before, after, size in (
        (quiet.spatial, noisy.spatial, 20.0),
        (quiet.spectral, noisy.spectral, 9.0),
    ):
        scaled = (after - before) / np.sqrt(np.maximum(before, 20) / 500)
        assert scaled.std() == pytest.approx(size, rel=0.05)


@pytest.mark.parametrize(
    ("phase", "displacement"), [((1.5, 1.5), (0.0, 0.0)), ((2.0, 2.0), (0.0, 0.0)), ((1.5, 1.5), (2.75, -0.5))]
)  # fmt: skip
def test_the_spectral_image_is_the_truth_through_the_mtf(phase, displacement) -> None:
    # A Gaussian of the gain at the coarse Nyquist frequency, sampled by a spline: another route
    # than kernels on whole pixels.
    instrument = Instrument(phase=phase, displacement=displacement, **QUIET)
    scene = synthetic_scene(11, SHAPE, instrument=instrument)
    assert scene.pair.phase == phase
    h, w = SHAPE[0] // 4, SHAPE[1] // 4
    places = np.meshgrid(
        4 * np.arange(h) + phase[0] + displacement[0],
        4 * np.arange(w) + phase[1] + displacement[1],
        indexing="ij",
    )
    gains = find_sensor("wv3").mtf_gains(8)
    for band in (0, 4, 7):
        # The toolbox's kernel has the gain at 5/41 cycles per pixel, not at 1/8.
        sigma = np.sqrt(-2 * np.log(gains[band])) * 41 / 40 * 4 / np.pi
        blurred = ndimage.gaussian_filter(scene.gt[band].astype(float), sigma)
        seen = ndimage.map_coordinates(blurred, places, order=3)
        inside = (slice(4, -4), slice(4, -4))
        difference = (scene.pair.spectral[band] - seen)[inside]
        # Rounding to whole DN alone gives 0.3; one PAN pixel of displacement gives over 10.
        assert np.sqrt(np.mean(difference**2)) < 1.0


def test_a_displacement_is_what_check_finds() -> None:
    instrument = Instrument(displacement=(2.75, -0.5))
    scene = synthetic_scene(3, (512, 512), instrument=instrument)
    found = measure_displacement(ArraySource(scene.pair))
    assert (found.rows, found.cols) == pytest.approx((2.75, -0.5), abs=0.1)


def test_the_pan_is_a_mixture_of_the_bands_and_blurred_as_asked() -> None:
    scenes = [
        synthetic_scene(11, SHAPE, instrument=Instrument(pan_blur=blur, **QUIET))
        for blur in (0.3, 0.8)
    ]
    soft, sharp = (scene.pair.spatial[0] for scene in scenes[::-1])
    truth = scenes[0].gt.reshape(8, -1).T
    blurred = ndimage.gaussian_filter(sharp, np.sqrt(0.8**2 - 0.3**2))
    assert np.sqrt(np.mean((blurred - soft)[4:-4, 4:-4] ** 2)) < 0.1 * np.std(sharp - soft)
    weights, residual, *_ = np.linalg.lstsq(truth, sharp.ravel(), rcond=None)
    assert residual[0] < 0.01 * np.var(sharp) * sharp.size
    assert weights.sum() == pytest.approx(1, abs=0.05)


def test_a_part_without_data_is_empty_everywhere() -> None:
    part = Window(16, 40, 24, 32)
    scene = synthetic_scene(11, SHAPE, nodata=part)
    whole = synthetic_scene(11, SHAPE)
    rows, cols = part.slices
    assert not scene.pair.valid[rows, cols].any()
    assert scene.pair.valid.sum() == SHAPE[0] * SHAPE[1] - 24 * 32
    assert not scene.pair.spatial[:, rows, cols].any()
    assert not scene.pair.spectral[:, 4:10, 10:18].any()
    assert not scene.gt[:, rows, cols].any()
    outside = scene.pair.valid
    assert np.array_equal(scene.gt[:, outside], whole.gt[:, outside])
    assert np.array_equal(scene.pair.spatial[:, outside], whole.pair.spatial[:, outside])


def test_the_files_hold_the_scene_on_nesting_grids(tmp_path) -> None:
    scene = synthetic_scene(11, SHAPE, nodata=Window(16, 40, 24, 32))
    pan, ms, truth = scene.write_geotiff_pair(tmp_path / "new")
    with open_pair(pan, ms) as source:
        assert source.profile.ratio == 4
        assert source.profile.phase == (1.5, 1.5)
        read = source.read(Window.whole(source.profile.shape), np.float32)
    valid = scene.pair.valid
    assert np.array_equal(read.valid, valid)
    assert np.array_equal(read.spatial[:, valid], scene.pair.spatial[:, valid])
    with rasterio.open(ms) as file:
        assert file.descriptions == find_sensor("wv3").band_names
        assert file.crs.to_epsg() == 32651
        assert file.res == (1.2, 1.2)
        assert np.array_equal(file.read(), scene.pair.spectral)
    with rasterio.open(truth) as file:
        assert file.res == pytest.approx((0.3, 0.3))
        assert np.abs(file.read() - scene.gt).max() <= 0.5


@pytest.mark.parametrize(
    ("shape", "nodata"), [((150, 124), None), ((148, 0), None), (SHAPE, Window(2, 0, 8, 8))]
)
def test_sizes_that_do_not_fit_are_refused(shape, nodata) -> None:
    with pytest.raises(ShapeError, match="multiples of 4"):
        synthetic_scene(1, shape, nodata=nodata)


def test_shadows_and_materials_of_a_place(rng) -> None:
    layout = painted_place(300, 400, 5.0, rng)
    assert layout.surface.shape == layout.brightness.shape == layout.shadow.shape == (300, 400)
    assert set(np.unique(layout.surface)) <= {int(surface) for surface in Surface}
    assert layout.shadow.min() >= 0
    assert layout.shadow.max() <= 1
    assert 0.01 < layout.shadow.mean() < 0.5


def test_shadow_falls_away_from_the_sun(rng) -> None:
    painter = Painter(80, 80, 4.0, rng)
    painter.shade(rectangle((60, 60), 8, 8, 0.0), 4.0)
    rows, cols = np.nonzero(painter.layout().shadow > 0.5)
    along = (cols.mean() - 60) * painter.sun[0] + (rows.mean() - 60) * painter.sun[1]
    reach = 4.0 * 4.0 * np.hypot(*painter.sun)
    assert along / np.hypot(*painter.sun) == pytest.approx(reach / 2, abs=2.0)


def test_vegetation_is_dark_red_and_bright_infrared(rng) -> None:
    reflectances = drawn_reflectances(rng)
    assert np.all((reflectances > 0) & (reflectances < 1))
    for surface in (Surface.GRASS, Surface.CROP, Surface.TREE):
        assert reflectances[surface, 6] > 4 * reflectances[surface, 4]
    assert reflectances[Surface.WATER, 7] < reflectances[Surface.WATER, 1]
