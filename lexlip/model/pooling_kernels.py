"""The pooled projection as Triton kernels for GPUs: single, bfloat16 and half precision, any number of tokens.

Shapes: B rows, T tokens, D hidden width, V vocabulary, N = B * V pairs of row and term; in kernels R rows, M = rows x
tokens, C terms, K entries of the width and E pairs, each of one tile.

Forward, a program multiplies the states of a few rows with one tile of terms, token tile by token tile, and keeps the
running maximum and its token in registers; logits never reach memory. Backward, a term gathers the states of the tokens
that attained its maximum, and a token the projections of the terms whose maximum it attained. Both are sums in a fixed
order without atomic additions, so that a resumed training repeats an uninterrupted one bit by bit.
"""

# mypy: allow-untyped-defs

from collections.abc import Callable
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor
from triton import knobs

MINIMUM_SIDE = 16  # of a tile in Triton's matrix products
ROWS_BESIDE_EACH_OTHER = 8  # row tiles that share a tile of the projection while it is in the cache


def _tiles(rows: int, tokens: int, terms: int, width: int, warps: int, stages: int) -> triton.Config:
    blocks = {"BLOCK_ROWS": rows, "BLOCK_TOKENS": tokens, "BLOCK_TERMS": terms, "BLOCK_WIDTH": width}
    return triton.Config(blocks, num_warps=warps, num_stages=stages)


# The first is the default, where nothing is measured. Many tokens (images) go one row a program; few (captions) go
# several rows a program, so that a tile of the projection serves as many products.
FORWARD_TILES = [
    _tiles(1, 64, 128, 32, warps=4, stages=3),
    _tiles(1, 64, 256, 64, warps=8, stages=3),
    _tiles(1, 128, 128, 64, warps=8, stages=3),
    _tiles(1, 128, 256, 64, warps=8, stages=3),
    _tiles(1, 32, 256, 64, warps=4, stages=4),
    _tiles(2, 64, 128, 64, warps=8, stages=3),
    _tiles(4, 16, 128, 64, warps=4, stages=3),
    _tiles(8, 16, 128, 64, warps=8, stages=3),
    _tiles(4, 32, 128, 64, warps=8, stages=3),
    _tiles(4, 32, 256, 64, warps=8, stages=3),
]
TERM_TILES = [
    triton.Config({"BLOCK_TERMS": 16, "BLOCK_WIDTH": 128}, num_warps=4),
    triton.Config({"BLOCK_TERMS": 32, "BLOCK_WIDTH": 128}, num_warps=4),
    triton.Config({"BLOCK_TERMS": 8, "BLOCK_WIDTH": 256}, num_warps=4),
    triton.Config({"BLOCK_TERMS": 32, "BLOCK_WIDTH": 64}, num_warps=4),
]
TOKEN_TILES = [
    triton.Config({"BLOCK_ENTRIES": 16, "BLOCK_WIDTH": 128}, num_warps=4),
    triton.Config({"BLOCK_ENTRIES": 32, "BLOCK_WIDTH": 64}, num_warps=4),
    triton.Config({"BLOCK_ENTRIES": 8, "BLOCK_WIDTH": 256}, num_warps=4),
    triton.Config({"BLOCK_ENTRIES": 32, "BLOCK_WIDTH": 256}, num_warps=8),
]


def _fitting_tiles(tiles: list[triton.Config], named_arguments: dict, **_: object) -> list[triton.Config]:
    """Tiles that are not mostly empty; those of several rows only where they hold all tokens of a row."""
    tokens = max(MINIMUM_SIDE, named_arguments["tokens_bucket"])
    fitting = []
    for tile in tiles:
        rows, tile_tokens = tile.kwargs["BLOCK_ROWS"], tile.kwargs["BLOCK_TOKENS"]
        if tile_tokens == tokens or (rows == 1 and tile_tokens < tokens):
            fitting.append(tile)
    return fitting or tiles[:1]


def maximum(hidden_BTD: Tensor, projection_VD: Tensor, bias_V: Tensor, padding_BT: Tensor | None) -> Tensor:
    """Maximum over tokens, as `pooling.PoolingEngine` says; the token beside it costs the kernel next to nothing."""
    return pool(hidden_BTD, projection_VD, bias_V, padding_BT)[0]


