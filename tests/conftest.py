"""Fixtures every test can use: seeds, the reference material, small images."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from browser import browser, chromium, problems  # noqa: F401 (fixtures)
from commands import Run

SHARED = Path(os.environ.get("BANDWEAVE_SHARED", Path(__file__).parents[2] / "shared"))


@pytest.fixture(scope="session")
def shared() -> Callable[[str], Path]:
    """Find reference data, weights and golden numbers that are not part of the project."""

    def find(relative: str) -> Path:
        path = SHARED / relative
        if not path.exists():
            pytest.skip(f"reference material {relative} is absent (looked in {SHARED})")
        return path

    return find


@pytest.fixture
def rng() -> np.random.Generator:
    """Return a generator with a fixed seed."""
    return np.random.default_rng(20231029)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run the program; return exit status, stdout and stderr."""
    from bandweave.cli.main import main

    def call(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        with pytest.raises(SystemExit) as left:
            main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        return int(left.value.code or 0), out, err

    return call
