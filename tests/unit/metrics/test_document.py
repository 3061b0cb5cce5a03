"""docs/metrics.md is what the command that makes its tables prints."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from bandweave.metrics import METRICS, PROTOCOLS

ROOT = Path(__file__).parents[3]
DOCUMENT = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")


def test_every_metric_and_protocol_is_described():
    for name in (*METRICS, *PROTOCOLS):
        assert f"| `{name}` |" in DOCUMENT


@pytest.mark.slow
def test_tables_are_current(monkeypatch):
    pytest.importorskip("torchmetrics")
    pytest.importorskip("skimage")
    monkeypatch.setattr(sys, "path", [str(ROOT / "benchmarks"), *sys.path])
    import compare_metrics

    for name, rows in compare_metrics.TABLES.items():
        part = DOCUMENT.split(f"<!-- table: {name} -->\n")[1].split("<!-- end -->")[0]
        assert part == compare_metrics.markdown(rows()) + "\n"
