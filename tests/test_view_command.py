"""`bandweave view` from the command line."""

from __future__ import annotations

import builtins
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
import webbrowser
from pathlib import Path

import numpy as np
import pytest
from affine import Affine

from commands import Run
from scenes import write_tif

pytest.importorskip("uvicorn", reason="needs the extra viewer")


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    image = np.arange(600 * 500, dtype=np.uint32).reshape(1, 600, 500)
    return write_tif(tmp_path / "a.tif", image, Affine(2, 0, 500000, 0, -2, 5000000))


@pytest.fixture
def served(monkeypatch) -> list[dict]:
    """Catch what would be served; `ready` is called as the server does."""
    calls: list[dict] = []

    def serve(scene, *, port, ready) -> None:
        calls.append({"names": [layer.name for layer in scene.files], "port": port})
        ready("http://127.0.0.1:1/token/")

    monkeypatch.setattr("bandweave.viewer.serve.serve", serve)
    return calls


def test_the_address_is_printed_on_stderr_and_opened(
    run: Run, scene: Path, served, monkeypatch
) -> None:
    opened: list[str] = []
    monkeypatch.setattr(webbrowser, "open", opened.append)
    monkeypatch.setenv("DISPLAY", ":0")
    status, out, err = run("view", scene, "--port", "8123")
    assert (status, out) == (0, "")
    assert err.startswith("http://127.0.0.1:1/token/\n")
    assert served == [{"names": ["a.tif"], "port": 8123}]
    assert opened == ["http://127.0.0.1:1/token/"]
    run("view", scene, "--no-browser")
    monkeypatch.delenv("DISPLAY")
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.setattr(sys, "platform", "linux")
    run("view", scene)
    assert len(opened) == 1


def test_overviews_are_built_only_when_asked_for(run: Run, scene: Path, served) -> None:
    run("view", scene, "--no-browser")
    assert [path.name for path in scene.parent.iterdir()] == ["a.tif"]
    status, _, err = run("view", scene, "--no-browser", "--overviews")
    assert status == 0
    assert "a.tif.ovr" in err
    assert sorted(path.name for path in scene.parent.iterdir()) == ["a.tif", "a.tif.ovr"]
    assert "none are missing" in run("view", scene, "--no-browser", "--overviews")[2]


def test_what_cannot_be_shown_is_told_in_a_sentence(run: Run, scene: Path, served) -> None:
    for options in ([], ["--overviews"]):
        status, _, err = run("view", scene.parent / "missing.tif", *options)
        assert status == 1
        assert "there is no file" in err
    assert run("view")[0] == 2
    assert not served


def test_without_the_extra_its_name_is_told(run: Run, scene: Path, monkeypatch) -> None:
    real = builtins.__import__

    def without(name, *rest):
        if name == "uvicorn":
            raise ModuleNotFoundError("No module named 'uvicorn'", name="uvicorn")
        return real(name, *rest)

    monkeypatch.delitem(sys.modules, "bandweave.viewer.serve", raising=False)
    monkeypatch.setattr(builtins, "__import__", without)
    status, _, err = run("view", scene)
    assert status == 1
    assert "bandweave[viewer]" in err


@pytest.mark.multiprocess
def test_a_viewer_serves_this_machine_only_until_it_is_interrupted(scene: Path) -> None:
    program = subprocess.Popen(
        [sys.executable, "-m", "bandweave", "view", str(scene), "--no-browser"],
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        address = program.stderr.readline().strip()
        port = int(address.split(":")[2].split("/")[0])
        with urllib.request.urlopen(address + "scene", timeout=20) as answer:
            assert answer.status == 200
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/scene", timeout=20)
        assert refused.value.code == 403
        refused.value.close()
        # 127.0.0.2 is this machine too: a server on all addresses would answer there.
        with pytest.raises(OSError, match="refused"):
            socket.create_connection(("127.0.0.2", port), timeout=5)
        second = subprocess.run(
            [sys.executable, "-m", "bandweave", "view", str(scene), "--port", str(port)],
            capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        assert second.returncode == 1
        assert f"Port {port} of this machine is taken" in second.stderr
        program.send_signal(signal.SIGINT)
        assert program.wait(20) == 0
        assert program.stderr.read() == "Ctrl-C ends the viewer.\n"
    finally:
        program.kill()
        program.wait(20)
        program.stderr.close()