def pool(hidden_BTD: Tensor, projection_VD: Tensor, bias_V: Tensor, padding_BT: Tensor | None) -> tuple[Tensor, Tensor]:
    """Maximum over tokens and the token that attained it, as `pooling.PoolingEngine` says.

    Products add up in single precision and are rounded once, after the maximum. A state that is not a number makes the
    terms of its row infinite, so that a diverged training shows.
    """
    rows, tokens, width = hidden_BTD.shape
    vocabulary = projection_VD.shape[0]
    pooled_BV = hidden_BTD.new_empty(rows, vocabulary)
    token_BV = torch.empty(rows, vocabulary, dtype=torch.int32, device=hidden_BTD.device)
    if not rows:
        return pooled_BV, token_BV
    hidden_BTD = hidden_BTD.contiguous()
    exact = torch.get_float32_matmul_precision() == "highest"
    _launch_pool(
        lambda tile: (triton.cdiv(rows, tile["BLOCK_ROWS"]) * triton.cdiv(vocabulary, tile["BLOCK_TERMS"]),),
        hidden_BTD,
        projection_VD.contiguous(),
        bias_V.contiguous(),
        hidden_BTD if padding_BT is None else padding_BT.contiguous(),  # unread where nothing is padded
        pooled_BV,
        token_BV,
        rows,
        tokens,
        width,
        vocabulary,
        triton.next_power_of_2(tokens),
        PADDED=padding_BT is not None,
        PRECISION="ieee" if exact else "tf32",
        # Triton 3.8's interpreter would multiply the bit patterns of bfloat16.
        WIDEN=knobs.runtime.interpret,
        GROUP=ROWS_BESIDE_EACH_OTHER,
    )
    return pooled_BV, token_BV


def hidden_gradient(grad_pooled_BV: Tensor, token_BV: Tensor, projection_VD: Tensor, tokens: int) -> Tensor:
    """[B, T, D]: the gradient of each token, summed over the terms whose maximum it attained."""
    rows, vocabulary = grad_pooled_BV.shape
    width = projection_VD.shape[1]
    grad_hidden_BTD = torch.empty(rows, tokens, width, dtype=torch.float32, device=grad_pooled_BV.device)
    if not grad_hidden_BTD.numel():
        return grad_hidden_BTD
    # (row, term) pairs in the order of the token that they flow to; those without gradient go behind all tokens.
    places = rows * tokens
    first_place_B1 = torch.arange(0, places, tokens, dtype=torch.int32, device=token_BV.device)[:, None]
    place_BV = torch.where(grad_pooled_BV != 0, first_place_B1 + token_BV, places)
    sorted_place, entry = torch.sort(place_BV.flatten(), stable=True)
    starts = torch.searchsorted(
        sorted_place, torch.arange(places + 1, dtype=sorted_place.dtype, device=sorted_place.device), out_int32=True
    )
    _launch_token_gradient(
        lambda tile: (places, triton.cdiv(width, tile["BLOCK_WIDTH"])),
        grad_pooled_BV.flatten()[entry],
        (entry % vocabulary).to(torch.int32),
        starts,
        projection_VD.contiguous(),
        grad_hidden_BTD,
        width,
    )
    return grad_hidden_BTD


def projection_gradient(grad_pooled_BV: Tensor, token_BV: Tensor, hidden_BTD: Tensor) -> Tensor:
    """[V, D]: the gradient of each term, summed over the rows' tokens that attained its maximum."""
    rows, vocabulary = grad_pooled_BV.shape
    tokens, width = hidden_BTD.shape[1:]
    grad_projection_VD = torch.empty(vocabulary, width, dtype=torch.float32, device=grad_pooled_BV.device)
    _launch_term_gradient(
        lambda tile: (triton.cdiv(vocabulary, tile["BLOCK_TERMS"]), triton.cdiv(width, tile["BLOCK_WIDTH"])),
        grad_pooled_BV.contiguous(),
        token_BV,
        hidden_BTD.contiguous(),
        grad_projection_VD,
        rows,
        tokens,
        width,
        vocabulary,
    )
    return grad_projection_VD


