"""What the documents say exists: links, commands, options, decisions."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest
from click.testing import CliRunner

from bandweave.cli.main import COMMANDS, cli
from bandweave.config import FuseConfig
from bandweave.methods.nets.card import parse_card
from bandweave.methods.nets.table import NETWORKS

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
IDS = [str(page.relative_to(ROOT)) for page in PAGES]


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name}: {target}"


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_commands_and_options_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for line in re.findall(r"^    (?:\$ )?bandweave (.+)$", text, flags=re.MULTILINE):
        words = line.split("#")[0].split()
        names = [words[0], *(w for k, w in enumerate(words) if k and words[k - 1] == "|")]
        for name in names:
            assert name in COMMANDS, f"{page.name}: bandweave {name}"
        sub = [w for w in words[1:2] if words[0] == "simulate"]
        known = CliRunner().invoke(cli, [words[0], *sub, "--help"], catch_exceptions=False).output
        for option in re.findall(r"(--[a-z][a-z-]*)", line):
            assert option in known, f"{page.name}: bandweave {words[0]} {option}"


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
