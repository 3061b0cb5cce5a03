"""Records survive JSON, and a kill at any byte."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from bandweave.report.records import Record, RecordFile


def record(image: str, **more) -> Record:
    settings = {"state": "done", "digest": "d", "method": "exp", "name": "EXP", **more}
    return Record("set", "exp", image, **settings)


def test_values_without_number_survive_json(tmp_path: Path) -> None:
    file = RecordFile(tmp_path / "records.jsonl")
    file.add(record("a", values={"psnr": math.inf, "q2n": math.nan, "sam": 0.1 + 0.2}))
    text = file.path.read_text()
    json.loads(text, parse_constant=pytest.fail)
    values = file.latest()["set", "exp", "a"].values
    assert values["psnr"] == math.inf
    assert math.isnan(values["q2n"])
    assert values["sam"] == 0.1 + 0.2


def test_a_file_cut_anywhere_keeps_its_whole_lines(tmp_path: Path) -> None:
    file = RecordFile(tmp_path / "records.jsonl")
    for image in ("a", "ü", "c"):
        file.add(record(image, notes=("Über alles.",)))
    content = file.path.read_bytes()
    ends = [k for k, byte in enumerate(content) if byte == ord("\n")]
    for length in range(0, len(content), 7):
        file.path.write_bytes(content[:length])
        # A line counts once its last bracket is there.
        assert len(file.latest()) == sum(end <= length for end in ends)
        file.add(record("later"))
        assert ("set", "exp", "later") in file.latest()


def test_the_last_record_counts_and_rewriting_drops_the_others(tmp_path: Path) -> None:
    file = RecordFile(tmp_path / "records.jsonl")
    file.add(record("a", state="failed", error="No."))
    file.add(record("b"))
    file.add(record("a"))
    latest = file.latest()
    assert latest["set", "exp", "a"].state == "done"
    file.rewrite([latest["set", "exp", "b"], latest["set", "exp", "a"]])
    assert [json.loads(line)["image"] for line in file.path.read_text().splitlines()] == ["b", "a"]
    assert file.latest() == latest
    assert sorted(path.name for path in tmp_path.iterdir()) == ["records.jsonl"]


def test_other_lines_are_passed_over(tmp_path: Path) -> None:
    file = RecordFile(tmp_path / "records.jsonl")
    file.path.write_text('[1, 2]\n{"data": "x"}\nnonsense\n')
    assert file.latest() == {}
