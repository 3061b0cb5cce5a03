"""The wheel alone is enough: installed into an empty environment it runs the demo."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def call(*arguments: object, cwd: Path) -> str:
    done = subprocess.run(
        [str(a) for a in arguments], cwd=cwd, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{arguments}: {done.stderr[-2000:]}"
    return done.stdout


@pytest.mark.slow
@pytest.mark.multiprocess
@pytest.mark.timeout(1200)
def test_an_installed_wheel_runs_the_demo(tmp_path: Path) -> None:
    call(
        sys.executable, "-m", "pip", "wheel", "--no-deps", "--wheel-dir", tmp_path, ROOT,
        cwd=tmp_path,
    )  # fmt: skip
    (wheel,) = tmp_path.glob("bandweave-*.whl")
    call(sys.executable, "-m", "venv", tmp_path / "empty", cwd=tmp_path)
    python = tmp_path / "empty" / "bin" / "python"
    call(
        python, "-m", "pip", "install", "--constraint", ROOT / "constraints.txt", wheel,
        cwd=tmp_path,
    )  # fmt: skip
    command = tmp_path / "empty" / "bin" / "bandweave"
    assert "fuse" in call(command, "--help", cwd=tmp_path)
    table = call(command, "demo", "--out", "shown", cwd=tmp_path)
    assert "U2Net" in table
    made = {path.suffix for path in (tmp_path / "shown").iterdir()}
    assert {".tif", ".png"} <= made
