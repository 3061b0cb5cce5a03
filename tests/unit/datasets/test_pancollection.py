"""Sets in one .h5 file, in and out."""

from __future__ import annotations

import h5py
import numpy as np
import pytest

from bandweave.datasets.files import open_pairs
from bandweave.datasets.pancollection import open_pancollection
from bandweave.datasets.setwriter import HYPERSPECTRAL_KEYS, write_set
from bandweave.degrade.operators import MtfFilter, gaussian_psf
from bandweave.degrade.sampling import interpolate
from bandweave.degrade.srf import nikon_d700
from bandweave.degrade.wald import WaldProtocol, simulate_pair, wald_pair
from bandweave.errors import FileFormatError, OutputExistsError, ShapeError
from bandweave.pair import ImagePair
from bandweave.sensors import find_sensor
from bandweave.window import Window


@pytest.fixture
def stored(tmp_path, rng):
    arrays = {
        "gt": rng.integers(0, 1023, (5, 4, 32, 24)).astype(np.uint16),
        "lms": rng.uniform(0, 1023, (5, 4, 32, 24)).astype(np.float32),
        "ms": rng.uniform(0, 1023, (5, 4, 8, 6)).astype(np.float32),
        "pan": rng.uniform(0, 1023, (5, 1, 32, 24)).astype(np.float32),
    }
    with h5py.File(tmp_path / "set.h5", "w") as file:
        for key, value in arrays.items():
            file[key] = value
    return tmp_path / "set.h5", arrays


def test_each_pair_is_read_alone(stored):
    path, arrays = stored
    with open_pancollection(path, full_scale=1023) as pairs:
        assert len(pairs) == 5
        pair, gt = pairs.item(3)
        assert np.array_equal(pair.spatial, arrays["pan"][3])
        assert np.array_equal(pair.spectral, arrays["ms"][3])
        assert np.array_equal(gt, arrays["gt"][3])
        assert pair.phase == (2.0, 2.0)
        assert pair.full_scale == 1023
        with pytest.raises(IndexError, match="holds 5 pairs, there is no 5"):
            pairs.item(5)


def test_full_resolution_sets_have_no_reference(stored):
    path, _ = stored
    with h5py.File(path, "a") as file:
        del file["gt"]
    with open_pairs(path) as pairs:
        assert pairs.item(0)[1] is None


def test_unit_sets_are_multiplied(tmp_path, stored):
    _, arrays = stored
    with h5py.File(tmp_path / "unit.h5", "w") as file:
        for key, value in arrays.items():
            file[key] = (value / 1023).astype(np.float64)
    with open_pancollection(tmp_path / "unit.h5", full_scale=1023) as pairs:
        assert pairs.item(2)[1] == pytest.approx(arrays["gt"][2], rel=1e-12)


def test_pan_without_a_band_axis(tmp_path, stored):
    _, arrays = stored
    with h5py.File(tmp_path / "flat.h5", "w") as file:
        file["pan"], file["ms"] = arrays["pan"][:, 0], arrays["ms"]
    with open_pancollection(tmp_path / "flat.h5") as pairs:
        assert np.array_equal(pairs.item(1)[0].spatial, arrays["pan"][1])


def test_one_pair_without_leading_axis(tmp_path, stored):
    _, arrays = stored
    with h5py.File(tmp_path / "one.h5", "w") as file:
        for key, value in arrays.items():
            file[key] = value[0]
    with open_pancollection(tmp_path / "one.h5") as pairs:
        assert len(pairs) == 1
        assert np.array_equal(pairs.item(0)[0].spectral, arrays["ms"][0])


def test_different_lengths_are_refused(tmp_path, stored):
    _, arrays = stored
    with h5py.File(tmp_path / "odd.h5", "w") as file:
        file["pan"], file["ms"] = arrays["pan"][:3], arrays["ms"]
    with pytest.raises(FileFormatError, match="different numbers of images: pan 3, ms 5"):
        open_pancollection(tmp_path / "odd.h5")


