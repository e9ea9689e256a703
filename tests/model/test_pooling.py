"""Projection and max-pooling in tiles against the plain route that stores all logits: value and gradients."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from lexlip.model import pooling_tiles
from lexlip.model.decoder import bottleneck
from lexlip.model.pooling import project_and_max_pool, reference_project_and_max_pool

PRECISE = {"rtol": 1e-10, "atol": 1e-10}


def random_inputs(rows: int, tokens: int, width: int, terms: int, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Double-precision states, projection and bias that ask for gradients."""
    generator = torch.Generator().manual_seed(seed)
    shapes = ((rows, tokens, width), (terms, width), (terms,))
    hidden, projection, bias = (
        torch.randn(shape, generator=generator, dtype=torch.float64, requires_grad=True) for shape in shapes
    )
    return hidden, projection, bias


def random_padding(rows: int, tokens: int, seed: int = 0) -> Tensor:
    """Rows of different lengths, at least one token each."""
    lengths = torch.randint(1, tokens + 1, (rows,), generator=torch.Generator().manual_seed(seed))
    return torch.arange(tokens)[None, :] >= lengths[:, None]


def assert_like_reference(hidden: Tensor, projection: Tensor, bias: Tensor, padding: Tensor | None) -> None:
    pooled = project_and_max_pool(hidden, projection, bias, padding)
    expected = reference_project_and_max_pool(hidden, projection, bias, padding)
    torch.testing.assert_close(pooled, expected, **PRECISE)
    with torch.no_grad():  # where no gradient is wanted, the maximum alone is computed
        alone = project_and_max_pool(hidden, projection, bias, padding)
    torch.testing.assert_close(alone, pooled.detach(), rtol=0, atol=0)
    upstream = torch.randn(expected.shape, generator=torch.Generator().manual_seed(1), dtype=expected.dtype)
    upstream[:, ::3] = 0.0  # terms that a ReLU behind the pooling has cut off
    inputs = (hidden, projection, bias)
    for ours, theirs in zip(
        torch.autograd.grad(pooled, inputs, upstream), torch.autograd.grad(expected, inputs, upstream), strict=True
    ):
        torch.testing.assert_close(ours, theirs, **PRECISE)


@given(
    rows=st.integers(1, 5),
    tokens=st.integers(1, 7),
    width=st.integers(1, 6),
    terms=st.integers(1, 40),
    padded=st.booleans(),
    seed=st.integers(0, 2**16),
)
@settings(max_examples=40, deadline=None)
def test_value_and_gradients_are_those_of_the_plain_route(
    rows: int, tokens: int, width: int, terms: int, padded: bool, seed: int
) -> None:
    padding = random_padding(rows, tokens, seed) if padded else None
    assert_like_reference(*random_inputs(rows, tokens, width, terms, seed), padding)


@pytest.mark.parametrize(("tile_elements", "tile_tokens"), [(1, 1), (64, 10), (1000, 11), (1000, 4096)])
def test_any_number_of_tiles_gives_the_same(
    tile_elements: int, tile_tokens: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pooling_tiles, "TILE_ELEMENTS", tile_elements)
    monkeypatch.setattr(pooling_tiles, "TILE_TOKENS", tile_tokens)
    assert_like_reference(*random_inputs(3, 5, 4, 37), random_padding(3, 5))


def test_a_vocabulary_larger_than_one_tile() -> None:
    rows, tokens, terms = 64, 65, 301
    assert rows * tokens > pooling_tiles.TILE_TOKENS
    assert rows * tokens * terms > pooling_tiles.TILE_ELEMENTS
    assert_like_reference(*random_inputs(rows, tokens, 3, terms), random_padding(rows, tokens))


def test_the_gradient_is_the_slope() -> None:
    padding = random_padding(2, 3)
    assert torch.autograd.gradcheck(
        lambda *inputs: project_and_max_pool(*inputs, padding), random_inputs(2, 3, 4, 5), fast_mode=False
    )


def test_of_equal_tokens_the_first_takes_the_gradient() -> None:
    hidden = torch.ones(1, 3, 2, requires_grad=True)
    pooled = project_and_max_pool(hidden, torch.ones(4, 2), torch.zeros(4))
    pooled.sum().backward()
    assert hidden.grad is not None
    assert hidden.grad[0].tolist() == [[4.0, 4.0], [0.0, 0.0], [0.0, 0.0]]


