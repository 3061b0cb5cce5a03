"""Attention by PyTorch's products against explicit matrices, and which way is taken where."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from bandweave.methods.nets.attention import layer as attention
from bandweave.methods.nets.attention.bf16 import attend_bf16
from bandweave.methods.nets.attention.layer import (
    SpatialAttention,
    spatial_attention,
    use_precision,
)
from bandweave.methods.nets.u2net import U2Net
from bandweave.methods.nets.u2net_config import U2NetConfig

HEADS, PIXELS, WIDTH = 3, 37 * 17, 16  # odd numbers of heads and pixels: no block is full


def drawn(scale: float = 1.0, batch: int = 1) -> list[Tensor]:
    """Return query, key and value, strided as in the networks."""
    generator = torch.Generator().manual_seed(7)
    shape = (batch, PIXELS, HEADS, WIDTH)
    tensors = [torch.randn(shape, generator=generator).transpose(1, 2) for _ in range(3)]
    return [scale * tensors[0], tensors[1], tensors[2]]


def explicit(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Form the matrix."""
    q, k, v = query.double(), key.double(), value.double()
    scores = torch.einsum("bnps,bnks->bnpk", q, k) / math.sqrt(q.shape[-1])
    weights = torch.exp(scores - scores.amax(-1, keepdim=True))
    return torch.einsum("bnpk,bnks->bnps", weights / weights.sum(-1, keepdim=True), v)


def relative(actual: Tensor, expected: Tensor) -> float:
    return float((actual.double() - expected).norm() / expected.norm())


@pytest.fixture
def _without_loops(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention, "has_loops", lambda _width: False)


def test_fp32_equals_the_explicit_matrix() -> None:
    given = drawn(scale=3)
    assert relative(spatial_attention(*given), explicit(*given)) < 2e-6


def test_the_loops_are_taken_where_they_can_be(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = []
    monkeypatch.setattr(attention, "has_loops", lambda _width: True)
    monkeypatch.setattr(attention, "attend_compiled", lambda *_, is_bf16: taken.append(is_bf16))
    monkeypatch.setattr(attention, "attend_bf16", lambda *_: taken.append("products"))
    for has_products in (True, False):
        monkeypatch.setattr(attention, "has_bf16_products", lambda has=has_products: has)
        spatial_attention(*drawn())
        spatial_attention(*drawn(), "bf16")
    assert taken == [False, True, False, "products"]


@pytest.mark.usefixtures("_without_loops")
def test_without_them_pytorch_computes() -> None:
    given = drawn()
    assert torch.equal(spatial_attention(*given), scaled_dot_product_attention(*given))
    assert torch.equal(spatial_attention(*given, "bf16"), attend_bf16(*given))


# Scores are rounded to 2^-9 of themselves, and those are exponents: larger ones cost more.
@pytest.mark.parametrize(("scale", "tolerance"), [(0.0, 0.01), (0.3, 0.01), (1, 0.01), (4, 0.02)])
def test_bf16_equals_the_explicit_matrix_to_its_rounding(scale: float, tolerance: float) -> None:
    given = drawn(scale)
    assert relative(attend_bf16(*given), explicit(*given)) < tolerance


def test_bf16_takes_large_scores() -> None:
    # Their powers of 2 exceed float32, unless the scores are shifted.
    query, key, value = drawn()
    given = [7 * query, key, value]
    bound = float(given[0].norm(dim=-1).max() * key.norm(dim=-1).max()) / 4 * math.log2(math.e)
    assert 100 < bound < 180
    actual = attend_bf16(*given)
    assert not torch.equal(actual, scaled_dot_product_attention(*given))
    # A score near 60 is rounded to a quarter: its power is that uncertain.
    assert relative(actual, explicit(*given)) < 0.06


def test_scores_that_bf16_cannot_hold_are_computed_in_fp32() -> None:
    given = drawn(scale=40.0)
    assert torch.equal(attend_bf16(*given), scaled_dot_product_attention(*given))


def test_no_number_stays_none() -> None:
    query, key, value = drawn()
    key[0, 0, 5] = torch.nan
    assert attend_bf16(query, key, value)[0, 0].isnan().all()


def test_what_all_keys_have_in_common_does_not_matter() -> None:
    query, key, value = drawn()
    expected = explicit(query, key, value)
    assert relative(attend_bf16(query, key + 30, value), expected) < 0.01


@pytest.mark.parametrize("scale", [1.0, 7.0])
def test_bf16_gradients_equal_those_of_the_explicit_matrix(scale: float) -> None:
    given = drawn(scale)
    gradient = torch.randn(given[0].shape, generator=torch.Generator().manual_seed(8))

    def gradients(attend: object, tensors: list[Tensor]) -> tuple[Tensor, ...]:
        leaves = [tensor.detach().requires_grad_() for tensor in tensors]
        result = attend(*leaves)  # type: ignore[operator]
        return torch.autograd.grad(result, leaves, gradient.to(result.dtype))

    expected = gradients(explicit, [tensor.double() for tensor in given])
    for actual, wanted in zip(gradients(attend_bf16, given), expected, strict=True):
        assert relative(actual, wanted) < (0.012 if scale == 1 else 0.08)


def test_tiles_do_not_know_each_other() -> None:
    given = drawn(batch=2)
    both = spatial_attention(*given, "bf16")
    for k in range(2):
        alone = spatial_attention(*(tensor[k : k + 1] for tensor in given), "bf16")
        torch.testing.assert_close(both[k : k + 1], alone, rtol=0, atol=1e-6)


def test_few_pixels_and_other_types_stay_as_they_are() -> None:
    short = [tensor[:, :, :256] for tensor in drawn()]
    assert torch.equal(spatial_attention(*short, "bf16"), spatial_attention(*short))
    double = [tensor.double() for tensor in drawn()]
    assert torch.equal(spatial_attention(*double, "bf16"), spatial_attention(*double))


def test_precision_reaches_every_attention_and_no_weight() -> None:
    model = U2Net(U2NetConfig(bands=2, width=16)).eval()
    names = set(model.state_dict())
    use_precision(model, "bf16")
    layers = [layer for layer in model.modules() if isinstance(layer, SpatialAttention)]
    assert [layer.precision for layer in layers] == ["bf16"] * 5
    assert set(model.state_dict()) == names
    images = torch.rand(1, 1, 32, 32), torch.rand(1, 2, 8, 8)
    with torch.inference_mode():
        rounded = model(*images)
        use_precision(model, "fp32")
        exact = model(*images)
    assert 0 < float((rounded - exact).abs().max()) < 2e-3


def test_the_processor_says_whether_it_multiplies_bfloat16() -> None:
    assert isinstance(attention.has_bf16_products(), bool)


@pytest.mark.parametrize(
    ("installed", "capability", "expected"),
    [(True, (9, 0), True), (True, (8, 0), True), (True, (7, 5), False), (False, (9, 0), False)],
)
def test_devices_before_ampere_keep_to_pytorch(
    installed: bool, capability: tuple[int, int], expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attention, "find_spec", lambda _name: object() if installed else None)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _device: capability)
    attention.runs_triton.cache_clear()
    assert attention.runs_triton(torch.device("cuda")) == expected
    attention.runs_triton.cache_clear()