def test_empty_and_broken_files_are_named(tmp_path, stored):
    _, arrays = stored
    with h5py.File(tmp_path / "empty.h5", "w") as file:
        file["pan"], file["ms"] = arrays["pan"][:0], arrays["ms"][:0]
    with pytest.raises(FileFormatError, match="holds no image"):
        open_pancollection(tmp_path / "empty.h5")
    (tmp_path / "text.h5").write_text("no")
    with pytest.raises(FileFormatError, match="could not be read as an HDF5 file"):
        open_pancollection(tmp_path / "text.h5")
    with pytest.raises(FileFormatError, match="does not exist"):
        open_pancollection(tmp_path / "none.h5")


def reduced_pair(rng, *, phase=None):
    native = ImagePair(
        rng.uniform(0, 1023, (1, 96, 64)),
        rng.uniform(0, 1023, (4, 24, 16)),
        4,
        (1.5, 1.5),
        full_scale=1023.0,
        sensor=find_sensor("gf2"),
    )
    return wald_pair(native, WaldProtocol(MtfFilter((0.3,)), phase=phase))


def test_written_set_comes_back(tmp_path, rng):
    made = [reduced_pair(rng, phase=(1.5, 1.5)) for _ in range(3)]
    with write_set(tmp_path / "sim.h5") as appender:
        for reduced in made:
            appender.add(reduced)
    with h5py.File(tmp_path / "sim.h5") as file:
        assert {key: item.shape for key, item in file.items()} == {
            "gt": (3, 4, 24, 16), "lms": (3, 4, 24, 16), "ms": (3, 4, 6, 4), "pan": (3, 1, 24, 16),
        }  # fmt: skip
        expected = interpolate(made[1].pair.spectral, 4, (1.5, 1.5), border="circular")
        assert file["lms"][1] == pytest.approx(expected, abs=1e-3)  # stored as float32
    with open_pancollection(tmp_path / "sim.h5") as pairs:
        pair, gt = pairs.item(2)
        assert pair.spectral == pytest.approx(made[2].pair.spectral, rel=1e-7)
        assert gt == pytest.approx(made[2].gt, rel=1e-7)
        assert pair.phase == (1.5, 1.5)
        assert pair.sensor.id == "gf2"
        assert pair.full_scale == 1023


def test_hyperspectral_keys(tmp_path, rng):
    cube = rng.uniform(0, 1, (31, 16, 16))
    reduced = simulate_pair(cube, nikon_d700(), gaussian_psf(0.5, 3), 4, full_scale=1.0)
    with write_set(tmp_path / "hs.h5", keys=HYPERSPECTRAL_KEYS) as appender:
        appender.add(reduced)
    with open_pancollection(tmp_path / "hs.h5") as pairs:
        pair, gt = pairs.item(0)
        assert pair.spatial.shape == (3, 16, 16)
        assert pair.spectral.shape == (31, 4, 4)
        assert gt == pytest.approx(cube, abs=1e-7)
        assert pair.full_scale == 1


def test_images_of_other_sizes_are_refused_and_nothing_is_left(tmp_path, rng):
    first = reduced_pair(rng)
    other = first.crop(Window(0, 0, 16, 16))

    def write():
        with write_set(tmp_path / "sim.h5") as appender:
            appender.add(first)
            appender.add(other)

    with pytest.raises(ShapeError, match="one shape"):
        write()
    assert list(tmp_path.iterdir()) == []


def test_existing_set_is_kept(tmp_path, rng):
    (tmp_path / "sim.h5").write_text("mine")
    with pytest.raises(OutputExistsError), write_set(tmp_path / "sim.h5") as appender:
        appender.add(reduced_pair(rng))
    assert (tmp_path / "sim.h5").read_text() == "mine"


@pytest.mark.golden
def test_published_set(shared):
    with open_pancollection(
        shared("data/pan/gf2_pancollection_rr_0to9.h5"), sensor=find_sensor("gf2")
    ) as pairs:
        assert len(pairs) == 10
        pair, gt = pairs.item(9)
        again = wald_pair(
            pair.replace(spatial=np.zeros((1, 1024, 1024)), spectral=gt),
            WaldProtocol.of_sensor(pair.profile),
        )
        assert np.abs(again.pair.spectral - pair.spectral).max() <= 1e-4  # stored as float32
