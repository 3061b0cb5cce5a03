"""Cases of the Triton kernels, run in a process of their own: prints one error per line.

Without a CUDA device the kernels run in Triton's interpreter, which is chosen for a whole process
by TRITON_INTERPRET=1.
"""

from __future__ import annotations

import json
from collections.abc import Callable

import torch
from torch import Tensor

from bandweave.methods.nets.attention.attend_triton import Blocks, attend
from oracles.attention import attended_explicitly

SMALL = Blocks(queries=32, keys=32, warps=4, stages=1)
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
# The interpreter multiplies the bits of bfloat16 as if they were whole numbers.
NARROW = torch.bfloat16 if DEVICE == "cuda" else torch.float16


def drawn(pixels: int, width: int, dtype: torch.dtype, tiles: int = 2) -> list[Tensor]:
    """Return query, key, value, factor, strided as in the networks, and a matrix."""
    generator = torch.Generator().manual_seed(pixels + width)
    shape = (tiles, pixels, 4, 3, width)
    maps = torch.randn(shape, generator=generator).to(dtype).to(DEVICE)
    images = [image.transpose(1, 2) for image in maps.unbind(2)]
    matrix = torch.softmax(torch.randn((tiles, 3, width, width), generator=generator), -1)
    return [*images, matrix.to(dtype).to(DEVICE)]


def scaled(given: list[Tensor]) -> None:
    given[0] *= 40  # scores of some hundreds: each row is nearly one key


def equal(given: list[Tensor]) -> None:
    given[1][:] = given[1][:, :, :1]


def dominant(given: list[Tensor]) -> None:
    given[1][:, :, 7] *= 30


def late(given: list[Tensor]) -> None:
    # The largest score of every row comes last: all that was summed before shrinks to nothing.
    given[0][:] = given[0].abs()
    given[1][:, :, -1] = 20


def falling(given: list[Tensor]) -> None:
    given[0][:] = 10 * given[0].abs()
    given[1][:] = -6  # every score is far below zero


def error(given: list[Tensor], blocks: Blocks, *, multiplies: bool) -> dict[str, float]:
    """Return the largest errors relative to the largest value, of the result and the gradients."""
    used = given if multiplies else given[:3]
    ours = [t.clone(memory_format=torch.preserve_format).requires_grad_() for t in used]
    exact = [t.double().requires_grad_() for t in used]
    result, expected = attend(*ours, blocks=blocks), attended_explicitly(*exact)
    slope = torch.randn(expected.shape, generator=torch.Generator().manual_seed(1))
    slope = slope.to(result.dtype).to(DEVICE)
    result.backward(slope)
    expected.backward(slope.double())
    with torch.no_grad():
        alone = attend(*used, blocks=blocks)
    errors = {"result": _relative(result, expected), "alone": _relative(alone, result.double())}
    for name, mine, true in zip(("q", "k", "v", "f", "m"), ours, exact, strict=False):
        assert mine.grad is not None
        assert true.grad is not None
        # A gradient that is nothing but rounding is measured against the slopes it came from.
        errors[name] = _relative(mine.grad, true.grad, least=float(slope.abs().max()) / 16)
    return errors


def _relative(actual: Tensor, expected: Tensor, least: float = 0.0) -> float:
    largest = max(float(expected.detach().abs().max()), least)
    return float((actual.detach().double() - expected.detach()).abs().max()) / largest


def main() -> None:
    """Run the cases and print their errors as JSON, one per line."""
    adverse: list[Callable[[list[Tensor]], None]] = [scaled, equal, dominant, late, falling]
    for dtype in (torch.float32, NARROW):
        kind = "wide" if dtype == torch.float32 else "narrow"
        # No block is full, all are, and one row more than a block.
        for pixels, width, multiplies in ((7 * 5, 16, False), (32, 32, True), (33, 6, True)):
            given = drawn(pixels, width, dtype)
            tell(f"{kind} {pixels} x {width}", error(given, SMALL, multiplies=multiplies))
        tell(f"{kind}, one tile", error(drawn(70, 16, dtype, 1), SMALL, multiplies=True))
        for change in adverse:
            given = drawn(45, 16, dtype)
            change(given)
            tell(f"{kind} {change.__name__}", error(given, SMALL, multiplies=True))
    for one_in in (2, 4):
        blocks = Blocks(32, 32, 4, 1, polynomial=one_in)  # type: ignore[arg-type]
        # In float32, so that nothing but the polynomial is seen.
        given = drawn(37, 16, torch.float32)
        tell(f"polynomial {one_in}", error(given, blocks, multiplies=True))
    assert is_refused_twice()


def is_refused_twice() -> bool:
    """Tell whether a second derivative, which would be another one, is refused."""
    query, key, value = (image.requires_grad_() for image in drawn(16, 16, torch.float32)[:3])
    summed = attend(query, key, value, blocks=SMALL).square().sum()
    (slope,) = torch.autograd.grad(summed, query, create_graph=True)
    try:
        slope.sum().backward()
    except RuntimeError as error:
        return "once_differentiable" in str(error)
    return False


def tell(name: str, errors: dict[str, float]) -> None:
    """Print one line."""
    print(json.dumps({"case": name, **errors}))


if __name__ == "__main__":
    main()
