"""Fused images in `.mat` and `.h5` files."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
from scipy.io import savemat

from bandweave.datasets.matlab import result_name, write_results_mat
from bandweave.datasets.results import find_results
from bandweave.errors import FileFormatError

SHAPE = (4, 20, 12)


@pytest.fixture
def fused(rng):
    return rng.uniform(1, 2047, SHAPE)


def test_what_we_write_is_read_back(tmp_path, fused):
    write_results_mat(tmp_path / result_name(3), fused)
    (result,) = find_results(tmp_path / result_name(3))
    assert result.name == "output_mulExm_3.mat"
    np.testing.assert_array_equal(result.read(SHAPE, 2047), fused)


def test_a_folder_in_the_order_of_its_numbers(tmp_path, fused):
    for k in (0, 1, 2, 10, 11):
        write_results_mat(tmp_path / result_name(k), fused + k)
    results = find_results(tmp_path)
    assert [result.path.stem[-2:].strip("_") for result in results] == ["0", "1", "2", "10", "11"]
    np.testing.assert_array_equal(results[3].read(SHAPE, None), fused + 10)


def test_unit_values_are_brought_to_dn(tmp_path, fused):
    savemat(tmp_path / "a.mat", {"sr": np.moveaxis(fused / 2047, 0, 2)})
    (result,) = find_results(tmp_path / "a.mat")
    np.testing.assert_allclose(result.read(SHAPE, 2047.0), fused, rtol=1e-14)
    assert result.read(SHAPE, None).max() <= 1


def test_other_names_and_orders_of_axes(tmp_path, fused):
    savemat(tmp_path / "a.mat", {"noise": np.ones((3, 3)), "I_F": fused})
    np.testing.assert_array_equal(find_results(tmp_path / "a.mat")[0].read(SHAPE, None), fused)
    savemat(tmp_path / "b.mat", {"whatever": np.moveaxis(fused, 0, 2)})
    np.testing.assert_array_equal(find_results(tmp_path / "b.mat")[0].read(SHAPE, None), fused)
    savemat(tmp_path / "c.mat", {"sr": fused[0]})
    np.testing.assert_array_equal(
        find_results(tmp_path / "c.mat")[0].read((1, 20, 12), None), fused[:1]
    )


def test_sets(tmp_path, fused):
    with h5py.File(tmp_path / "set.h5", "w") as file:
        file["sr"] = np.stack([fused, fused + 1, fused + 2])
    results = find_results(tmp_path / "set.h5")
    assert [result.name for result in results] == ["set.h5[0]", "set.h5[1]", "set.h5[2]"]
    np.testing.assert_array_equal(results[2].read(SHAPE, None), fused + 2)


def test_refusals(tmp_path, fused):
    with pytest.raises(FileFormatError, match="does not exist"):
        find_results(tmp_path / "none.mat")
    with pytest.raises(FileFormatError, match=r"holds no \.mat file"):
        find_results(tmp_path)
    write_results_mat(tmp_path / "a.mat", fused)
    with pytest.raises(FileFormatError, match=r"4 bands, 20 x 13 pixels.*found sr \(20, 12, 4\)"):
        find_results(tmp_path / "a.mat")[0].read((4, 20, 13), None)
    (tmp_path / "b.h5").write_text("no")
    with pytest.raises(FileFormatError, match="HDF5"):
        find_results(tmp_path / "b.h5")
    with h5py.File(tmp_path / "c.h5", "w") as file:
        file["pan"] = np.ones((2, 1, 3, 3))
    with pytest.raises(FileFormatError, match=r"fused images \(N, C, H, W\)"):
        find_results(tmp_path / "c.h5")
