"""Several files on one plane: names, spectra, differences, first view."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.warp import transform as transform_points

from bandweave.errors import AlignmentWarning, ConfigError, FileFormatError, GridMismatchError
from bandweave.viewer.difference import DifferenceLayer
from bandweave.viewer.scene import Scene
from bandweave.window import Window
from scenes import write_tif

FINE, COARSE = Affine(0.5, 0, 500000, 0, -0.5, 5000000), Affine(2, 0, 499999, 0, -2, 5000001.5)


@pytest.fixture
def files(tmp_path: Path, rng) -> list[str]:
    """Return a PAN, an MS whose pixels lie askew on it, and two results on the PAN's grid."""
    images = {
        "pan": (rng.integers(1, 2048, (1, 61, 75), dtype=np.uint16), FINE),
        "ms": (rng.integers(1, 2048, (4, 19, 22), dtype=np.uint16), COARSE),
        "one": (rng.integers(1, 2048, (4, 61, 75), dtype=np.uint16), FINE),
        "two": (rng.integers(1, 2048, (4, 61, 75), dtype=np.uint16), FINE),
    }
    return [str(write_tif(tmp_path / f"{n}.tif", *args)) for n, args in images.items()]


@pytest.mark.parametrize("place", [(0.01, 0.01), (17.3, 40.9), (33.999, 8.0), (74.99, 60.99)])
def test_spectra_are_what_rasterio_samples(files: list[str], place: tuple[float, float]) -> None:
    ground = FINE * place
    with Scene(files) as scene:
        answer = scene.place(*place)
    assert answer["ground"] == pytest.approx(ground, abs=1e-9)
    for path, found in zip(files, answer["spectra"], strict=True):
        with rasterio.open(path) as dataset:
            assert found["values"] == next(dataset.sample([ground])).tolist()
            assert (found["row"], found["col"]) == dataset.index(*ground)


def test_spectra_beside_a_file_and_without_data_are_none(tmp_path: Path) -> None:
    image = np.full((2, 9, 9), 5, np.uint8)
    image[1, 0, 0] = 0
    first = write_tif(tmp_path / "a.tif", image, FINE, nodata=0)
    second = write_tif(tmp_path / "b.tif", image[:, :5], FINE)
    with Scene([str(first), str(second)]) as scene:
        empty, low = scene.place(0.5, 0.5)["spectra"], scene.place(3.5, 7.5)["spectra"]
        beside = scene.place(-0.5, 3)["spectra"]
    assert empty[0]["values"] is None
    assert (empty[0]["row"], empty[0]["col"]) == (0, 0)
    assert [one["values"] for one in low] == [[5, 5], None]
    assert [one["row"] for one in beside] == [None, None]


def test_another_crs_is_warped_for_tiles_and_asked_by_its_own_pixels(tmp_path: Path, rng) -> None:
    first = write_tif(tmp_path / "a.tif", rng.integers(1, 255, (1, 80, 90), np.uint8), FINE)
    # The same ground in the neighbouring zone, from the corners of the first file.
    xs, ys = transform_points("EPSG:32633", "EPSG:32632", [500000, 500045], [5000000, 4999960])
    other = Affine(1, 0, min(xs) - 5, 0, -1, max(ys) + 8)
    image = rng.integers(1, 255, (2, 70, 70), np.uint8)
    second = write_tif(tmp_path / "b.tif", image, other, crs="EPSG:32632")
    with Scene([str(first), str(second)]) as scene:
        layer = scene.files[1]
        assert layer.is_warped
        values, valid = layer.read((1, 2), 0, Window.whole(layer.grid.shape))
        assert 0 < valid.mean() < 1  # turned by the convergence of the meridians
        agree = 0
        for x, y in rng.uniform((0, 0), (90, 80), (60, 2)):
            ground = FINE * (x, y)
            (east,), (north,) = transform_points(
                "EPSG:32633", "EPSG:32632", [ground[0]], [ground[1]]
            )
            found = scene.place(x, y)["spectra"][1]
            with rasterio.open(second) as dataset:
                assert found["values"] == next(dataset.sample([(east, north)])).tolist()
            col, row = ~layer.placement * (x, y)
            shown = values[:, int(row), int(col)].tolist()
            agree += shown == found["values"]
    # Nearest pixel on the warped grid, whose pixels have about the same size: most agree.
    assert agree > 30


