"""Pictures of a run: one stretch and one error scale, told apart from nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from bandweave.datasets.cave import cave_pair
from bandweave.degrade.srf import nikon_d700
from bandweave.pair import ImagePair
from bandweave.report.colours import Colours
from bandweave.report.kept import KeptImages, KeptScene
from bandweave.report.pixels import busiest, typical_pixels
from bandweave.report.records import Record
from bandweave.report.shown import ShownImage, shown_images

SHAPE = (4, 60, 44)


def record(row: str, digest: str = "abc") -> Record:
    return Record("rr", row, "a", "done", digest, "exp", row.upper(), values={"psnr": 30.0})


@pytest.fixture
def kept(rng: np.random.Generator, tmp_path: Path) -> KeptImages:
    images = KeptImages(tmp_path)
    gt = rng.uniform(100, 900, SHAPE)
    pair = ImagePair(gt[:1], gt[:, 2::4, 2::4], ratio=4, phase=(2.0, 2.0), full_scale=2047)
    scene = images.keep_scene("rr", "a", pair, gt)
    for row, noise in (("good", 4.0), ("bad", 40.0)):
        images.keep_fused(scene, row, gt + rng.normal(0, noise, SHAPE), "abc")
    return images


@pytest.fixture
def image(kept: KeptImages) -> ShownImage:
    (found,) = shown_images(kept, [record("good"), record("bad"), record("good", "old")])
    return found


def test_all_panels_have_the_stretch_of_the_reference(image: ShownImage, kept: KeptImages) -> None:
    assert [one.id for one in image.methods] == ["good", "bad"]
    truth = kept.read("rr", "a", "reference")
    for layer in (*image.methods, image.reference):
        values = kept.read("rr", "a", layer.id)
        for channel, band in enumerate((2, 1, 0)):
            low, high = np.percentile(truth[band], [0.5, 99.5])
            expected = 255 * np.clip((values[band] - low) / (high - low), 0, 1) ** 0.8
            assert np.abs(layer.pixels[..., channel] - expected).max() < 0.51
            assert f"{low:.4g} to {high:.4g}" in image.stretch_in_words
    assert "0.5 to 99.5 % quantiles of the reference" in image.stretch_in_words


def test_errors_are_those_of_the_images(image: ShownImage, kept: KeptImages) -> None:
    truth = kept.read("rr", "a", "reference")
    ends = []
    for layer in image.methods:
        expected = np.abs(kept.read("rr", "a", layer.id) - truth).mean(axis=0)
        assert layer.errors == pytest.approx(expected)
        ends.append(np.percentile(expected, 99.5))
    assert image.error_full == pytest.approx(np.mean(ends))  # the median of two
    assert f"{image.error_full:.3g} DN" in image.errors_in_words


def test_pixels_can_be_asked_for(kept: KeptImages) -> None:
    (image,) = shown_images(kept, [record("good")], pixels=[(3, 5), (59, 43), (60, 0)])
    assert image.picked == ((3, 5), (59, 43))
    values = kept.read("rr", "a", "good")
    assert np.array_equal(image.methods[0].spectra, [values[:, 3, 5], values[:, 59, 43]])


def kept_scene(tmp_path: Path, wavelengths: Sequence[float]) -> KeptScene:
    pair = ImagePair(
        np.ones((3, 16, 16)), np.ones((len(wavelengths), 4, 4)), 4, (2.0, 2.0), full_scale=1
    )
    return KeptImages(tmp_path).keep_scene("c", "a", pair, None, wavelengths=tuple(wavelengths))


def test_few_bands_are_shown_by_wavelength(rng: np.random.Generator, tmp_path: Path) -> None:
    scene = kept_scene(tmp_path, (430, 480, 545, 605, 660, 725, 830, 950))
    assert scene.unit == "reflectance"
    assert scene.bands[4] == "660 nm"
    colours, image = Colours.of_scene(scene), rng.random((8, 5, 6))
    assert colours.names == ("660 nm", "545 nm", "480 nm")
    image[7, 2, 2] = np.nan
    assert np.array_equal(colours.of(image), image[[4, 2, 1]])


def test_narrow_bands_are_shown_as_a_camera_sees_them(
    rng: np.random.Generator, tmp_path: Path
) -> None:
    cube = rng.random((31, 32, 32))
    pair = cave_pair(cube, 4).pair
    colours = Colours.of_scene(kept_scene(tmp_path, range(400, 701, 10)))
    assert colours.of(cube) == pytest.approx(pair.spatial, abs=1e-12)
    assert colours.names[0] == "Nikon D700's red"


def test_a_camera_sees_what_lies_between_its_wavelengths_and_nothing_beyond(
    tmp_path: Path,
) -> None:
    wide = Colours.of_scene(kept_scene(tmp_path, np.arange(395.0, 1000.0, 5.0)))
    # Twice as dense: each second weight is one of the camera's, the others lie between.
    weights = nikon_d700().weights
    found = wide.weights[:, 1:62:2]
    assert found / found.sum(axis=1, keepdims=True) == pytest.approx(weights, abs=1e-12)
    assert not wide.weights[:, 62:].any()
    infrared = Colours.of_scene(kept_scene(tmp_path, np.arange(1000.0, 1200.0, 10.0)))
    assert set(infrared.names) == {"1000 nm"}


def test_picked_pixels_are_of_different_materials(rng: np.random.Generator) -> None:
    image = np.empty((3, 60, 90))
    materials = np.array([[900.0, 100, 100], [100, 900, 100], [100, 100, 900]])
    for k, spectrum in enumerate(materials):
        image[:, :, 30 * k : 30 * k + 30] = spectrum[:, None, None]
    image += rng.normal(0, 1, image.shape)
    picked = typical_pixels(image)
    assert sorted(col // 30 for _, col in picked) == [0, 1, 2]
    # Not where two materials meet.
    assert all(3 <= col % 30 < 27 for _, col in picked)
    assert picked == typical_pixels(image)


def test_dark_pixels_are_not_picked(rng: np.random.Generator) -> None:
    image = rng.uniform(0, 2, (3, 40, 40))
    image[:, 10:20, 10:20] += 800
    (row, col), *_ = typical_pixels(image, 1)
    assert image[:, row, col].min() > 1


def test_the_busiest_part_is_the_texture_and_not_the_edge(rng: np.random.Generator) -> None:
    image = np.zeros((2, 80, 80))
    image[:, :, 60:] = 1000  # one strong edge
    image[:, 10:30, 10:30] = rng.uniform(0, 200, (2, 20, 20))
    window = busiest(image, 20)
    assert abs(window.row - 10) <= 2
    assert abs(window.col - 10) <= 2
    assert busiest(image, 200).shape == (80, 80)
    stepped = busiest(image, 20, step=8)
    assert stepped.row % 8 == stepped.col % 8 == 0
