"""The pooled projection in tiles over the vocabulary, with tensor operations that run on any device.

Shapes: B rows, T tokens, D hidden width, V vocabulary, C terms in one tile, N tokens of a tile or places where gradient
flows.

Forward, one tile of logits exists at a time. Backward, the gradient of all logits is a sparse [B*T, V] matrix with at
most one entry for each (row, term), and both gradients are products with parts of it.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

# Logits of one tile are B * T * C floats; 1 Mi of them are 4 MiB, which fits the share of the last-level cache that a
# server core has (measured fastest). Rows are taken some at a time, so that a tile of a large batch does not shrink to
# a few terms, for each of which all states would be read from memory again.
TILE_ELEMENTS = 1024 * 1024
TILE_TOKENS = 4096
NO_TOKEN = -1
# Places of a sparse gradient that exist at a time: their coordinates take four times as much memory as their values,
# and a product sorts and copies them. In parts of this size a pass takes half the memory of one product at a batch of
# 16, and less time (measured).
ROUTED_PLACES = 32 * 1024


def maximum(hidden_BTD: Tensor, projection_VD: Tensor, bias_V: Tensor, padding_BT: Tensor | None) -> Tensor:
    """Maximum over tokens, as `pooling.PoolingEngine` says."""
    pooled_BV = hidden_BTD.new_empty(len(hidden_BTD), len(projection_VD))
    for place, logits_BTC in _tiles(hidden_BTD, projection_VD, bias_V, padding_BT):
        pooled_BV[place] = logits_BTC.amax(dim=1)
    return pooled_BV


def pool(hidden_BTD: Tensor, projection_VD: Tensor, bias_V: Tensor, padding_BT: Tensor | None) -> tuple[Tensor, Tensor]:
    """Maximum over tokens and the token that attained it, as `pooling.PoolingEngine` says."""
    pooled_BV = hidden_BTD.new_empty(len(hidden_BTD), len(projection_VD))
    token_BV = torch.empty(pooled_BV.shape, dtype=torch.int64, device=hidden_BTD.device)
    for place, logits_BTC in _tiles(hidden_BTD, projection_VD, bias_V, padding_BT):
        pooled_BV[place], token_BV[place] = logits_BTC.max(dim=1)
    if padding_BT is not None:
        token_BV.masked_fill_(padding_BT.all(dim=1, keepdim=True), NO_TOKEN)
    return pooled_BV, token_BV


def _tiles(
    hidden_BTD: Tensor, projection_VD: Tensor, bias_V: Tensor, padding_BT: Tensor | None
) -> Iterator[tuple[tuple[slice, slice], Tensor]]:
    """Places in [B, V] and their logits [rows, T, C], minus infinity where a token is padding; one at a time."""
    rows, tokens, width = hidden_BTD.shape
    vocabulary = projection_VD.shape[0]
    rows_at_once = max(1, TILE_TOKENS // max(1, tokens))
    for first in range(0, rows, rows_at_once):
        last = min(rows, first + rows_at_once)
        flat_ND = hidden_BTD[first:last].reshape((last - first) * tokens, width)
        tile = max(1, TILE_ELEMENTS // max(1, len(flat_ND)))
        for start in range(0, vocabulary, tile):
            stop = min(vocabulary, start + tile)
            logits_NC = torch.addmm(bias_V[start:stop], flat_ND, projection_VD[start:stop].T)
            logits_BTC = logits_NC.view(last - first, tokens, stop - start)
            if padding_BT is not None:
                logits_BTC.masked_fill_(padding_BT[first:last, :, None], float("-inf"))
            yield (slice(first, last), slice(start, stop)), logits_BTC


def hidden_gradient(grad_pooled_BV: Tensor, token_BV: Tensor, projection_VD: Tensor, tokens: int) -> Tensor:
    """[B, T, D]: the gradient of each token, summed over the terms whose maximum it attained."""
    rows, vocabulary = grad_pooled_BV.shape
    projection_VD = projection_VD.to(grad_pooled_BV.dtype)
    hidden_BTD = grad_pooled_BV.new_empty(rows, tokens, projection_VD.shape[1])
    for part in _parts(rows, vocabulary):
        routed = _routed(grad_pooled_BV[part], token_BV[part], tokens)
        hidden_BTD[part] = torch.sparse.mm(routed, projection_VD).view_as(hidden_BTD[part])
    return hidden_BTD


def projection_gradient(grad_pooled_BV: Tensor, token_BV: Tensor, hidden_BTD: Tensor) -> Tensor:
    """[V, D]: the gradient of each term, summed over the rows' tokens that attained its maximum."""
    rows, tokens, width = hidden_BTD.shape
    flat_ND = hidden_BTD.reshape(rows * tokens, width).to(grad_pooled_BV.dtype)
    vocabulary = grad_pooled_BV.shape[1]
    projection_VD = grad_pooled_BV.new_empty(vocabulary, width)
    for part in _parts(vocabulary, rows):
        routed = _routed(grad_pooled_BV[:, part], token_BV[:, part], tokens)
        projection_VD[part] = torch.sparse.mm(routed.t(), flat_ND)
    return projection_VD


def _parts(count: int, places_each: int) -> list[slice]:
    """Slices of `count` rows or terms with some `ROUTED_PLACES` places of gradient each."""
    size = max(1, ROUTED_PLACES // max(1, places_each))
    return [slice(start, min(count, start + size)) for start in range(0, count, size)]


def _routed(grad_pooled_BV: Tensor, token_BV: Tensor, tokens: int) -> Tensor:
    """Sparse [B*T, V]: the gradient of the logits."""
    rows, vocabulary = grad_pooled_BV.shape
    row_N, term_N = grad_pooled_BV.nonzero(as_tuple=True)
    return torch.sparse_coo_tensor(
        torch.stack((row_N * tokens + token_BV[row_N, term_N], term_N)),
        grad_pooled_BV[row_N, term_N],
        (rows * tokens, vocabulary),
        check_invariants=False,
    )
