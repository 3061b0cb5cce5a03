"""`bandweave check`, `fuse` and `evaluate` on hyperspectral pairs as files, end to end."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np
import pytest
import rasterio
from affine import Affine
from scipy import ndimage
from scipy.io import loadmat, savemat

from bandweave.cli.main import main
from bandweave.datasets.hyperspectral import read_hyperspectral
from bandweave.degrade.instrument import Instrument
from bandweave.degrade.psf import gaussian_spread

RESPONSE = np.array([[0.0, 0.1, 0.3, 0.6, 0.0, 0.0], [0.5, 0.3, 0.2, 0.0, 0.0, 0.0]])
WAVELENGTHS = (450.5, 500.0, 550.0, 600.25, 650.0, 700.0)
PHASE = (2.0, 2.0)
PSF = gaussian_spread(0.5, 3, PHASE)
SIDE = 22
"""Coarse pixels per side."""


@pytest.fixture(scope="module")
def images() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return truth, MSI and HSI in the unit range, as the CAVE protocol links them."""
    rng = np.random.default_rng(8)
    rough = rng.normal(size=(4, 4 * SIDE, 4 * SIDE))
    fields = sum(ndimage.gaussian_filter(rough, (0, s, s)) * s for s in (0.7, 2, 6))
    truth = np.tensordot(rng.uniform(0, 1, (6, 4)), fields, axes=1)
    truth += 0.2 * ndimage.gaussian_filter(rng.normal(size=truth.shape), (0, 1, 1))
    truth = 0.02 + 0.96 * (truth - truth.min()) / np.ptp(truth)
    return truth, np.tensordot(RESPONSE, truth, axes=1), Instrument(PSF, 4, PHASE).observe(truth)


def write(path: Path, image: np.ndarray, pixel: float, driver: str = "GTiff") -> Path:
    # Sample k of the coarse grid lies at fine index 4 k + 2: half a pixel behind the corners.
    corner = 0.5 if pixel > 1 else 0.0
    with rasterio.open(
        path,
        "w",
        driver=driver,
        height=image.shape[1],
        width=image.shape[2],
        count=image.shape[0],
        dtype="float32",
        crs="EPSG:32633",
        transform=Affine(pixel, 0, 500_000 + corner, 0, -pixel, 5_000_000 - corner),
    ) as file:
        file.write(image.astype(np.float32))
    return path


def write_envi(path: Path, image: np.ndarray) -> Path:
    """Write an ENVI cube as instruments deliver them: the header names wavelengths in micrometres."""
    write(path, image, 4.0, driver="ENVI")
    listed = ", ".join(str(value / 1000) for value in WAVELENGTHS)
    with path.with_suffix(".hdr").open("a", encoding="utf-8") as header:
        header.write(f"wavelength units = Micrometers\nwavelength = {{{listed}}}\n")
    return path


@pytest.fixture
def run(capsys):
    """Return a function that runs a command and returns what it prints."""

    def runs(*arguments: object) -> str:
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
        assert ended.value.code == 0
        return capsys.readouterr().out

    return runs


def test_envi_and_geotiff_to_geotiff_with_wavelengths_and_scores(images, tmp_path, run) -> None:
    truth, sharp, coarse = images
    msi, gt = write(tmp_path / "msi.tif", sharp, 1.0), write(tmp_path / "gt.tif", truth, 1.0)
    hsi, out = write_envi(tmp_path / "hsi.img", coarse), tmp_path / "out.tif"
    run("fuse", msi, hsi, out, "--consistent", "-q")
    with rasterio.open(out) as file:
        fused, tags = file.read(), file.tags(ns="BANDWEAVE")
        assert file.transform == Affine(1, 0, 500_000, 0, -1, 5_000_000)
    assert tags["METHOD"] == "local_regression"
    assert tags["PSF"] == "Gaussian, sigma 0.5, 3 x 3 taps"
    np.testing.assert_allclose(read_hyperspectral(out).wavelengths, WAVELENGTHS, rtol=1e-9)
    np.testing.assert_allclose(Instrument(PSF, 4, PHASE).observe(fused), coarse, atol=1e-6)
    np.testing.assert_allclose(np.tensordot(RESPONSE, fused, axes=1), sharp, atol=1e-6)
    scores = json.loads(run("evaluate", out, "--gt", gt, "--protocol", "cave",
                            "--full-scale", 1, "--json"))  # fmt: skip
    psnr = 10 * np.log10(1 / np.mean((fused - truth) ** 2, axis=(1, 2))).mean()
    assert find(scores, "psnr") == pytest.approx(psnr, abs=1e-3)
    assert psnr > 30


