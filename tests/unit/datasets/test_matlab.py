"""MATLAB files, v5 and v7.3, in and out."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
from scipy.io import loadmat, savemat

from bandweave.datasets.files import is_pair_file, open_pairs
from bandweave.datasets.matlab import (
    read_matlab_pair,
    result_name,
    write_matlab_pair,
    write_results_mat,
)
from bandweave.degrade.operators import MtfFilter
from bandweave.degrade.wald import WaldProtocol, wald_pair
from bandweave.errors import FileFormatError, GridMismatchError, OutputExistsError
from bandweave.pair import ImagePair
from bandweave.sensors import find_sensor


@pytest.fixture
def arrays(rng):
    return {
        "I_GT": rng.integers(0, 2047, (48, 40, 4)).astype(float),
        "I_MS": rng.uniform(0, 2047, (48, 40, 4)),
        "I_MS_LR": rng.uniform(0, 2047, (12, 10, 4)),
        "I_PAN": rng.uniform(0, 2047, (48, 40)),
    }


def write_v73(path, arrays, *, chars=()):
    """Write arrays as MATLAB does: axes backwards, a class attribute on each."""
    with h5py.File(path, "w", userblock_size=512) as file:
        for key, value in arrays.items():
            file[key] = np.asarray(value).T
            file[key].attrs["MATLAB_class"] = np.bytes_("double")
        for key, text in chars:
            file[key] = np.array([[ord(letter)] for letter in text], dtype=np.uint16)
            file[key].attrs["MATLAB_class"] = np.bytes_("char")


@pytest.mark.parametrize("version", ["v5", "v7.3"])
def test_both_versions_give_the_same_pair(tmp_path, arrays, version):
    path = tmp_path / "pair.mat"
    if version == "v5":
        savemat(path, {**arrays, "sensor": "QB", "L": 11})
    else:
        write_v73(path, {**arrays, "L": np.array([[11.0]])}, chars=[("sensor", "QB")])
    pair, gt = read_matlab_pair(path)
    assert np.array_equal(pair.spatial[0], arrays["I_PAN"])
    assert np.array_equal(pair.spectral, np.moveaxis(arrays["I_MS_LR"], 2, 0))
    assert np.array_equal(gt, np.moveaxis(arrays["I_GT"], 2, 0))
    assert pair.ratio == 4
    assert pair.phase == (2.0, 2.0)
    assert pair.full_scale == 2047
    assert pair.sensor.id == "qb"


def test_unit_values_are_multiplied_by_the_full_scale(tmp_path, arrays):
    savemat(tmp_path / "unit.mat", {key: value / 2047 for key, value in arrays.items()})
    pair, gt = read_matlab_pair(tmp_path / "unit.mat", full_scale=2047)
    assert pair.spatial[0] == pytest.approx(arrays["I_PAN"], rel=1e-15)
    assert gt == pytest.approx(np.moveaxis(arrays["I_GT"], 2, 0), rel=1e-15)
    assert pair.full_scale == 2047
    unit, _ = read_matlab_pair(tmp_path / "unit.mat")
    assert unit.spatial.max() <= 1
    assert unit.full_scale == 1
    sensed, _ = read_matlab_pair(tmp_path / "unit.mat", sensor=find_sensor("gf2"))
    assert sensed.full_scale == 1023


def test_unit_values_that_overshoot_a_little_are_still_unit(tmp_path):
    savemat(tmp_path / "a.mat", {"pan": np.full((8, 8), 1.02), "ms": np.full((2, 2, 3), -0.01)})
    assert read_matlab_pair(tmp_path / "a.mat", full_scale=1000)[0].spatial[0, 0, 0] == 1020


def test_integers_are_digital_numbers_even_where_small(tmp_path):
    savemat(
        tmp_path / "a.mat", {"pan": np.ones((8, 8), np.uint16), "ms": np.ones((2, 2, 3), np.uint16)}
    )
    pair, gt = read_matlab_pair(tmp_path / "a.mat", full_scale=2047)
    assert pair.spatial.max() == 1
    assert gt is None


def test_type_and_phase_can_be_asked_for(tmp_path, arrays):
    savemat(tmp_path / "a.mat", arrays)
    pair, gt = read_matlab_pair(tmp_path / "a.mat", dtype=np.float32, phase=(1.5, 1.5))
    assert pair.spatial.dtype == gt.dtype == np.float32
    assert pair.phase == (1.5, 1.5)


def test_written_pair_comes_back(tmp_path, rng):
    native = ImagePair(
        rng.uniform(0, 2047, (1, 64, 48)),
        rng.uniform(0, 2047, (4, 16, 12)),
        4,
        (1.5, 1.5),
        full_scale=2047.0,
        sensor=find_sensor("ge1"),
    )
    protocol = WaldProtocol(MtfFilter((0.23,)), phase=(1.5, 1.5))
    reduced = wald_pair(native, protocol)
    write_matlab_pair(tmp_path / "out.mat", reduced)
    pair, gt = read_matlab_pair(tmp_path / "out.mat")
    assert np.array_equal(pair.spatial, reduced.pair.spatial)
    assert np.array_equal(pair.spectral, reduced.pair.spectral)
    assert np.array_equal(gt, reduced.gt)
    assert pair.phase == (1.5, 1.5)
    assert pair.sensor.id == "ge1"
    assert str(loadmat(tmp_path / "out.mat")["sensor"][0]) == "GeoEye1"
    with pytest.raises(OutputExistsError, match="--overwrite"):
        write_matlab_pair(tmp_path / "out.mat", reduced)


def test_results_are_what_the_referee_reads(tmp_path, rng):
    hrms = rng.uniform(0, 2047, (4, 9, 7))
    write_results_mat(tmp_path / result_name(3), hrms)
    stored = loadmat(tmp_path / "output_mulExm_3.mat")["sr"]
    assert stored.shape == (9, 7, 4)
    assert np.array_equal(stored[2, 5], hrms[:, 2, 5])


def test_a_failed_write_leaves_nothing(tmp_path, monkeypatch, rng):
    def fail(*_, **__):
        raise OSError("no space left")

    monkeypatch.setattr("scipy.io.savemat", fail)
    with pytest.raises(OSError, match="could not be written: no space left"):
        write_results_mat(tmp_path / "a.mat", rng.random((1, 3, 3)))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"not a mat file at all, but some text" * 20])
def test_broken_files_are_named(tmp_path, content):
    path = tmp_path / "broken.mat"
    path.write_bytes(content)
    with pytest.raises(FileFormatError, match=r"broken.mat could not be read"):
        read_matlab_pair(path)


def test_missing_file_is_named(tmp_path):
    with pytest.raises(FileFormatError, match="does not exist"):
        read_matlab_pair(tmp_path / "none.mat")


def test_wrong_ratio_is_refused(tmp_path, arrays):
    savemat(tmp_path / "a.mat", arrays)
    with pytest.raises(GridMismatchError, match="2 times as large"):
        read_matlab_pair(tmp_path / "a.mat", ratio=2)


def test_single_pair_as_a_set(tmp_path, arrays):
    savemat(tmp_path / "a.mat", arrays)
    assert is_pair_file(tmp_path / "A.MAT")
    assert not is_pair_file("a.tif")
    with open_pairs(tmp_path / "a.mat") as pairs:
        assert len(pairs) == 1
        assert pairs.item(0)[0].ratio == 4
        with pytest.raises(IndexError):
            pairs.item(1)


@pytest.mark.golden
@pytest.mark.parametrize(
    ("name", "bands", "ratio", "sensor", "has_truth"),
    [
        ("wv3_cdif_rr.mat", 8, 4, None, True),
        ("wv2_grip_fr.mat", 8, 4, "wv2", False),
        ("ikonos_grip_fr.mat", 4, 4, "ikonos", False),
        ("landsat8_ratio2.mat", 10, 2, "landsat8", False),
        ("train4/gf2_lrtcf_guangzhou_rr.mat", 4, 4, "none", True),
        ("train4/gf2_sfnlr_rr.mat", 4, 4, None, True),
    ],
)
def test_published_files(shared, name, bands, ratio, sensor, has_truth):
    pair, gt = read_matlab_pair(shared(f"data/pan/{name}"))
    assert pair.profile.bands == bands
    assert pair.ratio == ratio
    assert (pair.sensor.id if pair.sensor else None) == sensor
    assert (gt is not None) == has_truth