def test_padding_takes_no_part_however_large_its_states() -> None:
    hidden, projection, bias = random_inputs(2, 4, 3, 6)
    padding = torch.tensor([[False, False, True, True], [False, True, True, True]])
    pooled = project_and_max_pool(hidden, projection, bias, padding)
    loud = torch.where(padding[:, :, None], 1e6, hidden)
    torch.testing.assert_close(project_and_max_pool(loud, projection, bias, padding), pooled)
    (grad_hidden,) = torch.autograd.grad(pooled.sum(), hidden)
    assert not grad_hidden[padding].any()


@given(rows=st.integers(1, 4), tokens=st.integers(1, 5), terms=st.integers(1, 9), seed=st.integers(0, 2**16))
@settings(max_examples=30, deadline=None)
def test_ties_go_to_the_first_real_token(rows: int, tokens: int, terms: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    # Whole numbers from a small range: products are exact and often equal.
    hidden = torch.randint(-1, 2, (rows, tokens, 2), generator=generator).double().requires_grad_()
    projection = torch.randint(-1, 2, (terms, 2), generator=generator).double()
    padding = torch.rand(rows, tokens, generator=generator) < 0.3
    padding[:, -1] = False
    pooled = project_and_max_pool(hidden, projection, torch.zeros(terms).double(), padding)
    (gradient,) = torch.autograd.grad(pooled.sum(), hidden)
    expected = torch.zeros_like(gradient)
    logits = (hidden @ projection.T).detach()
    for row in range(rows):
        for term in range(terms):
            real = [token for token in range(tokens) if not padding[row, token]]
            first = max(real, key=lambda token: (logits[row, token, term].item(), -token))
            expected[row, first] += projection[term]
            assert pooled[row, term] == logits[row, first, term]
    torch.testing.assert_close(gradient, expected)


def test_a_row_that_is_all_padding_is_minus_infinity_and_passes_no_gradient_on() -> None:
    padding = random_padding(3, 4)
    padding[1] = True
    inputs = random_inputs(3, 4, 5, 6)
    assert project_and_max_pool(*inputs, padding)[1].tolist() == [float("-inf")] * 6
    assert_like_reference(*inputs, padding)


def test_no_rows_give_no_rows() -> None:
    hidden, projection, bias = random_inputs(0, 4, 5, 6)
    pooled = project_and_max_pool(hidden, projection, bias)
    assert pooled.shape == (0, 6)
    gradients = torch.autograd.grad(pooled.sum(), (hidden, projection, bias))
    assert [not gradient.any() for gradient in gradients] == [True, True, True]


def test_the_bottleneck_s_softmax_works_through_it() -> None:
    hidden, projection, bias = random_inputs(3, 5, 4, 30)
    results = []
    for route in (project_and_max_pool, reference_project_and_max_pool):
        mixed = bottleneck(route(hidden, projection, bias, random_padding(3, 5)), projection)
        results.append((mixed, *torch.autograd.grad(mixed.square().sum(), (hidden, projection, bias))))
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)  # the softmax is in single precision


def test_bfloat16_is_as_near_as_its_rounding() -> None:
    exact = random_inputs(4, 9, 16, 30)
    halves = tuple(value.detach().bfloat16().requires_grad_() for value in exact)
    pooled = project_and_max_pool(*halves)
    expected = reference_project_and_max_pool(*(value.detach().double() for value in halves))
    torch.testing.assert_close(pooled.double(), expected, rtol=0.02, atol=0.05)
    gradients = torch.autograd.grad(pooled.float().sum(), halves)
    assert [gradient.dtype for gradient in gradients] == [torch.bfloat16] * 3
    assert gradients[2].tolist() == [4.0] * 30  # every row's maximum of a term passes one on to its bias


def test_parts_that_do_not_learn_get_no_gradient() -> None:
    hidden, projection, bias = random_inputs(2, 3, 4, 5)
    frozen = projection.detach()
    project_and_max_pool(hidden, frozen, bias).sum().backward()
    assert hidden.grad is not None
    assert bias.grad is not None
    assert frozen.grad is None


def test_under_autocast_logits_are_half_and_gradients_single_precision() -> None:
    hidden, projection, bias = (value.detach().float().requires_grad_() for value in random_inputs(4, 5, 16, 30))
    with torch.autocast("cpu", torch.bfloat16):
        pooled = project_and_max_pool(hidden, projection, bias)
        pooled.float().square().sum().backward()  # inside the region, as reentrant checkpointing would
    assert pooled.dtype == torch.bfloat16
    expected = reference_project_and_max_pool(*(value.detach() for value in (hidden, projection, bias)))
    torch.testing.assert_close(pooled.float(), expected, rtol=0.02, atol=0.05)
    for value in (hidden, projection, bias):
        assert value.grad is not None
        assert value.grad.dtype == torch.float32
        assert value.grad.abs().sum() > 0
