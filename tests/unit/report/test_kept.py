"""Kept images: what comes back is what was fused, to the rounding that is promised."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio

from bandweave.errors import FileFormatError
from bandweave.pair import ImagePair
from bandweave.report.kept import LARGEST, KeptImages, file_name, kept_window
from bandweave.sensors import find_sensor


def make_pair(rng: np.random.Generator, *, bands: int = 4) -> ImagePair:
    sensor = find_sensor("gf2") if bands == 4 else None
    return ImagePair(
        rng.uniform(0, 1000, (1, 36, 28)),
        rng.uniform(0, 1000, (bands, 9, 7)),
        ratio=4,
        phase=(2.0, 2.0),
        full_scale=1023,
        sensor=sensor,
    )


def test_images_come_back_to_rounding(rng: np.random.Generator, tmp_path: Path) -> None:
    kept, pair = KeptImages(tmp_path), make_pair(rng)
    gt, fused = rng.uniform(0, 1000, (4, 36, 28)), rng.uniform(-20, 1100, (4, 36, 28))
    fused[1, 2, 3] = np.nan
    scene = kept.keep_scene("rr", "set 0", pair, gt)
    kept.keep_fused(scene, "bt_h", fused, "abc")
    assert kept.scenes() == [scene]
    assert scene.bands == ("blue", "green", "red", "nir")
    assert scene.has_reference
    for name, image in {
        "bt_h": fused,
        "reference": gt,
        "spatial": pair.spatial,
        "spectral": pair.spectral,
    }.items():
        back = kept.read("rr", "set 0", name)
        assert np.array_equal(np.isnan(back), np.isnan(image))
        # Half a level of 65534, and the float32 it is read as.
        bound = np.ptp(image[~np.isnan(image)]) / 131068 + 1e-4
        assert np.nanmax(np.abs(back - image)) <= bound
    assert kept.has("rr", "set 0", "bt_h", "abc")
    assert not kept.has("rr", "set 0", "bt_h", "other")
    assert not kept.has("rr", "set 0", "gsa", "abc")


def test_coarse_and_fine_image_lie_over_each_other(
    rng: np.random.Generator, tmp_path: Path
) -> None:
    kept = KeptImages(tmp_path)
    kept.keep_scene("rr", "a", make_pair(rng), None)
    folder = kept.folder("rr", "a")
    assert not (folder / "reference.tif").exists()
    with (
        rasterio.open(folder / "spatial.tif") as fine,
        rasterio.open(folder / "spectral.tif") as coarse,
    ):
        # The centre of coarse sample (k, l) is that of fine pixel (4 k + 2, 4 l + 2).
        for row, col in ((0, 0), (3, 5)):
            assert coarse.xy(row, col) == pytest.approx(fine.xy(4 * row + 2, 4 * col + 2))


def test_constant_images_and_missing_files(rng: np.random.Generator, tmp_path: Path) -> None:
    kept = KeptImages(tmp_path)
    scene = kept.keep_scene("rr", "a", make_pair(rng), None)
    kept.keep_fused(scene, "exp", np.full((4, 36, 28), 7.0), "abc")
    assert np.allclose(kept.read("rr", "a", "exp"), 7.0)
    with pytest.raises(FileFormatError, match="benchmark again"):
        kept.read("rr", "a", "gsa")
    (kept.folder("rr", "a") / "scene.json").write_text("{}")
    with pytest.raises(FileFormatError, match=r"scene\.json"):
        kept.scenes()


@pytest.mark.parametrize(
    ("shape", "bands"), [((20000, 20000), 8), ((64, 400_000), 4), ((400_000, 64), 4), ((37, 31), 3)]
)
def test_large_images_are_cut(shape: tuple[int, int], bands: int) -> None:
    window = kept_window(shape, bands, 4)
    assert window.height * window.width * bands <= LARGEST
    assert window.row >= 0
    assert window.row_stop <= shape[0]
    assert window.col_stop <= shape[1]
    if shape[0] * shape[1] * bands > LARGEST:
        assert window.row % 4 == window.col % 4 == window.height % 4 == window.width % 4 == 0
        # As much as there is room for: another row or column of coarse pixels would be too many.
        assert (window.height + 8) * (window.width + 8) * bands > LARGEST


def test_no_two_names_share_a_file() -> None:
    names = ["a b", "a-b", "a=b", "a/b", "a.b", "../a", "A b"]
    files = [file_name(name) for name in names]
    assert len(set(files)) == len(names)
    assert not any("/" in one or one.startswith(".") for one in files)