def test_an_envi_cube_with_its_wavelengths(images, tmp_path, run) -> None:
    _, sharp, coarse = images
    msi, hsi = write(tmp_path / "msi.tif", sharp, 1.0), write_envi(tmp_path / "hsi.img", coarse)
    first, second = tmp_path / "out.tif", tmp_path / "out.img"
    run("fuse", msi, hsi, first, "--method", "exp", "-q")
    run("fuse", msi, hsi, second, "--method", "exp", "--of", "ENVI", "-q")
    with rasterio.open(first) as one, rasterio.open(second) as other:
        assert other.driver == "ENVI"
        np.testing.assert_array_equal(other.read(), one.read())
        assert other.transform == one.transform
    np.testing.assert_allclose(read_hyperspectral(second).wavelengths, WAVELENGTHS, rtol=1e-9)
    assert {path.name for path in tmp_path.glob("*out*")} == {"out.tif", "out.img", "out.hdr"}


def test_a_geotiff_with_wavelengths_where_gdal_puts_them(images, tmp_path, run) -> None:
    _, sharp, coarse = images
    msi, hsi = write(tmp_path / "msi.tif", sharp, 1.0), write(tmp_path / "hsi.tif", coarse, 4.0)
    with rasterio.open(hsi, "r+") as file:
        for band, centre in enumerate(WAVELENGTHS, start=1):
            said = {"CENTRAL_WAVELENGTH_UM": str(centre / 1000), "FWHM_UM": "0.01"}
            file.update_tags(band, ns="IMAGERY", **said)
    run("fuse", msi, hsi, tmp_path / "out.tif", "--method", "exp", "-q")
    with rasterio.open(tmp_path / "out.tif") as file:
        tags = [file.tags(band) for band in file.indexes]
    assert [float(band["wavelength"]) * 1000 for band in tags] == pytest.approx(WAVELENGTHS)
    assert {band["wavelength_units"] for band in tags} == {"Micrometers"}
    assert {band["fwhm"] for band in tags} == {"0.01"}


def find(value: object, key: str) -> float:
    """Return the first number under a key, however deep."""
    if isinstance(value, dict):
        if isinstance(value.get(key), (int, float)):
            return value[key]
        value = list(value.values())
    for part in value if isinstance(value, list) else []:
        found = find(part, key)
        if not np.isnan(found):
            return found
    return float("nan")


def test_the_layout_of_the_hyperspectral_literature(images, tmp_path, run) -> None:
    truth, sharp, coarse = images
    pair = tmp_path / "pair.mat"
    up = ndimage.zoom(coarse, (1, 4, 4), order=1)
    keys = {"GT": truth, "RGB": sharp, "LRHSI": coarse, "HSI_up": up}
    savemat(pair, {key: image.transpose(1, 2, 0) for key, image in keys.items()})
    run("fuse", pair, tmp_path / "out.mat", "--consistent", "-q")
    fused = loadmat(tmp_path / "out.mat")["sr"].transpose(2, 0, 1)
    np.testing.assert_allclose(Instrument(PSF, 4, PHASE).observe(fused), coarse, atol=1e-9)
    np.testing.assert_allclose(np.tensordot(RESPONSE, fused, axes=1), sharp, atol=1e-9)


def test_a_set_of_the_hyperspectral_literature(images, tmp_path, run) -> None:
    truth, sharp, coarse = images
    path = tmp_path / "test.h5"
    with h5py.File(path, "w") as file:
        for key, image in {"GT": truth, "RGB": sharp, "LRHSI": coarse}.items():
            file[key] = image[None]
    run("fuse", path, tmp_path / "results", "--consistent", "-q")
    fused = loadmat(tmp_path / "results" / "output_mulExm_0.mat")["sr"].transpose(2, 0, 1)
    np.testing.assert_allclose(np.tensordot(RESPONSE, fused, axes=1), sharp, atol=1e-9)


def test_check_tells_the_instruments(images, tmp_path, run) -> None:
    _, sharp, coarse = images
    msi, hsi = write(tmp_path / "msi.tif", sharp, 1.0), write(tmp_path / "hsi.tif", coarse, 4.0)
    told = run("check", msi, hsi)
    assert "sigma 0.5, 3 x 3 taps at phase 2, 2" in told
    assert "What links the two images was found" in told
    assert "--sensor" not in told
    found = json.loads(run("check", msi, hsi, "--json"))["instruments"]
    assert found["sigma"] == pytest.approx(0.5, abs=1e-5)  # the files are float32
    assert found["phase"] == pytest.approx(PHASE, abs=1e-5)
    np.testing.assert_allclose(found["response"], RESPONSE, atol=1e-4)
    assert found["confidence"] > 0.99
