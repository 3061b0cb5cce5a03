"""A manifest keeps the last word on each task, whatever a kill left at its end."""

from __future__ import annotations

from pathlib import Path

import pytest

from bandweave.errors import OutputError
from bandweave.parallel.manifest import Entry, Manifest


def entry(name: str, state: str, **more) -> Entry:
    return Entry(name, state, f"{name}.tif", "abc", {"/in/x.tif": [3, 4]}, **more)  # type: ignore[arg-type]


def test_the_last_entry_of_an_output_stands(tmp_path: Path) -> None:
    manifest = Manifest(tmp_path / "manifest.jsonl")
    assert manifest.standing() == {}
    for state in ("started", "done"):
        manifest.record(entry("Straße", state))
    manifest.record(entry("b", "started"))
    standing = Manifest(manifest.path).standing()
    assert standing["Straße.tif"] == entry("Straße", "done")
    assert standing["b.tif"].state == "started"


def test_a_failure_leaves_what_stood_before(tmp_path: Path) -> None:
    manifest = Manifest(tmp_path / "manifest.jsonl")
    manifest.record(entry("a", "done", seconds=1.0))
    manifest.record(entry("a", "started"))
    manifest.record(entry("a", "failed", error="No."))
    manifest.record(entry("b", "started"))
    manifest.record(entry("b", "failed", error="No."))
    assert manifest.standing() == {"a.tif": entry("a", "done", seconds=1.0)}


@pytest.mark.parametrize("cut", [1, 20, 60])
def test_a_line_cut_short_is_passed_over_and_the_next_is_whole(tmp_path: Path, cut: int) -> None:
    manifest = Manifest(tmp_path / "manifest.jsonl")
    manifest.record(entry("a", "done"))
    manifest.record(entry("b", "done"))
    manifest.path.write_bytes(manifest.path.read_bytes()[:-cut])
    manifest.record(entry("c", "done"))
    standing = manifest.standing()
    assert standing["c.tif"] == entry("c", "done")
    assert standing["a.tif"] == entry("a", "done")
    # Only the newline was lost with one byte.
    assert ("b.tif" in standing) is (cut == 1)


@pytest.mark.parametrize("line", ["", "[]", "3", '{"name": "a"}', "\x00\x00", '{"state": 1'])
def test_foreign_lines_are_passed_over(tmp_path: Path, line: str) -> None:
    path = tmp_path / "manifest.jsonl"
    path.write_text(line + "\n")
    assert Manifest(path).standing() == {}


def test_unknown_fields_of_a_later_version_do_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "manifest.jsonl"
    path.write_text('{"name":"a","state":"done","output":"o","options":"x","colour":"blue"}\n')
    assert Manifest(path).standing()["o"].state == "done"


def test_same_work_means_output_options_and_inputs(tmp_path: Path) -> None:
    one = entry("a", "done", seconds=3.0)
    assert one.is_same_work(entry("a", "started"))
    assert not one.is_same_work(Entry("a", "done", "a.tif", "other", one.inputs))
    assert not one.is_same_work(Entry("a", "done", "a.tif", "abc", {"/in/x.tif": [3, 5]}))


def test_a_folder_in_its_place_is_said(tmp_path: Path) -> None:
    manifest = Manifest(tmp_path)
    with pytest.raises(OutputError, match="could not be read"):
        manifest.standing()
    with pytest.raises(OutputError, match="could not be written"):
        manifest.record(entry("a", "done"))
