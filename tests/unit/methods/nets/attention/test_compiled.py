"""The compiled loops against explicit matrices in double precision, forward and backward."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from bandweave.methods.nets.attention import compiled as attention_compiled
from bandweave.methods.nets.attention.compiled import attend_compiled, has_loops
from bandweave.methods.nets.attention.layer import has_bf16_products
from oracles.attention import attended_explicitly

pytestmark = pytest.mark.skipif(
    not has_loops(16), reason="needs a processor with AVX-512 and llvmlite (extra `fast`)"
)
WIDE = pytest.param(False, id="fp32")
NARROW = pytest.param(
    True,
    id="bf16",
    marks=pytest.mark.skipif(not has_bf16_products(), reason="the processor lacks AVX512-BF16"),
)
in_both = pytest.mark.parametrize("is_bf16", [WIDE, NARROW])

ODD = 37 * 17  # no block of pixels is full


def drawn(pixels: int = ODD, *, batch: int = 1, heads: int = 3, width: int = 16) -> list[Tensor]:
    """Return query, key and value, strided as in the networks."""
    generator = torch.Generator().manual_seed(7)
    shape = (batch, pixels, 3, heads, width)
    return list(torch.randn(shape, generator=generator).transpose(1, 3).unbind(2))


def gradient_of(result: Tensor) -> Tensor:
    return torch.randn(result.shape, generator=torch.Generator().manual_seed(8))


def relative(actual: Tensor, expected: Tensor) -> float:
    return float((actual.double() - expected).norm() / expected.norm())


def gradients(result: Tensor, leaves: list[Tensor]) -> tuple[Tensor, ...]:
    return torch.autograd.grad(result, leaves, gradient_of(result).to(result.dtype))


def leaves_of(tensors: list[Tensor]) -> list[Tensor]:
    return [tensor.detach().requires_grad_() for tensor in tensors]


@pytest.fixture
def _threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@in_both
@pytest.mark.parametrize("width", [2, 10, 16])
@pytest.mark.parametrize("pixels", [50, 64, ODD])
def test_result_and_gradients_equal_the_explicit_matrix(
    pixels: int, width: int, is_bf16: bool
) -> None:
    given = drawn(pixels, width=width, batch=2)
    exact, fast = leaves_of([tensor.double() for tensor in given]), leaves_of(given)
    expected, actual = attended_explicitly(*exact), attend_compiled(*fast, is_bf16=is_bf16)
    tolerance = 0.006 if is_bf16 else 1e-6
    assert relative(actual.detach(), expected.detach()) < tolerance
    pairs = zip(gradients(actual, fast), gradients(expected, exact), strict=True)
    for gradient, wanted in pairs:
        assert relative(gradient, wanted) < 2 * tolerance


@in_both
@pytest.mark.parametrize("side", [64, 65, 128])
def test_whole_tiles_equal_the_explicit_matrix(side: int, is_bf16: bool) -> None:
    query, key, value = drawn(side**2, heads=1)
    some = slice(None, None, 97)
    actual = attend_compiled(query, key, value, is_bf16=is_bf16)[:, :, some]
    expected = attended_explicitly(query[:, :, some], key, value)
    assert relative(actual, expected) < (0.006 if is_bf16 else 2e-6)


# Scores are exponents: their rounding, to 2^-24 or 2^-9 of themselves, is that of the powers.
@in_both
@pytest.mark.parametrize(("scale", "wide", "narrow"), [(0, 1e-6, 0.006), (4, 2e-6, 0.02)])
def test_scores_of_other_sizes(scale: float, wide: float, narrow: float, is_bf16: bool) -> None:
    query, key, value = drawn()
    actual = attend_compiled(scale * query, key, value, is_bf16=is_bf16)
    expected = attended_explicitly(scale * query, key, value)
    assert relative(actual, expected) < (narrow if is_bf16 else wide)


@in_both
@pytest.mark.parametrize("scale", [40, 1000])
def test_scores_of_hundreds_are_computed_in_single_precision(scale: float, is_bf16: bool) -> None:
    query, key, value = drawn()
    given = [scale * query, key, value]
    exact, fast = leaves_of([tensor.double() for tensor in given]), leaves_of(given)
    expected, actual = attended_explicitly(*exact), attend_compiled(*fast, is_bf16=is_bf16)
    assert relative(actual.detach(), expected.detach()) < 1e-6 * scale
    for gradient, wanted in zip(gradients(actual, fast), gradients(expected, exact), strict=True):
        assert relative(gradient, wanted) < 1e-6 * scale


@in_both
def test_scores_beyond_the_range_of_powers_are_shifted(is_bf16: bool) -> None:
    query, key, value = drawn()
    longest = key.norm(dim=-1).max()
    query[0, 0, :5] *= 120 / (query[0, 0, 0].norm() * longest / 4)
    key[0, 0, 7] = -longest * query[0, 0, 0] / query[0, 0, 0].norm()
    actual = attend_compiled(query, key, value, is_bf16=is_bf16)
    expected = attended_explicitly(query, key, value)
    assert relative(actual, expected) < (0.03 if is_bf16 else 1e-5)


@in_both
def test_one_key_for_all(is_bf16: bool) -> None:
    query, key, value = drawn()
    query, key = query.abs(), key.clone()
    key[:, :, 11] = 20
    actual = attend_compiled(query, key, value, is_bf16=is_bf16)
    assert relative(actual, attended_explicitly(query, key, value)) < (0.006 if is_bf16 else 1e-5)


@in_both
def test_what_all_keys_have_in_common_does_not_matter(is_bf16: bool) -> None:
    query, key, value = drawn()
    actual = attend_compiled(query, key + 30, value, is_bf16=is_bf16)
    expected = attended_explicitly(query, key + 30, value)
    assert relative(actual, expected) < (0.006 if is_bf16 else 2e-6)


@in_both
def test_no_number_stays_none(is_bf16: bool) -> None:
    query, key, value = drawn()
    key = key.clone()
    key[0, 0, 5] = torch.nan
    attended = attend_compiled(query, key, value, is_bf16=is_bf16)
    assert attended[0, 0].isnan().all()
    assert attended[0, 1:].isfinite().all()


@in_both
def test_elements_need_not_lie_side_by_side(is_bf16: bool) -> None:
    given = drawn()
    turned = [tensor.transpose(2, 3).contiguous().transpose(2, 3) for tensor in given]
    expected = attend_compiled(*given, is_bf16=is_bf16)
    # The mean of the keys is summed up in another order.
    tolerance = 1e-3 if is_bf16 else 1e-6
    assert relative(attend_compiled(*turned, is_bf16=is_bf16), expected.double()) < tolerance


@in_both
@pytest.mark.usefixtures("_threads")
def test_threads_and_other_tiles_change_no_bit(is_bf16: bool) -> None:
    given = drawn(batch=2)
    results = []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        leaves = leaves_of(given)
        result = attend_compiled(*leaves, is_bf16=is_bf16)
        results.append((result.detach(), *gradients(result, leaves)))
    for one, other in zip(*results, strict=True):
        assert torch.equal(one, other)
    for n in range(2):
        alone = attend_compiled(*(t[n : n + 1] for t in given), is_bf16=is_bf16)
        assert torch.equal(alone, results[0][0][n : n + 1])


def test_wide_and_odd_heads_are_not_for_the_loops() -> None:
    assert not has_loops(32)
    assert not has_loops(15)


def test_nor_are_processors_without_long_vectors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_supported", lambda: False)
    attention_compiled.has_loops.cache_clear()
    assert not has_loops(16)
    attention_compiled.has_loops.cache_clear()
