"""Every `bandweave ...` line of the documents is run on small images with the names it has there.

What cannot be run is listed in documented_commands.py, with the reason: PLANNED lines are run with
`--dry-run`, PARSED ones only by the command line's own parser.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import click
import pytest

from bandweave.cli.main import cli
from commands import Run
from documented_commands import (
    PAGES,
    PARSED,
    PLANNED,
    ROOT,
    SHORTENED,
    Documented,
    blocks,
    documented,
)
from documented_files import FILES, SPECIAL, Shelf

COMMANDS = documented()
WRITING_OPTIONS = {"-o", "--out", "--convert", "--csv", "--error-map", "--figures"}
WRITING_LAST = {"fuse", "batch", "simulate", "export"}
"""Commands whose last argument is what they write."""


def once() -> list[Documented]:
    """Leave out lines that other pages have too, unless they are about other images there."""
    found: dict[tuple[str, str], Documented] = {}
    for command in COMMANDS:
        is_special = any((command.page, word) in SPECIAL for word in command.words)
        found.setdefault((command.text, command.page if is_special else ""), command)
    return [command for command in found.values() if command.text not in PARSED]


def read_by(command: Documented) -> list[str]:
    """Return the words of a command that name files or folders it reads."""
    words = command.words
    first_option = next((k for k, word in enumerate(words) if word[0] == "-"), len(words))
    written = {words[k + 1] for k, word in enumerate(words) if word in WRITING_OPTIONS}
    if words[0] in WRITING_LAST:
        written.add(words[first_option - 1])
    return [word for word in dict.fromkeys(words) if word in FILES and word not in written]


def as_a_shell_passes(words: list[str]) -> list[str]:
    """Replace patterns by what they match; those of `--rule` are quoted."""
    if "--rule" in words:
        return words
    matches = (map(str, Path().glob(word)) if "*" in word else [word] for word in words)
    return [match for found in matches for match in found]


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Shelf:
    return Shelf(tmp_path_factory.mktemp("shelf"))


SLOW = {"export"}
RUNS = [
    pytest.param(command, id=str(command), marks=[pytest.mark.slow] * (command.verb in SLOW))
    for command in once()
]


@pytest.mark.parametrize("command", RUNS)
def test_runs(
    run: Run, shelf: Shelf, command: Documented, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in read_by(command):
        shelf.lend(command, name, tmp_path)
    monkeypatch.chdir(tmp_path)
    # The viewer opens everything; what it then serves is tested in test_view_*.py.
    monkeypatch.setattr("bandweave.viewer.serve.serve", lambda scene, port, ready: ready("address"))
    words = as_a_shell_passes(command.words) + SHORTENED.get(command.text, [])
    words += SHORTENED.get(command.verb, [])
    if command.text in PLANNED:
        words.append("--dry-run")
    status, _, err = run(*words)
    assert status == 0, err


@pytest.mark.parametrize("text", list(PARSED))
def test_is_understood(
    shelf: Shelf, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = next(command for command in COMMANDS if command.text == text)
    for name in read_by(command):
        shelf.lend(command, name, tmp_path)
    monkeypatch.chdir(tmp_path)
    name, *words = command.words
    parser = cli.get_command(click.Context(cli), name)
    assert parser is not None, name
    parser.make_context(name, words)


def test_what_is_not_run_is_still_in_the_documents() -> None:
    written = {command.text for command in COMMANDS}
    assert len(written) > 60
    assert set(PLANNED) | set(PARSED) <= written
    assert not set(PLANNED) & set(PARSED)


def test_every_name_that_is_provided_is_read_by_a_command() -> None:
    read = {name for command in COMMANDS for name in read_by(command)}
    assert read == set(FILES)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_scripts_and_their_options_exist(page: Path) -> None:
    text = blocks(page.read_text(encoding="utf-8"))
    for script, options in re.findall(r"^ *python (\S+\.py)([^#\n]*)", text, flags=re.MULTILINE):
        source = (ROOT / script).read_text(encoding="utf-8")
        for option in re.findall(r"--[a-z-]+", options):
            assert f'"{option}"' in source, f"{page.name}: {script} {option}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_extras_exist(page: Path) -> None:
    known = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for extra in re.findall(r"bandweave\[([a-z]+)\]", page.read_text(encoding="utf-8")):
        assert extra in known, f"{page.name}: bandweave[{extra}]"


def test_the_quickstart_in_python() -> None:
    text = (ROOT / "docs" / "quickstart.md").read_text(encoding="utf-8")
    blocks_of_code = re.findall(r"```python\n(.+?)```", text, flags=re.DOTALL)
    assert blocks_of_code
    for code in blocks_of_code:
        exec(compile(code, "docs/quickstart.md", "exec"), {})
