"""`bandweave export`: what is written, and what is refused. Networks: see `unit.methods.nets`."""

from __future__ import annotations

import json

import numpy as np
import pytest
from click.testing import CliRunner

from bandweave.cli.export import command
from bandweave.errors import ExportError, MissingExtraError, OutputExistsError
from bandweave.export import onnx
from bandweave.export.onnx import export_onnx
from bandweave.methods.nets.card import HEADER_KEY, parse_card
from bandweave.methods.nets.zoo import load_named
from scenes import write_weights


@pytest.mark.slow
def test_the_command_writes_a_graph_that_carries_its_card(tmp_path):
    import onnxruntime

    weights, out = write_weights(tmp_path / "tiny.safetensors"), tmp_path / "tiny.onnx"
    result = CliRunner().invoke(command, [str(weights), str(out), "--json"], catch_exceptions=False)
    report = json.loads(result.stdout)
    assert report["inputs"]["spectral"] == ["batch", "4", "16", "16"]
    assert 0 < report["difference"] <= 1e-4
    session = onnxruntime.InferenceSession(out, providers=["CPUExecutionProvider"])
    card = session.get_modelmeta().custom_metadata_map[HEADER_KEY]
    assert parse_card(card, source="the graph") == load_named(str(weights)).card
    images = [np.full((1, 1, 64, 64), 0.5, np.float32), np.full((1, 4, 16, 16), 0.5, np.float32)]
    names = [put.name for put in session.get_inputs()]
    assert session.run(["fused"], dict(zip(names, images, strict=True)))[0].shape == (1, 4, 64, 64)


def test_an_existing_file_is_left_alone(tmp_path):
    out = tmp_path / "there.onnx"
    out.write_bytes(b"mine")
    with pytest.raises(OutputExistsError, match="use --overwrite"):
        export_onnx(str(write_weights(tmp_path / "tiny.safetensors")), out)
    assert out.read_bytes() == b"mine"


def test_a_missing_extra_is_named(tmp_path, monkeypatch):
    def absent(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(onnx, "import_module", absent)
    with pytest.raises(MissingExtraError, match=r"needs onnxruntime: .*bandweave\[onnx\]"):
        export_onnx("u2net-l-wv", tmp_path / "out.onnx")


def test_a_graph_that_disagrees_is_not_written(tmp_path, monkeypatch):
    """The network is changed behind the exporter's back."""
    weights = load_named(str(write_weights(tmp_path / "tiny.safetensors")))
    monkeypatch.setattr(onnx, "load_named", lambda _: weights)
    monkeypatch.setattr(onnx, "onnx_graph", lambda _: b"")

    class Session:
        def __init__(self, content: bytes, providers: list[str]) -> None:
            del content, providers

        def get_inputs(self) -> list[object]:
            return [type("Put", (), {"name": name, "shape": ()}) for name in onnx.NAMES[:2]]

        def run(self, names: None, images: dict[str, np.ndarray]) -> list[np.ndarray]:
            import torch

            with torch.no_grad():
                tensors = [torch.from_numpy(image) for image in images.values()]
                return [weights.model(*tensors).numpy() + 2e-4]

    monkeypatch.setattr(
        onnx, "_require", lambda _: type("Runtime", (), {"InferenceSession": Session})
    )
    with pytest.raises(ExportError, match=r"differs from the network by 0\.0002"):
        export_onnx("any", tmp_path / "out.onnx")
    assert not (tmp_path / "out.onnx").exists()
