"""Files of one band each as one image, and a sensor's bands in the order of a file."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from affine import Affine

from bandweave.errors import BandCountError, FileFormatError, GridMismatchError
from bandweave.raster.bandorder import in_file_order, plain_name
from bandweave.raster.image import open_image
from bandweave.raster.reader import open_pair
from bandweave.raster.stack import stacked
from bandweave.sensors import find_sensor
from bandweave.window import Window
from scenes import write_pair, write_tif

PLACE = Affine(30, 0, 400_000, 0, -30, 5_000_000)


@pytest.fixture
def bands(tmp_path: Path, rng) -> tuple[list[Path], np.ndarray]:
    image = rng.integers(1, 60_000, (3, 37, 31)).astype("uint16")
    folder = tmp_path / "bands & more <1>"
    folder.mkdir()
    return [
        write_tif(folder / f"B{k}.tif", image[k : k + 1], PLACE, nodata=0) for k in range(3)
    ], image


def test_a_stack_reads_as_its_files_from_any_thread(bands) -> None:
    files, image = bands
    windows = [Window(row, col, 9, 7) for row in range(0, 28, 4) for col in range(0, 24, 4)]
    with stacked(files, "scene") as path, open_image(path) as opened:
        assert opened.name == "scene.vrt"
        assert opened.grid.transform == PLACE
        assert opened.facts.nodata == 0
        with ThreadPoolExecutor(4) as pool:
            parts = list(pool.map(lambda window: opened.read(window, np.float64)[0], windows))
    for window, part in zip(windows, parts, strict=True):
        np.testing.assert_array_equal(part, image[:, *window.slices])


def test_files_that_do_not_lie_on_each_other_are_refused(bands, tmp_path: Path) -> None:
    files, image = bands
    moved = write_tif(tmp_path / "m.tif", image[:1], PLACE @ Affine.translation(0.5, 0))
    smaller = write_tif(tmp_path / "s.tif", image[:1, :30], PLACE)
    signed = write_tif(tmp_path / "i.tif", image[:1].astype("int16"), PLACE)
    double = write_tif(tmp_path / "d.tif", image[:2], PLACE)
    for other, error, words in (
        (moved, GridMismatchError, "m.tif"),
        (smaller, GridMismatchError, "30 x 31"),
        (signed, FileFormatError, "int16"),
        (double, FileFormatError, "one band"),
        (tmp_path / "absent.tif", FileFormatError, "absent.tif"),
    ):
        with pytest.raises(error, match=words), stacked([*files, other], "scene"):
            pass


def test_given_names_go_before_the_files(bands, tmp_path: Path) -> None:
    path = write_tif(tmp_path / "three.tif", bands[1], PLACE)
    with open_image(path, bands=[3, 1], names=["red", "green", "blue"]) as image:
        assert image.facts.descriptions == ("blue", "red")
        assert image.facts.available == 3
    with pytest.raises(BandCountError, match=r"state 2 bands \(red, green\), but it has 3"):
        open_image(path, names=["red", "green"])


def test_names_are_compared_without_their_dress() -> None:
    assert plain_name("Red Edge") == plain_name("red_edge") == plain_name("RedEdge")
    assert plain_name("Band_NIR1") == "nir1"
    assert plain_name("band") == "band"


def test_a_sensor_is_brought_to_the_order_of_a_file() -> None:
    wv3 = find_sensor("wv3")
    named = in_file_order(wv3, ["NIR1", "Red", "Green"], [1, 2, 3], 3)
    assert named is not None
    assert named.band_names == ("nir1", "red", "green")
    assert named.mtf_gains(3) == (0.335, 0.365, 0.360)
    placed = in_file_order(wv3, [None, None], [5, 2], 8)
    assert placed is not None
    assert placed.band_names == ("red", "blue")
    assert in_file_order(wv3, [None] * 8, range(1, 9), 8) is wv3
    assert in_file_order(wv3, [None] * 4, range(1, 5), 4) is None
    assert in_file_order(wv3, ["red", "red"], [1, 2], 2) is None


def test_chosen_bands_keep_their_part_of_the_sensor(tmp_path: Path) -> None:
    pan, ms = write_pair(tmp_path)
    with open_pair(pan, ms, sensor=find_sensor("qb"), bands=[3, 1]) as pair:
        sensor = pair.profile.sensor
    assert sensor is not None
    assert sensor.band_names == ("red", "blue")
    assert sensor.mtf_gains(2) == (0.30, 0.34)
