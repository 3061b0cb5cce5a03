"""Which bands the PAN covers, and what is done about the others."""

from __future__ import annotations

import json
import warnings

import numpy as np
import pytest
import rasterio
from click.testing import CliRunner
from scipy.io import loadmat

import bandweave
from bandweave.cli.main import cli
from bandweave.errors import ConfigError, SensorModelError
from bandweave.methods.convention import SCENE
from bandweave.methods.interpolation import Bicubic, Interpolation
from bandweave.methods.substitution.gram_schmidt import GramSchmidtAdaptive
from bandweave.mosaic.found.coverage import coverage_of, for_covered_bands
from bandweave.pair import ImagePair, PairProfile
from bandweave.sensors import find_sensor
from scenes import smooth_truth, write_pair


def profile(sensor: str, bands: int, names: tuple[str, ...] | None = None) -> PairProfile:
    return PairProfile((64, 64), 1, bands, 2, (0.5, 0.5), None, find_sensor(sensor), names)


@pytest.mark.parametrize(
    ("sensor", "bands", "expected"),
    [
        ("landsat8", 7, ("nir", "swir1", "swir2")),
        ("landsat8_all", 10, ("nir", "swir1", "swir2", "cirrus", "thermal1", "thermal2")),
        ("landsat7", 6, ("swir1", "swir2")),
        ("wv3", 8, ()),
        ("spot6", 4, ()),
        ("ikonos", 4, ()),
    ],
)
def test_bands_far_from_the_pan(sensor, bands, expected):
    coverage = coverage_of(profile(sensor, bands))
    assert coverage is not None
    assert coverage.uncovered == expected


def test_bands_are_known_by_their_names_where_their_number_differs():
    coverage = coverage_of(profile("landsat8", 3, ("NIR", "red", "Swir1")))
    assert coverage is not None
    assert coverage.covered == (1,)
    assert coverage_of(profile("landsat8", 3, ("b5", "b4", "b6"))) is None
    assert coverage_of(profile("landsat8", 3)) is None


@pytest.mark.parametrize("sensor", ["none", "sentinel2", "prisma"])
def test_nothing_is_said_of_bands_whose_wavelengths_are_not_known(sensor):
    assert coverage_of(profile(sensor, 6)) is None


def test_the_note_names_the_bands_and_the_way_out():
    notes: list[str] = []
    for_covered_bands(GramSchmidtAdaptive(), profile("landsat8", 7), "pass", notes.append)
    assert len(notes) == 1
    assert "nir, swir1, swir2 are interpolated" in notes[0]
    assert "--uncovered fuse" in notes[0]


@pytest.mark.parametrize("method", [Interpolation(), Bicubic()])
def test_interpolation_treats_all_bands_alike(method):
    notes: list[str] = []
    found = for_covered_bands(method, profile("landsat8", 7), "refuse", notes.append)
    assert found == (method, ())
    assert not notes


def test_uncovered_bands_are_refused_in_words():
    with pytest.raises(SensorModelError, match=r"near the PAN, but nir, swir1, swir2: .*--bidx"):
        for_covered_bands(GramSchmidtAdaptive(), profile("landsat8", 7), "refuse", print)
    infrared = profile("landsat8", 2, ("swir1", "swir2"))
    with pytest.raises(SensorModelError, match="needs a band near the PAN"):
        for_covered_bands(GramSchmidtAdaptive(), infrared, "pass", print)


def landsat_arrays() -> tuple[np.ndarray, np.ndarray]:
    truth = smooth_truth(7, 74, 62, seed=1)
    truth[4] = smooth_truth(1, 74, 62, seed=2)[0]  # vegetation is bright here alone
    return truth[1:5].mean(axis=0), truth.reshape(7, 37, 2, 31, 2).mean(axis=(2, 4))


def test_fuse_passes_fuses_or_refuses():
    pan, lrms = landsat_arrays()
    options = {"method": "gsa", "sensor": "landsat8", "align": "off", "dtype": "float64"}
    passed = bandweave.fuse(pan, lrms, **options)
    fused = bandweave.fuse(pan, lrms, uncovered="fuse", **options)
    up = SCENE.upsample(ImagePair(pan[None], lrms, 2, (0.5, 0.5)))
    assert np.abs(passed[4:] - up[4:]).max() < 1e-3  # single precision
    assert np.abs(fused[4:] - up[4:]).max() > 10
    # The regression is over the covered bands: other weights, other pixels.
    assert np.abs(fused[:4] - passed[:4]).max() > 1e-3
    with pytest.raises(SensorModelError, match="nir, swir1, swir2"):
        bandweave.fuse(pan, lrms, uncovered="refuse", **options)


def test_the_report_and_the_tags_say_which_bands_were_passed_through(tmp_path):
    pan, ms = write_pair(tmp_path, bands=7, ratio=2)
    out = tmp_path / "out.tif"
    arguments = ["fuse", str(pan), str(ms), str(out), "--sensor", "landsat8", "--method", "pracs"]
    result = CliRunner().invoke(cli, [*arguments, "--json"], catch_exceptions=False)
    assert json.loads(result.stdout)["uncovered"] == ["nir", "swir1", "swir2"]
    assert result.stderr.count("Uncovered bands:") == 1
    with rasterio.open(out) as file:
        tags = file.tags(ns="BANDWEAVE")
    assert json.loads(tags["UNCOVERED_BANDS"]) == ["nir", "swir1", "swir2"]


@pytest.mark.golden
@pytest.mark.parametrize("method", ["gsa", "bt_h", "pracs"])
def test_a_landsat_pair_keeps_its_thermal_bands(shared, method):
    content = loadmat(shared("data/pan/landsat8_ratio2.mat"))
    pan = content["I_PAN"][:128, :96].astype(float)
    lrms = content["I_MS"][:64, :48].transpose(2, 0, 1).astype(float)
    with warnings.catch_warnings(action="ignore"):  # the chip may be called displaced
        fused = bandweave.fuse(pan, lrms, method=method, sensor="landsat8_all", dtype="float64")
    up = SCENE.upsample(ImagePair(pan[None], lrms, 2, (0.5, 0.5)))
    change = np.abs(fused - up).mean(axis=(1, 2))
    assert (change[:4] > 20).all()
    assert change[4:].max() < 0.01  # single precision at 30,000 DN


def test_the_toolbox_s_convention_is_for_methods_that_have_it(tmp_path):
    pan, lrms = landsat_arrays()
    with pytest.raises(ConfigError, match="gsa has no toolbox mode; give one of exp, bt_h"):
        bandweave.fuse(pan, lrms, method="gsa", convention="toolbox")
