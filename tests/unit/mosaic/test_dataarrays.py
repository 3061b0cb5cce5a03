"""DataArrays in and out: the pixels of the files, the coordinates of the PAN, the rest of the MS."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import rasterio
import xarray as xr
from affine import Affine

import bandweave
import deliveries
from bandweave.errors import ConfigError, GridMismatchError, ShapeError
from scenes import CRS, write_tif

WKT = rasterio.CRS.from_user_input(CRS).to_wkt()
EXP = {"method": "exp", "align": "off"}


def labelled(image: np.ndarray, transform: Affine, **more) -> xr.DataArray:
    """Return `(band, y, x)` as rioxarray and odc-geo make it, without either."""
    bands, height, width = image.shape
    coords = {
        "band": np.arange(1, bands + 1),
        "y": transform.f + transform.e * (np.arange(height) + 0.5),
        "x": transform.c + transform.a * (np.arange(width) + 0.5),
        "spatial_ref": xr.DataArray(0, attrs={
            "crs_wkt": WKT, "GeoTransform": " ".join(map(str, transform.to_gdal())),
        }),
    }  # fmt: skip
    return xr.DataArray(image, dims=("band", "y", "x"), coords=coords, **more)


@pytest.fixture
def made() -> deliveries.Images:
    return deliveries.images(4)


@pytest.fixture
def arrays(made) -> tuple[xr.DataArray, xr.DataArray]:
    pan = labelled(made.pan, made.fine, name="pan")
    lrms = labelled(made.lrms, made.coarse, name="ms", attrs={"units": "DN", "transform": (1, 2)})
    lrms = lrms.assign_coords(
        band=["blue", "green", "red", "nir"], wavelength=("band", [480, 545, 660, 830])
    )
    lrms.encoding = {"dtype": "uint16", "zlib": True, "chunksizes": (1, 37, 31), "source": "x.nc"}
    return pan, lrms


def test_the_pixels_are_those_of_the_files(arrays, made, tmp_path: Path) -> None:
    pan = write_tif(tmp_path / "pan.tif", made.pan, made.fine)
    ms = write_tif(tmp_path / "ms.tif", made.lrms, made.coarse)
    bandweave.fuse(pan, ms, tmp_path / "out.tif", method="gsa")
    fused = bandweave.fuse(*arrays, method="gsa")
    with rasterio.open(tmp_path / "out.tif") as file:
        np.testing.assert_array_equal(fused.values, file.read())


def test_place_comes_from_the_pan_and_the_rest_from_the_ms(arrays) -> None:
    pan, lrms = arrays
    before = pan.copy(deep=True), lrms.copy(deep=True)
    fused = bandweave.fuse(pan, lrms, **EXP)
    assert fused.dims == ("band", "y", "x")
    assert fused.dtype == np.uint16
    assert fused.name == "ms"
    assert fused.attrs == {"units": "DN"}
    assert fused.encoding == {"dtype": "uint16", "zlib": True}
    np.testing.assert_array_equal(fused.x, pan.x)
    np.testing.assert_array_equal(fused.y, pan.y)
    assert list(fused.band.values) == ["blue", "green", "red", "nir"]
    assert list(fused.wavelength.values) == [480, 545, 660, 830]
    assert fused.spatial_ref.attrs == pan.spatial_ref.attrs
    for was, array in zip(before, arrays, strict=True):
        xr.testing.assert_identical(was, array)
        assert was.encoding == array.encoding


def test_slices_are_placed_by_their_coordinates_not_by_the_stale_statement(arrays) -> None:
    pan, lrms = arrays
    whole = bandweave.fuse(pan, lrms, **EXP)
    part = bandweave.fuse(pan.isel(y=slice(9, 120), x=slice(6, 110)), lrms, **EXP)
    # Whole MS pixels inside the PAN: from PAN pixel (12, 8) on.
    expected = whole.isel(y=slice(12, 120), x=slice(8, 108))
    inner = {"y": slice(48, -48), "x": slice(40, -40)}
    np.testing.assert_array_equal(part.isel(inner).values, expected.isel(inner).values)
    np.testing.assert_array_equal(part.x, expected.x)
    numbers = [float(number) for number in part.spatial_ref.attrs["GeoTransform"].split()]
    assert numbers == [400_016.0, 2.0, 0.0, 4_999_976.0, 0.0, -2.0]


def test_a_window_and_bands_select(arrays) -> None:
    whole = bandweave.fuse(*arrays, **EXP)
    part = bandweave.fuse(*arrays, **EXP, window=(20, 8, 40, 24), bands=(4, 1))
    xr.testing.assert_equal(
        part.drop_vars("spatial_ref"),
        whole.isel(band=[3, 0], y=slice(8, 32), x=slice(20, 60)).drop_vars("spatial_ref"),
    )


def test_any_order_of_dimensions_and_a_flat_pan_will_do(arrays) -> None:
    pan, lrms = arrays
    whole = bandweave.fuse(pan, lrms, **EXP)
    turned = bandweave.fuse(pan.isel(band=0).T, lrms.transpose("x", "band", "y"), **EXP)
    np.testing.assert_array_equal(turned.values, whole.values)
    renamed = bandweave.fuse(
        pan.rename(x="lon", y="lat"), lrms.rename(x="lon", y="lat", band="wl"), **EXP
    )
    assert renamed.dims == ("wl", "lat", "lon")


def test_nan_and_nodata_are_masked_and_come_back(arrays) -> None:
    pan, lrms = arrays
    holed = lrms.astype("float32")
    holed[:, 10, 5] = np.nan
    fused = bandweave.fuse(pan, holed, **EXP)
    hole = np.zeros(fused.shape, dtype=bool)
    hole[:, 40:44, 20:24] = True
    np.testing.assert_array_equal(np.isnan(fused.values), hole)
    marked = lrms.copy()
    marked[:, 10, 5] = 0
    marked.attrs["_FillValue"] = 0
    fused = bandweave.fuse(pan, marked, **EXP)
    np.testing.assert_array_equal(fused.values == 0, hole)
    assert fused.attrs["_FillValue"] == 0


def test_without_coordinates_the_corner_is_shared(made) -> None:
    pan = xr.DataArray(made.pan[0], dims=("y", "x"))
    lrms = xr.DataArray(made.lrms, dims=("band", "y", "x"))
    with pytest.warns(bandweave.errors.AlignmentWarning, match="no georeference"):
        fused = bandweave.fuse(pan, lrms, **EXP)
    assert fused.shape == (4, 148, 124)
    assert not fused.coords


def test_reference_systems_that_differ_are_refused(arrays) -> None:
    pan, lrms = arrays
    other = lrms.assign_coords(spatial_ref=xr.DataArray(0, attrs={"crs_wkt": "EPSG:32634"}))
    with pytest.raises(GridMismatchError, match="coordinate reference system"):
        bandweave.fuse(pan, other, **EXP)
    broken = lrms.assign_coords(spatial_ref=xr.DataArray(0, attrs={"crs_wkt": "nonsense"}))
    with pytest.raises(GridMismatchError, match="spectral DataArray states"):
        bandweave.fuse(pan, broken, **EXP)
    named = lrms.drop_vars("spatial_ref").assign_attrs(crs="EPSG:32634")
    with pytest.raises(GridMismatchError, match="coordinate reference system"):
        bandweave.fuse(pan, named, **EXP)


def test_what_cannot_be_fused_is_one_sentence(arrays, tmp_path: Path) -> None:
    pan, lrms = arrays
    bent = lrms.assign_coords(x=lrms.x + np.linspace(0, 1, 31) ** 2 * 30)
    for call, error, words in (
        (lambda: bandweave.fuse(pan, bent, **EXP), GridMismatchError, "evenly spaced"),
        (lambda: bandweave.fuse(pan, lrms[0], **EXP), ShapeError, r"\(band, y, x\)"),
        (lambda: bandweave.fuse(pan, lrms.rename(y="rows"), **EXP), ShapeError, "rows"),
        (lambda: bandweave.fuse(pan > 5, lrms, **EXP), ShapeError, "bool"),
        (lambda: bandweave.fuse(pan, lrms.values, **EXP), ConfigError, "two of them"),
        (lambda: bandweave.fuse(pan, lrms, tmp_path / "o.tif", **EXP), ConfigError, "no output"),
        (lambda: bandweave.fuse(pan, lrms, **EXP, cog=True), ConfigError, "for files"),
    ):
        with pytest.raises(error, match=words):
            call()


def test_the_accessor_is_registered_on_import_only(arrays) -> None:
    pan, lrms = arrays
    program = (
        "import xarray, bandweave, bandweave.mosaic.fuse; "
        "raise SystemExit(hasattr(xarray.DataArray, 'bandweave'))"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
    import bandweave.accessor

    xr.testing.assert_identical(lrms.bandweave.fuse(pan, **EXP), bandweave.fuse(pan, lrms, **EXP))


def test_without_xarray_the_extra_is_named() -> None:
    program = "import sys; sys.modules['xarray'] = None; import bandweave.accessor"
    done = subprocess.run(
        [sys.executable, "-c", program], check=False, capture_output=True, text=True
    )
    assert "pip install 'bandweave[xarray]'" in done.stderr