def test_other_datums_and_places_are_refused_or_told(tmp_path: Path) -> None:
    image = np.ones((1, 9, 9), np.uint8)
    first = str(write_tif(tmp_path / "a.tif", image, FINE))
    other = str(write_tif(tmp_path / "b.tif", image, FINE, crs="EPSG:25833"))
    far = str(write_tif(tmp_path / "c.tif", image, FINE * Affine.translation(9, 0)))
    with pytest.raises(GridMismatchError, match="same datum"):
        Scene([first, other])
    with pytest.warns(AlignmentWarning, match=r"c\.tif lies beside a\.tif"), Scene([first, far]):
        pass


def test_differences_are_offered_where_files_match(files: list[str]) -> None:
    with Scene(files) as scene:
        assert list(scene.layers) == ["0", "1", "2", "3", "2-3"]
        assert scene.start == {"left": "0", "right": "3"}
    with Scene(files[:1], (files[3], files[2])) as scene:
        assert [layer.name for layer in scene.files] == ["pan.tif", "two.tif", "one.tif"]
        assert scene.start == {"left": "1", "right": "1-2"}
        assert scene.differences[0].name == "|two.tif − one.tif|"
        assert len(scene.differences) == 1


def test_an_error_of_files_that_differ_is_refused(files: list[str]) -> None:
    with pytest.raises(GridMismatchError, match="give the result and a reference on its grid"):
        Scene(files, (files[0], files[1]))


def test_what_is_no_raster_is_refused_and_all_is_closed(files: list[str], tmp_path: Path) -> None:
    (tmp_path / "no.tif").write_text("nothing")
    with pytest.raises(FileFormatError, match=r"no\.tif"):
        Scene([*files, str(tmp_path / "no.tif")])
    with pytest.raises(ConfigError, match="at least one file"):
        Scene([])


def test_names_are_as_long_as_they_must_be(tmp_path: Path) -> None:
    image = np.ones((1, 9, 9), np.uint8)
    paths = []
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        paths.append(str(write_tif(tmp_path / folder / "x.tif", image, FINE)))
    paths.append(str(write_tif(tmp_path / "y.tif", image, FINE)))
    with Scene(paths) as scene:
        assert [layer.name for layer in scene.files] == ["a/x.tif", "b/x.tif", "y.tif"]


def test_large_files_without_overviews_are_told(tmp_path: Path) -> None:
    image = np.ones((1, 3, 5000), np.uint8)
    paths = [str(write_tif(tmp_path / "a.tif", image, FINE))]
    with Scene(paths) as scene:
        assert len(scene.notes) == 1
        assert "a.tif has no overviews" in scene.notes[0]
    small = [str(write_tif(tmp_path / "b.tif", image[..., :2000], FINE))]
    with Scene(small) as scene:
        assert scene.notes == ()


def described(path: Path) -> dict[str, object]:
    with Scene([str(path)]) as scene:
        return scene.describe()["layers"][0]


@pytest.mark.parametrize(("count", "shown"), [(1, (1,)), (2, (1,)), (4, (3, 2, 1)), (8, (5, 3, 2))])
def test_unnamed_bands_are_shown_by_their_number(
    tmp_path: Path, count: int, shown: tuple[int, ...]
) -> None:
    path = write_tif(tmp_path / "a.tif", np.ones((count, 9, 9), np.uint16), FINE)
    with rasterio.open(path, "r+") as file:
        file.colorinterp = [rasterio.enums.ColorInterp.undefined] * count
    assert described(path)["shown"] == shown


def test_names_and_wavelengths_decide_before_numbers(tmp_path: Path) -> None:
    path = write_tif(tmp_path / "a.tif", np.ones((4, 9, 9), np.uint16), FINE)
    with rasterio.open(path, "r+") as file:
        file.descriptions = ("Red", "NIR", "Blue", "Green")
    assert described(path)["shown"] == (1, 4, 3)
    cube = write_tif(tmp_path / "b.tif", np.ones((31, 9, 9), np.uint16), FINE)
    with rasterio.open(cube, "r+") as file:
        for band in range(1, 32):
            file.update_tags(
                band, wavelength=str(0.39 + 0.01 * band), wavelength_units="Micrometers"
            )
    layer = described(cube)
    assert layer["shown"] == (27, 16, 8)
    assert layer["bands"][0]["wavelength"] == pytest.approx(400)


def test_a_difference_starts_with_its_mean(files: list[str]) -> None:
    with Scene(files) as scene:
        layer = next(one for one in scene.describe()["layers"] if one["key"] == "2-3")
        assert isinstance(scene.layers["2-3"], DifferenceLayer)
    assert layer["shown"] == (0,)
    assert layer["firstBand"] == 0
    assert layer["bands"][0]["name"] == "mean of all bands"
    assert layer["difference"] == {"first": "2", "second": "3", "finer": 2}
