"""`bandweave simulate`, `sensors`, `datasets`: results, messages, exit codes."""

from __future__ import annotations

import json

import h5py
import numpy as np
import pytest
import rasterio
from affine import Affine
from scipy.io import loadmat

from bandweave.cli.main import main
from bandweave.datasets.table import DATASETS
from bandweave.sensors import sensor_table


@pytest.fixture
def pair(tmp_path, rng):
    return write_pair(tmp_path / "city", rng)


def write_pair(stem, rng, *, bands=4, h=120, w=112):
    paths = []
    for name, count, scale in (("pan", 1, 1), ("ms", bands, 4)):
        path = stem.with_name(f"{stem.name}_{name}.tif")
        size = {"height": h * 4 // scale, "width": w * 4 // scale, "count": count}
        place = Affine(0.5 * scale, 0, 1000, 0, -0.5 * scale, 2000)
        with rasterio.open(
            path, "w", dtype="uint16", crs="EPSG:32633", transform=place, **size
        ) as file:
            file.write(
                rng.integers(1, 2047, (count, size["height"], size["width"])).astype("uint16")
            )
        paths.append(str(path))
    return paths


def run(*arguments):
    """Run the program and return its exit code."""
    with pytest.raises(SystemExit) as left:
        main([str(argument) for argument in arguments])
    return left.value.code or 0


def test_pair_to_sets(tmp_path, pair, capsys):
    out = tmp_path / "sets" / "qb.h5"
    status = run("simulate", "pair", *pair, out, "--sensor", "qb", "--patch", 16, "--stride", 8,
                 "--shares", "0.6,0.2,0.2", "--json")  # fmt: skip
    assert status == 0
    said = capsys.readouterr()
    result = json.loads(said.out)
    assert "Simulating" in said.err
    assert [file["path"] for file in result["files"]] == [
        str(tmp_path / "sets" / f"qb_{split}.h5") for split in ("train", "valid", "test")
    ]
    assert result["record"]["spectral"]["gains"] == [0.34, 0.32, 0.30, 0.22]
    assert result["record"]["phase"] == [2.0, 2.0]
    for entry in result["files"]:
        with h5py.File(entry["path"]) as file:
            assert file["pan"].shape == (entry["pairs"], 1, 16, 16)
            assert file["ms"].shape == (entry["pairs"], 4, 4, 4)


def test_pair_to_matlab(tmp_path, pair):
    out = tmp_path / "qb.mat"
    assert run("simulate", "pair", *pair, out, "--sensor", "qb", "--pan", "mtf", "-q") == 0
    stored = loadmat(out)
    assert stored["I_GT"].shape == (120, 112, 4)
    assert stored["I_MS_LR"].shape == (30, 28, 4)
    record = json.loads(str(stored["simulation"][0]))
    assert record["spatial"]["gains"] == [0.15]


def test_pair_to_geotiff_nests_as_deliveries_do(tmp_path, pair):
    assert run("simulate", "pair", *pair, tmp_path / "rr.tif", "--sensor", "qb", "-q") == 0
    with rasterio.open(tmp_path / "rr_ms.tif") as ms, rasterio.open(tmp_path / "rr_gt.tif") as gt:
        assert ms.bounds == gt.bounds
        assert gt.crs.to_epsg() == 32633
        with rasterio.open(pair[1]) as native:
            assert np.array_equal(gt.read(), native.read())


def test_kernel_and_noise_are_recorded(tmp_path, pair, capsys):
    np.savetxt(tmp_path / "box.csv", np.full((4, 4), 1 / 16), delimiter=",")
    status = run("simulate", "pair", *pair, tmp_path / "a.tif", "--mtf-gain", "0.3", "--normalised",
                 "--pan", tmp_path / "box.csv", "--snr", 30, "--seed", 4, "--json", "-q")  # fmt: skip
    record = json.loads(capsys.readouterr().out)["record"]
    assert status == 0
    assert record["spatial"]["kernel"] == "box.csv"
    assert record["spatial"]["is_normalised"]
    assert record["spectral"]["is_normalised"]
    assert record["seed"] == 4
    # Native values are uniform in [1, 2047): their root mean square over the square root of 1000.
    assert record["noise_spectral"] == pytest.approx([2047 / 3**0.5 / 1000**0.5] * 4, rel=0.02)


def test_folder_to_geotiffs_and_one_set(tmp_path, rng, capsys):
    (tmp_path / "in").mkdir()
    for name in ("a", "b"):
        write_pair(tmp_path / "in" / name, rng)
    assert (
        run("simulate", "folder", tmp_path / "in", tmp_path / "out", "--sensor", "gf2", "-q") == 0
    )
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        f"{name}_{role}.tif" for name in "ab" for role in ("gt", "ms", "pan")
    ]
    assert "convention" in capsys.readouterr().err
    status = run("simulate", "folder", tmp_path / "in", tmp_path / "all.h5", "--sensor", "qb",
                 "--shares", "1,0,0", "--patch", 32, "-q")  # fmt: skip
    assert status == 0
    with h5py.File(tmp_path / "all.h5") as file:
        assert list(file.attrs["scenes"]) == ["a", "b"]
        assert set(file["origin"][:, 0]) == {0, 1}


