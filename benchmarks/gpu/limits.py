"""What the device does at most: exponentials, products of matrices, bytes."""

from __future__ import annotations

from functools import partial

import torch

from gpu.bench import Bench, Call, Rows


def limits(bench: Bench) -> Rows:
    """Tell how many exponentials, matrix products and bytes a second this device does."""
    side, length = (8192, 2**28) if bench.is_cuda else (64, 2**10)
    factors = torch.randn((2, side, side), device=bench.device, dtype=torch.bfloat16)
    given, taken = torch.zeros((2, length), device=bench.device)
    calls: dict[str, Call] = {
        "products": lambda: factors[0] @ factors[1],
        "copy": lambda: taken.copy_(given),
    }
    work = {"products": 2 * side**3, "copy": 8 * length}
    try:
        from gpu.kernels import exponentials  # noqa: PLC0415

        programs, repeats = (2**14, 512) if bench.is_cuda else (1, 2)
        for kind in ("exponentials", "polynomials"):
            calls[kind] = partial(exponentials, kind, programs, repeats, bench.device)
            work[kind] = programs * repeats * 1024
    except ModuleNotFoundError as error:
        print(f"Without exponentials: {error}.")
    rows = bench.compared(calls)
    for name, row in rows.items():
        if "seconds" in row:
            row["per second"] = work[name] / row["best"]
    yield rows
