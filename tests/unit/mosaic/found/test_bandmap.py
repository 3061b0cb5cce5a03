"""Weights find their bands by name and centre wavelength, or say which one is missing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio

import bandweave
import deliveries
from bandweave.errors import BandCountError
from bandweave.methods.nets.card import PUBLISHED_WV3, WeightCard
from bandweave.mosaic.check import check
from bandweave.mosaic.found.bandmap import choose_bands
from bandweave.pair import PairProfile
from bandweave.sensors import find_sensor
from scenes import write_tif, write_weights


def card(names: str, wavelengths: tuple[float, ...] | None) -> WeightCard:
    bands = tuple(names.split(","))
    changes = {"band_names": bands, "wavelengths": wavelengths, "name": "w"}
    return PUBLISHED_WV3.model_copy(update=changes)


BGRN = card("blue,green,red,nir", (480.0, 545.0, 672.0, 850.0))


def profile(sensor: str | None, bands: int, names: tuple[str, ...] | None = None) -> PairProfile:
    known = None if sensor is None else find_sensor(sensor)
    return PairProfile((64, 64), 1, bands, 4, (1.5, 1.5), sensor=known, band_names=names)


@pytest.mark.parametrize(
    ("sensor", "bands", "names"),
    [
        ("wv3", 8, ("blue", "green", "red", "nir1")),
        ("wv2", 8, ("blue", "green", "red", "nir1")),
        ("qb", 4, ("blue", "green", "red", "nir")),
        ("pleiades_neo", 6, ("blue", "green", "red", "nir")),
        ("landsat8", 7, ("blue", "green", "red", "nir")),
        ("sentinel2", 6, None),
    ],
)
def test_four_bands_are_found_among_those_of_a_sensor(sensor, bands, names) -> None:
    if names is None:
        with pytest.raises(BandCountError, match="expect a band blue at 480 nm"):
            choose_bands(BGRN, profile(sensor, bands))
        return
    choice = choose_bands(BGRN, profile(sensor, bands))
    assert choice is not None
    assert choice.names == names
    offered = find_sensor(sensor).band_names
    assert offered is not None
    assert tuple(offered[place] for place in choice.places) == names


def test_wavelengths_decide_where_names_are_others() -> None:
    numbered = card("b2,b3,b4,b8", (492.4, 559.8, 664.6, 832.8))
    choice = choose_bands(numbered, profile("wv3", 8))
    assert choice is not None
    assert choice.names == ("blue", "green", "red", "nir1")


def test_a_name_at_another_wavelength_is_another_band() -> None:
    far = card("red", (760.0,))
    with pytest.raises(BandCountError, match="red at 760 nm"):
        choose_bands(far, profile("wv3", 8))


def test_a_missing_band_is_named_with_its_wavelength_and_what_there_is() -> None:
    eight = card("coastal,blue,green,yellow,red,red edge,nir1,nir2",
                 (427.4, 481.9, 547.1, 604.3, 660.1, 722.7, 824.0, 913.6))  # fmt: skip
    with pytest.raises(BandCountError) as error:
        choose_bands(eight, profile("qb", 4))
    assert "coastal at 427.4 nm" in str(error.value)
    assert "nir at 816.5 nm" in str(error.value)


def test_names_of_the_file_serve_without_a_sensor() -> None:
    choice = choose_bands(BGRN, profile(None, 4, ("NIR", "Red", "Green", "Blue")))
    assert choice is not None
    assert choice.places == (3, 2, 1, 0)
    with pytest.raises(BandCountError, match="red at 672 nm"):
        choose_bands(BGRN, profile(None, 3, ("NIR", "Green", "Blue")))


def test_nothing_known_leaves_the_bands_where_they_are() -> None:
    assert choose_bands(BGRN, profile(None, 4)) is None
    assert choose_bands(BGRN, profile("wv3", 4)) is None
    assert choose_bands(BGRN, profile(None, 4, ("blue", "", "", ""))) is None
    assert choose_bands(card("band 0,band 1", None), profile(None, 2, ("x", "y"))) is None


def test_one_band_is_not_taken_twice() -> None:
    twins = card("nir1,nir2", (830.0, 830.0))
    with pytest.raises(BandCountError, match="nir2 at 830 nm"):
        choose_bands(twins, profile("qb", 4))


# In a whole run, with a tiny network


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """Weights of random numbers that expect red, green, blue, nir."""
    from bandweave.methods.nets.checkpoint import load_weights, save_weights

    tiny = load_weights(write_weights(tmp_path / "tiny.safetensors"))
    names = ("red", "green", "blue", "nir")
    changes = {"band_names": names, "wavelengths": (660.0, 547.0, 482.0, 830.0)}
    path = tmp_path / "rgbn.safetensors"
    save_weights(path, tiny.model, tiny.card.model_copy(update=changes))
    return path


def test_a_file_of_eight_bands_is_read_as_if_its_bands_were_asked_for(tmp_path, weights) -> None:
    groups = ("C", "B", "G", "Y", "R", "RE", "N", "N2")
    deliveries.maxar(tmp_path / "in", groups=groups, coarse=(17, 16), satellites=("WV03", "WV03"))
    options = {"weights": str(weights), "align": "off", "pan_sharpness": "off"}
    report = bandweave.fuse(tmp_path / "in", None, tmp_path / "o.tif", **options)
    assert report.shape[0] == 4
    assert any("red, green, blue, nir1 of the spectral image" in note for note in report.notes)
    bandweave.fuse(tmp_path / "in", None, tmp_path / "p.tif", **options, bands=(5, 3, 2, 7))
    with rasterio.open(tmp_path / "o.tif") as one, rasterio.open(tmp_path / "p.tif") as two:
        assert one.descriptions == ("red", "green", "blue", "nir1")
        np.testing.assert_array_equal(one.read(), two.read())


def test_a_check_with_weights_looks_at_their_bands(tmp_path, weights, monkeypatch) -> None:
    groups = ("C", "B", "G", "Y", "R", "RE", "N", "N2")
    deliveries.maxar(tmp_path, groups=groups, coarse=(17, 16), satellites=("WV03", "WV03"))
    seen = []
    monkeypatch.setattr(check, "match_sharpness", lambda source, _: seen.append(source.profile))
    report = check.check_pair(tmp_path, weights=str(weights))
    assert seen[0].sensor.band_names == ("red", "green", "blue", "nir1")
    assert report.ms.bands == 8


def test_arrays_with_a_sensor_and_plain_files_are_mapped_too(tmp_path, weights) -> None:
    made = deliveries.images(8, coarse=(17, 16))
    options = {
        "weights": str(weights), "align": "off", "pan_sharpness": "off", "sensor": "wv3",
    }  # fmt: skip
    fused = bandweave.fuse(made.pan, made.lrms, **options)
    pan = write_tif(tmp_path / "pan.tif", made.pan, made.fine)
    ms = write_tif(tmp_path / "ms.tif", made.lrms, made.coarse)
    bandweave.fuse(pan, ms, tmp_path / "o.tif", **options)
    with rasterio.open(tmp_path / "o.tif") as file:
        np.testing.assert_array_equal(file.read(), fused)
    expected = bandweave.fuse(made.pan, made.lrms[[4, 2, 1, 6]], **{**options, "sensor": None})
    np.testing.assert_array_equal(fused, expected)