def test_set_back_to_geotiff(tmp_path, pair, capsys):
    run("simulate", "pair", *pair, tmp_path / "s.h5", "--sensor", "qb", "--shares", "1,0,0", "-q")
    capsys.readouterr()
    assert run("simulate", "export", tmp_path / "s.h5", tmp_path / "tiffs", "--json") == 0
    files = json.loads(capsys.readouterr().out)["files"]
    with h5py.File(tmp_path / "s.h5") as stored:
        assert len(files) == 3 * len(stored["gt"])
        with rasterio.open(tmp_path / "tiffs" / "s_0_gt.tif") as file:
            assert np.array_equal(file.read(), stored["gt"][0])
            assert "mtf" in file.tags(ns="BANDWEAVE")["simulation"]


def test_cube(tmp_path, rng):
    weights = tmp_path / "srf.csv"
    weights.write_text("red,0,0,1\nblue,1,0,0\n")
    values = rng.integers(0, 4000, (3, 96, 80)).astype("uint16")
    place = Affine(4, 0, 0, 0, -4, 0)
    with rasterio.open(tmp_path / "cube.tif", "w", height=96, width=80, count=3, dtype="uint16",
                       crs="EPSG:32633", transform=place) as file:  # fmt: skip
        file.write(values)
    status = run(
        "simulate", "cube", tmp_path / "cube.tif", tmp_path / "hs.tif", "--srf", weights, "-q"
    )
    assert status == 0
    with rasterio.open(tmp_path / "hs_msi.tif") as file:
        assert np.array_equal(file.read(), values[[2, 0]])
    arguments = ("simulate", "cube", tmp_path / "cube.tif", tmp_path / "hs.h5", "--srf", weights,
                 "--patch", 16, "--shares", "1,0,0", "-q")  # fmt: skip
    assert run(*arguments) == 1
    assert run(*arguments, "--full-scale", 4000) == 0
    with h5py.File(tmp_path / "hs.h5") as file:
        assert set(file) == {"GT", "RGB", "LRHSI", "HSI_up", "origin"}
        assert file["GT"][:].max() <= 1


@pytest.mark.parametrize(
    ("options", "status", "message"),
    [
        (["--sensor", "wv9"], 1, "no sensor 'wv9'"),
        ([], 1, "MTF gains of 4 bands are needed, but no sensor is known"),
        (["--sensor", "pleiades"], 1, "but Pleiades has none for them"),
        (["--mtf-gain", "1.5"], 1, "between 0 and 1"),
        (["--mtf-gain", "0.3,0.3"], 1, "needs 1 or 4 MTF gains, got 2"),
        (["--mtf-gain", "x"], 2, "expected numbers"),
        (["--mtf-gain", "0.3", "--pan", "mtf"], 1, "MTF of the PAN is not known"),
        (["--mtf-gain", "0.3", "--pan", "nothing.csv"], 1, "nothing.csv could not be read"),
        (["--sensor", "qb", "--patch", "30"], 1, "multiples of the ratio 4"),
        (["--sensor", "qb", "--patch", "256"], 1, "use smaller patches"),
        (["--sensor", "qb", "--shares", "1,0"], 1, "Option 'shares"),
        (["--sensor", "qb", "--shares", "0,0,0"], 1, "one of them above 0"),
    ],
)
def test_bad_input_is_one_sentence(tmp_path, pair, capsys, options, status, message):
    assert run("simulate", "pair", *pair, tmp_path / "x.h5", "--patch", 16, *options) == status
    said = capsys.readouterr()
    assert message in said.err
    assert "Traceback" not in said.err
    assert not said.out
    assert not list(tmp_path.glob("*.h5"))


def test_outputs_are_checked(tmp_path, pair, capsys):
    assert run("simulate", "pair", *pair, tmp_path / "x.xyz", "--sensor", "qb", "-q") == 1
    assert "ending of x.xyz is not known" in capsys.readouterr().err
    (tmp_path / "x.mat").write_text("mine")
    assert run("simulate", "pair", *pair, tmp_path / "x.mat", "--sensor", "qb", "-q") == 1
    assert "--overwrite" in capsys.readouterr().err
    assert (tmp_path / "x.mat").read_text() == "mine"


def test_sensors_are_listed(capsys):
    assert run("sensors") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(sensor_table())
    assert "convention" in next(line for line in lines if line.startswith("gf2"))
    names = [sensor.name for sensor in sensor_table().values()]
    assert all(f" {name}  " in line for name, line in zip(names, lines, strict=True))
    assert run("sensors", "--json") == 0
    listed = json.loads(capsys.readouterr().out)
    assert {entry["id"] for entry in listed} == set(sensor_table())


def test_one_sensor_is_shown_with_its_sources(capsys):
    assert run("sensors", "worldview-3") == 0
    shown = capsys.readouterr().out
    assert "MTF 0.365" in shown
    assert "Kuester" in shown
    assert run("sensors", "wv3", "--json") == 0
    assert json.loads(capsys.readouterr().out)["covered_bands"][0] == "blue"
    assert run("sensors", "wv9") == 1


def test_datasets_are_listed(capsys):
    assert run("datasets") == 0
    shown = capsys.readouterr().out
    assert all(entry.citation in shown for entry in DATASETS.values())
    assert run("datasets", "--json") == 0
    assert [entry["id"] for entry in json.loads(capsys.readouterr().out)] == list(DATASETS)
