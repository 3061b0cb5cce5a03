"""Which images a suite has, and that they are read as their source says."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from bandweave.bench.images import images_of
from bandweave.bench.suite import BenchData
from bandweave.errors import ConfigError


def data(*sources: dict[str, object]) -> BenchData:
    return BenchData.model_validate(
        {"id": "a", "title": "A", "protocol": "dlpan-rr", "metrics": ["psnr"], "sources": sources}
    )


def write_set(path: Path, count: int) -> None:
    path.parent.mkdir(exist_ok=True)
    rng = np.random.default_rng(1)
    with h5py.File(path, "w") as file:
        for key, shape in {"gt": (4, 32, 24), "ms": (4, 8, 6), "pan": (1, 32, 24)}.items():
            file[key] = rng.uniform(100, 900, (count, *shape))


def test_a_set_is_split_into_its_pairs(tmp_path: Path) -> None:
    write_set(tmp_path / "set.h5", 3)
    source = {"kind": "pairs", "path": "set.h5", "sensor": "gf2"}
    images, missing = images_of(data(source), tmp_path)
    assert [image.name for image in images] == ["set 0", "set 1", "set 2"]
    assert not missing
    (pair, gt), record = images[1].read()
    with h5py.File(tmp_path / "set.h5") as file:
        np.testing.assert_array_equal(pair.spectral, file["ms"][1])
        np.testing.assert_array_equal(gt, file["gt"][1])
    assert (pair.full_scale, record) == (1023, None)
    some, _ = images_of(data({**source, "images": [2, 0]}), tmp_path)
    assert [image.name for image in some] == ["set 2", "set 0"]


def test_what_is_absent_is_said_and_left_out(tmp_path: Path) -> None:
    images, missing = images_of(
        data(
            {"kind": "cave", "scenes": ["flowers", "cd"]},
            {"kind": "scene", "spatial": "p.tif", "spectral": "m.tif", "sensor": "wv3"},
            {"kind": "pairs", "path": "no.h5", "sensor": "wv3"},
            {"kind": "synthetic", "seeds": [4, 6], "size": 64},
        ),
        tmp_path,
    )
    assert [image.name for image in images] == ["synthetic 4", "synthetic 5"]
    assert [sentence.split(" ")[1] for sentence in missing] == [
        str(tmp_path / name) for name in ("flowers_ms", "cd_ms", "p.tif", "no.h5")
    ]


def test_images_of_one_name_are_refused(tmp_path: Path) -> None:
    sources = []
    for folder in ("a", "b"):
        write_set(tmp_path / folder / "set.h5", 1)
        sources.append({"kind": "pairs", "path": f"{folder}/set.h5", "sensor": "gf2"})
    with pytest.raises(ConfigError, match="two images called set 0"):
        images_of(data(*sources), tmp_path)


def test_the_fingerprint_follows_the_content(tmp_path: Path) -> None:
    write_set(tmp_path / "set.h5", 1)
    source = {"kind": "pairs", "path": "set.h5", "sensor": "gf2"}
    (image,), _ = images_of(data(source), tmp_path)
    before = image.fingerprint
    assert image.fingerprint == before
    with h5py.File(tmp_path / "set.h5", "a") as file:
        file["ms"][0, 0, 0, 0] += 1
    assert image.fingerprint != before
