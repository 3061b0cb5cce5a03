"""Suites: the shipped ones are complete, and mistakes are named in one sentence."""

from __future__ import annotations

import re
from pathlib import Path
from runpy import run_path

import pytest

from bandweave.bench.published import published_rows
from bandweave.bench.suite import SUITES, BenchData, MethodSpec, load_suite
from bandweave.errors import ConfigError, UnknownMethodError, UnknownNameError
from bandweave.methods.nets.table import NETWORKS
from bandweave.methods.table import METHODS

BENCHMARKS = Path(__file__).parents[3] / "benchmarks"
CLASSICAL = {n for n, one in METHODS.items() if not (one.is_learned or one.is_hyperspectral)}


@pytest.mark.parametrize("name", SUITES)
def test_shipped_suites_load(name: str) -> None:
    suite = load_suite(name)
    assert suite.name == name
    for data in suite.data:
        if data.published is None or name == "nop":
            continue  # Figure 6 is about networks alone
        known = {row.id for row in published_rows(data.published)}
        ours = {spec.published or spec.method for spec in suite.methods}
        assert known <= ours, "every published row has one of ours beside it"


def test_smoke_and_gf2_run_every_classical_method() -> None:
    assert {spec.method for spec in load_suite("smoke").methods} == CLASSICAL | {"u2net_ensemble"}
    rows = {(spec.method, spec.consistent) for spec in load_suite("gf2").methods}
    assert rows == {(name, flag) for name in CLASSICAL for flag in (None, True)}


def test_the_learned_suites_hold_every_network() -> None:
    suites = [load_suite(name) for name in ("learned-first", "learned-first-cave")]
    weights = {spec.weights for suite in suites for spec in suite.methods if spec.weights}
    of_papers = {n: entry for n, entry in NETWORKS.items() if entry.parity != "none published"}
    assert len(of_papers) > 12
    for name, entry in of_papers.items():
        data_sets = {"pansharpening": ["wv"], "both": ["wv", "cave"]}.get(entry.task, ["cave"])
        assert weights >= {f"{name}-{data}/last.safetensors" for data in data_sets}


def test_no_learned_suite_scores_what_was_trained_on() -> None:
    bench = run_path(str(BENCHMARKS / "bench_learned.py"))
    trained = {source.spatial: source.columns for source in bench["SCENES"]}
    scored = load_suite("learned-first").data[0].sources
    assert {source.spatial for source in scored} == trained.keys()  # type: ignore[union-attr]
    for source in scored:
        assert source.columns[0] >= trained[source.spatial][1]  # type: ignore[union-attr]
    cave = load_suite("learned-first-cave").data[0].sources[0]
    assert not set(cave.scenes) & set(bench["CAVE_SCENES"])  # type: ignore[union-attr]


def test_published_rows_are_the_printed_ones() -> None:
    by_id = {row.id: row for row in published_rows("table1-rr")}
    assert len(by_id) == 15
    assert (by_id["u2net"].cells["psnr"].mean, by_id["u2net"].cells["psnr"].std) == (39.117, 3.009)
    assert by_id["pmacnet"].cells["ergas"].mean == 2.293
    full = {row.id: row for row in published_rows("table1-fr")}
    assert full["tv"].cells["hqnr"].mean == 0.9383
    assert all(row.is_published for row in full.values())
    fusformer = {row.id: row for row in published_rows("table4")}["fusformer"].cells["ergas"]
    assert (fusformer.mean, fusformer.std, fusformer.count) == (2.534, 5.305, 11)
    worst = {row.id: row for row in published_rows("table2")}["pmacnet"].cells["sam"]
    assert (worst.mean, worst.std) == (15.95, 3.329)
    assert [row.id for row in published_rows("table3")] == ["v1", "v2", "v3", "v4", "u2net"]


SUITE = """
name = "mine"
about = "x"
methods = [{methods}]
[[data]]
id = "a"
title = "A"
protocol = "{protocol}"
metrics = ["{metric}"]
sources = [{{ kind = "synthetic", seeds = [0, 1] }}]
"""


def write(folder: Path, methods: str, protocol: str = "dlpan-rr", metric: str = "psnr") -> str:
    path = folder / "mine.toml"
    path.write_text(SUITE.format(methods=methods, protocol=protocol, metric=metric))
    return str(path)


@pytest.mark.parametrize(
    ("error", "words", "given"),
    [
        (UnknownMethodError, "no method 'bth'", {"methods": '{ method = "bth" }'}),
        (ConfigError, "needs weights", {"methods": '{ method = "pnn" }'}),
        (ConfigError, "twice", {"methods": '{ method = "exp" }, { method = "exp", label = "b" }'}),
        (ConfigError, "methods.0.consitent", {"methods": '{ method = "gs", consitent = true }'}),
        (UnknownNameError, "dlpan", {"methods": '{ method = "gs" }', "protocol": "dlpan"}),
        (ConfigError, "'hqnr'", {"methods": '{ method = "gs" }', "metric": "hqnr"}),
        (ConfigError, "no TOML", {"methods": '"'}),
    ],
)
def test_mistakes_are_named(
    tmp_path: Path, error: type[Exception], words: str, given: dict[str, str]
) -> None:
    with pytest.raises(error, match=re.escape(words)):
        load_suite(write(tmp_path, **given))


def test_an_unknown_suite_lists_the_shipped_ones() -> None:
    with pytest.raises(UnknownNameError, match="smoke, gf2, paper-table1"):
        load_suite("paper")


def test_rows_are_told_apart_by_what_is_not_default() -> None:
    plain = MethodSpec(method="bt_h")
    assert (plain.row, plain.name) == ("bt_h", "BT-H")
    consistent = MethodSpec(method="bt_h", consistent=True)
    assert (consistent.row, consistent.name) == ("bt_h consistent", "BT-H, consistent")
    learned = MethodSpec(method="pnn", weights="a/b.safetensors", pan_sharpness="off")
    assert learned.row == "pnn weights=a/b.safetensors pan_sharpness=off"
    assert learned.name == "PNN, b, pan_sharpness off"


def test_only_a_suite_of_one_file_takes_a_file() -> None:
    source = load_suite("gf2").on_file("other.h5").data[0].sources[0]
    assert source.path == "other.h5"  # type: ignore[union-attr]
    with pytest.raises(ConfigError, match="give the folder"):
        load_suite("smoke").on_file("other.h5")


def test_protocols_for_files_are_refused() -> None:
    with pytest.raises(ValueError, match="is for files"):
        BenchData.model_validate(
            {
                "id": "a",
                "title": "A",
                "protocol": "reprojection",
                "metrics": ["d_rho"],
                "sources": [{"kind": "synthetic", "seeds": [0, 1]}],
            }
        )
