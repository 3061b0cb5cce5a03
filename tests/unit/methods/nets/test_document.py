"""docs/models.md is what the command that makes its tables prints; every network is tested."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from bandweave.methods.nets.table import NETWORKS, find_network

HERE = Path(__file__).parent
ROOT = HERE.parents[3]
DOCUMENT = (ROOT / "docs" / "models.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["networks", "variants"])
def test_tables_are_current(name, monkeypatch):
    monkeypatch.setattr(sys, "path", [str(ROOT / "benchmarks"), *sys.path])
    import count_parameters

    part = DOCUMENT.split(f"<!-- table: {name} -->\n")[1].split("<!-- end -->")[0]
    assert part.strip() == count_parameters.TABLES[name]()


def test_every_network_inherits_the_tester():
    tested = set()
    for path in HERE.glob("test_*.py"):
        tested |= set(re.findall(r'^    network = "(\w+)"', path.read_text(), flags=re.MULTILINE))
    assert tested == set(NETWORKS)


def test_an_unknown_network_lists_the_known_ones():
    with pytest.raises(KeyError, match="no network 'u3net'; known networks are u2net, u2net_e"):
        find_network("u3net")
