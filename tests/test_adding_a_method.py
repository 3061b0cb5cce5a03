"""docs/adding-a-method.md adds a network: its three pieces are taken from the page and run."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from bandweave.methods import table
from bandweave.methods.nets.table import NETWORKS, NetworkEntry

PAGE = (Path(__file__).parents[1] / "docs" / "adding-a-method.md").read_text(encoding="utf-8")
FILE, LINE, TEST = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)

ENTRY: NetworkEntry = eval(LINE, {"NetworkEntry": NetworkEntry})


def as_module(name: str, content: str) -> ModuleType:
    """Import a piece of the page under the name that it gives itself."""
    module = ModuleType(name)
    # A dataclass looks its module up while it is being made.
    sys.modules[name] = module
    exec(compile(content, name, "exec"), module.__dict__)
    return module


@pytest.fixture(autouse=True)
def _added(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put the line into the table; METHODS takes it over where it is made from NETWORKS."""
    name = f"bandweave.methods.nets.{ENTRY.module}"
    monkeypatch.setitem(sys.modules, name, as_module(name, FILE))
    monkeypatch.setitem(NETWORKS, "injector", ENTRY)
    monkeypatch.setitem(table.METHODS, "injector", table._learned("injector", ENTRY))


TestInjector: Any = as_module(f"{__name__}_example", TEST).TestInjector


def test_files_and_tables_that_the_page_names_exist() -> None:
    root = Path(__file__).parents[1]
    for path in set(re.findall(r"`((?:src|tests|benchmarks)/[\w/]+(?:\.py|/))", PAGE)):
        assert (root / path).exists() or "injector" in path, path