@triton.jit
def _pool(
    hidden_BTD,
    projection_VD,
    bias_V,
    padding_BT,
    pooled_BV,
    token_BV,
    rows,
    tokens,
    width,
    vocabulary,
    tokens_bucket,  # only a key of tuning: tokens, rounded up to a power of two
    PADDED: tl.constexpr,
    PRECISION: tl.constexpr,
    WIDEN: tl.constexpr,
    GROUP: tl.constexpr,
    BLOCK_ROWS: tl.constexpr,
    BLOCK_TOKENS: tl.constexpr,
    BLOCK_TERMS: tl.constexpr,
    BLOCK_WIDTH: tl.constexpr,
):
    # Neighbouring programs take the same terms of a group of row tiles, so that the projection is read from the cache.
    program = tl.program_id(0)
    row_tiles = tl.cdiv(rows, BLOCK_ROWS)
    group_programs = GROUP * tl.cdiv(vocabulary, BLOCK_TERMS)
    first_row_tile = program // group_programs * GROUP
    group_rows = tl.minimum(row_tiles - first_row_tile, GROUP)
    row_tile = first_row_tile + program % group_programs % group_rows
    term_tile = program % group_programs // group_rows

    term_C = term_tile * BLOCK_TERMS + tl.arange(0, BLOCK_TERMS)
    lane_M = tl.arange(0, BLOCK_ROWS * BLOCK_TOKENS)
    row_M = row_tile * BLOCK_ROWS + lane_M // BLOCK_TOKENS
    dimension_K = tl.arange(0, BLOCK_WIDTH)
    bias_C = tl.load(bias_V + term_C, mask=term_C < vocabulary, other=0.0).to(tl.float32)
    term_start_C = term_C.to(tl.int64) * width

    best_RC = tl.full([BLOCK_ROWS, BLOCK_TERMS], float("-inf"), tl.float32)
    best_token_RC = tl.full([BLOCK_ROWS, BLOCK_TERMS], -1, tl.int32)
    for first_token in range(0, tokens, BLOCK_TOKENS):
        token_M = first_token + lane_M % BLOCK_TOKENS
        real_M = (row_M < rows) & (token_M < tokens)
        place_M = row_M.to(tl.int64) * tokens + token_M
        logits_MC = tl.zeros([BLOCK_ROWS * BLOCK_TOKENS, BLOCK_TERMS], tl.float32)
        for first_dimension in range(0, width, BLOCK_WIDTH):
            at_K = first_dimension + dimension_K
            state_MK = tl.load(
                hidden_BTD + place_M[:, None] * width + at_K[None, :],
                mask=real_M[:, None] & (at_K < width)[None, :],
                other=0.0,
            )
            term_KC = tl.load(
                projection_VD + term_start_C[None, :] + at_K[:, None],
                mask=(term_C < vocabulary)[None, :] & (at_K < width)[:, None],
                other=0.0,
            )
            if WIDEN:
                state_MK, term_KC = state_MK.to(tl.float32), term_KC.to(tl.float32)
            logits_MC = tl.dot(state_MK, term_KC, logits_MC, input_precision=PRECISION)
        logits_MC += bias_C[None, :]
        logits_MC = tl.where(logits_MC == logits_MC, logits_MC, float("inf"))  # not a number would win no comparison
        if PADDED:
            real_M = real_M & (tl.load(padding_BT + place_M, mask=real_M, other=1) == 0)
        logits_MC = tl.where(real_M[:, None], logits_MC, float("-inf"))
        logits_RTC = tl.reshape(logits_MC, [BLOCK_ROWS, BLOCK_TOKENS, BLOCK_TERMS])
        highest_RC, at_RC = tl.max(logits_RTC, axis=1, return_indices=True)
        better_RC = highest_RC > best_RC
        best_RC = tl.where(better_RC, highest_RC, best_RC)
        best_token_RC = tl.where(better_RC, first_token + at_RC, best_token_RC)

    row_R = row_tile * BLOCK_ROWS + tl.arange(0, BLOCK_ROWS)
    place_RC = row_R.to(tl.int64)[:, None] * vocabulary + term_C[None, :]
    inside_RC = (row_R < rows)[:, None] & (term_C < vocabulary)[None, :]
    tl.store(pooled_BV + place_RC, best_RC.to(pooled_BV.dtype.element_ty), mask=inside_RC)
    tl.store(token_BV + place_RC, best_token_RC, mask=inside_RC)


