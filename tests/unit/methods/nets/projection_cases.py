"""Cases of the projecting kernel, run in a process of their own: prints one error per line.

Without a CUDA device the kernel runs in Triton's interpreter, see `triton_cases`.
"""

from __future__ import annotations

import json
from unittest import mock

import torch
from torch import Tensor
from triton_cases import DEVICE, NARROW

from bandweave.methods.nets import projection
from bandweave.methods.nets.projection_triton import project
from bandweave.methods.nets.u2net import U2Net
from bandweave.methods.nets.u2net_config import U2NetConfig

EPS = 1e-5


def explicitly(tokens: Tensor, gain: Tensor, bias: Tensor, weight: Tensor) -> Tensor:
    """Normalise and map by the definitions."""
    centred = tokens - tokens.mean(-1, keepdim=True)
    normed = centred / torch.sqrt(centred.square().mean(-1, keepdim=True) + EPS)
    return torch.einsum("bpd,od->bpo", normed * gain + bias, weight)


def errors(
    shape: tuple[int, int, int], outputs: int, dtype: torch.dtype, shift: float
) -> list[float]:
    """Return the largest errors relative to the largest value, of the result and the gradients."""
    generator = torch.Generator().manual_seed(sum(shape))

    def drawn(*size: int) -> Tensor:
        return torch.randn(size, generator=generator)

    width = shape[2]
    tokens = (drawn(*shape) + shift).to(dtype)
    given = [tokens, 1 + drawn(width) / 4, drawn(width) / 4, (drawn(outputs, width) / 4).to(dtype)]
    ours = [t.clone().to(DEVICE).requires_grad_() for t in given]
    exact = [t.double().to(DEVICE).requires_grad_() for t in given]
    result, expected = project(*ours, EPS), explicitly(*exact)
    slope = drawn(*expected.shape).to(dtype).to(DEVICE)
    result.backward(slope)
    expected.backward(slope.double())
    pairs = [(result, expected), *((a.grad, e.grad) for a, e in zip(ours, exact, strict=True))]
    return [
        float((actual.detach().double() - true.detach()).abs().max() / true.detach().abs().max())
        for actual, true in pairs
    ]


def network() -> list[float]:
    """Return the error of a whole U2Net whose maps the kernel computes, relative to the plain way.

    The largest output and the largest gradient by a weight, each relative to its largest value.
    """
    torch.manual_seed(3)
    model = U2Net(U2NetConfig(bands=3, width=16)).to(DEVICE)
    images = torch.rand(1, 1, 16, 16, device=DEVICE), torch.rand(1, 3, 4, 4, device=DEVICE)

    def results() -> list[Tensor]:
        fused = model(*images)
        return [fused, *torch.autograd.grad(fused.square().mean(), list(model.parameters()))]

    plain = results()
    with (
        mock.patch.object(projection, "suits_triton", return_value=True),
        mock.patch.object(torch, "get_autocast_dtype", return_value=torch.float32),
    ):
        ours = results()
    return [
        float((a - b).detach().abs().max() / b.abs().max().clamp(min=1e-6))
        for a, b in zip(ours, plain, strict=True)
    ]


def main() -> None:
    """Run the cases: blocks full and not, one or several of outputs, tokens far from zero."""
    # Otherwise convolutions on a GPU round what differs in the last bits to 10 bits of mantissa.
    torch.backends.cudnn.conv.fp32_precision = "ieee"
    print(json.dumps({"case": "network", "errors": [max(network())]}))
    for dtype in (torch.float32, NARROW):
        kind = "wide" if dtype == torch.float32 else "narrow"
        for shape, outputs, shift in (
            ((2, 37, 12), 24, 0.0),
            ((1, 64, 32), 64, 0.0),
            ((3, 45, 64), 130, 0.0),
            ((1, 33, 140), 16, 0.0),
            ((2, 37, 32), 64, 8.0),
        ):
            found = errors(shape, outputs, dtype, shift)
            print(json.dumps({"case": f"{kind} {shape}, {outputs}, {shift}", "errors": found}))


if __name__ == "__main__":
    main()
