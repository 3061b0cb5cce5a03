"""The Triton kernels against explicit matrices in double precision, and where they are taken."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

HAS_TRITON = importlib.util.find_spec("triton") is not None
TESTS = Path(__file__).parents[4]

# Relative to the largest value. Scores of some hundreds are exponents with an error of 1e-5.
TOLERANCE = {"wide": 2e-5, "polynomial": 2e-4}
# Powers and slopes are rounded to the type between two products.
NARROW = 8e-3 if not torch.cuda.is_available() else 4e-2


@pytest.mark.multiprocess
@pytest.mark.skipif(not HAS_TRITON, reason="needs the extra `triton` (Linux)")
def test_kernels_equal_explicit_matrices_forward_and_backward() -> None:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(TESTS), *sys.path[1:]])}
    if not torch.cuda.is_available():
        environment["TRITON_INTERPRET"] = "1"
    done = subprocess.run(
        [sys.executable, Path(__file__).parents[1] / "triton_cases.py"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    cases = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(cases) == 20
    for case in cases:
        name = case.pop("case")
        tolerance = TOLERANCE.get(re.split("[, ]", name)[0], NARROW)
        assert case.pop("alone") == 0, f"{name}: another result without gradients"
        assert max(case.values()) < tolerance, f"{name}: {case}"
