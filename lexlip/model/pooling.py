"""Projection onto the vocabulary and max-pooling over tokens, as one operation that never stores all logits.

Shapes: B rows, T tokens, D hidden width, V vocabulary, C terms in one tile.

The logits [B, T, V] of a batch dominate the memory of lexicon training, yet only their maximum over tokens is used. The
operation here computes them tile by tile over the vocabulary and keeps the maximum and the token that attained it; the
gradient flows to that token alone, so the backward pass is two products with one sparse [B*T, V] matrix that has at
most one entry for each (row, term). Source of the idea: "Sparton" (2026), which fuses the same steps in a GPU kernel.
"""

from typing import Any

import torch
from torch import Tensor

# Logits of one tile are B * T * C floats; 1 Mi of them are 4 MiB, which fits the share of the last-level cache that a
# server core has (measured fastest).
TILE_ELEMENTS = 1024 * 1024


def project_and_max_pool(
    hidden_BTD: Tensor, projection_VD: Tensor, bias_V: Tensor, padding_BT: Tensor | None = None
) -> Tensor:
    """Maximum over tokens of `hidden @ projection.T + bias`.

    Args:
        hidden_BTD: token states.
        projection_VD: one row for each term.
        bias_V: one value for each term.
        padding_BT: True where a token is padding and takes no part; every row needs at least one real token.

    Returns:
        [B, V] pooled logits; ties go to the first token that attains the maximum.
    """
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


def _pool_by_tiles(
    hidden_BTD: Tensor, projection_VD: Tensor, bias_V: Tensor, padding_BT: Tensor | None
) -> tuple[Tensor, Tensor]:
    rows, tokens, width = hidden_BTD.shape
    vocabulary = projection_VD.shape[0]
    tile = max(1, min(vocabulary, TILE_ELEMENTS // max(1, rows * tokens)))
    pooled_BV = hidden_BTD.new_empty(rows, vocabulary)
    token_BV = torch.empty(rows, vocabulary, dtype=torch.int64, device=hidden_BTD.device)
    flat_ND = hidden_BTD.reshape(rows * tokens, width)
    for start in range(0, vocabulary, tile):
        stop = min(vocabulary, start + tile)
        logits_BTC = torch.addmm(bias_V[start:stop], flat_ND, projection_VD[start:stop].T).view(rows, tokens, -1)
        if padding_BT is not None:
            logits_BTC.masked_fill_(padding_BT[:, :, None], float("-inf"))
        pooled_BV[:, start:stop], token_BV[:, start:stop] = logits_BTC.max(dim=1)
    return pooled_BV, token_BV


class _ProjectAndMaxPool(torch.autograd.Function):
    @staticmethod
    def forward(
        context: Any, hidden_BTD: Tensor, projection_VD: Tensor, bias_V: Tensor, padding_BT: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        device = hidden_BTD.device.type
        if torch.is_autocast_enabled(device):
            half = torch.get_autocast_dtype(device)
            hidden_BTD, projection_VD, bias_V = hidden_BTD.to(half), projection_VD.to(half), bias_V.to(half)
        pooled_BV, token_BV = _pool_by_tiles(hidden_BTD, projection_VD, bias_V, padding_BT)
        context.save_for_backward(hidden_BTD, projection_VD, token_BV)
        context.mark_non_differentiable(token_BV)
        return pooled_BV, token_BV

    @staticmethod
    def backward(context: Any, grad_pooled_BV: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        hidden_BTD, projection_VD, token_BV = context.saved_tensors
        rows, tokens, width = hidden_BTD.shape
        # Sparse products have no half-precision kernel everywhere, and a term's gradient is a sum over many rows.
        precision = torch.promote_types(hidden_BTD.dtype, torch.float32)
        grad_hidden_BTD = grad_projection_VD = grad_bias_V = None
        with torch.autocast(hidden_BTD.device.type, enabled=False):
            row_N, term_N = grad_pooled_BV.nonzero(as_tuple=True)
            routed = torch.sparse_coo_tensor(
                torch.stack((row_N * tokens + token_BV[row_N, term_N], term_N)),
                grad_pooled_BV[row_N, term_N].to(precision),
                (rows * tokens, projection_VD.shape[0]),
                check_invariants=False,
            )
            if context.needs_input_grad[0]:
                grad_hidden_BTD = torch.sparse.mm(routed, projection_VD.to(precision)).view(rows, tokens, width)
            if context.needs_input_grad[1]:
                flat_ND = hidden_BTD.reshape(rows * tokens, width).to(precision)
                grad_projection_VD = torch.sparse.mm(routed.t(), flat_ND)
            if context.needs_input_grad[2]:
                grad_bias_V = grad_pooled_BV.sum(dim=0, dtype=precision)
        return grad_hidden_BTD, grad_projection_VD, grad_bias_V, None
