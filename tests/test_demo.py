"""The demo leaves what it promises, and the shipped weights beat both rivals on unseen scenes."""

from __future__ import annotations

import json

import numpy as np
import pytest
import rasterio
from PIL import Image

from bandweave.cli.main import main
from bandweave.datasets.synthetic.scene import synthetic_scene
from bandweave.metrics.ergas import ergas
from bandweave.metrics.psnr import psnr
from bandweave.metrics.sam import sam
from bandweave.mosaic.fuse import fuse
from bandweave.report.quicklook import Stretch, error_map


def demo(*arguments: object) -> int:
    with pytest.raises(SystemExit) as left:
        main(["demo", *map(str, arguments)])
    return int(left.value.code or 0)


def test_the_demo_leaves_files_a_picture_and_a_table(tmp_path, capsys) -> None:
    out = tmp_path / "demo"
    assert demo("--out", out, "--size", 192, "--json") == 0
    table = {row["method"]: row for row in json.loads(capsys.readouterr().out)}
    assert list(table) == ["exp", "bt_h", "u2net_ensemble"]
    with rasterio.open(out / "truth.tif") as file:
        truth = file.read().astype(float)
    for method, row in table.items():
        with rasterio.open(out / f"fused_{method}.tif") as file:
            fused = file.read().astype(float)
        assert fused.shape == truth.shape
        # The table scores against the unrounded truth.
        assert row["psnr"] == pytest.approx(psnr(fused, truth, peak=2047.0), abs=0.02)
        assert row["ergas"] == pytest.approx(ergas(fused, truth, ratio=4), abs=0.01)
    with Image.open(out / "demo.png") as picture:
        assert picture.width > 1000
        assert np.asarray(picture).std() > 20
    assert demo("--out", out, "--size", 192) == 1
    assert "--overwrite" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("seed", [3, 6001])
def test_the_shipped_weights_beat_interpolation_and_bt_h(tmp_path, seed) -> None:
    scene = synthetic_scene(seed, (320, 320))
    pan, ms, _ = scene.write_geotiff_pair(tmp_path)
    scores = {}
    for method in ("exp", "bt_h", "u2net_ensemble"):
        out = tmp_path / f"{method}.tif"
        fuse(pan, ms, out, method=method, sensor="wv3")
        with rasterio.open(out) as file:
            fused = file.read().astype(float)
        scores[method] = (
            psnr(fused, scene.gt, peak=2047.0),
            -sam(fused, scene.gt),
            -ergas(fused, scene.gt, ratio=4),
        )
    for rival in ("exp", "bt_h"):
        assert all(np.greater(scores["u2net_ensemble"], scores[rival])), scores


def test_one_stretch_serves_all_panels(rng) -> None:
    image = rng.uniform(0, 100, (3, 37, 31))
    stretch = Stretch.of(image)
    same = stretch.applied(image)
    brighter = stretch.applied(image + 20)
    assert same.shape == (37, 31, 3)
    assert (brighter >= same).all()
    assert same.min() == 0
    assert same.max() == 255


def test_the_error_map_grows_with_the_error() -> None:
    truth = np.zeros((2, 1, 50))
    fused = np.broadcast_to(np.linspace(0, 300, 50), (2, 1, 50))
    brightness = error_map(fused, truth, 200.0)[0].astype(int).sum(axis=1)
    assert (np.diff(brightness) >= 0).all()
    assert brightness[0] < 60
    assert brightness[-1] > 700
