"""The Triton kernels against the plain route: on the GPU where there is one, in Triton's interpreter elsewhere.

The interpreter must be chosen before Triton is imported, which something in this process may have done; so the tests
run in a process of their own, started by the first of them.
"""

import os
import subprocess
import sys

import pytest
import torch
from torch import Tensor

pytest.importorskip("triton", reason="Triton comes with torch for Linux only")

from lexlip.model import pooling, pooling_kernels
from lexlip.model.pooling import PoolingEngine, project_and_max_pool, reference_project_and_max_pool

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
RUNS_HERE = DEVICE == "cuda" or os.environ.get("TRITON_INTERPRET") == "1"
on_device = pytest.mark.skipif(not RUNS_HERE, reason="runs on a GPU, or in the interpreter that the first test starts")

# Tokens beyond one tile, rows that leave the last tile part empty, a width and a vocabulary that fill no tile.
ODD = (3, 70, 20, 150)
SHORT = (5, 7, 40, 33)
TILES = {"default": pooling_kernels.FORWARD_TILES[0], "several rows": pooling_kernels.FORWARD_TILES[6]}


@pytest.mark.skipif(RUNS_HERE, reason="the kernels run in this process")
def test_the_kernels_agree_with_the_plain_route_in_triton_s_interpreter() -> None:
    finished = subprocess.run(
        [sys.executable, "-m", "pytest", "-o", "addopts=--import-mode=importlib", "-p", "no:cacheprovider", __file__],
        env={**os.environ, "TRITON_INTERPRET": "1", "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert " passed" in finished.stdout


@pytest.fixture(autouse=True)
def kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernels, also for tensors on the CPU; the plain route in full single precision."""
    engine = PoolingEngine(
        pooling_kernels.maximum,
        pooling_kernels.pool,
        pooling_kernels.hidden_gradient,
        pooling_kernels.projection_gradient,
    )
    monkeypatch.setattr(pooling, "engine_for", lambda _: engine)


def random_inputs(
    shape: tuple[int, int, int, int], precision: torch.dtype = torch.float32
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """States, projection and bias that ask for gradients, and padding: one row all padding, one without any."""
    rows, tokens, width, terms = shape
    generator = torch.Generator().manual_seed(0)
    shapes = ((rows, tokens, width), (terms, width), (terms,))
    hidden, projection, bias = (
        torch.randn(each, generator=generator).to(DEVICE, precision).requires_grad_() for each in shapes
    )
    lengths = torch.randint(1, tokens + 1, (rows,), generator=generator)
    lengths[0], lengths[-1] = 0, tokens
    padding = (torch.arange(tokens)[None, :] >= lengths[:, None]).to(DEVICE)
    return hidden, projection, bias, padding


def gradients(pooled: Tensor, inputs: tuple[Tensor, ...], share_without: float) -> tuple[Tensor, ...]:
    """Gradients of a random weighted sum; a share of the terms has weight zero, as behind a ReLU."""
    generator = torch.Generator().manual_seed(1)
    upstream = torch.randn(pooled.shape, generator=generator)
    upstream *= torch.rand(pooled.shape, generator=generator) >= share_without
    upstream = upstream.bfloat16()  # numbers that every precision holds exactly
    return torch.autograd.grad(pooled, inputs, upstream.to(DEVICE, pooled.dtype))


@on_device
@pytest.mark.parametrize("padded", [True, False])
@pytest.mark.parametrize("shape", [ODD, SHORT, (1, 1, 1, 1)])
def test_value_and_gradients_are_those_of_the_plain_route(shape: tuple[int, int, int, int], padded: bool) -> None:
    *inputs, padding = random_inputs(shape)
    mask = padding if padded else None
    pooled = project_and_max_pool(*inputs, mask)
    expected = reference_project_and_max_pool(*inputs, mask)
    torch.testing.assert_close(pooled, expected, rtol=1e-5, atol=1e-5)
    for ours, theirs in zip(
        gradients(pooled, tuple(inputs), 0.3), gradients(expected, tuple(inputs), 0.3), strict=True
    ):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


@on_device
@pytest.mark.parametrize("name", TILES)
@pytest.mark.parametrize("shape", [ODD, SHORT])
def test_any_tiles_give_the_same(shape: tuple[int, int, int, int], name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    hidden, projection, bias, padding = (value.detach() for value in random_inputs(shape))
    launch = pooling_kernels._tuned(pooling_kernels._pool, [TILES[name]], ["tokens_bucket"])
    monkeypatch.setattr(pooling_kernels, "_launch_pool", launch)
    pooled, token = pooling_kernels.pool(hidden, projection, bias, padding)
    logits = (hidden @ projection.T + bias).masked_fill(padding[:, :, None], float("-inf"))
    torch.testing.assert_close(pooled, logits.max(dim=1).values, rtol=1e-5, atol=1e-5)
    assert torch.equal(token[1:].long(), logits[1:].max(dim=1).indices)
    assert (token[0] == -1).all()  # the row that is all padding


@on_device
@pytest.mark.parametrize("precision", [torch.bfloat16, torch.float16])
def test_half_precision_is_as_near_as_its_rounding(precision: torch.dtype) -> None:
    *inputs, padding = random_inputs(SHORT, precision)
    pooled = project_and_max_pool(*inputs, padding)
    assert pooled.dtype == precision
    exact = tuple(value.detach().float().requires_grad_() for value in inputs)
    expected = reference_project_and_max_pool(*exact, padding)
    rounding = torch.finfo(precision).eps
    torch.testing.assert_close(pooled.float(), expected, rtol=2 * rounding, atol=0.0)
    # Products of half-precision numbers are exact in single precision: the same token wins, and only sums are rounded.
    for ours, theirs in zip(gradients(pooled, tuple(inputs), 0.3), gradients(expected, exact, 0.3), strict=True):
        torch.testing.assert_close(ours.float(), theirs, rtol=2 * rounding, atol=0.2 * rounding * theirs.abs().max())


@on_device
def test_of_equal_tokens_the_first_takes_the_gradient() -> None:
    tokens = 70  # two tiles of tokens
    hidden = torch.ones(2, tokens, 3, device=DEVICE, requires_grad=True)
    pooled = project_and_max_pool(hidden, torch.ones(4, 3, device=DEVICE), torch.zeros(4, device=DEVICE))
    (gradient,) = torch.autograd.grad(pooled.sum(), hidden)
    assert (gradient[:, 0] == 4.0).all()
    assert not gradient[:, 1:].any()


@on_device
def test_states_that_are_not_numbers_show() -> None:
    hidden, projection, bias, _ = (value.detach() for value in random_inputs(SHORT))
    hidden[1, 2, 3] = float("nan")
    pooled = project_and_max_pool(hidden, projection, bias)
    assert not pooled[1].isfinite().any()
    assert pooled[0].isfinite().all()


@on_device
def test_parts_that_do_not_learn_get_no_gradient() -> None:
    hidden, projection, bias, padding = random_inputs(SHORT)
    frozen = projection.detach()
    project_and_max_pool(hidden, frozen, bias, padding)[1:].sum().backward()
    assert hidden.grad is not None
    assert bias.grad is not None
    assert frozen.grad is None


@on_device
def test_the_bottleneck_s_softmax_works_through_the_kernels() -> None:
    hidden, projection, bias, padding = (value[1:] if value.ndim == 3 else value for value in random_inputs(SHORT))
    results = []
    for route in (project_and_max_pool, reference_project_and_max_pool):
        # As `decoder.bottleneck` does, which is not imported here to start sooner.
        mixed = torch.softmax(route(hidden, projection, bias, padding[1:]), dim=-1) @ projection.detach()
        results.append((mixed, *torch.autograd.grad(mixed.square().sum(), (hidden, projection, bias))))
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
