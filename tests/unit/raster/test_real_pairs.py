"""Real deliveries: what their transforms say, and a way through reader and writer."""

from __future__ import annotations

import numpy as np
import pytest
import rasterio

from bandweave.errors import AlignmentWarning, GridMismatchError
from bandweave.raster.layout import output_layout
from bandweave.raster.reader import open_pair
from bandweave.raster.writer import SceneWriter
from bandweave.window import Window


@pytest.fixture
def paths(shared):
    def find(stem: str):
        return shared(f"data/pan/{stem}_pan.tif"), shared(f"data/pan/{stem}_ms.tif")

    return find


def test_a_pan_of_575_by_580_over_an_ms_of_143_by_144(paths) -> None:
    with open_pair(*paths("wv3_utm42")) as pair:
        profile = pair.profile
        assert (profile.ratio, profile.phase, profile.shape) == (4, (1.5, 1.5), (572, 576))
        assert pair.nesting.pan_window == Window(1, 2, 572, 576)
        # Radiance-like floating-point values: no scale may be taken for granted.
        assert profile.full_scale is None
        whole = pair.read(Window.whole(profile.shape), np.float64)
        with rasterio.open(paths("wv3_utm42")[0]) as pan:
            assert np.array_equal(whole.spatial[0], pan.read(1)[1:573, 2:578])
            assert pair.nesting.grid.transform.c == pytest.approx(pan.transform.c + 0.6)
    with open_pair(*paths("wv3_utm42"), extent="pan") as pair:
        assert pair.output_window.shape == (575, 580)


def test_degree_grids_and_a_displaced_pan(paths) -> None:
    with open_pair(*paths("wv3_spacenet_shanghai")) as pair:
        assert pair.profile.phase == (1.5, 1.5)
        assert pair.profile.shape == (1300, 1300)
    # The measured displacement moves the window by three rows and leaves a fifth to the phase.
    with open_pair(*paths("wv3_spacenet_shanghai"), offset=(2.8, 0.0)) as pair:
        assert pair.profile.phase == (1.3, 1.5)
        assert pair.nesting.pan_window == Window(3, 0, 1296, 1300)


def test_files_without_georeference(paths) -> None:
    with pytest.warns(AlignmentWarning, match="no georeference"):
        pair = open_pair(*paths("wv3_munich_urban_halfscale"))
    with pair:
        assert pair.profile.shape == (512, 512)
        assert pair.profile.ratio == 4


def test_swapped_real_files(paths) -> None:
    pan, ms = paths("wv3_utm42")
    with pytest.raises(GridMismatchError, match="swapped"):
        open_pair(ms, pan)


@pytest.mark.parametrize("cog", [False, True])
@pytest.mark.parametrize("extent", ["intersection", "pan"])
@pytest.mark.parametrize("stem", ["wv3_utm42", "wv3_spacenet_shanghai"])
def test_the_ms_passes_through_reader_and_writer(tmp_path, paths, stem, extent, cog) -> None:
    path = tmp_path / "a.tif"
    with (
        open_pair(*paths(stem), extent=extent, offset=(2.8, 0.0)) as pair,
        SceneWriter(path, output_layout(pair), cog=cog) as writer,
    ):
        whole = pair.read(Window.whole(pair.profile.shape), np.float32)
        rows, cols = pair.output_window.slices
        fused = whole.spectral.repeat(4, axis=1).repeat(4, axis=2)[:, rows, cols]
        valid = np.ones(fused.shape[1:], bool)
        if whole.valid is not None:
            valid = whole.valid[rows, cols]
        writer.write_rows(fused, valid)
        writer.commit()
    with rasterio.open(path) as file, rasterio.open(paths(stem)[1]) as ms:
        assert np.array_equal(file.read_masks(1) > 0, valid)
        assert np.array_equal(file.read()[:, valid], fused[:, valid])
        assert file.colorinterp == ms.colorinterp
        assert file.dtypes == ms.dtypes
        assert file.crs == ms.crs
        # Away from the rim each MS pixel stands where its own grid has it, in the PAN's pixels
        # displaced by three rows.
        x, y = ms.transform * (70.5, 60.5)
        row, col = file.index(x, y)
        assert file.read(1)[row + 3, col] == ms.read(1)[60, 70]
