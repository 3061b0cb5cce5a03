"""kill -9 in the middle of a scene: nothing under the final name, and a rerun goes on from there."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from scenes import write_pair, write_weights


@pytest.mark.slow
@pytest.mark.multiprocess
def test_a_killed_scene_goes_on_to_the_same_bytes(tmp_path: Path) -> None:
    pan, ms = write_pair(tmp_path, coarse=(97, 60))
    weights = write_weights(tmp_path / "tiny.safetensors")
    out = tmp_path / "out.tif"
    command = [sys.executable, "-m", "bandweave", "fuse", pan, ms, out, "--weights", weights]
    command += ["--full-scale", "2047", "--align", "off", "--pan-sharpness", "off"]
    arguments = [str(part) for part in command]
    subprocess.run(arguments, check=True, capture_output=True)
    undisturbed = out.read_bytes()
    out.unlink()

    rows = tmp_path / ".out.tif.rows"
    process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while len(list(rows.glob("rows-*.npz"))) < 2 and time.monotonic() < deadline:
        assert process.poll() is None, "it ended before it could be killed"
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not out.exists()
    kept = sorted(rows.glob("rows-*.npz"))
    assert len(kept) >= 2
    first_kept = kept[0].stat().st_mtime_ns

    resumed = subprocess.Popen([*arguments, "--resume"], stderr=subprocess.DEVNULL)
    while resumed.poll() is None:
        with contextlib.suppress(FileNotFoundError):
            # Rows of the first run are taken, not computed again.
            assert kept[0].stat().st_mtime_ns == first_kept
        time.sleep(0.05)
    assert resumed.returncode == 0
    assert out.read_bytes() == undisturbed
    left = sorted(path.name for path in tmp_path.iterdir())
    assert left == ["ms.tif", "out.tif", "pan.tif", "tiny.safetensors"]
