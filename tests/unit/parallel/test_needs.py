"""What a process lacks is said as the end of a sentence."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from bandweave import __version__
from bandweave.parallel.needs import Needs


def test_this_process_meets_its_own_needs(tmp_path: Path) -> None:
    (tmp_path / "pan.tif").write_bytes(b"1234567")
    needs = Needs.of([tmp_path / "pan.tif", Path("/vsimem/stack.vrt")], [tmp_path])
    assert needs.files == ((str(tmp_path / "pan.tif"), 7),)
    assert needs.unmet() is None


def test_each_lack_is_named(tmp_path: Path) -> None:
    path = tmp_path / "pan.tif"
    path.write_bytes(b"1234567")
    needs = Needs.of([path], [tmp_path])
    assert replace(needs, version="9.9.9").unmet() == (
        f"has bandweave {__version__}, not 9.9.9; install the same everywhere."
    )
    assert f"cannot write to the folder {path}" in str(replace(needs, folders=(str(path),)).unmet())
    path.write_bytes(b"other")
    assert f"sees 5 bytes in {path}, not 7" in str(needs.unmet())
    path.unlink()
    assert f"does not see the file {path}" in str(needs.unmet())
