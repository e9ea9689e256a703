"""Projection onto the vocabulary and max-pooling over tokens, as one operation that never stores all logits.

Shapes: B rows, T tokens, D hidden width, V vocabulary.

The logits [B, T, V] of a batch dominate the memory of lexicon training, yet only their maximum over tokens is used. The
operation here keeps the maximum and the token that attained it; the gradient flows to that token alone, so that the
backward pass has at most one contribution for each (row, term). Source of the idea: "Sparton" (2026), which fuses the
same steps in a GPU kernel. `pooling_tiles` does it with tensor operations, `pooling_kernels` with Triton kernels.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from lexlip.model import pooling_tiles

# What Triton's matrix products take; double precision is for gradient checks and goes by tiles everywhere.
KERNEL_TYPES = (torch.float32, torch.bfloat16, torch.float16)


class PoolingEngine(NamedTuple):
    """One way to compute the operation.

    Attributes:
        maximum: (hidden_BTD, projection_VD, bias_V, padding_BT or None) -> pooled_BV, the maximum alone: on CPUs
            looking for the token too takes ten times as long as the maximum itself.
        pool: (hidden_BTD, projection_VD, bias_V, padding_BT or None) -> pooled_BV, token_BV: the maximum and the first
            token that attained it, -1 (and minus infinity) in rows that are all padding.
        hidden_gradient: (grad_pooled_BV, token_BV, projection_VD, tokens) -> [B, T, D] in single precision.
        projection_gradient: (grad_pooled_BV, token_BV, hidden_BTD) -> [V, D] in single precision.
    """

    maximum: Callable[[Tensor, Tensor, Tensor, Tensor | None], Tensor]
    pool: Callable[[Tensor, Tensor, Tensor, Tensor | None], tuple[Tensor, Tensor]]
    hidden_gradient: Callable[[Tensor, Tensor, Tensor, int], Tensor]
    projection_gradient: Callable[[Tensor, Tensor, Tensor], Tensor]


def project_and_max_pool(
    hidden_BTD: Tensor, projection_VD: Tensor, bias_V: Tensor, padding_BT: Tensor | None = None
) -> Tensor:
    """Maximum over tokens of `hidden @ projection.T + bias`.

    Args:
        hidden_BTD: token states.
        projection_VD: one row for each term.
        bias_V: one value for each term.
        padding_BT: True where a token is padding and takes no part.

    Returns:
        [B, V] pooled logits; ties go to the first token that attains the maximum. A row that is all padding is minus
        infinity and passes no gradient on.
    """
    if not torch.is_grad_enabled():  # nothing will ask which token it was
        hidden_BTD, projection_VD, bias_V = _in_autocast_type(hidden_BTD, projection_VD, bias_V)
        return engine_for(hidden_BTD).maximum(hidden_BTD, projection_VD, bias_V, padding_BT)
    pooled_BV: Tensor
    pooled_BV, _ = _ProjectAndMaxPool.apply(hidden_BTD, projection_VD, bias_V, padding_BT)
    return pooled_BV


def reference_project_and_max_pool(
    hidden_BTD: Tensor, projection_VD: Tensor, bias_V: Tensor, padding_BT: Tensor | None = None
) -> Tensor:
    """The same result by the plain route that stores all logits; the definition that tests compare with."""
    logits_BTV = hidden_BTD @ projection_VD.T + bias_V
    if padding_BT is not None:
        logits_BTV = logits_BTV.masked_fill(padding_BT[:, :, None], float("-inf"))
    return logits_BTV.max(dim=1).values


def engine_for(hidden_BTD: Tensor) -> PoolingEngine:
    """The way that suits a tensor's device and precision; the only place that chooses."""
    if hidden_BTD.device.type == "cuda" and hidden_BTD.dtype in KERNEL_TYPES:
        from lexlip.model import pooling_kernels  # Triton comes with torch for GPUs only

        way: Any = pooling_kernels
    else:
        way = pooling_tiles
    return PoolingEngine(way.maximum, way.pool, way.hidden_gradient, way.projection_gradient)


def _in_autocast_type(*tensors: Tensor) -> tuple[Tensor, ...]:
    device = tensors[0].device.type
    if torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device):
        return tuple(tensor.to(torch.get_autocast_dtype(device)) for tensor in tensors)
    return tensors


class _ProjectAndMaxPool(torch.autograd.Function):
    @staticmethod
    def forward(
        context: Any, hidden_BTD: Tensor, projection_VD: Tensor, bias_V: Tensor, padding_BT: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        hidden_BTD, projection_VD, bias_V = _in_autocast_type(hidden_BTD, projection_VD, bias_V)
        pooled_BV, token_BV = engine_for(hidden_BTD).pool(hidden_BTD, projection_VD, bias_V, padding_BT)
        context.save_for_backward(hidden_BTD, projection_VD, token_BV)
        context.mark_non_differentiable(token_BV)
        return pooled_BV, token_BV

    @staticmethod
    def backward(context: Any, grad_pooled_BV: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        hidden_BTD, projection_VD, token_BV = context.saved_tensors
        engine = engine_for(hidden_BTD)
        # Gradients are sums over many rows or terms: half precision would lose the small ones.
        precision = torch.promote_types(hidden_BTD.dtype, torch.float32)
        grad_hidden_BTD = grad_projection_VD = grad_bias_V = None
        with torch.autocast(hidden_BTD.device.type, enabled=False):
            grad_pooled_BV = grad_pooled_BV.to(precision).masked_fill(token_BV < 0, 0.0)
            if context.needs_input_grad[0]:
                tokens = hidden_BTD.shape[1]
                grad_hidden_BTD = engine.hidden_gradient(grad_pooled_BV, token_BV, projection_VD, tokens)
            if context.needs_input_grad[1]:
                grad_projection_VD = engine.projection_gradient(grad_pooled_BV, token_BV, hidden_BTD)
            if context.needs_input_grad[2]:
                grad_bias_V = grad_pooled_BV.sum(dim=0)
        return grad_hidden_BTD, grad_projection_VD, grad_bias_V, None
