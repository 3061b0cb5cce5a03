"""Benchmarks of attention and of ONNX Runtime on a CPU: rehearsed, and limits that count right."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bandweave.methods.nets.attention.compiled import has_loops
from bandweave.methods.nets.attention.layer import has_bf16_products

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
PRECISIONS = ["fp32", "bf16"] if has_bf16_products() else ["fp32"]
LIMITS = "multiply-adds", "exponentials", "both at once", "one after the other"

needs_loops = pytest.mark.skipif(not has_loops(16), reason="needs llvmlite and AVX-512")
units = pytest.mark.parametrize("unit", [1, 2] if has_bf16_products() else [1])


@pytest.fixture
def beside(monkeypatch):
    """Make benchmarks importable."""
    monkeypatch.setattr(sys, "path", [str(BENCHMARKS), *sys.path])


def run(script: str, *arguments: object, threads: int) -> str:
    done = subprocess.run(
        [sys.executable, BENCHMARKS / script, *map(str, arguments)],
        env=os.environ
        | {"OMP_NUM_THREADS": str(threads), "PYTHONPATH": os.pathsep.join(sys.path[1:])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.mark.multiprocess
def test_attention_is_rehearsed(tmp_path):
    printed = run("bench_attention.py", "--rehearsal", "--out", tmp_path, threads=2)
    found = json.loads((tmp_path / "attention.json").read_text())
    assert found["environment"]["rehearsal"]
    cases = found["pairs per second"]
    assert list(cases) == [
        f"96 pixels, 2 heads, {passes}, {threads}"
        for threads in ("1 thread", "2 threads")
        for passes in ("forward", "forward and gradient")
    ]
    for case, rows in cases.items():
        assert case in printed
        for name, row in rows.items():
            assert 0 < row["least"] <= row["median"] <= row["most"], name
            if not row["is limit"]:
                assert row["difference"] < (0.05 if "bf16" in name else 1e-5), name
        limits = {name for name, row in rows.items() if row["is limit"]}
        if has_loops(16):
            assert limits == {f"{name}, {kind}" for name in LIMITS for kind in PRECISIONS}
            assert {f"compiled loops, {kind}" for kind in PRECISIONS} <= set(rows)
        else:
            assert not limits
            assert "Compiled loops and limits are left out" in printed
    figures = {path.name for path in tmp_path.glob("*.png")}
    assert figures == {
        f"attention_{passes}_{threads}.png"
        for passes in ("forward", "gradient")
        for threads in "12"
    }


@needs_loops
@units
def test_as_many_multiply_adds_are_done_as_are_counted(beside, unit):
    import cpu_limits

    for work, each in ((cpu_limits.multiply_adds(unit), 1), (cpu_limits.both(unit, 32), 32)):
        # A sum that begins with 0, and factors of 1, in both numbers of a word or in the one.
        room = np.zeros((3, 16), np.uint32)
        room[1:] = 0x3F803F80 if unit == 2 else 0x3F800000
        work.loop(room.ctypes.data, 5)
        total = room.view(np.float32)[0].astype(np.float64).sum()
        assert total == pytest.approx(5 * work.amount * each, rel=1e-6)


@pytest.mark.slow
@pytest.mark.multiprocess
def test_onnx_runtime_is_rehearsed(tmp_path):
    printed = run("bench_onnx.py", "--rehearsal", "--out", tmp_path, threads=1)
    assert "graph `Attention`: 5 Softmax, 5 Attention" in printed
    assert "graph `MultiHeadAttention`: 5 Softmax, 5 MultiHeadAttention" in printed
    found = json.loads((tmp_path / "onnx.json").read_text())
    assert found["environment"]["rehearsal"]
    rows = found["results"]
    ours, theirs = (
        [name for name in rows if name.startswith(who)] for who in ("bandweave", "ONNX Runtime")
    )
    assert len(theirs) == 9
    assert len(ours) == len(PRECISIONS) * (2 if has_loops(16) else 1)
    for name, row in rows.items():
        assert row["difference"] < (1e-2 if "bf16" in name else 1e-5), name
        assert row["tiles per second"] > 0
    assert rows[ours[0]]["peak GiB"] > rows[ours[0]]["GiB before"] > 0.1


def test_the_operator_of_onnx_runtime_attends_as_that_of_onnx(beside):
    import onnxruntime
    from bench_onnx import in_blocks
    from onnx import TensorProto, checker, helper

    shape = (2, 3, 37, 16)
    given = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in "qkv"]
    result = helper.make_tensor_value_info("attended", TensorProto.FLOAT, shape)
    node = helper.make_node("Attention", ["q", "k", "v"], ["attended"], scale=0.5)
    graph = helper.make_graph([node], "one", given, [result], value_info=given)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 23)], ir_version=10)
    checker.check_model(model)
    content = in_blocks(model.SerializeToString())
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    q, k, v = np.random.default_rng(0).standard_normal((3, *shape), np.float32)
    (attended,) = session.run(None, {"q": q, "k": k, "v": v})
    powers = np.exp(0.5 * q.astype(np.float64) @ k.swapaxes(2, 3))
    np.testing.assert_allclose(attended, powers @ v / powers.sum(axis=-1, keepdims=True), atol=1e-5)


def test_roofline_grows_with_its_rows(beside, tmp_path):
    from roofline import draw_roofline

    heights = []
    for count in (1, 20):
        path = tmp_path / "new" / f"{count}.png"
        rates = {f"a way to attend, number {k}": 1e12 / (k + 1) for k in range(count)}
        draw_roofline(rates, {"units": 3e12, "memory": 2e12}, path, "pairs per second")
        header = path.read_bytes()[:24]
        assert header[1:4] == b"PNG"
        heights.append(struct.unpack(">I", header[20:])[0])
    assert heights[1] - heights[0] > 19 * 40  # pixels a row


def test_without_matplotlib_no_figure_is_drawn(beside, monkeypatch, tmp_path, capsys):
    from roofline import draw_roofline

    monkeypatch.setitem(sys.modules, "matplotlib", None)
    draw_roofline({"a": 1.0}, {}, tmp_path / "a.png", "per second")
    assert capsys.readouterr().out.startswith("No figure is drawn: that needs matplotlib")
    assert not any(tmp_path.iterdir())
