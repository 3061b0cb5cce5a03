"""The kernels as machine code for a GPU that need not be there: what an interpreter cannot tell."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

triton = pytest.importorskip("triton", reason="needs the extra `triton` (Linux)")

from triton import knobs  # noqa: E402
from triton.backends.compiler import GPUTarget  # noqa: E402
from triton.compiler import ASTSource  # noqa: E402

from bandweave.methods.nets.attention.attend_triton import Blocks  # noqa: E402
from bandweave.methods.nets.attention.backward_triton import (  # noqa: E402
    by_key_kernel,
    by_query_kernel,
)
from bandweave.methods.nets.attention.forward_triton import forward_kernel  # noqa: E402
from bandweave.methods.nets.projection_triton import _project_kernel  # noqa: E402

pytestmark = pytest.mark.skipif(knobs.runtime.interpret, reason="Triton interprets in this process")
HOPPER = GPUTarget("cuda", 90, 32)
SMALLEST = 99 * 1024  # bytes of shared memory that a block has on any GPU with bfloat16
FLOATS = ("shifts", "mean", "scale", "gain", "bias")


def machine_code(kernel, constants, blocks: Blocks, folder: Path):
    """Compile for bfloat16 images, with all addresses and strides multiples of 16."""
    signature, attributes = {}, {}
    for place, name in enumerate(kernel.arg_names):
        if name in constants:
            signature[name] = "constexpr"
        elif re.fullmatch("[a-z]_[bnp]|heads|pixels|count|outputs", name):
            signature[name] = "i32"
        elif name == "eps" or (name == "scale" and "query" in kernel.arg_names):
            signature[name] = "fp32"
        else:
            signature[name] = "*fp32" if name in FLOATS else "*bf16"
        if name not in constants and name != "heads" and signature[name] != "fp32":
            attributes[place,] = [["tt.divisibility", 16]]
    constants = {(kernel.arg_names.index(name),): value for name, value in constants.items()}
    code = triton.compile(
        ASTSource(kernel, signature, constants, attributes),
        target=HOPPER,
        options={"num_warps": blocks.warps, "num_stages": blocks.stages},
    )
    binary = folder / "kernel.cubin"
    binary.write_bytes(code.asm["cubin"])
    told = subprocess.run(
        [knobs.nvidia.cuobjdump.path, "--dump-resource-usage", binary],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return code, int(re.search(r"STACK:(\d+)", told)[1])


@pytest.fixture(autouse=True)
def settings(tmp_path, monkeypatch):
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("TRITON_DEFAULT_FP_FUSION", "1")  # 3.9 warns that this is its default


def of_attention(width: int, *, polynomial: int = 0, is_even: bool = True) -> dict[str, object]:
    blocks = Blocks()
    return {
        "S": width,
        "D": max(16, width),
        "M": blocks.queries,
        "N": blocks.keys,
        "polynomial": polynomial,
        "rounding": "tf32",
        "is_even": is_even,
        "multiplies": True,
        "keeps": True,
    }


@pytest.mark.parametrize("kernel", [forward_kernel, by_key_kernel, by_query_kernel])
@pytest.mark.parametrize("width", [12, 16, 32])
def test_attention_keeps_to_registers_and_matrix_units(kernel, width, tmp_path):
    constants = of_attention(width, is_even=width > 12)
    constants = {name: value for name, value in constants.items() if name in kernel.arg_names}
    code, stack = machine_code(kernel, constants, Blocks(), tmp_path)
    # The heads of the networks here are 16 wide; the widest one lacks a few for one gradient.
    assert stack == 0 or width == 32, "registers do not suffice"
    assert code.metadata.shared < SMALLEST
    assert "wgmma.mma_async" in code.asm["ptx"]
    # Two instructions more for each power would be the way with the smallest numbers.
    powers = re.findall(r"ex2\.approx\S*", code.asm["ptx"])
    assert set(powers) == {"ex2.approx.ftz.f32"}


@pytest.mark.parametrize("one_in", [2, 4])
def test_polynomials_take_the_place_of_powers(one_in, tmp_path):
    counts = [
        machine_code(forward_kernel, of_attention(16, polynomial=part), Blocks(), tmp_path)[0]
        .asm["ptx"]
        .count("ex2.approx")
        for part in (0, one_in)
    ]
    # 4 powers shrink what was summed before.
    assert (counts[1] - 4) * one_in == (counts[0] - 4) * (one_in - 1)


@pytest.mark.parametrize(("width", "tokens"), [(20, 64), (32, 64), (128, 64), (256, 32)])
def test_projection_keeps_to_registers(width, tokens, tmp_path):
    wide = triton.next_power_of_2(width)
    constants = {"D": width, "K": wide, "M": tokens, "N": 64, "rounding": "tf32"}
    code, stack = machine_code(_project_kernel, constants, Blocks(), tmp_path)
    assert stack == 0, "registers do not suffice"
    assert code.metadata.shared < SMALLEST
