"""Normalisation and maps as one: the kernel against definitions, and the network around it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

from bandweave.methods.nets import projection
from bandweave.methods.nets.u2net import U2Net
from bandweave.methods.nets.u2net_config import U2NetConfig, Variant

# Relative to the largest value; the narrow type rounds normalised tokens, outputs and slopes.
TOLERANCE = {
    "wide": 2e-6,
    "network": 2e-5,
    "narrow": 2e-3 if not torch.cuda.is_available() else 2e-2,
}


@pytest.mark.multiprocess
@pytest.mark.skipif(find_spec("triton") is None, reason="needs the extra `triton` (Linux)")
def test_the_kernel_equals_the_definitions_forward_and_backward() -> None:
    here = Path(__file__)
    paths = (str(here.parents[3]), str(here.parent), *sys.path[1:])
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
    if not torch.cuda.is_available():
        environment["TRITON_INTERPRET"] = "1"
    done = subprocess.run(
        [sys.executable, here.with_name("projection_cases.py")],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    cases = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(cases) == 11
    for case in cases:
        assert max(case["errors"]) < TOLERANCE[case["case"].split()[0]], case


def written_out(tokens: Tensor, gain: Tensor, bias: Tensor, weight: Tensor, eps: float) -> Tensor:
    """Stand in for the kernel, by the definitions."""
    centred = tokens - tokens.mean(-1, keepdim=True)
    normed = centred / torch.sqrt(centred.square().mean(-1, keepdim=True) + eps)
    return torch.einsum("bpd,od->bpo", normed * gain + bias, weight)


@pytest.mark.parametrize("variant", [Variant.FULL, Variant.SPATIAL_ONLY, Variant.SPECTRAL_ONLY])
def test_the_network_hands_over_its_maps_in_their_order(
    variant: Variant, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(2)
    model = U2Net(U2NetConfig(bands=3, width=16, variant=variant)).double().eval()
    for layer in model.modules():
        if isinstance(layer, nn.LayerNorm):
            nn.init.normal_(layer.weight, mean=1, std=0.3)
            nn.init.normal_(layer.bias)
    images = torch.rand(2, 1, 16, 24).double(), torch.rand(2, 3, 4, 6).double()
    with torch.inference_mode():
        plain = model(*images)
        calls: list[tuple[int, ...]] = []

        def project(tokens: Tensor, *given: Tensor) -> Tensor:
            calls.append(tuple(given[2].shape))
            return written_out(tokens, *given)

        name = "bandweave.methods.nets.projection_triton"
        monkeypatch.setitem(sys.modules, name, SimpleNamespace(project=project))
        monkeypatch.setattr(projection, "suits_triton", lambda _: True)
        monkeypatch.setattr(torch, "get_autocast_dtype", lambda _: torch.float64)
        fused = model(*images)
    torch.testing.assert_close(fused, plain, rtol=0, atol=1e-12)
    assert len(calls) == 10
    of_x, of_y = calls[:2]
    assert of_x == ((16 if variant is Variant.SPATIAL_ONLY else 32), 16)
    assert of_y == ((16 if variant is Variant.SPECTRAL_ONLY else 32), 16)


def test_on_a_cpu_torch_computes_them() -> None:
    with torch.autocast("cpu", torch.bfloat16):
        assert not projection.suits_triton(torch.zeros(1, 4, 16))
