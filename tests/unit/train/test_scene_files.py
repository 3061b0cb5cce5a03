"""Pairs in files as a run reads them: folders, regions, what does not belong together."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from affine import Affine

from bandweave.errors import BandCountError, FileFormatError, FusionError, GridMismatchError
from bandweave.methods.nets.checkpoint import load_weights
from bandweave.train.config import DataConfig, FolderSource, SceneSource
from bandweave.train.files import data_files
from bandweave.train.loop import train
from bandweave.train.scene_files import folder_pairs, scene_pair
from bandweave.train.simulate import scene_makers
from scenes import smooth_truth, write_tif
from training import small_config

FINE = Affine(0.5, 0, 4e5, 0, -0.5, 5e6)
COARSE = FINE * Affine.scale(4)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Write two deliveries of the same ground; in one, the MS reaches three pixels further."""
    truth = np.rint(smooth_truth(4, 336, 408)).astype("uint16")
    coarse = truth.reshape(4, 84, 4, 102, 4).mean(axis=(2, 4)).astype("uint16")
    pan = truth.mean(axis=0, keepdims=True).astype("uint16")
    write_tif(tmp_path / "cut_pan.tif", pan[:, 16:, 24:], FINE * Affine.translation(24, 16))
    write_tif(tmp_path / "cut_ms.tif", coarse[:, 4:, 6:], COARSE * Affine.translation(6, 4))
    write_tif(tmp_path / "odd-PAN.tif", pan[:, 16:, 24:], FINE * Affine.translation(24, 16))
    write_tif(tmp_path / "odd-MUL.tif", coarse[:, 1:, 3:], COARSE * Affine.translation(3, 1))
    (tmp_path / "readme.txt").write_text("not read")
    return tmp_path


def test_pairs_of_a_folder_are_brought_together_by_their_grids(folder: Path) -> None:
    source = FolderSource(sensor="ge1")
    (first, cut), (second, odd) = folder_pairs(folder, source)
    assert (first, second) == ("cut_pan.tif", "odd-PAN.tif")
    assert cut.ratio == odd.ratio == 4
    assert np.array_equal(cut.spatial, odd.spatial)
    assert np.array_equal(cut.spectral, odd.spectral)
    # First pixel on first pixel is another place there.
    apart = SceneSource(spatial="odd-PAN.tif", spectral="odd-MUL.tif", sensor="ge1")
    assert not np.array_equal(scene_pair(folder, apart)[0].spectral, odd.spectral)
    names = [path.name for path in data_files(DataConfig(root=str(folder), training=(source,)))]
    assert names == ["cut_ms.tif", "cut_pan.tif", "odd-MUL.tif", "odd-PAN.tif"]


def test_regions_of_a_folder_share_no_ground(folder: Path) -> None:
    parts = [FolderSource(sensor="ge1", columns=ends) for ends in ((0.0, 0.6), (0.6, 1.0))]
    (_, left), *_ = folder_pairs(folder, parts[0])
    (_, right), *_ = folder_pairs(folder, parts[1])
    (_, whole), *_ = folder_pairs(folder, FolderSource(sensor="ge1"))
    joined = np.concatenate([left.spatial, right.spatial], axis=2)
    assert np.array_equal(joined, whole.spatial[:, :, : joined.shape[2]])
    assert joined.shape[2] > whole.shape[1] - 16


def test_a_folder_is_trained_on_and_validated_by_region(folder: Path, tmp_path: Path) -> None:
    source = {"kind": "folder", "sensor": "ge1"}
    config = small_config(
        folder,
        data={
            "root": str(folder),
            "training": [{**source, "columns": (0.0, 0.6)}],
            "validation": [{**source, "columns": (0.6, 1.0)}],
            "symmetries": True,
        },
        steps=2,
        validate_every=2,
    )
    report = train(config, tmp_path / "run", lambda _: None)
    assert set(report.scores) == {"cut_pan.tif", "odd-PAN.tif"}
    assert load_weights(report.weights).card.phase == (2.0, 2.0)


@pytest.mark.parametrize(
    ("source", "error", "words"),
    [
        ({"spatial": "cut_ms.tif", "spectral": "cut_pan.tif"}, GridMismatchError, "name the PAN"),
        ({"spatial": "cut_pan.tif", "spectral": "cut_pan.tif"}, GridMismatchError, "name the PAN"),
        (
            {"spatial": "cut_pan.tif", "spectral": "cut_ms.tif", "bands": (1, 5)},
            BandCountError,
            r"Band 5 of cut_ms\.tif is asked for, it has 4",
        ),
    ],
)
def test_files_that_are_no_pair_are_named(
    folder: Path, source: dict[str, str], error: type[FusionError], words: str
) -> None:
    with pytest.raises(error, match=words):
        scene_pair(folder, SceneSource(sensor="ge1", **source))


def test_a_folder_without_pairs_and_another_sensor_are_one_sentence(folder: Path) -> None:
    (folder / "empty").mkdir()
    with pytest.raises(FileFormatError, match="holds no pair"):
        list(folder_pairs(folder, FolderSource(path="empty", sensor="ge1")))
    eight = FolderSource(sensor="wv3")
    with pytest.raises(FusionError, match=r"'wv3' of cut_pan\.tif has no MTF gains for 4 bands"):
        scene_makers(eight, DataConfig(root=str(folder), training=(eight,)))