@triton.jit
def _term_gradient(
    grad_pooled_BV,
    token_BV,
    hidden_BTD,
    grad_projection_VD,
    rows,
    tokens,
    width,
    vocabulary,
    BLOCK_TERMS: tl.constexpr,
    BLOCK_WIDTH: tl.constexpr,
):
    term_C = tl.program_id(0) * BLOCK_TERMS + tl.arange(0, BLOCK_TERMS)
    dimension_K = tl.program_id(1) * BLOCK_WIDTH + tl.arange(0, BLOCK_WIDTH)
    known_C = term_C < vocabulary
    inside_K = dimension_K < width
    total_CK = tl.zeros([BLOCK_TERMS, BLOCK_WIDTH], tl.float32)
    for row in range(rows):
        place_C = tl.cast(row, tl.int64) * vocabulary + term_C
        grad_C = tl.load(grad_pooled_BV + place_C, mask=known_C, other=0.0)
        flows_C = grad_C != 0
        token_C = tl.load(token_BV + place_C, mask=flows_C, other=0)
        state_C = (tl.cast(row, tl.int64) * tokens + token_C) * width
        state_CK = tl.load(
            hidden_BTD + state_C[:, None] + dimension_K[None, :], mask=flows_C[:, None] & inside_K[None, :], other=0.0
        )
        total_CK += grad_C[:, None] * state_CK.to(tl.float32)
    tl.store(
        grad_projection_VD + term_C.to(tl.int64)[:, None] * width + dimension_K[None, :],
        total_CK,
        mask=known_C[:, None] & inside_K[None, :],
    )


@triton.jit
def _token_gradient(
    grad_N,
    term_N,
    start_N,
    projection_VD,
    grad_hidden_BTD,
    width,
    BLOCK_ENTRIES: tl.constexpr,
    BLOCK_WIDTH: tl.constexpr,
):
    place = tl.program_id(0)
    dimension_K = tl.program_id(1) * BLOCK_WIDTH + tl.arange(0, BLOCK_WIDTH)
    inside_K = dimension_K < width
    start = tl.load(start_N + place)
    stop = tl.load(start_N + place + 1)
    total_EK = tl.zeros([BLOCK_ENTRIES, BLOCK_WIDTH], tl.float32)
    for first in range(start, stop, BLOCK_ENTRIES):
        at_E = first + tl.arange(0, BLOCK_ENTRIES)
        listed_E = at_E < stop
        grad_E = tl.load(grad_N + at_E, mask=listed_E, other=0.0)
        term_E = tl.load(term_N + at_E, mask=listed_E, other=0)
        term_EK = tl.load(
            projection_VD + term_E.to(tl.int64)[:, None] * width + dimension_K[None, :],
            mask=listed_E[:, None] & inside_K[None, :],
            other=0.0,
        )
        total_EK += grad_E[:, None] * term_EK.to(tl.float32)
    tl.store(grad_hidden_BTD + tl.cast(place, tl.int64) * width + dimension_K, tl.sum(total_EK, axis=0), mask=inside_K)


def _tuned(kernel: Any, tiles: list[triton.Config], key: list[str], prune: Callable | None = None) -> Any:
    """The kernel with the fastest of its tiles, measured once for each key and kept on disk.

    Triton's interpreter has nothing to measure and takes the default.
    """
    offered = tiles[:1] if knobs.runtime.interpret else tiles
    pruning = {"early_config_prune": prune} if prune is not None else None
    tuned = triton.autotune(configs=offered, key=key, prune_configs_by=pruning, cache_results=True)(kernel)
    return lambda grid, *arguments, **constants: tuned[grid](*arguments, **constants)


_launch_pool = _tuned(_pool, FORWARD_TILES, ["tokens_bucket", "width", "vocabulary"], _fitting_tiles)
_launch_term_gradient = _tuned(_term_gradient, TERM_TILES, ["width", "vocabulary"])
_launch_token_gradient = _tuned(_token_gradient, TOKEN_TILES, ["width"])
