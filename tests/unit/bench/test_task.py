"""One task: a row that is made consistent takes up what the row before it has fused."""

from __future__ import annotations

from pathlib import Path

import pytest

from bandweave.bench import estimate, task
from bandweave.bench.runner import plan_tasks
from bandweave.bench.suite import Suite
from bandweave.bench.task import run_task
from bandweave.mosaic.job import Job

DATA = {
    "id": "rr",
    "title": "One made-up scene",
    "protocol": "dlpan-rr",
    "metrics": ["psnr", "sam"],
    "sources": [{"kind": "synthetic", "seeds": [5, 6], "size": 96}],
}


def tasks(methods: list[dict[str, object]]) -> list[task.BenchTask]:
    suite = Suite.model_validate(
        {"name": "one", "about": "Of a test.", "methods": methods, "data": [DATA]}
    )
    return plan_tasks(suite, root=Path(), weights=Path())


def test_a_consistent_row_takes_up_the_row_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    plain, consistent = tasks(
        [{"method": "bt_h"}, {"method": "bt_h", "consistent": True, "consistency_noise": 0.01}]
    )
    monkeypatch.setattr(estimate, "_last", [])
    alone = run_task(consistent)
    first = run_task(plain)
    monkeypatch.setattr(Job, "run", refused)
    second = run_task(consistent)
    assert second.values == alone.values != first.values
    assert second.notes == alone.notes
    assert second.seconds > first.seconds


def refused(*_: object, **__: object) -> None:
    raise AssertionError("The method ran again.")


def test_other_settings_are_fused_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimate, "_last", [])
    toolbox, consistent, alone = tasks(
        [
            {"method": "bt_h", "convention": "toolbox"},
            {"method": "bt_h", "consistent": True},
            {"method": "gsa", "consistent": True},
        ]
    )
    expected = run_task(consistent).values, run_task(alone).values
    run_task(toolbox)
    assert (run_task(consistent).values, run_task(alone).values) == expected


def test_weights_that_end_consistent_do_so_where_the_suite_says_nothing() -> None:
    row = {"method": "u2net_ensemble", "weights": "u2net-l-wv", "pan_sharpness": "off"}
    silent, explicit, without = tasks(
        [row, row | {"consistent": True}, row | {"consistent": False}]
    )
    expected = run_task(explicit).values
    assert run_task(silent).values == expected != run_task(without).values


def test_what_no_row_takes_up_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimate, "_last", [])
    first, other = tasks([{"method": "bt_h"}, {"method": "gsa", "consistent": True}])
    run_task(first)
    assert len(estimate._last) == 1
    run_task(other)
    assert estimate._last == []
