"""What the documents say exists: links, tables, names, cards, targets.

Commands are run by test_documented_commands.py, links with their anchors and everything else of the
site by `make docs`.
"""

from __future__ import annotations

import importlib.util
import re
from dataclasses import fields
from pathlib import Path

import pytest
from click.testing import CliRunner

import bandweave
from bandweave import metrics
from bandweave.cli.main import COMMANDS, cli
from bandweave.config import FuseConfig
from bandweave.methods.nets.card import parse_card
from bandweave.methods.nets.table import NETWORKS
from bandweave.methods.table import METHODS
from documented_commands import PAGES, ROOT

_SPEC = importlib.util.spec_from_file_location("methods_table", ROOT / "docs" / "methods_table.py")
assert _SPEC is not None
assert _SPEC.loader is not None
METHODS_PAGE = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(METHODS_PAGE)
IDS = [str(page.relative_to(ROOT)) for page in PAGES]


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_tables_of_methods_are_current() -> None:
    assert METHODS_PAGE.with_tables(METHODS_PAGE.DOCUMENT.read_text()) == (
        METHODS_PAGE.DOCUMENT.read_text()
    ), "run: python docs/methods_table.py --write"
    written = re.findall(r"^\| `(\w+)` \|", METHODS_PAGE.DOCUMENT.read_text(), flags=re.MULTILINE)
    assert sorted(written) == sorted(METHODS)


def test_the_python_page_has_every_public_name() -> None:
    page = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    for name in bandweave.__all__:
        assert f":: bandweave.{name}\n" in page, name
    for name in metrics.__all__:
        assert re.search(rf"\b{name}\b", page), name
    functions = {getattr(m.function, "func", m.function) for m in metrics.METRICS.values()}
    for function in functions:
        assert f":: {function.__module__}.{function.__name__}\n" in page, function


@pytest.mark.parametrize("name", list(COMMANDS))
def test_every_listed_command_loads_and_explains_itself(name: str) -> None:
    result = CliRunner().invoke(cli, [name, "--help"], catch_exceptions=False)
    assert result.exit_code == 0
    assert len(result.output.splitlines()) > 3


def test_cards_in_the_documents_are_valid() -> None:
    text = (ROOT / "docs" / "models.md").read_text(encoding="utf-8")
    cards = re.findall(r"```json\n(.+?)```", text, flags=re.DOTALL)
    assert cards
    for card in cards:
        read = parse_card(card, source="docs/models.md")
        assert NETWORKS[read.architecture].build(read.config, source="docs/models.md")


def test_make_targets_in_the_documents_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    for page in PAGES:
        for target in re.findall(r"`?make ([a-z]+)`?", page.read_text(encoding="utf-8")):
            if f"`make {target}`" in page.read_text() or f"    make {target}" in page.read_text():
                assert target in targets, f"{page.name}: make {target}"


def test_fuse_options_and_configuration_agree() -> None:
    command = cli.get_command(None, "fuse")  # type: ignore[arg-type]
    assert command is not None
    options = {parameter.name for parameter in command.params}
    extra = {"spatial", "rest", "dry_run", "as_json", "quiet", "adapt_minutes"}
    assert options - extra == {field.name for field in fields(FuseConfig)}
